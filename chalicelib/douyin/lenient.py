"""Reads JSON in which something is not as documented, field by field.

A malformed field counts as missing and its path is reported; everything else is read. Well-formed data gives the same
result as the fast decoder in `pages`.
"""

import functools
import json
import types
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from chalicelib.douyin.models import MAX_ID_LENGTH, IdText

_S = TypeVar("_S", bound=msgspec.Struct)

_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r")
_CONTROLS_AS_BLANKS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
"""Tabs and line breaks in a text are kept. Each of the other control characters would become six bytes of JSON, and
the response might not fit.
"""


class _Field(msgspec.Struct, frozen=True):
    """A field of a model."""

    name: str
    #: The type of the value, without the `| None` of an optional field.
    read_as: Any
    #: The struct that the value is, or that a list holds.
    struct: type[msgspec.Struct] | None
    is_required: bool


def decode_json(body: bytes) -> Any:
    """Return the value of a JSON text; raises ValueError when it is not JSON.

    What makes one field unreadable must not make the page unreadable. So this accepts a byte order mark, control
    characters in a text, NaN and Infinity, invalid UTF-8 and unpaired surrogates (`read` replaces these by question
    marks).
    """
    try:
        text = body.translate(_CONTROLS_AS_BLANKS).decode("utf-8-sig", "surrogateescape")
        return json.loads(text, strict=False, parse_int=_parse_int)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read(value: Any, model: type[_S], path: str, paths: list[str]) -> _S | None:
    """Read a struct from a JSON value, or return None when it is not an object or lacks a required field.

    The path of every malformed field is added to `paths`. null counts as missing.
    """
    if not isinstance(value, dict):
        paths.append(path)
        return None
    fields: dict[str, Any] = {}
    for field in _fields(model):
        part = value.get(field.name)
        part_path = f"{path}.{field.name}" if path else field.name
        if part is None:
            if field.is_required:
                paths.append(part_path)
                return None
            continue
        parsed = _read_field(part, field, part_path, paths)
        if parsed is None and field.is_required:
            return None
        fields[field.name] = parsed
    # A field that is there and None is malformed; a missing one is not in `fields`.
    together: frozenset[str] = getattr(model, "TOGETHER", frozenset())
    if any(fields.get(name, ...) is None for name in together):
        fields = {name: parsed for name, parsed in fields.items() if name not in together}
    return model(**fields)


def read_bool(value: Any) -> bool | None:
    """Return a boolean that may arrive as a number or as a text, or None for another value."""
    # 1, 1.0, 0 and 0.0 are equal to True and False.
    if value in (True, "true", "True", "TRUE", "1"):
        return True
    return False if value in (False, "false", "False", "FALSE", "0") else None


def _read_field(value: Any, field: _Field, path: str, paths: list[str]) -> Any:
    struct = field.struct
    if struct is not None and struct is field.read_as:
        return read(value, struct, path, paths)
    if struct is not None:
        if not isinstance(value, list):
            paths.append(path)
            return None
        elements = [read(element, struct, path, paths) for element in value]
        return [element for element in elements if element is not None]
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    try:
        parsed = read_bool(value) if field.read_as is bool else msgspec.convert(value, field.read_as, strict=False)
    except (msgspec.ValidationError, UnicodeError):
        parsed = None
    if parsed is None:
        paths.append(path)
    return parsed


@functools.cache
def _fields(model: type[msgspec.Struct]) -> list[_Field]:
    return [_to_field(field) for field in msgspec.structs.fields(model)]


def _to_field(field: msgspec.structs.FieldInfo) -> _Field:
    is_union = get_origin(field.type) in (Union, types.UnionType)
    parts = [part for part in get_args(field.type) if part is not type(None)] if is_union else []
    read_as: Any = parts[0] if len(parts) == 1 else field.type
    if IdText in parts:
        read_as = IdText | int  # an id may be a number of more than 64 bits
    element = get_args(read_as)[0] if get_origin(read_as) is list else read_as
    is_struct = isinstance(element, type) and issubclass(element, msgspec.Struct)
    return _Field(field.name, read_as, element if is_struct else None, field.required)


def _parse_int(digits: str) -> int | float:
    # A longer number is malformed in every field. (Python refuses to convert thousands of digits.)
    return int(digits) if len(digits) <= MAX_ID_LENGTH else float("inf")

"""Parses JSON that differs from its documentation: a malformed field counts as missing, all others are read."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

MAX_ID_LENGTH = 64
"""The longest id, in characters or digits."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r")
_CONTROLS_AS_BLANKS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
"""Replaces control characters by blanks; keeps tabs and line breaks. In our response, each control character could take
six bytes instead of one. Then the response might be too large for Lambda.
"""


def decode_json(body: bytes) -> Any:
    """Return the value of a JSON text; raises ValueError if it is not JSON.

    One unreadable field must not make the whole page unreadable, so this accepts a byte order mark, control characters
    in a text, NaN and Infinity. It also accepts invalid UTF-8 and unpaired surrogates, and replaces them by question
    marks.
    """
    # msgspec accepts DEL in a text, as JSON does, and refuses the other control characters. All are replaced below.
    if b"\x7f" not in body:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # msgspec is three times as fast as the module json.
            return msgspec.json.decode(body)
    text = body.translate(_CONTROLS_AS_BLANKS).decode("utf-8-sig", "surrogateescape")
    try:
        return json.loads(text, strict=False, parse_int=_parse_digits, object_hook=_clean_fields)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_int(value: Any) -> int | None:
    """Return an integer of 64 bits, or None for another value. It may arrive as a text or a float."""
    try:
        return msgspec.convert(value, Int64, strict=False)
    except msgspec.ValidationError:
        return None


def parse_bool(value: Any) -> bool | None:
    """Return a boolean, or None for another value. It may arrive as a number or a text."""
    # 1, 1.0, 0 and 0.0 are equal to True and False.
    if value in (True, "true", "True", "TRUE", "1"):
        return True
    return False if value in (False, "false", "False", "FALSE", "0") else None


def parse_id(value: Any) -> str | None:
    """Return an id of 1 to MAX_ID_LENGTH characters, or None for another value. It may arrive as a number."""
    # A float from 2**53 may have lost digits, and would then be another id.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if type(value) is int:
        value = str(value)
    return value if isinstance(value, str) and 1 <= len(value) <= MAX_ID_LENGTH else None


_PARSERS: dict[str, Callable[[Any], Any]] = {"int": parse_int, "bool": parse_bool}
"""The parsers by the type that msgspec's error message expects. A value of any other type is not converted."""

_ERROR = re.compile(r"(?:Expected `(\w+))?.* - at `\$\.([\w.]+)(\[?)")
"""For example: Expected `int`, got `str` - at `$.times_card_info.used_times_serial_nums[0]`.

msgspec is pinned, and the tests cause each kind of error, so if a new version words an error differently, a test fails.
"""


def parse_struct(fields: dict[str, Any], model: type[S]) -> tuple[S, list[str]]:
    """Parse a struct; return it, and the paths of the malformed fields. The caller has checked its required fields.

    A malformed field counts as missing, and is removed from `fields`. A list with a malformed element is a malformed
    field. null counts as missing. Numbers may arrive as strings: related calls of the platform send them so.
    """
    malformed_paths: list[str] = []
    converted: set[str] = set()
    while True:
        try:
            return msgspec.convert(fields, model), malformed_paths
        except msgspec.ValidationError as error:
            expected, path, bracket = _ERROR.findall(str(error))[0]
        is_list = bracket == "["
        *parents, name = path.split(".")
        parent = fields
        for parent_name in parents:
            parent = parent[parent_name]
        parser = _PARSERS.get(expected)
        values = [None if parser is None else parser(value) for value in (parent[name] if is_list else [parent[name]])]
        if None in values or path in converted:
            malformed_paths.append(path)
            del parent[name]
        else:
            parent[name] = values if is_list else values[0]
            converted.add(path)


def _parse_digits(digits: str) -> int | float:
    # No field accepts a longer number, so infinity stands for it. (int() raises ValueError for thousands of digits.)
    return int(digits) if len(digits) <= MAX_ID_LENGTH else float("inf")


def _clean_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {_replace_surrogates(name): _replace_surrogates(value) for name, value in fields.items()}


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_surrogates(element) for element in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

"""Parses JSON in which something is not as documented: what is malformed counts as missing, and the rest is read."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

MAX_ID_LENGTH = 64
"""Characters of an id, also of one that arrives as a number."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r")
_CONTROLS_AS_BLANKS = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
"""Tabs and line breaks in a text are kept. Each of the other control characters would become six bytes of JSON, and
the response might not fit.
"""


def decode_json(body: bytes) -> Any:
    """Return the value of a JSON text; raises ValueError when it is not JSON.

    What makes one field unreadable must not make the page unreadable. So this accepts a byte order mark, control
    characters in a text, NaN and Infinity, invalid UTF-8 and unpaired surrogates (question marks replace these).
    """
    # JSON allows one control character in a text: DEL.
    if b"\x7f" not in body:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # msgspec takes a third of the time of the module json.
            return msgspec.json.decode(body)
    text = body.translate(_CONTROLS_AS_BLANKS).decode("utf-8-sig", "surrogateescape")
    try:
        return json.loads(text, strict=False, parse_int=_parse_digits, object_hook=_clean_fields)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_int(value: Any) -> int | None:
    """Return an integer of 64 bits that may arrive as a text or a float, or None."""
    try:
        return msgspec.convert(value, Int64, strict=False)
    except msgspec.ValidationError:
        return None


def parse_bool(value: Any) -> bool | None:
    """Return a boolean that may arrive as a number or as a text, or None for another value."""
    # 1, 1.0, 0 and 0.0 are equal to True and False.
    if value in (True, "true", "True", "TRUE", "1"):
        return True
    return False if value in (False, "false", "False", "FALSE", "0") else None


def parse_id(value: Any) -> str | None:
    """Return an id of 1 to MAX_ID_LENGTH characters, or None. It may arrive as a number of any size."""
    # A larger float has lost digits.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if type(value) is int:
        value = str(value)
    return value if isinstance(value, str) and 1 <= len(value) <= MAX_ID_LENGTH else None


_PARSERS: dict[str, Callable[[Any], Any]] = {"int": parse_int, "bool": parse_bool}
"""By the type in an error message of msgspec. Any other type has one form."""

_ERROR = re.compile(r"(?:Expected `(\w+))?.* - at `\$\.([\w.]+)(\[?)")
"""For example: Expected `int`, got `str` - at `$.times_card_info.used_times_serial_nums[0]`.

msgspec is pinned, and the tests have an error of each kind: another wording fails there.
"""


def parse_struct(fields: dict[str, Any], model: type[S]) -> tuple[S, list[str]]:
    """Parse a struct whose own required fields are right; return it, and the paths of the malformed fields.

    A malformed field counts as missing, and is removed from `fields`; so is a list with a malformed element. Numbers
    may arrive as strings (related endpoints of the platform do that). null counts as missing.
    """
    malformed_paths: list[str] = []
    converted: set[str] = set()
    while True:
        try:
            return msgspec.convert(fields, model), malformed_paths
        except msgspec.ValidationError as error:
            expected, path, is_list = _ERROR.findall(str(error))[0]
        *parents, name = path.split(".")
        struct = fields
        for parent in parents:
            struct = struct[parent]
        parser = _PARSERS.get(expected)
        values = [None if parser is None else parser(value) for value in (struct[name] if is_list else [struct[name]])]
        if None in values or path in converted:
            malformed_paths.append(path)
            del struct[name]
        else:
            struct[name] = values if is_list else values[0]
            converted.add(path)


def _parse_digits(digits: str) -> int | float:
    # A longer number is malformed in every field. (Python refuses to convert thousands of digits.)
    return int(digits) if len(digits) <= MAX_ID_LENGTH else float("inf")


def _clean_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {_replace_surrogates(name): _replace_surrogates(value) for name, value in fields.items()}


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_surrogates(element) for element in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

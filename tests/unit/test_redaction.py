"""Records that hold secrets show none of them."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from typing import Any

import chalicelib
from chalicelib.api.problems import ProblemType, ProblemView
from chalicelib.context import Outcome
from chalicelib.douyin.calls import PlatformCall
from chalicelib.douyin.protocol import MintedToken
from chalicelib.redaction import RedactedStruct

SECRET = re.compile(
    r"token(?!_id|_seconds)|secret(?!_name|s_manager)|open_?id|(?<!error_)code(?!_tail)|session_?key|body|headers|^apps$"
)
"""Names of fields that hold a secret, or a message that may have one."""

PUBLIC = {(Outcome, "code"), (ProblemType, "code"), (ProblemView, "code"), (PlatformCall, "needs_token")}
"""Codes of errors, not of coupons or logins; and whether a call has a token."""

MODULES = [importlib.import_module(found.name) for found in pkgutil.walk_packages(chalicelib.__path__, "chalicelib.")]
CLASSES = {
    value
    for module in MODULES
    for value in vars(module).values()
    if inspect.isclass(value) and value.__module__ == module.__name__
}


def find_shown_secrets(classes: set[Any]) -> list[str]:
    """Return the fields of structs, dataclasses and named tuples that `repr` shows although they hold a secret."""
    return [
        f"{record.__name__}.{name}"
        for record in classes
        if record.__repr__ not in (object.__repr__, RedactedStruct.__repr__) or record.__str__ is not object.__str__
        for fields in ("__struct_fields__", "__dataclass_fields__", "_fields")
        for name in getattr(record, fields, ())
        if SECRET.search(name) and (record, name) not in PUBLIC
    ]


def test_a_record_shows_its_type_and_no_field() -> None:
    token = MintedToken("planted-secret", 7200)
    assert f"{token} {[token]}" == "MintedToken(…) [MintedToken(…)]"


def test_no_record_shows_a_secret() -> None:
    assert find_shown_secrets(CLASSES) == []


def test_a_component_is_shown_without_its_parts_and_compared_by_identity() -> None:
    for component in filter(dataclasses.is_dataclass, CLASSES):
        assert (component.__repr__, component.__eq__) == (object.__repr__, object.__eq__), component

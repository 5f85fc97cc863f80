"""Rules for what an operator types."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from redeemctl import arguments

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (arguments.check_id, "7100000000000000001", "7100000000000000001"),
        (arguments.check_id, "tt_a-B", "tt_a-B"),
        (arguments.check_text, " 四季小馆 ", "四季小馆"),
        (arguments.check_text, "", ""),
        (arguments.check_latitude, "31.2327", Decimal("31.2327")),
        (arguments.check_latitude, "-90", Decimal(-90)),
        (arguments.check_longitude, "180", Decimal(180)),
        (arguments.check_flag, "TRUE", True),
        (arguments.check_flag, "否", False),
        (arguments.check_store, "6601=人民广场店", ("6601", "人民广场店")),
        (arguments.check_store, "6601=a=b", ("6601", "a=b")),
        (arguments.check_secret, "0123456789abcdef!~", "0123456789abcdef!~"),
    ],
)
def test_a_valid_value_is_returned(rule: Callable[[str], Any], text: str, value: Any) -> None:
    assert rule(text) == value


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (arguments.check_id, ""),
        (arguments.check_id, "abc def"),
        (arguments.check_id, "人民广场店"),
        (arguments.check_id, "7.29678E+18"),
        (arguments.check_id, "1\n"),
        (arguments.check_id, "１２"),
        (arguments.check_id, "x" * 65),
        (arguments.check_text, "a\tb"),
        (arguments.check_text, "x" * 201),
        (arguments.check_name, " "),
        (arguments.check_latitude, "90.1"),
        (arguments.check_latitude, "north"),
        (arguments.check_latitude, "nan"),
        (arguments.check_longitude, "1e2"),
        (arguments.check_longitude, "-181"),
        (arguments.check_flag, "maybe"),
        (arguments.check_store, "人民广场店"),
        (arguments.check_store, "人民广场店=6601"),
        (arguments.check_store, "6601="),
        (arguments.check_secret, ""),
        (arguments.check_secret, "planted secret"),
        (arguments.check_secret, "planted\t"),
        (arguments.check_secret, "planted密钥"),
        (arguments.check_secret, "planted" * 40),
    ],
)
def test_an_invalid_value_is_refused_and_a_secret_is_never_quoted(rule: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r".+") as refused:
        rule(text)
    assert "planted" not in str(refused.value)

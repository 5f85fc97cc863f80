"""Models of the platform's responses: what may be missing, and which types are accepted."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from chalicelib.douyin import models


def decode(model: type[Any], value: Any) -> Any:
    """Decode as `protocol` does: numbers may be strings."""
    return msgspec.json.decode(json.dumps(value), type=model, strict=False)


def test_only_the_ids_are_required_and_unknown_fields_are_ignored() -> None:
    assert decode(models.Certificate, {"certificate_id": "1", "novelty": {"deep": []}}) == models.Certificate("1")
    assert decode(models.Order, {"order_id": "1"}) == models.Order("1")


@pytest.mark.parametrize(
    ("model", "name"),
    [(models.Certificate, "certificate_id"), (models.Order, "order_id"), (models.SkuInfo, "sku_id")],
)
def test_an_id_is_text_or_a_number(model: type[Any], name: str) -> None:
    for value in ("7", 7, "x" * models.MAX_ID_LENGTH):
        assert getattr(decode(model, {name: value}), name) == value
    for wrong in ("", True, "x" * (models.MAX_ID_LENGTH + 1)):
        with pytest.raises(msgspec.ValidationError):
            decode(model, {name: wrong})


def test_a_number_is_a_64_bit_integer_and_may_be_text() -> None:
    for value in ("4499", "-1", 0, 2**63 - 1, -(2**63), 3.0):
        assert decode(models.Amount, {"pay_amount": value}).pay_amount == int(value)
    for wrong in ("", "1.5", True, 2**63, -(2**63) - 1):
        with pytest.raises(msgspec.ValidationError):
            decode(models.Amount, {"pay_amount": wrong})


@pytest.mark.parametrize("value", [True, False, None, "true", 1])
def test_can_use_has_any_type_and_stays_unchanged(value: Any) -> None:
    can_use = decode(models.Order, {"order_id": "1", "can_use": value}).can_use
    assert (can_use, type(can_use)) == (value, type(value))

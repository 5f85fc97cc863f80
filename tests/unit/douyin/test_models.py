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


def test_only_the_ids_are_required() -> None:
    assert decode(models.Certificate, {"certificate_id": "1"}) == models.Certificate("1")
    assert decode(models.Order, {"order_id": "1"}) == models.Order("1")


@pytest.mark.parametrize(("model", "name"), [(models.Certificate, "certificate_id"), (models.Order, "order_id")])
@pytest.mark.parametrize(
    "value",
    ["7200000000000000001", 7200000000000000001, 0, "券"],
)
def test_an_id_is_text_or_a_number(model: type[Any], name: str, value: Any) -> None:
    assert getattr(decode(model, {name: value}), name) == value


@pytest.mark.parametrize(
    ("model", "name"),
    [(models.Certificate, "certificate_id"), (models.Order, "order_id"), (models.SkuInfo, "sku_id")],
)
@pytest.mark.parametrize("value", ["", True, 1.5, [], {}])
def test_what_is_no_id_is_refused(model: type[Any], name: str, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(model, {name: value})


@pytest.mark.parametrize(("model", "name"), [(models.Certificate, "certificate_id"), (models.Order, "order_id")])
def test_null_is_no_id(model: type[Any], name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(model, {name: None})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (4499, 4499),
        ("4499", 4499),
        ("-1", -1),
        (0, 0),
        (None, None),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (3.0, 3),
    ],
)
def test_a_number_may_be_text(value: Any, expected: int | None) -> None:
    assert decode(models.Amount, {"pay_amount": value}).pay_amount == expected


@pytest.mark.parametrize("value", ["", "much", "1.5", 1.5, True, [], {}, 2**63, -(2**63) - 1, str(2**63), 10**30])
def test_what_is_no_64_bit_integer_is_refused(value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(models.Amount, {"pay_amount": value})


@pytest.mark.parametrize("value", [True, False, None, "true", 1, [], {}])
def test_can_use_has_any_type_and_stays_unchanged(value: Any) -> None:
    can_use = decode(models.Order, {"order_id": "1", "can_use": value}).can_use
    assert (can_use, type(can_use)) == (value, type(value))


def test_unknown_fields_are_ignored() -> None:
    certificate = decode(models.Certificate, {"certificate_id": "1", "novelty": {"deep": [1, {}]}})
    assert certificate == models.Certificate("1")


def test_every_field_that_is_used_is_decoded() -> None:
    """A field whose name is misspelt in a model would stay None."""
    documented = {
        "certificate_id": "1",
        "code": "108",
        "start_time": 1,
        "expire_time": 2,
        "is_transfer_asset": True,
        "amount": {"original_amount": 1, "pay_amount": 2},
        "sku_info": {
            "sku_id": "1", "title": "券", "groupon_type": 2, "market_price": 7,
            "voucher_info": {
                "dynamic_par_rule_struct": {
                    "dynamic_par_rule_desc": "x", "dynamic_par_min_amount": 1, "dynamic_par_max_amount": 2,
                },
            },
        },
        "times_card_info": {
            "total_times": 3, "usable_times": 1, "use_amount": 300, "times_card_type": 1,
            "total_times_serial_nums": [1, 2, 3], "used_times_serial_nums": [1], "locked_times_serial_nums": [2],
        },
        "lock_info_extra": {"lock_status": 1, "lock_scene": 1},
        "off_peak_discount_detail": {
            "has_off_peak_discount": True, "off_peak_time_limit_type": 1,
            "off_peak_time": {
                "start_time": 1, "end_time": 2, "week_day_list": [1],
                "daily_time_range_list": [{"start_time": "14:00", "end_time": "17:00"}],
            },
        },
    }  # fmt: skip
    assert msgspec.to_builtins(decode(models.Certificate, documented)) == documented


def test_fields_that_are_used_only_together_are_fields() -> None:
    assert set(models.TimesCardInfo.__struct_fields__) > models.TimesCardInfo.TOGETHER


def test_the_codes_of_each_part_are_decoded() -> None:
    reply = decode(
        models.CertificatesReply,
        {
            "data": {"error_code": 1, "sub_error_code": 2, "logid": "a", "total": 3, "orders": []},
            "extra": {"error_code": "4", "sub_error_code": "5", "logid": "b"},
            "err_no": 6,
            "log_id": "c",
        },
    )
    assert reply == models.CertificatesReply(
        data=models.CertificatesData(error_code=1, sub_error_code=2, logid="a", total=3, orders=[]),
        extra=models.Codes(error_code=4, sub_error_code=5, logid="b"),
        err_no=6,
        log_id="c",
    )

"""The documented fields of the platform's replies, by path: the JSON type of each. `[]` stands for each element.

What the service reads comes from `chalicelib.douyin.models`; the rest is listed here. Names and structure are those of
the documents' sample replies. What else is known, and how surely, is in docs/platform.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from chalicelib.douyin import models

if TYPE_CHECKING:
    from collections.abc import Iterator


OBJECT, LIST, TEXT, INTEGER, BOOLEAN, NULL = "object", "list", "text", "integer", "boolean", "null"
_TYPES = {dict: OBJECT, list: LIST, str: TEXT, int: INTEGER, bool: BOOLEAN, float: "fraction", type(None): NULL}


_OF_ANY_TYPE = {"can_use": BOOLEAN, "total": INTEGER, "logid": TEXT}
"""The documented types of fields that the service reads whatever their type."""


def type_of(value: object) -> str:
    """Return the type of a JSON value. A number without a fraction is an integer."""
    return _TYPES[type(value)]


def name_of(path: str) -> str:
    """Return the name of a field, or of the list that an element is in."""
    return path.rpartition(".")[2].removesuffix("[]")


def walk(call: str, value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return path and value of each field, and of each element of a list; not what is in an unknown field."""
    yield path, value
    for name, part in value.items() if isinstance(value, dict) else ():
        inner = f"{path}.{name}" if path else name
        if inner in FIELDS[call]:
            yield from walk(call, part, inner)
        else:
            yield inner, part
    for part in value if isinstance(value, list) and f"{path}[]" in FIELDS[call] else ():
        yield from walk(call, part, f"{path}[]")


def _read_by_the_service(struct: type[msgspec.Struct], path: str) -> dict[str, str]:
    return dict(_field(inspect.type_info(struct), path))


def _field(declared: Any, path: str) -> Iterator[tuple[str, str]]:
    """Return a field of a model and the fields in it. An id that is read as text or number is documented as text."""
    kinds: dict[Any, Any] = {type(option): option for option in getattr(declared, "types", (declared,))}
    if struct := kinds.get(inspect.StructType):
        yield path, OBJECT
        for field in struct.fields:
            yield from _field(field.type, f"{path}.{field.name}")
    elif items := kinds.get(inspect.ListType):
        yield path, LIST
        yield from _field(items.item_type, f"{path}[]")
    elif inspect.AnyType in kinds:
        yield path, _OF_ANY_TYPE[name_of(path)]
    else:
        yield path, TEXT if inspect.StrType in kinds else BOOLEAN if inspect.BoolType in kinds else INTEGER


_RULE = "sku_info.voucher_info.dynamic_par_rule_struct.dynamic_par_rule_item_list"
_LADDER = "times_card_info.ladder_times_card_info"

_NOT_READ = {
    **dict.fromkeys(("sku_info.spu_id", "sku_info.account_id", "sku_info.out_id", "sku_info.third_sku_id"), TEXT),
    **dict.fromkeys(("sku_info.sold_start_time", "sku_info.voucher_info.voucher_type"), INTEGER),
    "amount.merchant_ticket_amount": INTEGER,
    "amount.payment_discount_amount": INTEGER,
    "amount.coupon_pay_amount": INTEGER,
    "amount.platform_ticket_amount": INTEGER,
    _RULE: LIST,
    f"{_RULE}[]": OBJECT,
    f"{_RULE}[].time_period": OBJECT,
    f"{_RULE}[].time_period.use_start_time": TEXT,
    f"{_RULE}[].time_period.use_end_time": TEXT,
    f"{_RULE}[].time_period.end_time_is_next_day": BOOLEAN,
    f"{_RULE}[].deductible_amount": INTEGER,
    f"{_RULE}[].day_of_week": LIST,
    f"{_RULE}[].day_of_week[]": INTEGER,
    _LADDER: LIST,
    f"{_LADDER}[]": OBJECT,
    **{
        f"{_LADDER}[].{name}": INTEGER
        for name in ("seq", "status", "original_amount", "crossed_amount", "pay_amount", "ticket", "merchant_ticket")
    },
}
"""Documented fields of a certificate that the service does not read."""


def _order(path: str) -> dict[str, str]:
    not_read = {f"{path}.certificates[].{name}": found for name, found in _NOT_READ.items()}
    return {**_read_by_the_service(models.Order, path), **not_read}


_STATUS = {"data": OBJECT, "data.error_code": INTEGER, "data.description": TEXT}
_EXTRA = {
    **_read_by_the_service(models.Codes, "extra"),
    "extra.description": TEXT,
    "extra.sub_description": TEXT,
    "extra.now": INTEGER,
}

FIELDS: dict[str, dict[str, str]] = {
    "client_token": {
        "message": TEXT,
        **_STATUS,
        **_read_by_the_service(models.MintData, "data"),
        "data.captcha": TEXT,
        "data.desc_url": TEXT,
    },
    "jscode2session": {
        "err_no": INTEGER,
        "err_tips": TEXT,
        **_read_by_the_service(models.LoginData, "data"),
        # dopenid is in no document, but in captured replies.
        **dict.fromkeys(("data.session_key", "data.anonymous_openid", "data.unionid", "data.dopenid"), TEXT),
    },
    "query_user_certificates": {
        **_STATUS,
        **_EXTRA,
        "data.total": INTEGER,
        "data.orders": LIST,
        **_order("data.orders[]"),
    },
    "order_can_use": {**_order("data"), **_STATUS, **_EXTRA},
}
"""The fields of each call's reply: path to type."""

ENUMERATIONS = frozenset({
    "groupon_type", "times_card_type", "status", "voucher_type", "day_of_week", "lock_status", "lock_scene",
    "off_peak_time_limit_type", "week_day_list",
})  # fmt: skip
"""Fields whose numbers have a meaning. Only those of `groupon_type` are published."""

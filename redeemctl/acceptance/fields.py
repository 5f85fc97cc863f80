"""The documented fields of the platform's replies: path, type, presence, and what kind of value each holds.

Names and structure are those of the documents' sample replies (`query_user_certificates`, `order_can_use`,
`client_token`, `jscode2session`). Types of numbers and the required fields of a certificate are in the version of
`order_can_use` of 2024-07-24; the current documents do not show them. What else is known, and how surely, is in
docs/platform.md. `[]` stands for each element of a list.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Type(StrEnum):
    """JSON types. A number without a fraction is an integer."""

    OBJECT = "object"
    LIST = "list"
    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    FRACTION = "fraction"
    NULL = "null"


class Presence(StrEnum):
    """When a field is in a reply."""

    ALWAYS = "always"
    ON_SUCCESS = "on success"
    """Required by the document, or in the real reply of 2024."""
    SOMETIMES = "sometimes"


class Kind(StrEnum):
    """What a value means. The sanitizer keeps or replaces it accordingly."""

    STRUCTURE = "structure"
    NAME = "name"
    ID = "id"
    OPEN_ID = "open_id"
    TITLE = "title"
    CODE = "code"
    TOKEN = "token"  # noqa: S105 - a kind of value
    AMOUNT = "amount"
    TIME = "time"
    HOURS = "hours"
    ENUM = "enum"
    COUNT = "count"
    FLAG = "flag"
    ERROR_CODE = "error code"
    MESSAGE = "message"
    LOGID = "logid"


class Field(NamedTuple):
    """A documented field. `path` is relative to the reply."""

    path: str
    type: Type
    presence: Presence
    kind: Kind


ALWAYS, ON_SUCCESS, SOMETIMES = Presence.ALWAYS, Presence.ON_SUCCESS, Presence.SOMETIMES
OBJECT, LIST, TEXT, INTEGER, BOOLEAN = Type.OBJECT, Type.LIST, Type.TEXT, Type.INTEGER, Type.BOOLEAN

_RULE = "sku_info.voucher_info.dynamic_par_rule_struct"
_RULE_ITEM = f"{_RULE}.dynamic_par_rule_item_list[]"
_OFF_PEAK = "off_peak_discount_detail"
_LADDER = "times_card_info.ladder_times_card_info[]"

_CERTIFICATE = (
    Field("certificate_id", TEXT, ON_SUCCESS, Kind.ID),
    Field("code", TEXT, SOMETIMES, Kind.CODE),
    Field("start_time", INTEGER, ON_SUCCESS, Kind.TIME),
    Field("expire_time", INTEGER, ON_SUCCESS, Kind.TIME),
    Field("is_transfer_asset", BOOLEAN, SOMETIMES, Kind.FLAG),
    Field("amount", OBJECT, ON_SUCCESS, Kind.STRUCTURE),
    Field("amount.original_amount", INTEGER, ON_SUCCESS, Kind.AMOUNT),
    Field("amount.pay_amount", INTEGER, ON_SUCCESS, Kind.AMOUNT),
    Field("amount.merchant_ticket_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field("amount.payment_discount_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field("amount.coupon_pay_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field("amount.platform_ticket_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field("sku_info", OBJECT, ON_SUCCESS, Kind.STRUCTURE),
    Field("sku_info.sku_id", TEXT, ON_SUCCESS, Kind.ID),
    Field("sku_info.spu_id", TEXT, SOMETIMES, Kind.ID),
    Field("sku_info.account_id", TEXT, SOMETIMES, Kind.ID),
    Field("sku_info.out_id", TEXT, SOMETIMES, Kind.ID),
    Field("sku_info.third_sku_id", TEXT, SOMETIMES, Kind.ID),
    Field("sku_info.title", TEXT, ON_SUCCESS, Kind.TITLE),
    Field("sku_info.groupon_type", INTEGER, ON_SUCCESS, Kind.ENUM),
    Field("sku_info.market_price", INTEGER, ON_SUCCESS, Kind.AMOUNT),
    Field("sku_info.sold_start_time", INTEGER, SOMETIMES, Kind.TIME),
    Field("sku_info.voucher_info", OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field("sku_info.voucher_info.voucher_type", INTEGER, SOMETIMES, Kind.ENUM),
    Field(_RULE, OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_RULE}.dynamic_par_rule_desc", TEXT, SOMETIMES, Kind.TITLE),
    Field(f"{_RULE}.dynamic_par_min_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_RULE}.dynamic_par_max_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_RULE}.dynamic_par_rule_item_list", LIST, SOMETIMES, Kind.STRUCTURE),
    Field(_RULE_ITEM, OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_RULE_ITEM}.time_period", OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_RULE_ITEM}.time_period.use_start_time", TEXT, SOMETIMES, Kind.HOURS),
    Field(f"{_RULE_ITEM}.time_period.use_end_time", TEXT, SOMETIMES, Kind.HOURS),
    Field(f"{_RULE_ITEM}.time_period.end_time_is_next_day", BOOLEAN, SOMETIMES, Kind.FLAG),
    Field(f"{_RULE_ITEM}.deductible_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_RULE_ITEM}.day_of_week", LIST, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_RULE_ITEM}.day_of_week[]", INTEGER, SOMETIMES, Kind.ENUM),
    Field("times_card_info", OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field("times_card_info.total_times", INTEGER, SOMETIMES, Kind.COUNT),
    Field("times_card_info.usable_times", INTEGER, SOMETIMES, Kind.COUNT),
    Field("times_card_info.use_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field("times_card_info.times_card_type", INTEGER, SOMETIMES, Kind.ENUM),
    Field("times_card_info.total_times_serial_nums", LIST, SOMETIMES, Kind.STRUCTURE),
    Field("times_card_info.total_times_serial_nums[]", INTEGER, SOMETIMES, Kind.COUNT),
    Field("times_card_info.used_times_serial_nums", LIST, SOMETIMES, Kind.STRUCTURE),
    Field("times_card_info.used_times_serial_nums[]", INTEGER, SOMETIMES, Kind.COUNT),
    Field("times_card_info.locked_times_serial_nums", LIST, SOMETIMES, Kind.STRUCTURE),
    Field("times_card_info.locked_times_serial_nums[]", INTEGER, SOMETIMES, Kind.COUNT),
    Field("times_card_info.ladder_times_card_info", LIST, SOMETIMES, Kind.STRUCTURE),
    Field(_LADDER, OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_LADDER}.seq", INTEGER, SOMETIMES, Kind.COUNT),
    Field(f"{_LADDER}.status", INTEGER, SOMETIMES, Kind.ENUM),
    Field(f"{_LADDER}.original_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_LADDER}.crossed_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_LADDER}.pay_amount", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_LADDER}.ticket", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field(f"{_LADDER}.merchant_ticket", INTEGER, SOMETIMES, Kind.AMOUNT),
    Field("lock_info_extra", OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field("lock_info_extra.lock_status", INTEGER, SOMETIMES, Kind.ENUM),
    Field("lock_info_extra.lock_scene", INTEGER, SOMETIMES, Kind.ENUM),
    Field(_OFF_PEAK, OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_OFF_PEAK}.has_off_peak_discount", BOOLEAN, SOMETIMES, Kind.FLAG),
    Field(f"{_OFF_PEAK}.off_peak_time_limit_type", INTEGER, SOMETIMES, Kind.ENUM),
    Field(f"{_OFF_PEAK}.off_peak_time", OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_OFF_PEAK}.off_peak_time.start_time", INTEGER, SOMETIMES, Kind.TIME),
    Field(f"{_OFF_PEAK}.off_peak_time.end_time", INTEGER, SOMETIMES, Kind.TIME),
    Field(f"{_OFF_PEAK}.off_peak_time.week_day_list", LIST, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_OFF_PEAK}.off_peak_time.week_day_list[]", INTEGER, SOMETIMES, Kind.ENUM),
    Field(f"{_OFF_PEAK}.off_peak_time.daily_time_range_list", LIST, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_OFF_PEAK}.off_peak_time.daily_time_range_list[]", OBJECT, SOMETIMES, Kind.STRUCTURE),
    Field(f"{_OFF_PEAK}.off_peak_time.daily_time_range_list[].start_time", TEXT, SOMETIMES, Kind.HOURS),
    Field(f"{_OFF_PEAK}.off_peak_time.daily_time_range_list[].end_time", TEXT, SOMETIMES, Kind.HOURS),
)


def _certificates_at(path: str, presence: Presence) -> tuple[Field, ...]:
    """Return the fields of a list of certificates."""
    element = f"{path}[]"
    inside = (Field(f"{element}.{field.path}", *field[1:]) for field in _CERTIFICATE)
    return (
        Field(path, LIST, presence, Kind.STRUCTURE),
        Field(element, OBJECT, SOMETIMES, Kind.STRUCTURE),
        *inside,
    )


_ENVELOPE = (
    Field("data", OBJECT, ALWAYS, Kind.STRUCTURE),
    Field("data.error_code", INTEGER, ALWAYS, Kind.ERROR_CODE),
    Field("data.description", TEXT, ALWAYS, Kind.MESSAGE),
    Field("extra", OBJECT, ALWAYS, Kind.STRUCTURE),
    Field("extra.error_code", INTEGER, ALWAYS, Kind.ERROR_CODE),
    Field("extra.description", TEXT, ALWAYS, Kind.MESSAGE),
    Field("extra.sub_error_code", INTEGER, ALWAYS, Kind.ERROR_CODE),
    Field("extra.sub_description", TEXT, ALWAYS, Kind.MESSAGE),
    Field("extra.logid", TEXT, ALWAYS, Kind.LOGID),
    Field("extra.now", INTEGER, ALWAYS, Kind.TIME),
)

_TOKEN = (
    Field("message", TEXT, ALWAYS, Kind.MESSAGE),
    Field("data", OBJECT, ALWAYS, Kind.STRUCTURE),
    Field("data.error_code", INTEGER, ALWAYS, Kind.ERROR_CODE),
    Field("data.description", TEXT, ALWAYS, Kind.MESSAGE),
    Field("data.access_token", TEXT, ON_SUCCESS, Kind.TOKEN),
    Field("data.expires_in", INTEGER, ON_SUCCESS, Kind.COUNT),
    Field("data.captcha", TEXT, SOMETIMES, Kind.MESSAGE),
    Field("data.desc_url", TEXT, SOMETIMES, Kind.MESSAGE),
)

CALLS: dict[str, tuple[Field, ...]] = {
    "client_token": _TOKEN,
    "stable_client_token": _TOKEN,
    "jscode2session": (
        Field("err_no", INTEGER, ALWAYS, Kind.ERROR_CODE),
        Field("err_tips", TEXT, ALWAYS, Kind.MESSAGE),
        Field("data", OBJECT, ON_SUCCESS, Kind.STRUCTURE),
        Field("data.session_key", TEXT, ON_SUCCESS, Kind.TOKEN),
        Field("data.openid", TEXT, ON_SUCCESS, Kind.OPEN_ID),
        Field("data.anonymous_openid", TEXT, ON_SUCCESS, Kind.OPEN_ID),
        Field("data.unionid", TEXT, ON_SUCCESS, Kind.OPEN_ID),
        # In no document, but in captured replies.
        Field("data.dopenid", TEXT, SOMETIMES, Kind.OPEN_ID),
    ),
    "query_user_certificates": (
        *_ENVELOPE,
        Field("data.total", INTEGER, ON_SUCCESS, Kind.COUNT),
        Field("data.orders", LIST, ON_SUCCESS, Kind.STRUCTURE),
        Field("data.orders[]", OBJECT, SOMETIMES, Kind.STRUCTURE),
        Field("data.orders[].order_id", TEXT, ON_SUCCESS, Kind.ID),
        Field("data.orders[].can_use", BOOLEAN, ON_SUCCESS, Kind.FLAG),
        *_certificates_at("data.orders[].certificates", ON_SUCCESS),
    ),
    "order_can_use": (
        *_ENVELOPE,
        Field("data.order_id", TEXT, ON_SUCCESS, Kind.ID),
        Field("data.can_use", BOOLEAN, ON_SUCCESS, Kind.FLAG),
        *_certificates_at("data.certificates", SOMETIMES),
    ),
}
"""The fields of each call's reply."""

BY_PATH: dict[str, dict[str, Field]] = {call: {field.path: field for field in fields} for call, fields in CALLS.items()}

KNOWN_VALUES: dict[str, frozenset[int]] = {"groupon_type": frozenset({1, 2, 3})}
"""Enumerations whose values are known, by field name. The others are published nowhere."""

DOCUMENTED_MESSAGES = frozenset({"", "success", "error"})


def children_of(call: str, path: str) -> list[Field]:
    """Return the fields directly inside an object; the path of the reply itself is empty."""
    prefix = f"{path}." if path else ""
    return [f for f in CALLS[call] if f.path.startswith(prefix) and _NAME.fullmatch(f.path[len(prefix) :])]


def type_of(value: object) -> Type:
    """Return the type of a JSON value."""
    return _TYPES[type(value)]


_TYPES = {
    type(None): Type.NULL,
    bool: Type.BOOLEAN,
    int: Type.INTEGER,
    float: Type.FRACTION,
    str: Type.TEXT,
    list: Type.LIST,
    dict: Type.OBJECT,
}
_NAME = re.compile(r"[^.\[]+")

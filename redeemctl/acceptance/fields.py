"""The documented fields of the platform's replies.

Names and structure are those of the documents' sample replies. What else is known, and how surely, is in
docs/platform.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = {
    dict: "object", list: "list", str: "text", int: "integer", bool: "boolean", float: "fraction", type(None): "null",
}  # fmt: skip
# Another name may be the key of a map, for example an id. It is not shown.
_FIELD_NAME = re.compile(r"[a-z][a-z_]{0,19}[0-9]{0,2}[a-z_]{0,20}")


class Field(NamedTuple):
    """The JSON type of a field, and its meaning: how the report shows and the sanitizer replaces its value.

    Without a meaning, the value is not shown, and replaced by a hash.
    """

    type: str
    meaning: str = ""


OBJECT, LIST, TEXT, NUMBER, BOOLEAN = (Field(name) for name in ("object", "list", "text", "integer", "boolean"))
CODE, COUNT, ENUM, TIME = (Field("integer", meaning) for meaning in ("code", "count", "enum", "time"))
"""CODE is an error code. COUNT is a number of things, or a serial number. ENUM is a number with a meaning; only those
of `groupon_type` are published. TIME is an epoch time."""
HOUR = Field("text", "hour")
"""An hour of a day."""

_RULE = {
    "time_period": {"use_start_time": HOUR, "use_end_time": HOUR, "end_time_is_next_day": BOOLEAN},
    "deductible_amount": NUMBER,
    "day_of_week": [ENUM],
}
_VOUCHER = {
    "voucher_type": ENUM,
    "dynamic_par_rule_struct": {
        "dynamic_par_rule_desc": TEXT,
        "dynamic_par_min_amount": NUMBER,
        "dynamic_par_max_amount": NUMBER,
        "dynamic_par_rule_item_list": [_RULE],
    },
}
_LADDER = {
    "seq": COUNT,
    "status": ENUM,
    **dict.fromkeys(("original_amount", "crossed_amount", "pay_amount", "ticket", "merchant_ticket"), NUMBER),
}
_CERTIFICATE = {
    **dict.fromkeys(("certificate_id", "code"), TEXT),
    **dict.fromkeys(("start_time", "expire_time"), TIME),
    "is_transfer_asset": BOOLEAN,
    "amount": {
        **dict.fromkeys(("original_amount", "pay_amount", "merchant_ticket_amount"), NUMBER),
        **dict.fromkeys(("payment_discount_amount", "coupon_pay_amount", "platform_ticket_amount"), NUMBER),
    },
    "sku_info": {
        **dict.fromkeys(("sku_id", "title", "spu_id", "account_id", "out_id", "third_sku_id"), TEXT),
        "groupon_type": ENUM,
        "market_price": NUMBER,
        "sold_start_time": TIME,
        "voucher_info": _VOUCHER,
    },
    "times_card_info": {
        **dict.fromkeys(("total_times", "usable_times"), COUNT),
        "use_amount": NUMBER,
        "times_card_type": ENUM,
        "total_times_serial_nums": [COUNT],
        "used_times_serial_nums": [COUNT],
        "locked_times_serial_nums": [COUNT],
        "ladder_times_card_info": [_LADDER],
    },
    "lock_info_extra": {"lock_status": ENUM, "lock_scene": ENUM},
    "off_peak_discount_detail": {
        "has_off_peak_discount": BOOLEAN,
        "off_peak_time_limit_type": ENUM,
        "off_peak_time": {
            "start_time": TIME,
            "end_time": TIME,
            "week_day_list": [ENUM],
            "daily_time_range_list": [{"start_time": HOUR, "end_time": HOUR}],
        },
    },
}
_ORDER = {"order_id": TEXT, "can_use": BOOLEAN, "certificates": [_CERTIFICATE]}
_STATUS = {"error_code": CODE, "description": TEXT}
_EXTRA = {**_STATUS, "sub_error_code": CODE, "sub_description": TEXT, "logid": TEXT, "now": TIME}
_REPLIES = {
    "client_token": {
        "message": TEXT,
        "data": {**_STATUS, "expires_in": COUNT, **dict.fromkeys(("access_token", "captcha", "desc_url"), TEXT)},
    },
    "jscode2session": {
        "err_no": CODE,
        "err_tips": TEXT,
        # dopenid is in no document, but in captured replies.
        "data": dict.fromkeys(("openid", "session_key", "anonymous_openid", "unionid", "dopenid"), TEXT),
    },
    "query_user_certificates": {"data": {**_STATUS, "total": COUNT, "orders": [_ORDER]}, "extra": _EXTRA},
    "order_can_use": {"data": {**_STATUS, **_ORDER}, "extra": _EXTRA},
}


def _flatten(part: Any, path: str) -> Iterator[tuple[str, Field]]:
    if isinstance(part, dict):
        yield path, OBJECT
        for name, inner in part.items():
            yield from _flatten(inner, f"{path}.{name}" if path else name)
    elif isinstance(part, list):
        yield path, LIST
        yield from _flatten(part[0], f"{path}[]")
    else:
        yield path, part


FIELDS = {call: dict(_flatten(reply, "")) for call, reply in _REPLIES.items()}
"""The fields of each call's reply, by path. The whole reply is at the empty path, `[]` stands for each element."""


def type_of(value: object) -> str:
    """Return the type of a JSON value. A number without a fraction is an integer."""
    return _TYPES[type(value)]


def walk(call: str, value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return path and value of each field, and of each element of a list; not what is in an unknown field."""
    yield path, value
    for name, part in value.items() if isinstance(value, dict) else ():
        inner = f"{path}.{name}" if path else name
        if inner in FIELDS[call]:
            yield from walk(call, part, inner)
        else:
            # A map's key may be an id.
            shown = name if _FIELD_NAME.fullmatch(name) else f"({len(name)} characters)"
            yield f"{path}.{shown}" if path else shown, part
    for part in value if isinstance(value, list) and f"{path}[]" in FIELDS[call] else ():
        yield from walk(call, part, f"{path}[]")

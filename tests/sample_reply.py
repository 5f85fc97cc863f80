"""A response of query_user_certificates with every field of the platform's document.

`tests/unit/douyin/test_lenient.py` keeps it in step with `chalicelib/douyin/models.py`: it fails if the models lack a
shown field. `tests/service/test_acceptance.py` does so with the sample customer who has every field.
"""

import copy
from typing import Any

from sandbox.sample_data import CERTIFICATE_ID, ORDER_ID, SKU_ID

_RULES = "sku_info.voucher_info.dynamic_par_rule_struct.dynamic_par_rule_item_list"

SHOWN_PATHS: dict[str, Any] = {
    "code": "1234567890",
    "start_time": 1713146529,
    "expire_time": 1899999999,
    "is_transfer_asset": True,
    "amount": {},
    "amount.original_amount": 4500,
    "amount.pay_amount": 4499,
    "sku_info": {},
    "sku_info.sku_id": SKU_ID,
    "sku_info.title": "双人套餐",
    "sku_info.groupon_type": 2,
    "sku_info.market_price": 5000,
    "sku_info.voucher_info": {},
    "sku_info.voucher_info.dynamic_par_rule_struct": {},
    "sku_info.voucher_info.dynamic_par_rule_struct.dynamic_par_rule_desc": "平日可抵100元",
    "sku_info.voucher_info.dynamic_par_rule_struct.dynamic_par_min_amount": 8000,
    "sku_info.voucher_info.dynamic_par_rule_struct.dynamic_par_max_amount": 10000,
    "times_card_info": {},
    "times_card_info.total_times": 10,
    "times_card_info.usable_times": 7,
    "times_card_info.use_amount": 300,
    "times_card_info.times_card_type": 1,
    "times_card_info.total_times_serial_nums": [1, 2, 3, 4],
    "times_card_info.used_times_serial_nums": [1],
    "times_card_info.locked_times_serial_nums": [2],
    "lock_info_extra": {},
    "lock_info_extra.lock_status": 1,
    "lock_info_extra.lock_scene": 2,
    "off_peak_discount_detail": {},
    "off_peak_discount_detail.has_off_peak_discount": True,
    "off_peak_discount_detail.off_peak_time_limit_type": 1,
    "off_peak_discount_detail.off_peak_time": {},
    "off_peak_discount_detail.off_peak_time.start_time": 1713146529,
    "off_peak_discount_detail.off_peak_time.end_time": 1899999999,
    "off_peak_discount_detail.off_peak_time.week_day_list": [1, 2],
    "off_peak_discount_detail.off_peak_time.daily_time_range_list": [{}],
    "off_peak_discount_detail.off_peak_time.daily_time_range_list.0.start_time": "14:00",
    "off_peak_discount_detail.off_peak_time.daily_time_range_list.0.end_time": "17:00",
}
"""Path of each optional field of a certificate that the view shows, and its value."""

NOT_SHOWN_PATHS: dict[str, Any] = {
    "amount.merchant_ticket_amount": 1,
    "amount.payment_discount_amount": 2,
    "amount.coupon_pay_amount": 3,
    "amount.platform_ticket_amount": 4,
    "sku_info.account_id": "1223232",
    "sku_info.out_id": "11232",
    "sku_info.third_sku_id": "xxx",
    "sku_info.spu_id": "11232",
    "sku_info.sold_start_time": 1713146529,
    "sku_info.voucher_info.voucher_type": 1,
    f"{_RULES}": [{}],
    f"{_RULES}.0.deductible_amount": 100,
    f"{_RULES}.0.day_of_week": [1],
    f"{_RULES}.0.time_period": {},
    f"{_RULES}.0.time_period.use_start_time": "00:00",
    f"{_RULES}.0.time_period.use_end_time": "12:00",
    f"{_RULES}.0.time_period.end_time_is_next_day": False,
    "times_card_info.ladder_times_card_info": [{}],
    "times_card_info.ladder_times_card_info.0.seq": 1,
    "times_card_info.ladder_times_card_info.0.status": 1,
    "times_card_info.ladder_times_card_info.0.original_amount": 1,
    "times_card_info.ladder_times_card_info.0.pay_amount": 1,
    "times_card_info.ladder_times_card_info.0.crossed_amount": 1,
    "times_card_info.ladder_times_card_info.0.merchant_ticket": 1,
    "times_card_info.ladder_times_card_info.0.ticket": 1,
}
"""Path of each field of a certificate that the view does not show, and its value."""

MISSING = object()


def build_certificate(**fields: Any) -> dict[str, Any]:
    """Return a certificate with every field of the document; `fields` replace top-level ones."""
    certificate: dict[str, Any] = {"certificate_id": CERTIFICATE_ID}
    for path, value in {**SHOWN_PATHS, **NOT_SHOWN_PATHS}.items():
        set_path(certificate, path, copy.deepcopy(value))
    return certificate | fields


def set_path(value: Any, path: str, new: Any) -> None:
    """Replace the part at a dotted path, or remove it when `new` is MISSING."""
    *parents, last = path.split(".")
    for name in parents:
        value = value[int(name) if isinstance(value, list) else name]
    key: Any = int(last) if isinstance(value, list) else last
    if new is MISSING:
        del value[key]
    else:
        value[key] = new


def build_reply(*certificates: Any, order: Any = MISSING) -> dict[str, Any]:
    """Return a reply with one usable order of these certificates, or with another order."""
    if order is MISSING:
        order = {"order_id": ORDER_ID, "can_use": True, "certificates": list(certificates)}
    return {
        "data": {"orders": [order], "total": len(certificates), "error_code": 0, "description": ""},
        "extra": {"error_code": 0, "sub_error_code": 0, "logid": "2026", "description": "", "now": 1745331631},
    }

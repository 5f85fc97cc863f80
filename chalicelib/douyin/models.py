"""The platform's responses as typed models, with the names of its document.

Only the ids without which nothing can be redeemed are required, because real responses omit most of the rest. Numbers
may arrive as strings and ids as numbers (related endpoints of the platform do both); both are accepted. Amounts are
integers in 分, times are epoch seconds.

No `from __future__ import annotations` here: msgspec would evaluate each annotation again (2 ms of a cold start).
"""

from typing import Annotated, Any

import msgspec

Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Id = str | int


def _to_id(value: Id) -> str:
    text = str(value)
    if not text:
        raise ValueError("empty id")
    return text


class Amount(msgspec.Struct, gc=False):
    """What was paid, and who paid which part. In 分."""

    original_amount: Int | None = None
    pay_amount: Int | None = None
    merchant_ticket_amount: Int | None = None
    payment_discount_amount: Int | None = None
    coupon_pay_amount: Int | None = None
    platform_ticket_amount: Int | None = None


class DailyTimeRange(msgspec.Struct, gc=False):
    """Hours of a day, "HH:mm"."""

    start_time: str | None = None
    end_time: str | None = None


class OffPeakTime(msgspec.Struct, gc=False):
    """When an off-peak (错峰) deal is valid."""

    start_time: Int | None = None
    end_time: Int | None = None
    week_day_list: list[Int] | None = None
    daily_time_range_list: list[DailyTimeRange] | None = None


class OffPeakDiscountDetail(msgspec.Struct, gc=False):
    """Whether the certificate is an off-peak deal, and its limits. The meaning of the numbers is not published."""

    has_off_peak_discount: bool | None = None
    off_peak_time_limit_type: Int | None = None
    off_peak_time: OffPeakTime | None = None


class TimePeriod(msgspec.Struct, gc=False):
    """Hours of a day, "HH:mm". The end may be on the next day."""

    use_start_time: str | None = None
    use_end_time: str | None = None
    end_time_is_next_day: bool | None = None


class DynamicParRuleItem(msgspec.Struct, gc=False):
    """One rule of a dynamic voucher: its value on these days at these hours."""

    time_period: TimePeriod | None = None
    deductible_amount: Int | None = None
    day_of_week: list[Int] | None = None


class DynamicParRule(msgspec.Struct, gc=False):
    """A voucher whose value depends on day and hour: the rules, the range of values, and the platform's description."""

    dynamic_par_rule_item_list: list[DynamicParRuleItem] | None = None
    dynamic_par_rule_desc: str | None = None
    dynamic_par_min_amount: Int | None = None
    dynamic_par_max_amount: Int | None = None


class VoucherInfo(msgspec.Struct, gc=False):
    """Data of a voucher (代金券)."""

    voucher_type: Int | None = None
    dynamic_par_rule_struct: DynamicParRule | None = None


class SkuInfo(msgspec.Struct, gc=False):
    """The product. `groupon_type`: 1 group-buy (团购券), 2 voucher (代金券), 3 times card (次卡)."""

    sku_id: Id | None = None
    spu_id: Id | None = None
    account_id: Id | None = None
    out_id: Id | None = None
    third_sku_id: Id | None = None
    title: str | None = None
    groupon_type: Int | None = None
    market_price: Int | None = None
    sold_start_time: Int | None = None
    voucher_info: VoucherInfo | None = None


class LockInfoExtra(msgspec.Struct, gc=False):
    """Lock state. The meaning of the numbers is not published."""

    lock_status: Int | None = None
    lock_scene: Int | None = None


class LadderTimesCardInfo(msgspec.Struct, gc=False):
    """One use of a ladder (阶梯) times card, with its own amounts in 分."""

    seq: Int | None = None
    status: Int | None = None
    original_amount: Int | None = None
    pay_amount: Int | None = None
    crossed_amount: Int | None = None
    merchant_ticket: Int | None = None
    ticket: Int | None = None


class TimesCardInfo(msgspec.Struct, gc=False):
    """A times card: number of uses, and the serial numbers that exist, are used, or are locked."""

    total_times: Int | None = None
    usable_times: Int | None = None
    use_amount: Int | None = None
    times_card_type: Int | None = None
    total_times_serial_nums: list[Int] | None = None
    used_times_serial_nums: list[Int] | None = None
    locked_times_serial_nums: list[Int] | None = None
    ladder_times_card_info: list[LadderTimesCardInfo] | None = None


class Certificate(msgspec.Struct, gc=False):
    """One certificate (coupon). `code` is the plain coupon code: a secret."""

    certificate_id: Id
    code: str | None = None
    start_time: Int | None = None
    expire_time: Int | None = None
    is_transfer_asset: bool | None = None
    amount: Amount | None = None
    sku_info: SkuInfo | None = None
    times_card_info: TimesCardInfo | None = None
    lock_info_extra: LockInfoExtra | None = None
    off_peak_discount_detail: OffPeakDiscountDetail | None = None

    def __post_init__(self) -> None:
        self.certificate_id = _to_id(self.certificate_id)


class Order(msgspec.Struct, gc=False):
    """An order and its certificates. `can_use` has any type: only exactly `true` means usable."""

    order_id: Id
    can_use: Any = None
    certificates: list[Certificate] | None = None

    def __post_init__(self) -> None:
        self.order_id = _to_id(self.order_id)


class LenientOrder(msgspec.Struct):
    """An order whose certificates are decoded one by one."""

    order_id: Id
    can_use: Any = None
    certificates: list[msgspec.Raw] | None = None

    def __post_init__(self) -> None:
        self.order_id = _to_id(self.order_id)


class Extra(msgspec.Struct, gc=False):
    """The `extra` part of the envelope. Its text fields are not read."""

    error_code: Int | None = None
    sub_error_code: Int | None = None
    logid: Any = None
    now: Any = None


class CertificatesData(msgspec.Struct):
    """The `data` part of the envelope, when everything in it is as documented."""

    error_code: Int | None = None
    total: Any = None
    orders: list[Order] | None = None


class CertificatesReply(msgspec.Struct):
    """The whole response of query_user_certificates, when everything in it is as documented.

    `err_no` and `log_id` are the error format of the platform's gateway.
    """

    data: CertificatesData | None = None
    extra: Extra | None = None
    err_no: Int | None = None
    log_id: Any = None


class LenientData(msgspec.Struct):
    """The `data` part of the envelope, whose orders are decoded one by one."""

    error_code: Int | None = None
    total: Any = None
    orders: list[msgspec.Raw] | None = None


class Envelope(msgspec.Struct):
    """Any response of the platform. Both parts stay raw: when one is malformed, the codes of the other still count."""

    data: msgspec.Raw = msgspec.Raw(b"")
    extra: msgspec.Raw = msgspec.Raw(b"")
    err_no: Int | None = None
    log_id: Any = None


class Codes(msgspec.Struct):
    """The error codes that either part of an envelope may have."""

    error_code: Int | None = None
    sub_error_code: Int | None = None
    logid: Any = None


class MintData(msgspec.Struct):
    """`data` of client_token: the token and its lifetime in seconds."""

    access_token: str
    expires_in: Int


class LoginData(msgspec.Struct):
    """`data` of jscode2session. Only the openid is read, never the session_key."""

    openid: str

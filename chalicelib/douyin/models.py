"""The fields of a certificate as typed models, with the names of the platform's document.

The models have only the fields that this service shows, so that errors in other fields cannot affect a response. All
are optional, because real replies omit most of them. Amounts are integers in 分, times are epoch seconds.
"""

from typing import Annotated

import msgspec

from chalicelib.lenient import MAX_ID_LENGTH, Int64
from chalicelib.redaction import RedactedStruct

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)] | int


class CertificatePart(msgspec.Struct, gc=False):
    """Base class of the objects in a certificate. They hold no cycles: the garbage collector need not follow them."""


class Amount(CertificatePart):
    """What was paid, and the price before discounts. In 分."""

    original_amount: Int64 | None = None
    pay_amount: Int64 | None = None


class DailyTimeRange(CertificatePart):
    """Hours of a day, "HH:mm"."""

    start_time: str | None = None
    end_time: str | None = None


class OffPeakTime(CertificatePart):
    """When an off-peak (错峰) deal is valid."""

    start_time: Int64 | None = None
    end_time: Int64 | None = None
    week_day_list: list[Int64] | None = None
    daily_time_range_list: list[DailyTimeRange] | None = None


class OffPeakDiscountDetail(CertificatePart):
    """Whether the certificate is an off-peak deal, and its limits. The meaning of the numbers is not published."""

    has_off_peak_discount: bool | None = None
    off_peak_time_limit_type: Int64 | None = None
    off_peak_time: OffPeakTime | None = None


class DynamicParRule(CertificatePart):
    """A voucher whose value depends on day and hour: the range of values and the platform's description."""

    dynamic_par_rule_desc: str | None = None
    dynamic_par_min_amount: Int64 | None = None
    dynamic_par_max_amount: Int64 | None = None


class VoucherInfo(CertificatePart):
    """Data of a voucher (代金券)."""

    dynamic_par_rule_struct: DynamicParRule | None = None


class SkuInfo(CertificatePart):
    """The product. `groupon_type`: 1 group-buy (团购券), 2 voucher (代金券), 3 times card (次卡)."""

    sku_id: Id | None = None
    title: str | None = None
    groupon_type: Int64 | None = None
    market_price: Int64 | None = None
    voucher_info: VoucherInfo | None = None


class LockInfoExtra(CertificatePart):
    """Lock state. The meaning of the numbers is not published."""

    lock_status: Int64 | None = None
    lock_scene: Int64 | None = None


class TimesCardInfo(CertificatePart):
    """A times card: number of uses, and the serial numbers that exist, are used, or are locked."""

    total_times: Int64 | None = None
    usable_times: Int64 | None = None
    use_amount: Int64 | None = None
    times_card_type: Int64 | None = None
    total_times_serial_nums: list[Int64] | None = None
    used_times_serial_nums: list[Int64] | None = None
    locked_times_serial_nums: list[Int64] | None = None


class CertificateFields(RedactedStruct, frozen=True, gc=False):
    """The optional fields of a certificate. `code` is the plain coupon code: a secret."""

    code: str | None = None
    start_time: Int64 | None = None
    expire_time: Int64 | None = None
    is_transfer_asset: bool | None = None
    amount: Amount | None = None
    sku_info: SkuInfo | None = None
    times_card_info: TimesCardInfo | None = None
    lock_info_extra: LockInfoExtra | None = None
    off_peak_discount_detail: OffPeakDiscountDetail | None = None

"""The platform's responses as typed models, with the names of its document.

They have only the fields that this service uses: nothing in the document's other fields can affect a response.

Only the ids are required, because nothing can be redeemed without them, and real responses omit most of the rest.
Numbers may arrive as strings and ids as numbers (related endpoints of the platform do both); both are accepted. Amounts
are integers in 分, times are epoch seconds.
"""

from typing import Annotated, Any, ClassVar

import msgspec

from chalicelib.redaction import RedactedStruct

MAX_ID_LENGTH = 64
"""Characters of an id, also of one that arrives as a number."""

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]
Int = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
IdText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Id = IdText | Int
"""`lenient` also reads the numbers of more than 64 bits."""


class Part(msgspec.Struct, gc=False):
    """Base class of the parts of a page. They hold no cycles: the garbage collector need not follow them."""


class Amount(Part):
    """What was paid, and the price before discounts. In 分."""

    original_amount: Int | None = None
    pay_amount: Int | None = None


class DailyTimeRange(Part):
    """Hours of a day, "HH:mm"."""

    start_time: str | None = None
    end_time: str | None = None


class OffPeakTime(Part):
    """When an off-peak (错峰) deal is valid."""

    start_time: Int | None = None
    end_time: Int | None = None
    week_day_list: list[Int] | None = None
    daily_time_range_list: list[DailyTimeRange] | None = None


class OffPeakDiscountDetail(Part):
    """Whether the certificate is an off-peak deal, and its limits. The meaning of the numbers is not published."""

    has_off_peak_discount: bool | None = None
    off_peak_time_limit_type: Int | None = None
    off_peak_time: OffPeakTime | None = None


class DynamicParRule(Part):
    """A voucher whose value depends on day and hour: the range of values and the platform's description."""

    dynamic_par_rule_desc: str | None = None
    dynamic_par_min_amount: Int | None = None
    dynamic_par_max_amount: Int | None = None


class VoucherInfo(Part):
    """Data of a voucher (代金券)."""

    dynamic_par_rule_struct: DynamicParRule | None = None


class SkuInfo(Part):
    """The product. `groupon_type`: 1 group-buy (团购券), 2 voucher (代金券), 3 times card (次卡)."""

    sku_id: Id | None = None
    title: str | None = None
    groupon_type: Int | None = None
    market_price: Int | None = None
    voucher_info: VoucherInfo | None = None


class LockInfoExtra(Part):
    """Lock state. The meaning of the numbers is not published."""

    lock_status: Int | None = None
    lock_scene: Int | None = None


class TimesCardInfo(Part):
    """A times card: number of uses, and the serial numbers that exist, are used, or are locked."""

    TOGETHER: ClassVar = frozenset({"total_times_serial_nums", "used_times_serial_nums", "locked_times_serial_nums"})
    """Fields that mean something only together: when one is malformed, none is used."""

    total_times: Int | None = None
    usable_times: Int | None = None
    use_amount: Int | None = None
    times_card_type: Int | None = None
    total_times_serial_nums: list[Int] | None = None
    used_times_serial_nums: list[Int] | None = None
    locked_times_serial_nums: list[Int] | None = None


class Certificate(RedactedStruct, frozen=True, gc=False):
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


class Order(Part):
    """An order and its certificates. `can_use`: whether it is usable (in the store, if one was sent); null means no."""

    order_id: Id
    can_use: bool | None = None
    certificates: list[Certificate] | None = None


class Codes(msgspec.Struct):
    """The error code in `data` or `extra` of the envelope. Text fields are not read."""

    error_code: Int | None = None


class Extra(Codes):
    """The `extra` part of the envelope."""

    sub_error_code: Int | None = None
    logid: Any = None


class CertificatesData(Codes):
    """The `data` part of the envelope, when everything in it is as documented."""

    total: Any = None
    orders: list[Order] | None = None


class GatewayStatus(msgspec.Struct):
    """The error fields of the platform's gateway, at the same level as `data` and `extra`."""

    err_no: Int | None = None
    log_id: Any = None


class CertificatesReply(GatewayStatus):
    """The whole response of query_user_certificates, when everything in it is as documented."""

    data: CertificatesData | None = None
    extra: Extra | None = None


class LoginData(RedactedStruct, frozen=True):
    """`data` of jscode2session. Only the openid is read, never the session_key."""

    openid: NonEmpty


class ProviderLoginData(RedactedStruct, frozen=True):
    """`data` of code2session. Only the open_id is read: an anonymous_open_id stands for a phone without a user."""

    open_id: NonEmpty

"""A page of `query_user_certificates`: its fields as typed models, and how it is parsed. No I/O.

The models have the names of the platform's document, and only the fields that this service shows, so that errors in
other fields cannot affect a response. All are optional, because real replies omit most of them. Amounts are integers in
分, times are epoch seconds.
"""

from typing import Annotated, Any

import msgspec

from chalicelib.douyin.protocol import find_codes
from chalicelib.errors import UpstreamMalformedError
from chalicelib.lenient import MAX_ID_LENGTH, Int64, parse_bool, parse_id, parse_int, parse_struct
from chalicelib.redaction import RedactedStruct

MAX_PAGE_CERTIFICATES = 300
"""The most certificates of a page. The platform sends 50. With more than this, our response could get too large."""


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


class Certificate(RedactedStruct, frozen=True):
    """A certificate (coupon) of an order."""

    certificate_id: str
    order_id: str
    #: Whether the order is usable (in the store, if one was sent).
    can_use: bool
    fields: CertificateFields
    #: The paths of its malformed fields, which count as missing.
    malformed_fields: list[str]


class Page(RedactedStruct, frozen=True):
    """A page of certificates: those that could be read, and paths of the fields that could not."""

    #: The certificates with readable ids of certificate and order.
    certificates: list[Certificate]
    #: The number of all certificates on the page, readable or not.
    size: int
    #: The number of certificates on all pages as the platform reports it. None if it is missing or malformed.
    total: int | None
    #: The path of the unreadable field (an id, `can_use`, a list): one for each certificate that cannot be shown, or
    #: one for an order whose certificates cannot be counted.
    unreadable: list[str] = msgspec.field(default_factory=list)

    @property
    def reports_no_certificates(self) -> bool:
        """Whether the page says that the user has no certificate at all."""
        return self.size == 0 and self.total == 0


def parse_page(envelope: dict[str, Any]) -> Page:
    """Parse a page; raises UpstreamMalformedError.

    A malformed field counts as missing; the certificate has its path. Only the ids are required, because real replies
    omit most other fields: a certificate without readable ids is left out, and the page has the path.
    """
    orders = _find_orders(envelope)
    size = sum(len(_sent_certificates(order)) for order in orders)
    if size > MAX_PAGE_CERTIFICATES:
        raise UpstreamMalformedError("too_large", is_transient=False)
    # An order without `can_use` is not usable: the platform's services may leave out false. But if no order of the page
    # has it, the platform may have renamed it. Then it counts as unreadable.
    has_can_use = any(isinstance(order, dict) and parse_bool(order.get("can_use")) is not None for order in orders)
    results = [_parse_order(order, False if has_can_use else None) for order in orders]
    certificates = [certificate for readable, _ in results for certificate in readable]
    unreadable = [path for _, paths in results for path in paths]
    return Page(certificates, size, _parse_count(envelope["data"].get("total")), unreadable)


def _find_orders(envelope: dict[str, Any]) -> list[Any]:
    """Return the orders of an envelope without errors; raises UpstreamMalformedError when there is no list.

    The platform's services may write an empty list as null, or leave it out. A missing list counts as empty in two
    cases: the total is 0; or the total is missing, too, and an error code of 0 says that the call has succeeded.
    """
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise UpstreamMalformedError("malformed")
    orders, total = data.get("orders"), data.get("total")
    if isinstance(orders, list):
        return orders
    has_sent_code = any(code is not None for code in find_codes(envelope))
    if orders is None and ("orders" in data or _parse_count(total) == 0 or (total is None and has_sent_code)):
        return []
    raise UpstreamMalformedError("malformed")


def _sent_certificates(order: Any) -> list[Any]:
    """Return the certificates of an order as they were sent; none if there is no list."""
    listed = order.get("certificates") if isinstance(order, dict) else None
    return listed if isinstance(listed, list) else []


def _parse_order(order: Any, missing_can_use: bool | None) -> tuple[list[Certificate], list[str]]:
    """Return the certificates of an order, and the path of the unreadable field for each that cannot be shown.

    If `can_use` is unreadable, it counts as false. Then the first list has the certificates, and the second a path for
    each. `missing_can_use` stands for a missing one; None: it is unreadable.
    """
    if not isinstance(order, dict):
        return [], ["orders"]
    order_id, can_use = parse_id(order.get("order_id")), order.get("can_use")
    can_use = missing_can_use if can_use is None else parse_bool(can_use)
    raw_list, elements = order.get("certificates"), _sent_certificates(order)
    if order_id is None:
        return [], ["orders.order_id"] * max(1, len(elements))
    # A list that is null or missing is normal only in an order that is not usable. In a usable order, it must be
    # reported: coupons of the customer may be hidden.
    if not isinstance(raw_list, list) and (can_use or raw_list is not None):
        return [], ["orders.certificates"]
    certificates: list[Certificate] = []
    unreadable: list[str] = []
    for element in elements:
        if not isinstance(element, dict):
            unreadable.append("orders.certificates")
        elif (certificate_id := parse_id(element.get("certificate_id"))) is None:
            unreadable.append("orders.certificates.certificate_id")
        else:
            fields, malformed_paths = parse_struct(element, CertificateFields)
            paths = [f"orders.certificates.{path}" for path in malformed_paths]
            certificates.append(Certificate(certificate_id, order_id, bool(can_use), fields, paths))
    if can_use is None:
        unreadable += ["orders.can_use"] * len(certificates)
    return certificates, unreadable


def _parse_count(value: Any) -> int | None:
    """Return a count of 0 or more, or None."""
    number = parse_int(value)
    return number if number is not None and number >= 0 else None

"""View models: the compact form of a certificate that a mini-program shows.

Missing fields are omitted; `null` and empty objects are never returned. Amounts are in 分, times in epoch seconds, ids
are strings. Numbers whose meaning the platform does not publish are passed on unchanged.
"""

import msgspec

from chalicelib.douyin.pages import (
    Amount,
    Certificate,
    CertificateFields,
    LockInfoExtra,
    OffPeakDiscountDetail,
    OffPeakTime,
    Page,
    SkuInfo,
    TimesCardInfo,
    VoucherInfo,
)
from chalicelib.lenient import parse_id

_KINDS = {1: "groupon", 2: "voucher", 3: "times_card"}
_TAIL_LENGTH = 4


class View(msgspec.Struct, omit_defaults=True, gc=False):
    """Base class of views. They have no reference cycles, so the garbage collector need not scan them."""


class TimesView(View):
    """Remaining uses of a times card. It has `usable_serials` only if the platform lists serial numbers."""

    usable: int | None = None
    total: int | None = None
    use_amount: int | None = None
    type: int | None = None
    usable_serials: list[int] | None = None


class VoucherView(View):
    """A voucher whose value depends on day and hour: a description and a range of values."""

    description: str | None = None
    min_amount: int | None = None
    max_amount: int | None = None


class LockView(View):
    """The platform's lock numbers, unchanged. Their meaning is not published."""

    status: int | None = None
    scene: int | None = None


class OffPeakView(View):
    """When an off-peak deal is valid. `hours` are pairs of "HH:mm"."""

    limit_type: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    weekdays: list[int] | None = None
    hours: list[tuple[str, str]] | None = None


class CertificateView(View):
    """One certificate that can be redeemed in the requested store."""

    certificate_id: str
    order_id: str
    kind: str
    sku_id: str | None = None
    title: str | None = None
    pay_amount: int | None = None
    original_amount: int | None = None
    market_price: int | None = None
    start_time: int | None = None
    expire_time: int | None = None
    code_tail: str | None = None
    times: TimesView | None = None
    voucher: VoucherView | None = None
    lock: LockView | None = None
    off_peak: OffPeakView | None = None
    is_transfer_asset: bool | None = None


class UnusableView(View):
    """Counts of certificates whose order cannot be used in this store, or has an unreadable `can_use`. 0 is omitted."""

    not_started: int = 0
    expired: int = 0
    other: int = 0


class ListView(View):
    """The response to a list request. `notice` and `redeeming` are those of the merchant.

    The list continues at `next_cursor`: after the pages of this response, or at a page that could not be read.
    """

    account_id: str
    poi_id: str
    certificates: list[CertificateView]
    unusable: UnusableView | None = None
    next_cursor: str | None = None
    notice: str | None = None
    redeeming: bool = True


class BuiltViews(msgspec.Struct, frozen=True):
    """The views of several pages, with counts of the certificates that are malformed or unusable."""

    #: The views, sorted. Each certificate_id occurs once.
    views: list[CertificateView]
    #: How much could not be read: orders and certificates that are left out, certificates with an unreadable `can_use`,
    #: and shown certificates that have lost a malformed field.
    malformed: int
    #: The paths of these fields in the platform's document.
    malformed_fields: list[str]
    #: Counts of the unusable certificates; None when every certificate is usable.
    unusable: UnusableView | None = None


def build_views(pages: list[Page], now: float) -> BuiltViews:
    """Build the views of all usable certificates.

    `now` (epoch seconds) decides whether an unusable certificate has expired or not started.
    """
    views: dict[str, CertificateView] = {}
    unusable: dict[str, CertificateFields] = {}
    malformed = 0
    malformed_fields: dict[str, None] = {}
    for page in pages:
        malformed += len(page.unreadable)
        malformed_fields |= dict.fromkeys(page.unreadable)
        for certificate in page.certificates:
            if not certificate.can_use:
                unusable[certificate.certificate_id] = certificate.fields
            elif certificate.certificate_id not in views:
                views[certificate.certificate_id] = build_view(certificate)
                malformed += bool(certificate.malformed_fields)
                malformed_fields |= dict.fromkeys(certificate.malformed_fields)
    # A certificate may be in two orders, one of them usable. Then it is shown, and not counted as unusable.
    counted = [fields for certificate_id, fields in unusable.items() if certificate_id not in views]
    return BuiltViews(
        sorted(views.values(), key=_sort_key),
        malformed,
        list(malformed_fields),
        _count_unusable(counted, now) if counted else None,
    )


def build_view(certificate: Certificate) -> CertificateView:
    """Build the view of a usable certificate. Its kind is `other` if `groupon_type` is missing or unknown."""
    fields = certificate.fields
    sku, amount = fields.sku_info or SkuInfo(), fields.amount or Amount()
    return CertificateView(
        certificate_id=certificate.certificate_id,
        order_id=certificate.order_id,
        kind=_KINDS.get(sku.groupon_type or 0, "other"),
        sku_id=parse_id(sku.sku_id),
        title=sku.title or None,
        pay_amount=amount.pay_amount,
        original_amount=amount.original_amount,
        market_price=sku.market_price,
        start_time=fields.start_time,
        expire_time=fields.expire_time,
        code_tail=_code_tail(fields.code),
        is_transfer_asset=fields.is_transfer_asset or None,
        times=_times_view(fields.times_card_info, certificate.malformed_fields),
        voucher=_voucher_view(sku.voucher_info),
        lock=_lock_view(fields.lock_info_extra),
        off_peak=_off_peak_view(fields.off_peak_discount_detail),
    )


def _count_unusable(certificates: list[CertificateFields], now: float) -> UnusableView:
    counts = UnusableView()
    for certificate in certificates:
        if certificate.expire_time is not None and certificate.expire_time < now:
            counts.expired += 1
        elif certificate.start_time is not None and certificate.start_time > now:
            counts.not_started += 1
        else:
            counts.other += 1
    return counts


def _sort_key(view: CertificateView) -> tuple[bool, int, str]:
    """Sort by expiry time, certificates without one last, then by certificate_id."""
    return view.expire_time is None, view.expire_time or 0, view.certificate_id


def _code_tail(code: str | None) -> str | None:
    # The whole code must not leave the server. The tail of a short code would be the whole code.
    return code[-_TAIL_LENGTH:] if code is not None and len(code) > _TAIL_LENGTH else None


def _times_view(card: TimesCardInfo | None, malformed_fields: list[str]) -> TimesView | None:
    if card is None:
        return None
    serials = None
    # The usable serials follow from three lists. If one of them is malformed, none is shown.
    if card.total_times_serial_nums and not any(path.endswith("_serial_nums") for path in malformed_fields):
        unusable = {*(card.used_times_serial_nums or ()), *(card.locked_times_serial_nums or ())}
        serials = [serial for serial in card.total_times_serial_nums if serial not in unusable] or None
    view = TimesView(card.usable_times, card.total_times, card.use_amount, card.times_card_type, serials)
    return view if view != TimesView() else None


def _voucher_view(info: VoucherInfo | None) -> VoucherView | None:
    rule = None if info is None else info.dynamic_par_rule_struct
    if rule is None:
        return None
    view = VoucherView(rule.dynamic_par_rule_desc or None, rule.dynamic_par_min_amount, rule.dynamic_par_max_amount)
    return view if view != VoucherView() else None


def _lock_view(info: LockInfoExtra | None) -> LockView | None:
    return LockView(info.lock_status, info.lock_scene) if info and (info.lock_status or info.lock_scene) else None


def _off_peak_view(detail: OffPeakDiscountDetail | None) -> OffPeakView | None:
    if detail is None or not detail.has_off_peak_discount:
        return None
    time = detail.off_peak_time or OffPeakTime()
    spans = time.daily_time_range_list or []
    hours = [(span.start_time, span.end_time) for span in spans if span.start_time and span.end_time]
    view = OffPeakView(
        limit_type=detail.off_peak_time_limit_type,
        start_time=time.start_time,
        end_time=time.end_time,
        weekdays=time.week_day_list or None,
        # If one time range is incomplete, omit all: a part of the hours would be wrong information.
        hours=hours if hours and len(hours) == len(spans) else None,
    )
    return view if view != OffPeakView() else None

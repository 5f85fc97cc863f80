"""The compact view of a usable certificate, as a mini-program shows it.

Absent is absent: a part that the platform left out, or that would be empty, is left out. Amounts are in 分, times in
epoch seconds, ids are strings. Numbers whose meaning the platform publishes nowhere are passed on as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from chalicelib import wire

_KINDS = {1: "groupon", 2: "voucher", 3: "times_card"}
_TAIL = 4


class TimesView(msgspec.Struct, omit_defaults=True, gc=False):
    """What is left of a card for several uses; `usable_serials` only where the platform lists serial numbers."""

    usable: int | None = None
    total: int | None = None
    use_amount: int | None = None
    type: int | None = None
    usable_serials: list[int] | None = None


class VoucherView(msgspec.Struct, omit_defaults=True, gc=False):
    """A voucher whose value depends on day and hour: a text and a range, never one value."""

    description: str | None = None
    min_amount: int | None = None
    max_amount: int | None = None


class LockView(msgspec.Struct, omit_defaults=True, gc=False):
    """The platform's raw lock numbers."""

    status: int | None = None
    scene: int | None = None


class OffPeakView(msgspec.Struct, omit_defaults=True, gc=False):
    """When an off-peak deal holds; `hours` are pairs of "HH:mm"."""

    limit_type: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    weekdays: list[int] | None = None
    hours: list[tuple[str, str]] | None = None


class CertificateView(msgspec.Struct, omit_defaults=True, gc=False):
    """One certificate that can be redeemed in the store asked about."""

    certificate_id: str
    order_id: str
    sku_id: str | None = None
    title: str | None = None
    kind: str | None = None
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


class ListView(msgspec.Struct, omit_defaults=True):
    """The answer: `next_cursor` is there when there is more, or when a page was lost and is to be asked again."""

    account_id: str
    poi_id: str
    certificates: list[CertificateView]
    next_cursor: str | None = None


def view_of(certificate: wire.Certificate, order_id: str) -> CertificateView:
    """Shape one certificate of a usable order."""
    view = CertificateView(
        certificate_id=str(certificate.certificate_id),
        order_id=order_id,
        kind="other",
        start_time=certificate.start_time,
        expire_time=certificate.expire_time,
        code_tail=_code_tail(certificate.code),
        is_transfer_asset=certificate.is_transfer_asset or None,
    )
    sku = certificate.sku_info
    if sku is not None:
        view.sku_id = None if sku.sku_id is None else str(sku.sku_id) or None
        view.title = sku.title or None
        view.kind = _KINDS.get(sku.groupon_type or 0, "other")
        view.market_price = sku.market_price
        if sku.voucher_info is not None and sku.voucher_info.dynamic_par_rule_struct is not None:
            view.voucher = _voucher(sku.voucher_info.dynamic_par_rule_struct)
    if certificate.amount is not None:
        view.pay_amount = certificate.amount.pay_amount
        view.original_amount = certificate.amount.original_amount
    if certificate.times_card_info is not None:
        view.times = _times(certificate.times_card_info)
    if certificate.lock_info_extra is not None:
        view.lock = _lock(certificate.lock_info_extra)
    if certificate.off_peak_discount_detail is not None:
        view.off_peak = _off_peak(certificate.off_peak_discount_detail)
    return view


def soonest_first(view: CertificateView) -> tuple[bool, int, str]:
    """Sort key: the soonest to expire first, those without an end last, then by certificate_id."""
    return view.expire_time is None, view.expire_time or 0, view.certificate_id


def _code_tail(code: str | None) -> str | None:
    # The tail of a code no longer than the tail would be the whole code, and that never leaves the server.
    return code[-_TAIL:] if code is not None and len(code) > _TAIL else None


def _times(card: wire.TimesCardInfo) -> TimesView | None:
    serials = None
    if card.total_times_serial_nums:
        gone = {*(card.used_times_serial_nums or ()), *(card.locked_times_serial_nums or ())}
        serials = [serial for serial in card.total_times_serial_nums if serial not in gone] or None
    view = TimesView(card.usable_times, card.total_times, card.use_amount, card.times_card_type, serials)
    return view if view != TimesView() else None


def _voucher(rule: wire.DynamicParRule) -> VoucherView | None:
    view = VoucherView(rule.dynamic_par_rule_desc or None, rule.dynamic_par_min_amount, rule.dynamic_par_max_amount)
    return view if view != VoucherView() else None


def _lock(lock: wire.LockInfoExtra) -> LockView | None:
    return LockView(lock.lock_status, lock.lock_scene) if lock.lock_status or lock.lock_scene else None


def _off_peak(detail: wire.OffPeakDiscountDetail) -> OffPeakView | None:
    if not detail.has_off_peak_discount:
        return None
    view = OffPeakView(detail.off_peak_time_limit_type)
    if detail.off_peak_time is not None:
        when = detail.off_peak_time
        view.start_time = when.start_time
        view.end_time = when.end_time
        view.weekdays = when.week_day_list or None
        hours = [(span.start_time, span.end_time) for span in when.daily_time_range_list or ()]
        view.hours = [(start, end) for start, end in hours if start and end] or None
    return view if view != OffPeakView() else None

"""What the service assumes about the platform, the open questions, and how a run answers them.

docs/platform.md lists the same names. A verdict is True (holds), False (does not hold) or None (not observed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from redeemctl.acceptance.comparison import DeviationKind
from redeemctl.acceptance.steps import Entry, Listing, Outcome, Run, data_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from redeemctl.acceptance.comparison import Comparison

MAX_SECONDS = 10**11
"""An epoch time above is in milliseconds."""

NEEDED_FIELDS = (
    "orders", "order_id", "can_use", "certificates", "certificate_id", "total", "expire_time", "title", "sku_id",
    "error_code",
)  # fmt: skip
"""The fields without which the list cannot be read or shown."""


class Verdict(NamedTuple):
    """Whether something holds, and what was seen."""

    holds: bool | None
    seen: str


class Assumption(NamedTuple):
    """Something that the service relies on."""

    name: str
    text: str
    check: Callable[[Run, Comparison], Verdict]


class Question(NamedTuple):
    """Something that no document answers; the service works with every answer. `step` is where it is asked."""

    name: str
    text: str
    step: str
    answer: Callable[[Run, Comparison], str]


NOT_OBSERVED = Verdict(None, "not observed")
UNANSWERED = "not observed"


def _token_is_accepted(run: Run, _: Comparison) -> Verdict:
    step = run.step("list")
    return NOT_OBSERVED if step is None else Verdict(step.outcome is Outcome.OK, step.detail)


def _login_gives_open_id(run: Run, _: Comparison) -> Verdict:
    step = run.step("login")
    if step is None or step.outcome is Outcome.SKIPPED:
        return NOT_OBSERVED
    return Verdict(step.outcome is Outcome.OK, step.detail)


def _lists_are_readable(run: Run, _: Comparison) -> Verdict:
    pages = [page for listing in run.listings.values() for page in listing.pages]
    if not any(page.size for page in pages):
        return NOT_OBSERVED
    removed = sum(page.removed for page in pages)
    paths = sorted({path for page in pages for found in page.malformed.values() for path in found})
    seen = f"pages {len(pages)}, certificates removed {removed}, malformed: {', '.join(paths) or 'none'}"
    return Verdict(not removed and not paths, seen)


def _needed_fields_are_present(run: Run, comparison: Comparison) -> Verdict:
    if not _entries(run, "list"):
        return NOT_OBSERVED
    missing = {
        deviation.path
        for deviation in comparison.deviations
        if deviation.kind is DeviationKind.MISSING_FIELD and deviation.path.rpartition(".")[2] in NEEDED_FIELDS
    }
    return Verdict(not missing, f"missing: {', '.join(sorted(missing)) or 'none'}")


def _can_use_is_boolean(run: Run, _: Comparison) -> Verdict:
    entries = [entry for listing in run.listings.values() for entry in listing.entries()]
    if not entries:
        return NOT_OBSERVED
    others = {type(entry.can_use).__name__ for entry in entries if not isinstance(entry.can_use, bool)}
    return Verdict(not others, f"other types: {', '.join(sorted(others)) or 'none'}")


def _times_are_seconds(run: Run, _: Comparison) -> Verdict:
    times = [e.raw.get(name) for e in _entries(run, "list") for name in ("start_time", "expire_time")]
    numbers = [int(t) for t in times if isinstance(t, int | str) and str(t).isdecimal() and int(t)]
    if not numbers:
        return NOT_OBSERVED
    large = sum(number >= MAX_SECONDS for number in numbers)
    return Verdict(not large, f"{len(numbers) - large} in seconds, {large} in milliseconds or smaller units")


def _total_counts_certificates(run: Run, _: Comparison) -> Verdict:
    listing = run.listings.get("list")
    if listing is None or not listing.is_complete or not listing.entries():
        return NOT_OBSERVED
    count = sum(page.size for page in listing.pages)
    return Verdict(listing.pages[0].total == count, f"total {listing.pages[0].total}, {count} certificates")


def _pages_are_disjoint_and_complete(run: Run, _: Comparison) -> Verdict:
    whole, parts = run.listings.get("list"), run.listings.get("paging")
    if whole is None or parts is None or not (whole.is_complete and parts.is_complete) or len(parts.pages) < 2:
        return NOT_OBSERVED
    expected, found = _ids(whole.entries()), _ids(parts.entries())
    repeated, missing = len(found) - len(set(found)), len(set(expected) - set(found))
    seen = f"{len(parts.pages)} pages of {parts.page_size}: {repeated} certificates repeated, {missing} missing"
    return Verdict(not repeated and not missing, seen)


def _page_size_is_kept(run: Run, _: Comparison) -> Verdict:
    parts = run.listings.get("paging")
    if parts is None or len(parts.pages) < 2:
        return NOT_OBSERVED
    sizes = [page.size for page in parts.pages]
    is_kept = max(sizes) <= parts.page_size and all(size == parts.page_size for size in sizes[:-1])
    return Verdict(is_kept, f"page_size {parts.page_size}, certificates per page: {', '.join(map(str, sizes))}")


def _page_after_the_end_is_empty(run: Run, _: Comparison) -> Verdict:
    step = run.step("after-the-end")
    if step is None or step.outcome is Outcome.SKIPPED:
        return NOT_OBSERVED
    listing = run.listings.get("after-the-end")
    return Verdict(listing is not None and not listing.pages[0].size, step.detail)


def _parts_of_a_cut_order_agree(run: Run, comparison: Comparison) -> Verdict:
    del comparison
    listings = [listing for name in ("list", "paging") if (listing := run.listings.get(name)) is not None]
    if not any(listing.entries() for listing in listings):
        return NOT_OBSERVED
    cut = {order_id: values for listing in listings for order_id, values in _cut_orders(listing).items()}
    different = sum(len(set(map(repr, values))) > 1 for values in cut.values())
    return Verdict(not different, f"{len(cut)} orders cut, {different} with different can_use")


def _store_is_selected(run: Run, _: Comparison) -> Verdict:
    return _compare_with_order(run, "order", "list-store")


def _refused_as_expected(name: str) -> Callable[[Run, Comparison], Verdict]:
    def check(run: Run, _: Comparison) -> Verdict:
        step = run.step(name)
        if step is None or step.outcome is Outcome.SKIPPED:
            return NOT_OBSERVED
        return Verdict(step.outcome is Outcome.REFUSED, step.detail)

    return check


def _time_range_is_in_seconds(run: Run, _: Comparison) -> Verdict:
    whole, everything = run.listings.get("list"), run.listings.get("time-range-all")
    if whole is None or everything is None or not whole.entries():
        return NOT_OBSERVED
    expected, found = len(whole.entries()), len(everything.entries())
    return Verdict(expected == found, f"from 1970 until in 50 years, in seconds: {found} of {expected} certificates")


def _errors_have_http_200(run: Run, _: Comparison) -> Verdict:
    failed = [exchange for exchange in run.exchanges if exchange.status is not None and exchange.codes]
    if not failed:
        return NOT_OBSERVED
    statuses = sorted({exchange.status for exchange in failed if exchange.status is not None})
    return Verdict(statuses == [200], f"HTTP statuses of refused calls: {', '.join(map(str, statuses))}")


def _store_list_ends_where_the_rule_says(run: Run, _: Comparison) -> Verdict:
    """Compare small pages with and without poi_id: no certificate may be behind the page where the service stops."""
    everything, store = run.listings.get("paging"), run.listings.get("paging-store")
    if everything is None or store is None or len(everything.pages) < 2 or not store.is_complete:
        return NOT_OBSERVED
    sizes = [page.size for page in store.pages]
    filled = max((number for number, size in enumerate(sizes, 1) if size), default=0)
    read = next(count for count in range(1, len(sizes) + 1) if count == len(sizes) or not store.continues(count))
    if len(store.entries()) == len(everything.entries()):
        way = "lists all orders, usable or not"
    elif all(size == store.page_size for size in sizes[: filled - 1]):
        way = "filters before it cuts pages"
    else:
        way = "filters after it cuts pages"
    return Verdict(filled <= read, f"{way}; sizes {sizes}, total {store.total}, the service reads {read} pages")


ASSUMPTIONS = (
    Assumption("token-accepted", "A list is accepted with the token of client_token.", _token_is_accepted),
    Assumption("login-open-id", "jscode2session returns an open_id for a code of tt.login.", _login_gives_open_id),
    Assumption(
        "readable", "The service can read every certificate and every field that it shows.", _lists_are_readable
    ),
    Assumption("needed-fields", "The fields that the list needs are always there.", _needed_fields_are_present),
    Assumption("can-use-boolean", "can_use is true or false.", _can_use_is_boolean),
    Assumption("seconds", "start_time and expire_time are in seconds.", _times_are_seconds),
    Assumption(
        "total-certificates", "In the certificate dimension, total counts certificates.", _total_counts_certificates
    ),
    Assumption("pages-complete", "Small pages have each certificate exactly once.", _pages_are_disjoint_and_complete),
    Assumption("page-size", "Every page but the last has page_size certificates.", _page_size_is_kept),
    Assumption("after-the-end", "A page after the last one is empty, not an error.", _page_after_the_end_is_empty),
    Assumption(
        "cut-orders-agree",
        "If an order is cut by a page, both parts have the same can_use.",
        _parts_of_a_cut_order_agree,
    ),
    Assumption(
        "store-filter",
        "The rule for the end of a list reads every page of a store, whichever way the platform filters.",
        _store_list_ends_where_the_rule_says,
    ),
    Assumption("store-selected", "can_use of a list with poi_id is that of order_can_use.", _store_is_selected),
    Assumption("time-range-seconds", "time_range is in seconds.", _time_range_is_in_seconds),
    Assumption(
        "invalid-token",
        "An invalid token is refused with a code that renews the token.",
        _refused_as_expected("invalid-token"),
    ),
    Assumption(
        "unauthorized-merchant",
        "A merchant without authorization is refused with 2119005 or 11006.",
        _refused_as_expected("unauthorized-merchant"),
    ),
    Assumption("errors-http-200", "Errors arrive with HTTP 200.", _errors_have_http_200),
)


def _total_by_order(run: Run, _: Comparison) -> str:
    listing = run.listings.get("list-by-order")
    if listing is None or not listing.is_complete or not listing.entries():
        return UNANSWERED
    orders, certificates = sum(1 for _ in listing.orders()), len(listing.entries())
    meaning = "either: each order has one certificate"
    if orders != certificates:
        meaning = {orders: "orders", certificates: "certificates"}.get(listing.pages[0].total or 0, "something else")
    return f"{meaning} (total {listing.pages[0].total}, {orders} orders, {certificates} certificates)"


def _size_by_order(run: Run, _: Comparison) -> str:
    listing = run.listings.get("paging-by-order")
    if listing is None or not listing.pages or not listing.entries():
        return UNANSWERED
    counts = [len(data["data"]["orders"]) for data in listing.replies]
    return f"page_size {listing.page_size}, orders per page: {', '.join(map(str, counts))}"


def _cut_orders_seen(run: Run, _: Comparison) -> str:
    answers = []
    for name, dimension in (("paging", "certificate"), ("paging-by-order", "order")):
        listing = run.listings.get(name)
        if listing is None or len(listing.pages) < 2:
            continue
        is_possible = len({e.order_id for e in listing.entries()}) < len(listing.entries())
        cut = len(_cut_orders(listing))
        answers.append(f"{dimension} dimension: {cut} orders cut" + ("" if is_possible else " (no order has two)"))
    return "; ".join(answers) or UNANSWERED


def _unusable_with_certificates(run: Run, _: Comparison) -> str:
    counts = [
        len(certificates) if isinstance(certificates := order.get("certificates"), list) else 0
        for name in ("list", "list-store")
        if (listing := run.listings.get(name)) is not None
        for _, order in listing.orders()
        if order.get("can_use") is False
    ]
    if not counts:
        return f"{UNANSWERED}: no order with can_use false"
    return f"{sum(count > 0 for count in counts)} of {len(counts)} orders with can_use false have certificates"


def _effect_of_poi_id(run: Run, _: Comparison) -> str:
    without, with_store = _entries(run, "list"), _entries(run, "list-store")
    if not without:
        return UNANSWERED
    before = {entry.certificate_id: entry.can_use for entry in without}
    after = {entry.certificate_id: entry.can_use for entry in with_store}
    changed = sum(before[key] != after[key] for key in before.keys() & after.keys())
    return f"{len(before)} certificates without, {len(after)} with poi_id; can_use differs for {changed}"


def _order_any_store(run: Run, _: Comparison) -> str:
    verdict = _compare_with_order(run, "order-any-store", "list")
    return UNANSWERED if verdict.holds is None else verdict.seen


def _meaning_of_time_range(run: Run, _: Comparison) -> str:
    counts = {name: len(_entries(run, f"time-range-{name}")) for name in ("all", "now", "future")}
    if not _entries(run, "list"):
        return UNANSWERED
    meaning = "not clear"
    if counts["future"] == counts["all"]:
        meaning = "ignored"
    elif counts["now"] and not counts["future"]:
        meaning = "validity"
    elif not counts["now"] and not counts["future"]:
        meaning = "probably the time of the purchase"
    seen = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"{meaning} (certificates: {seen})"


def _unit_of_now(run: Run, _: Comparison) -> str:
    found = [
        extra["now"]
        for exchange in run.exchanges
        if isinstance(exchange.reply, dict)
        and isinstance(extra := exchange.reply.get("extra"), dict)
        and isinstance(extra.get("now"), int)
    ]
    if not found:
        return UNANSWERED
    return "seconds" if max(found) < MAX_SECONDS else "milliseconds"


def _first_weekday(run: Run, comparison: Comparison) -> str:
    del run
    values = {v for name in ("week_day_list", "day_of_week") for v in comparison.enum_values.get(name, ())}
    if not values:
        return UNANSWERED
    meaning = "0 to 6" if "0" in values else "1 to 7" if "7" in values else "not clear"
    return f"{meaning} (seen: {', '.join(sorted(values))})"


def _error_places(run: Run, _: Comparison) -> str:
    found = [
        f"{name}: {_places(run, name)}" for name in ("invalid-token", "unauthorized-merchant") if _places(run, name)
    ]
    return "; ".join(found) or UNANSWERED


def _stable_token(run: Run, _: Comparison) -> str:
    step = run.step("stable-token")
    if step is None or step.outcome is Outcome.SKIPPED:
        return "not tried (--try-stable-token)"
    if step.outcome is not Outcome.OK:
        return f"does not work: {step.detail}"
    is_same = len(set(run.stable_tokens)) == 1
    return f"{step.detail}; two calls returned {'the same token' if is_same else 'two tokens'}"


QUESTIONS = (
    Question("total-by-order", "What does total count in the order dimension?", "list-by-order", _total_by_order),
    Question(
        "page-size-by-order", "What does page_size count in the order dimension?", "paging-by-order", _size_by_order
    ),
    Question("order-cut", "Is an order cut across two pages?", "paging, paging-by-order", _cut_orders_seen),
    Question(
        "unusable-certificates",
        "Does can_use false come with certificates?",
        "list, list-store",
        _unusable_with_certificates,
    ),
    Question("poi-id", "What does poi_id change?", "list-store", _effect_of_poi_id),
    Question("order-any-store", "What is can_use without poi_id?", "order-any-store", _order_any_store),
    Question(
        "time-range", "Which time does time_range compare?", "time-range-now, time-range-future", _meaning_of_time_range
    ),
    Question("now", "Is extra.now in seconds or milliseconds?", "list", _unit_of_now),
    Question("weekdays", "Which number has the first day of the week?", "list", _first_weekday),
    Question("error-places", "Where are error codes?", "invalid-token, unauthorized-merchant", _error_places),
    Question("stable-token", "Can this app use a stable token?", "stable-token", _stable_token),
)


def report_cut_orders(run: Run, comparison: Comparison) -> None:
    """Add a deviation for each dimension in which an order is cut across two pages."""
    for name, dimension in (("paging", "certificate"), ("list-by-order", "order"), ("paging-by-order", "order")):
        listing = run.listings.get(name)
        for _ in _cut_orders(listing) if listing else ():
            comparison.report(
                DeviationKind.ORDER_CUT,
                "query_user_certificates",
                "data.orders[]",
                f"an order is on two pages ({dimension} dimension)",
            )


def _entries(run: Run, name: str) -> list[Entry]:
    listing = run.listings.get(name)
    return listing.entries() if listing else []


def _ids(entries: list[Entry]) -> list[str]:
    return [entry.certificate_id for entry in entries]


def _cut_orders(listing: Listing) -> dict[str, list[Any]]:
    """Return the orders that are on more than one page, with the `can_use` of each part."""
    pages: dict[str, dict[int, Any]] = {}
    for page, order in listing.orders():
        if order.get("order_id"):
            pages.setdefault(str(order["order_id"]), {})[page] = order.get("can_use")
    return {order_id: list(parts.values()) for order_id, parts in pages.items() if len(parts) > 1}


def _compare_with_order(run: Run, name: str, list_name: str) -> Verdict:
    """Compare `can_use` of order_can_use with that of the same order in a list."""
    step = run.step(name)
    if step is None or step.outcome is Outcome.SKIPPED:
        return NOT_OBSERVED
    if step.outcome is not Outcome.OK:
        return Verdict(False, step.detail)
    exchange = step.exchanges[-1]
    listed = {entry.can_use for entry in _entries(run, list_name) if entry.order_id == exchange.request["order_id"]}
    found = data_of(exchange).get("can_use")
    return Verdict(listed == {found}, f"order_can_use {found}, list {', '.join(map(str, listed))}")


def _places(run: Run, name: str) -> str:
    step = run.step(name)
    codes = step.exchanges[-1].codes if step is not None and step.exchanges else {}
    return ", ".join(f"{place} {code}" for place, code in codes.items())

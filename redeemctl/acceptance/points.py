"""What the service assumes about the platform, and how a run shows whether it holds."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from redeemctl.acceptance.shapes import walk
from redeemctl.acceptance.steps import Listing, Run, Verdict

LIST = "query_user_certificates"
_CERTIFICATE = "data.orders[].certificates[]"

MAX_SECONDS = 10**11
"""An epoch time above is in milliseconds or smaller units."""

NEEDED_FIELDS = (
    "data.orders[].order_id",
    f"{_CERTIFICATE}.certificate_id",
    f"{_CERTIFICATE}.expire_time",
    f"{_CERTIFICATE}.sku_info",
    f"{_CERTIFICATE}.sku_info.title",
    f"{_CERTIFICATE}.sku_info.sku_id",
)
"""The fields of an order and its certificates without which a coupon cannot be shown as it should."""


class Point(NamedTuple):
    """An assumption that the service relies on."""

    name: str
    text: str
    judge: Callable[[Run], Verdict]


NOT_OBSERVED = Verdict(None)


def _step_is_ok(name: str) -> Callable[[Run], Verdict]:
    return lambda run: run.steps[name].verdict if name in run.steps else NOT_OBSERVED


def _token_is_accepted(run: Run) -> Verdict:
    if "list" not in run.steps:
        return NOT_OBSERVED
    listed = run.steps["list"].verdict
    return Verdict(listed.holds, f"{run.steps['token'].verdict.seen}; {listed.seen}")


def _lists_are_readable(run: Run) -> Verdict:
    pages = [page for listing in run.listings.values() for page in listing.pages]
    if not any(page.size for page in pages):
        return NOT_OBSERVED
    removed = sum(page.hidden for page in pages)
    paths = {path for page in pages for found in page.malformed_fields.values() for path in found}
    return Verdict(not removed and not paths, f"certificates removed {removed}, malformed: {_names(paths)}")


def _fields_are_present(run: Run) -> Verdict:
    if not run.listings["list"].size:
        return NOT_OBSERVED
    # Of a missing or null object, the fields inside are not missing too.
    found = Counter(path for reply in run.successful_replies(LIST) for path, value in walk(reply) if value is not None)
    missing = [path for path in NEEDED_FIELDS if found[path] < found[path.rpartition(".")[0]]]
    return Verdict(not missing, f"missing: {_names(missing)}")


def _times_are_seconds(run: Run) -> Verdict:
    found = run.listings["list"].certificates()
    times = [t for certificate in found for t in (certificate.start_time, certificate.expire_time) if t]
    if not times:
        return NOT_OBSERVED
    large = sum(t >= MAX_SECONDS for t in times)
    return Verdict(not large, f"{len(times) - large} in seconds, {large} in milliseconds or smaller units")


def _total_counts_certificates(run: Run) -> Verdict:
    listing = run.listings["list"]
    if not listing.is_complete or not listing.size:
        return NOT_OBSERVED
    total = listing.pages[0].total
    return Verdict(total == listing.size, f"total {total}, {listing.size} certificates")


def _pages_are_disjoint_and_complete(run: Run) -> Verdict:
    whole, parts = run.listings["list"], run.listings["paging"]
    if len(parts.pages) < 2 or not parts.is_complete or not whole.is_complete:
        return NOT_OBSERVED
    expected = {str(certificate.certificate_id) for certificate in whole.certificates()}
    found = [str(certificate.certificate_id) for certificate in parts.certificates()]
    repeated, missing = len(found) - len(set(found)), len(expected - set(found))
    seen = f"{len(parts.pages)} pages of {parts.page_size}: {repeated} certificates repeated, {missing} missing"
    return Verdict(not repeated and not missing, seen)


def _cut_orders_agree(run: Run) -> Verdict:
    if not run.listings["list"].size:
        return NOT_OBSERVED
    cut = {**_cut_orders(run.listings["list"]), **_cut_orders(run.listings["paging"])}
    different = sum(len(set(map(repr, values))) > 1 for values in cut.values())
    return Verdict(not different, f"{len(cut)} orders cut, {different} with different can_use")


def _store_list_is_complete(run: Run) -> Verdict:
    """Compare small pages with and without poi_id: no certificate may be behind the page where the service stops."""
    everything, store = run.listings["paging"], run.listings["paging-store"]
    if len(everything.pages) < 2 or not store.is_complete:
        return NOT_OBSERVED
    sizes = [page.size for page in store.pages]
    last_filled = max((number for number, size in enumerate(sizes, 1) if size), default=0)
    pages_read = next(count for count in range(1, len(sizes) + 1) if count == len(sizes) or not store.continues(count))
    if store.size == everything.size:
        way = "lists all orders, usable or not"
    elif all(size == store.page_size for size in sizes[: last_filled - 1]):
        way = "filters before it cuts pages"
    else:
        way = "filters after it cuts pages"
    meanings: dict[int | None, str] = {everything.size: "before the filter", store.size: "after the filter"}
    total = store.pages[0].total
    meaning = meanings.get(total, "something else") if len(meanings) > 1 else "without a filter"
    seen = f"{way}; total {total} counts {meaning}; sizes {sizes}, the service reads {pages_read} pages"
    return Verdict(last_filled <= pages_read, seen)


def _time_range_is_in_seconds(run: Run) -> Verdict:
    expected, found = run.listings["list"].size, run.listings["time-range"].size
    if not expected:
        return NOT_OBSERVED
    return Verdict(expected == found, f"from 1970 until in 50 years, in seconds: {found} of {expected} certificates")


POINTS = (
    Point("token-accepted", "A list is accepted with the app's access token.", _token_is_accepted),
    Point("login-open-id", "The platform returns an open_id for a code of tt.login.", _step_is_ok("login")),
    Point("invalid-code", "An invalid login code is refused with a code that says so.", _step_is_ok("invalid-code")),
    Point("readable", "The service can read every certificate and every field that it shows.", _lists_are_readable),
    Point("needed-fields", "Ids, title and expire_time of each certificate are always there.", _fields_are_present),
    Point("seconds", "start_time and expire_time are in seconds.", _times_are_seconds),
    Point("total-certificates", "total counts certificates.", _total_counts_certificates),
    Point("pages-complete", "Small pages have each certificate exactly once.", _pages_are_disjoint_and_complete),
    Point("after-the-end", "A page after the last one is empty, not an error.", _step_is_ok("after-the-end")),
    Point("cut-orders-agree", "If an order is cut by a page, both parts have the same can_use.", _cut_orders_agree),
    Point("store-filter", "The service ends a store's list after its last certificate.", _store_list_is_complete),
    Point("store-selected", "A usable order of a store's list is also usable in order_can_use.", _step_is_ok("order")),
    Point("time-range-seconds", "time_range is in seconds.", _time_range_is_in_seconds),
    Point("invalid-token", "An invalid token is refused with a code that renews it.", _step_is_ok("invalid-token")),
    Point(
        "unauthorized-merchant",
        "A merchant without authorization is refused with 2119005 or 11006.",
        _step_is_ok("unauthorized-merchant"),
    ),
)


def _cut_orders(listing: Listing) -> dict[str, list[Any]]:
    """Return the orders that are on more than one page, with the `can_use` of each part."""
    pages: dict[str, dict[int, Any]] = {}
    for page, order in listing.orders():
        pages.setdefault(str(order.order_id), {})[page] = order.can_use
    return {order_id: list(parts.values()) for order_id, parts in pages.items() if len(parts) > 1}


def _names(found: Any) -> str:
    return ", ".join(sorted(found)) or "none"

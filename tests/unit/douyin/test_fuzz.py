"""Random replies and lists: what must be shown is shown, and nothing else. `make nightly` tries many more."""

import contextlib
import copy
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from chalicelib.authorized_calls import AuthorizedCalls
from chalicelib.certificates.paging import MAX_PAGES_PER_RESPONSE, ListPosition, fetch_pages
from chalicelib.certificates.views import build_views
from chalicelib.douyin.calls import PAGE_SIZE, ListQuery
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import HttpReply
from chalicelib.errors import UpstreamError
from chalicelib.lenient import MAX_ID_LENGTH
from tests.sample_reply import MISSING, build_certificate, build_reply, set_path
from tests.simulation import IS_NIGHTLY
from tests.unit.fakes import NOW, OPEN_ID, FakeDouyin, FixedTokenSource, make_context, parse_page

# Hundreds of replies: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

TIMES = 100 if IS_NIGHTLY else 1


def examples(count: int) -> settings:
    """Return the settings of a test with this many examples in `make check`."""
    # A busy machine is slow.
    return settings(deadline=None, max_examples=count * TIMES, suppress_health_check=[HealthCheck.too_slow])


TRUE: list[Any] = [True, "true", "True", "TRUE", 1, "1", 1.0]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**63, -(2**70), 10**64 - 1, 10**64, -(10**63), 1.5, 1e3,
    "", "0", "x", "true", "\ud800", "券", "x" * 300,
    [], {}, [None], [1], ["x"], [{}], [[[]]], {"x": None}, {"certificate_id": "stray"},
]  # fmt: skip


def build_list() -> dict[str, Any]:
    """Return a reply with two usable orders and one that is not, each with full and minimal certificates."""
    reply = build_reply()
    reply["data"]["orders"] = [
        {
            "order_id": f"o{number}",
            "can_use": number != 1,
            "certificates": [build_certificate(certificate_id=f"c{number}a"), {"certificate_id": f"c{number}b"}],
        }
        for number in range(3)
    ]
    return reply


def paths_in(value: Any, path: str = "") -> list[str]:
    """Return the paths of all parts of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [(f"{path}.{name}".removeprefix("."), part) for name, part in items]
    return [each for name, part in found for each in (name, *paths_in(part, name))]


def views_of(page: Page) -> bytes:
    return msgspec.json.encode(build_views([page], NOW))


def expect_certificates(reply: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the certificate_ids that must be shown, and those that may be shown."""
    orders = [order for order in reply["data"].get("orders") or [] if isinstance(order, dict)]
    usable = [order for order in orders if is_id(order.get("order_id")) and order.get("can_use") in TRUE]
    listed = [order["certificates"] for order in usable if isinstance(order.get("certificates"), list)]
    ids = [each.get("certificate_id") for certificates in listed for each in certificates if isinstance(each, dict)]
    allowed = {to_text(found) for found in ids if is_id(found)}
    # An unpaired surrogate is shown as question marks, one for each of its bytes.
    return allowed - {"\ud800"}, allowed | {"?", "???"}


def is_id(value: Any) -> bool:
    """Return whether a value is a readable id."""
    is_text_or_int = isinstance(value, str | int) and not isinstance(value, bool)
    is_readable = is_text_or_int or (isinstance(value, float) and value.is_integer())
    return is_readable and 1 <= len(to_text(value)) <= MAX_ID_LENGTH


def to_text(value: Any) -> str:
    """Return an id as the view shows it."""
    return str(int(value) if isinstance(value, float) else value)


def pick(data: st.DataObject, values: list[Any]) -> Any:
    """Draw one of the values. `st.sampled_from` would take most of the test's time for a long list."""
    return values[data.draw(st.integers(0, len(values) - 1))]


@examples(200)
@given(data=st.data(), count=st.integers(1, 4), is_ascii=st.booleans())
def test_a_change_hides_nothing_else_and_shows_nothing_else(data: st.DataObject, count: int, is_ascii: bool) -> None:
    reply, paths = build_list(), list[str]()
    while len(paths) < count and reply:
        paths.append(pick(data, paths_in(reply)))
        value = pick(data, [MISSING, *VALUES])
        set_path(reply, paths[-1], value if value is MISSING else copy.deepcopy(value))
    response = HttpReply(200, {}, json.dumps(reply, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass"))
    try:
        page = parse_page(response)
    except UpstreamError:
        # Right for a changed envelope. A change inside of an order must not lose the page.
        assert not all(path.startswith("data.orders.") for path in paths)
        return
    required, allowed = expect_certificates(reply)
    assert required <= {view.certificate_id for view in build_views([page], NOW).views} <= allowed


BODY = json.dumps(build_list(), ensure_ascii=False).encode()


@examples(50)
@given(position=st.integers(0, len(BODY)), inserted=st.binary(max_size=3), removed=st.integers(0, 3))
def test_changed_bytes_raise_nothing_but_upstream_errors(position: int, inserted: bytes, removed: int) -> None:
    body = BODY[:position] + inserted + BODY[position + removed :]
    with contextlib.suppress(UpstreamError):
        views_of(parse_page(HttpReply(200, {}, body)))


@examples(50)
@given(chance=st.randoms(use_true_random=True), cuts_first=st.booleans(), is_sorted=st.booleans())
def test_following_the_cursors_shows_every_certificate_once(
    chance: random.Random, cuts_first: bool, is_sorted: bool
) -> None:
    """The platform cuts pages before or after it filters them by store, and its total may be wrong or missing."""
    ours = [f"c{number}" for number in range(chance.choice([0, 1, 49, 50, 51, chance.randint(0, 700)]))]
    coupons = [*[""] * chance.randint(0, 900), *ours]
    if not is_sorted:
        chance.shuffle(coupons)
    listed = coupons if cuts_first else ours
    # Full pages show that the list continues.
    unusable = [] if cuts_first else [None, "many", chance.randint(0, PAGE_SIZE)]
    total: Any = chance.choice([len(listed), str(len(listed)), len(listed) + chance.randint(1, 10**6), *unusable])
    lost = {page for page in range(1, 20) if chance.random() < 0.1}

    def fetch(page: int) -> Page:
        offset = (page - 1) * PAGE_SIZE
        if page in lost:
            lost.remove(page)
            raise UpstreamError("http_503")
        requested.append(page)
        orders = [
            {"order_id": f"o{coupon}", "can_use": True, "certificates": [{"certificate_id": coupon}]}
            for coupon in listed[offset : offset + PAGE_SIZE]
            if coupon
        ]
        reply = {"data": {"total": total, "orders": orders}, "extra": {}}
        return parse_page(HttpReply(200, {}, msgspec.json.encode(reply)))

    douyin = FakeDouyin()
    douyin.fetch = lambda page, _token: fetch(page)
    calls = AuthorizedCalls(douyin, FixedTokenSource(), "tta", make_context())
    requested, found = list[int](), list[str]()
    repeats = 0
    position: ListPosition | None = ListPosition()
    with ThreadPoolExecutor(MAX_PAGES_PER_RESPONSE) as executor:
        while position is not None:
            try:
                result = fetch_pages(position, ListQuery("7"), OPEN_ID, calls, executor)
            except UpstreamError:
                # The first page is lost: the customer repeats the request.
                repeats += 1
                continue
            repeats += result.lost_page_error is not None
            found += [view.certificate_id for view in build_views(result.pages, 0.0).views]
            position = result.position if result.continues else None
    assert sorted(found) == sorted(ours)
    # An empty page whose total is 0, after certificates, is read again.
    assert repeats or total == 0 or len(set(requested)) == len(requested)

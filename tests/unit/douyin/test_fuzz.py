"""Random replies and lists: each coupon is shown once, and nothing else fails. `make nightly` tries many more."""

import contextlib
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
from tests.sample_reply import build_certificate, build_reply
from tests.simulation import IS_NIGHTLY
from tests.unit.fakes import NOW, OPEN_ID, FakeDouyin, FixedTokenSource, make_context, parse_page

# Hundreds of replies: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

TIMES = 100 if IS_NIGHTLY else 1


def examples(count: int) -> settings:
    """Return the settings of a test with this many examples in `make check`."""
    # A busy machine is slow.
    return settings(deadline=None, max_examples=count * TIMES, suppress_health_check=[HealthCheck.too_slow])


BODY = json.dumps(build_reply(build_certificate()), ensure_ascii=False).encode()


@examples(50)
@given(position=st.integers(0, len(BODY)), inserted=st.binary(max_size=3), removed=st.integers(0, 3))
def test_changed_bytes_raise_nothing_but_upstream_errors(position: int, inserted: bytes, removed: int) -> None:
    body = BODY[:position] + inserted + BODY[position + removed :]
    with contextlib.suppress(UpstreamError):
        build_views([parse_page(HttpReply(200, {}, body))], NOW)


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

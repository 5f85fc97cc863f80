"""A lost page ends the response before it. The calls for later pages are aborted and do not affect later requests.

An empty page ends no list whose known total reaches it, unless the platform repeats it.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import app as application
from chalicelib.douyin import client
from sandbox.sample_data import CUSTOMER, CUSTOMER_WITH_MANY_COUPONS
from tests.harness import (
    FAST_RETRIES,
    Api,
    Platform,
    assert_problem,
    certificate,
    certificate_ids,
    order,
)


def buy(platform: Platform, count: int) -> list[str]:
    """Give the customer this number of coupons; return their ids."""
    ids = [f"{number:06d}" for number in range(count)]
    platform.set_purchases(CUSTOMER, order("1", *map(certificate, ids)))
    return ids


def list_rest(api: Api, cursor: str = "") -> Iterator[list[str]]:
    """Return the ids of each response, from a cursor to the end of the list."""
    response = api.list(f"?cursor={cursor}" if cursor else "")
    assert response.status == 200, response.text
    yield certificate_ids(response)
    if "next_cursor" in response.json:
        yield from list_rest(api, response.json["next_cursor"])


@pytest.mark.parametrize("page", [2, 5, 9])
@pytest.mark.parametrize(
    "data",
    [
        *({**orders, **total} for orders in ({}, {"orders": None}) for total in ({}, {"total": None}, {"total": 0})),
        *({"orders": [], **total} for total in ({}, {"total": None}, {"total": 0}, {"total": 1}, {"total": "50"})),
        {"orders": None, "total": 1},
    ],
    ids=str,
)
def test_an_empty_page_once_hides_no_coupon(
    api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], page: int
) -> None:
    monkeypatch.setattr(client, "RETRY_POLICY", FAST_RETRIES)
    ids = buy(platform, 500)
    api.login()
    platform.fail("body", page=page, body=json.dumps({"data": data, "extra": {"error_code": 0}}), times=1)
    responses = list(list_rest(api))
    assert [len(found) for found in responses] == [200, 200, 100]
    assert sorted(found for response in responses for found in response) == ids
    assert len(platform.calls("query_user_certificates")) == 10 + 1, "the page is requested once more"


@pytest.mark.parametrize(
    ("before", "after", "calls", "is_below_total"),
    [(500, 480, 6, False), (500, 400, 4, False), (201, 199, 4, True), (201, 200, 4, True)],
)
def test_a_list_that_shrinks_between_two_responses_ends_without_an_error(
    api: Api,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before: int,
    after: int,
    calls: int,
    *,
    is_below_total: bool,
) -> None:
    """An empty page is believed if the platform repeats it."""
    monkeypatch.setattr(client, "RETRY_POLICY", FAST_RETRIES)
    buy(platform, before)
    api.login()
    cursor = api.list().json["next_cursor"]
    ids = buy(platform, after)
    platform.server.calls.clear()
    capsys.readouterr()
    responses = list(list_rest(api, cursor))
    assert [found for response in responses for found in response] == ids[200:]
    assert len(responses) == (2 if after > 400 else 1)
    assert len(platform.calls("query_user_certificates")) == calls
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(entry["ListsBelowTotal"][0] for entry in entries if "ListsBelowTotal" in entry) == is_below_total


def test_pages_that_the_platform_has_emptied_by_its_filter_end_no_list(
    api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the total of the list, each is requested once; without one, as often as the retry policy allows."""
    monkeypatch.setattr(client, "RETRY_POLICY", FAST_RETRIES)
    platform.server.platform.store_filter = "after"
    mine = [order("1", *map(certificate, "abc")), order("3", *map(certificate, "xyz"))]
    others = order("2", *(certificate(f"{number:06d}") for number in range(444)), can_use=False)
    platform.set_purchases(CUSTOMER, mine[0], others, mine[1])
    api.login()
    assert list(list_rest(api)) == [["a", "b", "c"], [], ["x", "y", "z"]]
    assert len(platform.calls("query_user_certificates")) == 9
    platform.server.calls.clear()
    for page in range(2, 9):
        platform.fail("edit", page=page, remove_fields=["data.total"])
    assert list(list_rest(api)) == [["a", "b", "c"], [], ["x", "y", "z"]]
    assert len(platform.calls("query_user_certificates")) == 2 + 7 * 4


def test_a_page_that_says_nothing_is_lost_if_the_total_reaches_it(api: Api, platform: Platform) -> None:
    reply = {"data": {"orders": None, "total": 0}, "err_no": 0, "err_tips": "timeout"}
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    platform.fail("body", page=2, body=json.dumps(reply))
    response = api.list()
    assert len(certificate_ids(response)) == 50
    assert len(platform.calls("query_user_certificates")) == 3 + 4, "the lost page is retried"
    rest = f"?cursor={response.json['next_cursor']}"
    assert_problem(api.list(rest), 502, "upstream_malformed")
    platform.clear_faults()
    assert len(certificate_ids(api.list(rest))) == 200


def test_aborted_pages_do_not_slow_down_later_requests(
    api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page 2 is lost, so that each of twenty responses in a row aborts two hanging pages. There are three threads."""
    monkeypatch.setattr(application, "THREADS", 3)
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    assert len(certificate_ids(api.list())) == 200, "token and connections are ready"
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    started = time.monotonic()
    for _ in range(20):
        response = api.list()
        assert len(certificate_ids(response)) == 50
    assert time.monotonic() - started < 10, "20 s if each hanging page took its 3 s"
    platform.clear_faults()
    assert len(certificate_ids(api.list(f"?cursor={response.json['next_cursor']}"))) == 200

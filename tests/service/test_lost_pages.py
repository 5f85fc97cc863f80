"""A lost page ends the response before it. The calls for later pages are aborted and do not affect later requests."""

import json
import time

import pytest

import app as application
from sandbox.sample_data import CUSTOMER_WITH_MANY_COUPONS
from tests.harness import Api, Platform, assert_problem, certificate_ids


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

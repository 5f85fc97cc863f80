"""A lost page ends the response before it. The calls for later pages are aborted and do not affect later requests."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.sample_data import CUSTOMER_WITH_MANY_COUPONS
from tests.harness import certificate_ids

if TYPE_CHECKING:
    from tests.harness import Api, Platform


def log_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


@pytest.fixture
def api_with_pages(api: Api) -> Api:
    """The front door for a customer with several pages, whose token and connections are ready."""
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    assert len(certificate_ids(api.list())) == 200
    return api


def test_pages_after_a_lost_one_are_not_waited_for(api_with_pages: Api, platform: Platform) -> None:
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    started = time.monotonic()
    response = api_with_pages.list()
    assert time.monotonic() - started < 2, "a hanging page takes 3 s"
    assert len(certificate_ids(response)) == 50
    platform.clear_faults()
    started = time.monotonic()
    rest = api_with_pages.list(f"?cursor={response.json['next_cursor']}")
    assert time.monotonic() - started < 2, "a hanging page takes 3 s"
    assert len(certificate_ids(rest)) == 200
    assert not set(certificate_ids(rest)) & set(certificate_ids(response))


def test_aborted_pages_do_not_slow_down_later_requests(api_with_pages: Api, platform: Platform) -> None:
    """Twenty responses in a row abort two hanging pages each, more than there are threads."""
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    started = time.monotonic()
    for _ in range(20):
        assert len(certificate_ids(api_with_pages.list())) == 50
    assert time.monotonic() - started < 5
    platform.clear_faults()
    started = time.monotonic()
    assert len(certificate_ids(api_with_pages.list())) == 200
    assert time.monotonic() - started < 2, "a hanging page takes 3 s"
    deadline = time.monotonic() + 5
    while sum(thread.name.startswith(("page", "bounded")) for thread in threading.enumerate()) > 16:
        assert time.monotonic() < deadline, "abandoned threads end"
        time.sleep(0.05)


def test_aborted_calls_are_not_reported_as_successful(
    api_with_pages: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    capsys.readouterr()
    api_with_pages.list()
    lines = log_lines(capsys)
    [request] = [line for line in lines if "outcome" in line]
    outcomes = [call["outcome"] for call in request["calls"]]
    # A page that had not started is not in the log at all.
    assert sorted(set(outcomes)) in (["2119001", "abandoned", "ok"], ["2119001", "ok"])
    assert outcomes.count("ok") == 1
    [latencies] = [line["UpstreamLatency"] for line in lines if "UpstreamLatency" in line]
    assert len(latencies) == 2
    [errors] = [line for line in lines if "UpstreamErrors" in line]
    assert errors["error_code"] == "2119001"

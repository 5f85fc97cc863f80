"""A lost page ends the response before it; the other pages under way are aborted and disturb nobody."""

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
def many(api: Api) -> Api:
    """The front door for a customer with several pages, whose token and connections are ready."""
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    assert len(certificate_ids(api.list())) == 200
    return api


def test_pages_after_a_lost_one_are_not_waited_for(many: Api, platform: Platform) -> None:
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    begun = time.monotonic()
    response = many.list()
    assert time.monotonic() - begun < 1
    assert len(certificate_ids(response)) == 50
    platform.clear_faults()
    begun = time.monotonic()
    rest = many.list(f"?cursor={response.json['next_cursor']}")
    assert time.monotonic() - begun < 1
    assert len(certificate_ids(rest)) == 200
    assert not set(certificate_ids(rest)) & set(certificate_ids(response))


def test_aborted_pages_slow_down_nobody(many: Api, platform: Platform) -> None:
    """Twenty responses in a row abort two hanging pages each, more than there are threads."""
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    begun = time.monotonic()
    for _ in range(20):
        assert len(certificate_ids(many.list())) == 50
    assert time.monotonic() - begun < 5
    platform.clear_faults()
    begun = time.monotonic()
    assert len(certificate_ids(many.list())) == 200
    assert time.monotonic() - begun < 1
    deadline = time.monotonic() + 5
    while sum(thread.name.startswith(("page", "bounded")) for thread in threading.enumerate()) > 16:
        assert time.monotonic() < deadline, "abandoned threads end"
        time.sleep(0.05)


def test_aborted_calls_are_not_reported_as_successful(
    many: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    capsys.readouterr()
    many.list()
    lines = log_lines(capsys)
    [request] = [line for line in lines if "outcome" in line]
    assert sorted(call["outcome"] for call in request["calls"]) == ["2119001", "abandoned", "abandoned", "ok"]
    [latencies] = [line["UpstreamLatency"] for line in lines if "UpstreamLatency" in line]
    assert len(latencies) == 2
    [errors] = [line for line in lines if "UpstreamErrors" in line]
    assert errors["error_code"] == "2119001"


def test_a_page_before_the_lost_one_is_still_waited_for(many: Api, platform: Platform) -> None:
    platform.fail("delay", page=2, seconds=0.3)
    platform.fail("code", page=3, code=2119001)
    platform.fail("hang", page=4)
    response = many.list()
    assert len(certificate_ids(response)) == 100

"""Many Lambda instances at the same time, each a process of Lambda's runtime client: they share one token."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from sandbox import gateway
from sandbox.runtime import FunctionError
from sandbox.sample_data import (
    APP_ID,
    CUSTOMER_WITH_TIMES_CARDS,
    OTHER_ACCOUNT_ID,
    OTHER_ACCOUNT_POI_ID,
    OTHER_APP_ID,
)
from tests.fleet import Fleet, TimedResponse, request, request_in_thread, run_fleet, wait_until
from tests.harness import LIST_URL, TOKEN_ROW, Api, Aws, Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.runtime import Instance

    Headers = dict[str, str]

INSTANCE_COUNT = 50
OTHER_LIST_URL = gateway.certificates_url(OTHER_ACCOUNT_ID, OTHER_ACCOUNT_POI_ID)
OTHER_TOKEN_ROW = f"TOKEN#{OTHER_APP_ID}"


@pytest.fixture(scope="module")
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def fleets() -> dict[str, Fleet]:
    return {}


@pytest.fixture
def fleet(fleets: dict[str, Fleet], resources: ExitStack, bundle: Path, environment: dict[str, str]) -> Fleet:
    """Fifty instances, started once for this module: the first test that uses them has the environment for it."""
    if not fleets:
        fleets["fleet"] = resources.enter_context(run_fleet(environment, *[bundle] * INSTANCE_COUNT))
    return fleets["fleet"]


@pytest.fixture
def small_fleet(bundle: Path, environment: dict[str, str]) -> Iterator[Fleet]:
    """Four instances that a test may kill."""
    with run_fleet(environment, *[bundle] * 4) as fleet:
        yield fleet


@pytest.fixture
def headers(api: Api) -> Headers:
    """The headers of a customer's requests."""
    api.login()
    return dict(api.headers)


def expire_cached_tokens(fleet: Fleet, headers: Headers, platform: Platform) -> None:
    """Let every instance cache a token that then expires."""
    platform.fail("patch", "client_token", patch={"expires_in": 2})
    fleet.list_certificates(headers)
    platform.clear_faults()
    time.sleep(2)


def assert_all_served_with_one_mint(fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
    platform.server.calls.clear()
    responses = fleet.list_certificates(headers)
    assert [timed.code for timed in responses] == ["ok"] * len(fleet.instances)
    assert len(platform.calls("client_token")) == 1
    row = aws.row(TOKEN_ROW)
    assert row["access_token"]["S"] == platform.newest_token()
    assert "lease_until" not in row


class TestFiftyInstances:
    def test_a_missing_token_is_minted_once(self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
        expire_cached_tokens(fleet, headers, platform)
        aws.dynamodb.delete_item(TableName=aws.table, Key={"pk": {"S": TOKEN_ROW}})
        assert_all_served_with_one_mint(fleet, headers, platform, aws)

    def test_an_expired_token_is_minted_once(
        self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws
    ) -> None:
        expire_cached_tokens(fleet, headers, platform)
        aws.put(TOKEN_ROW, access_token="clt.expired", expires_at=int(time.time()) - 1)
        assert_all_served_with_one_mint(fleet, headers, platform, aws)

    def test_a_revoked_token_is_minted_once(self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
        fleet.list_certificates(headers)
        platform.server.platform.revoke_tokens(APP_ID)
        assert_all_served_with_one_mint(fleet, headers, platform, aws)
        assert len(platform.calls("query_user_certificates")) == 2 * INSTANCE_COUNT

    def test_a_slow_mint_is_waited_for(self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
        expire_cached_tokens(fleet, headers, platform)
        aws.dynamodb.delete_item(TableName=aws.table, Key={"pk": {"S": TOKEN_ROW}})
        platform.fail("delay", "client_token", seconds=2)
        assert_all_served_with_one_mint(fleet, headers, platform, aws)

    def test_a_refused_mint_is_requested_once(
        self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws
    ) -> None:
        expire_cached_tokens(fleet, headers, platform)
        aws.put(TOKEN_ROW, access_token="clt.expired", expires_at=int(time.time()) - 1)
        platform.server.calls.clear()
        platform.fail("code", "client_token", code=10013)
        responses = fleet.list_certificates(headers)
        assert {(timed.response.status, timed.code) for timed in responses} == {(503, "token_unavailable")}
        assert len(platform.calls("client_token")) == 1


@pytest.mark.parametrize("minted", [True, False], ids=["after the platform minted", "before the platform minted"])
def test_a_holder_that_is_killed_during_its_mint_is_replaced_within_ten_seconds(
    small_fleet: Fleet, headers: Headers, platform: Platform, aws: Aws, *, minted: bool
) -> None:
    holder, *others = small_fleet.instances
    platform.fail("delay" if minted else "hang", "client_token", seconds=1.0, times=1)
    killed = request_in_thread(holder, headers)
    wait_until(lambda: platform.calls("client_token"))
    holder.popen.send_signal(signal.SIGKILL)
    started = time.monotonic()
    responses = [future.result(30) for future in [request_in_thread(other, headers) for other in others]]
    assert [timed.code for timed in responses] == ["ok"] * len(others)
    assert time.monotonic() - started < 10
    assert len(platform.calls("client_token")) == 2, "one mint of the killed holder, one of its successor"
    assert aws.row(TOKEN_ROW)["access_token"]["S"] == platform.newest_token()
    with pytest.raises(FunctionError, match="exited with status -9"):
        killed.result(30)


def test_a_holder_that_continues_after_its_replacement_cannot_write(
    small_fleet: Fleet, headers: Headers, platform: Platform, aws: Aws
) -> None:
    """It was stopped during its mint. Its token is not written, and it uses the successor's."""
    holder, other, *_ = small_fleet.instances
    platform.fail("delay", "client_token", seconds=0.3, times=1)
    slow = request_in_thread(holder, headers)
    wait_until(lambda: platform.calls("client_token"))
    os.kill(holder.popen.pid, signal.SIGSTOP)
    try:
        assert request(other, headers).code == "ok"
        row = aws.row(TOKEN_ROW)
    finally:
        os.kill(holder.popen.pid, signal.SIGCONT)
    assert slow.result(30).code == "ok"
    assert aws.row(TOKEN_ROW) == row
    assert len(platform.calls("client_token")) == 2
    assert request(holder, headers).code == "ok"


def test_two_apps_mint_one_token_each_without_waiting_for_each_other(
    bundle: Path, environment: dict[str, str], api: Api, platform: Platform, aws: Aws
) -> None:
    api.login()
    headers = dict(api.headers)
    api.login(CUSTOMER_WITH_TIMES_CARDS, OTHER_APP_ID)
    other_headers = dict(api.headers)
    platform.fail("delay", "client_token", app_id=APP_ID, seconds=2.5)
    finished: dict[str, list[float]] = {LIST_URL: [], OTHER_LIST_URL: []}
    with run_fleet(environment, *[bundle] * 10) as fleet:

        def send(instance: Instance) -> TimedResponse:
            is_first = fleet.instances.index(instance) % 2 == 0
            url, own_headers = (LIST_URL, headers) if is_first else (OTHER_LIST_URL, other_headers)
            timed = request(instance, own_headers, url)
            finished[url].append(time.monotonic())
            return timed

        assert {timed.code for timed in fleet.each(send)} == {"ok"}
    assert sorted(entry["app_id"] for entry in platform.calls("client_token")) == [APP_ID, OTHER_APP_ID]
    assert max(finished[OTHER_LIST_URL]) < min(finished[LIST_URL]), "the other app is served before the slow mint ends"
    assert aws.row(TOKEN_ROW)["access_token"]["S"] == platform.newest_token(APP_ID)
    assert aws.row(OTHER_TOKEN_ROW)["access_token"]["S"] == platform.newest_token(OTHER_APP_ID)


def test_a_lease_of_another_instance_is_waited_for_until_the_time_limit(api: Api, platform: Platform, aws: Aws) -> None:
    api.login()
    aws.put(TOKEN_ROW, version=7, lease_owner="other", lease_until=int((time.time() + 6) * 1000))
    started = time.monotonic()
    response = api.list(milliseconds=2500)
    assert response.json["code"] == "token_unavailable"
    assert time.monotonic() - started < 2.5
    assert platform.calls("client_token") == []


def test_a_lease_written_by_a_clock_far_ahead_is_ignored(api: Api, platform: Platform, aws: Aws) -> None:
    api.login()
    aws.put(TOKEN_ROW, version=7, lease_owner="other", lease_until=int((time.time() + 3600) * 1000))
    assert api.list().status == 200
    assert aws.row(TOKEN_ROW)["version"] == {"N": "9"}
    assert len(platform.calls("client_token")) == 1

"""Many Lambda instances at once, each a process of Lambda's own runtime client over the bundle: one token for all."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import subprocess
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from sandbox import gateway
from sandbox.runtime import Instance
from sandbox.sample_data import APP_ID, OTHER_ACCOUNT_ID, OTHER_APP_ID
from tests.harness import LIST_URL, Api, Aws, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


INSTANCES = 50
OTHER_LIST = f"/v1/merchants/{OTHER_ACCOUNT_ID}/stores/6606/certificates"
ROW, OTHER_ROW = f"TOKEN#{APP_ID}", f"TOKEN#{OTHER_APP_ID}"


class Fleet:
    """Instances of one function; `start` begins them all and waits until each has served something."""

    def __init__(self, bundle: Path, environment: dict[str, str], count: int, resources: ExitStack) -> None:
        self.instances = [
            resources.enter_context(Instance(bundle, "app.app", environment, output=subprocess.DEVNULL))
            for _ in range(count)
        ]
        self._pool = resources.enter_context(concurrent.futures.ThreadPoolExecutor(count))
        self.each(lambda instance: ask(instance, "/v1/health", {}))

    def each(self, job: Callable[[Instance], gateway.Response]) -> list[gateway.Response]:
        """Let every instance do the same at the same moment."""
        together = threading.Barrier(len(self.instances))

        def one(instance: Instance) -> gateway.Response:
            together.wait()
            return job(instance)

        return list(self._pool.map(one, self.instances))


def ask(instance: Instance, url: str, headers: dict[str, str]) -> gateway.Response:
    return gateway.parse_response(instance.invoke(gateway.build_event("GET", url, headers)))


def in_thread(instance: Instance, url: str, headers: dict[str, str]) -> concurrent.futures.Future[gateway.Response]:
    answer: concurrent.futures.Future[gateway.Response] = concurrent.futures.Future()

    def run() -> None:
        try:
            answer.set_result(ask(instance, url, headers))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def crowd() -> Iterator[dict[str, Fleet]]:
    """Holds the one fleet of this module, begun by the first test that has an environment for it."""
    fleets: dict[str, Fleet] = {}
    yield fleets
    for fleet in fleets.values():
        for instance in fleet.instances:
            instance.__exit__(None, None, None)
        fleet._pool.shutdown()


@pytest.fixture
def fleet(crowd: dict[str, Fleet], bundle: Path, environment: dict[str, str]) -> Fleet:
    if not crowd:
        crowd["fleet"] = Fleet(bundle, environment, INSTANCES, ExitStack())
    return crowd["fleet"]


@pytest.fixture
def headers(api: Api) -> dict[str, str]:
    api.login()
    return dict(api.headers)


@pytest.fixture
def small(bundle: Path, environment: dict[str, str]) -> Iterator[Fleet]:
    with ExitStack() as resources:
        yield Fleet(bundle, environment, 6, resources)


def served_with_one_mint(fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws) -> None:
    platform.server.calls.clear()
    answers = fleet.each(lambda instance: ask(instance, LIST_URL, headers))
    assert [answer.status for answer in answers] == [200] * len(fleet.instances)
    assert len(platform.calls("client_token")) == 1
    row = aws.row(ROW)
    assert row["access_token"]["S"] == platform.newest_token()
    assert "lease_until" not in row


def let_memories_fade(fleet: Fleet, headers: dict[str, str], platform: Platform) -> None:
    """Have every instance know a token that it is to look up again soon."""
    platform.fail("patch", "client_token", patch={"expires_in": 61}, times=1)
    fleet.each(lambda instance: ask(instance, LIST_URL, headers))
    time.sleep(1.5)


class TestFifty:
    def test_a_missing_token_is_minted_once(
        self, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        let_memories_fade(fleet, headers, platform)
        aws.dynamodb.delete_item(TableName=aws.table, Key={"pk": {"S": ROW}})
        served_with_one_mint(fleet, headers, platform, aws)

    def test_an_expired_token_is_minted_once(
        self, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        let_memories_fade(fleet, headers, platform)
        aws.put(ROW, access_token="clt.ended", expires_at=int(time.time()) - 1)
        served_with_one_mint(fleet, headers, platform, aws)

    def test_a_revoked_token_is_minted_once(
        self, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        fleet.each(lambda instance: ask(instance, LIST_URL, headers))
        platform.server.platform.revoke_tokens(APP_ID)
        served_with_one_mint(fleet, headers, platform, aws)
        assert len(platform.calls("query_user_certificates")) == 2 * INSTANCES

    def test_a_slow_mint_is_waited_for(
        self, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        let_memories_fade(fleet, headers, platform)
        aws.dynamodb.delete_item(TableName=aws.table, Key={"pk": {"S": ROW}})
        platform.fail("delay", "client_token", seconds=2)
        served_with_one_mint(fleet, headers, platform, aws)

    def test_a_mint_that_is_refused_is_asked_for_once(
        self, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        let_memories_fade(fleet, headers, platform)
        aws.put(ROW, access_token="clt.ended", expires_at=int(time.time()) - 1)
        platform.server.calls.clear()
        platform.fail("code", "client_token", code=10013)
        answers = fleet.each(lambda instance: ask(instance, LIST_URL, headers))
        assert {(answer.status, answer.json["code"]) for answer in answers} == {(503, "token_unavailable")}
        assert len(platform.calls("client_token")) == 1


@pytest.mark.parametrize("minted", [True, False], ids=["after the platform minted", "before the platform minted"])
def test_a_holder_that_is_killed_in_the_middle_of_a_mint_is_replaced(
    small: Fleet, headers: dict[str, str], platform: Platform, aws: Aws, minted: bool
) -> None:
    holder, *others = small.instances
    platform.fail("delay" if minted else "hang", "client_token", seconds=1.0, times=1)
    killed = in_thread(holder, LIST_URL, headers)
    until(lambda: platform.calls("client_token"))
    holder.popen.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    answers = [future.result(30) for future in [in_thread(other, LIST_URL, headers) for other in others]]
    assert [answer.status for answer in answers] == [200] * len(others)
    assert time.monotonic() - begun < 10, "a dead holder is replaced within 10 s"
    assert len(platform.calls("client_token")) == 2, "the dead one's and its successor's"
    assert aws.row(ROW)["access_token"]["S"] == platform.newest_token()
    with pytest.raises(Exception, match="exited with status -9"):
        killed.result(30)


def test_a_slow_holder_that_wakes_too_late_cannot_write(
    small: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
) -> None:
    """Stopped in the middle of its mint, taken over, woken: its token is refused, and it serves with the other one."""
    holder, other, *_ = small.instances
    platform.fail("delay", "client_token", seconds=0.3, times=1)
    slow = in_thread(holder, LIST_URL, headers)
    until(lambda: platform.calls("client_token"))
    os.kill(holder.popen.pid, signal.SIGSTOP)
    try:
        assert ask(other, LIST_URL, headers).status == 200
        taken_over = aws.row(ROW)
    finally:
        os.kill(holder.popen.pid, signal.SIGCONT)
    assert slow.result(30).status == 200
    assert aws.row(ROW) == taken_over
    assert len(platform.calls("client_token")) == 2
    assert ask(holder, LIST_URL, headers).status == 200


def test_two_storms_in_two_apps_are_two_mints_and_one_does_not_wait_for_the_other(
    bundle: Path, environment: dict[str, str], api: Api, platform: Platform, aws: Aws
) -> None:
    api.login()
    first = dict(api.headers)
    api.login("qian", OTHER_APP_ID)
    second = dict(api.headers)
    platform.fail("delay", "client_token", app_id=APP_ID, seconds=2.5)
    with ExitStack() as resources:
        fleet = Fleet(bundle, environment, 20, resources)
        ended: dict[str, list[float]] = {LIST_URL: [], OTHER_LIST: []}

        def one(instance: Instance) -> gateway.Response:
            mine = fleet.instances.index(instance) % 2 == 0
            url = LIST_URL if mine else OTHER_LIST
            answer = ask(instance, url, first if mine else second)
            ended[url].append(time.monotonic())
            return answer

        assert {answer.status for answer in fleet.each(one)} == {200}
    assert sorted(entry["app_id"] for entry in platform.calls("client_token")) == [APP_ID, OTHER_APP_ID]
    assert max(ended[OTHER_LIST]) < min(ended[LIST_URL]), "the quick app is done before the slow one's mint is"
    assert aws.row(ROW)["access_token"]["S"] == platform.newest_token(APP_ID)
    assert aws.row(OTHER_ROW)["access_token"]["S"] == platform.newest_token(OTHER_APP_ID)


def test_a_lease_that_never_ends_binds_nobody_beyond_the_budget(api: Api, platform: Platform, aws: Aws) -> None:
    api.login()
    aws.put(ROW, version=7, lease_owner="somebody", lease_until=int((time.time() + 6) * 1000))
    begun = time.monotonic()
    answer = api.list(milliseconds=2500)
    assert answer.json["code"] == "token_unavailable"
    assert time.monotonic() - begun < 2.5
    assert platform.calls("client_token") == []


def test_a_lease_from_a_clock_far_ahead_binds_nobody(api: Api, platform: Platform, aws: Aws) -> None:
    api.login()
    aws.put(ROW, version=7, lease_owner="somebody", lease_until=int((time.time() + 3600) * 1000))
    assert api.list().status == 200
    assert json.dumps(aws.row(ROW)["version"]) == '{"N": "9"}'
    assert len(platform.calls("client_token")) == 1

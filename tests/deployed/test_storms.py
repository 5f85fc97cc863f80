"""Many Lambda instances at the same time, each a process of Lambda's runtime client: they share one token."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chalicelib.tokens.rows import CLAIM_SECONDS
from sandbox import gateway, stack
from sandbox.runtime import FunctionError
from sandbox.sample_data import APP_ID
from tests.fleet import Fleet, code_of, request, run_fleet, wait_until
from tests.harness import TOKEN_ROW, Api, Aws, Platform, end_claim, in_seconds

Headers = dict[str, str]

INSTANCE_COUNT = 50

ATTEMPTS = 5
"""On a busy machine, the emulated AWS serves fifty instances too late for some of them, and a client repeats."""

TOO_LATE = ("unavailable", "token_unavailable")


@pytest.fixture(scope="module")
def fleet(bundle: Path, platform_process: Platform, aws_process: Aws) -> Iterator[Fleet]:
    """Fifty instances, started once. Every test here makes them forget what they have cached, or fills their cache."""
    platform_process.reset()
    aws_process.reset()
    environment = stack.function_environment(
        aws_process.url, platform_process.url, aws_process.secret, aws_process.table
    )
    with run_fleet(environment, *[bundle] * INSTANCE_COUNT) as fleet:
        yield fleet


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
    platform.fail("edit", "client_token", set_fields={"data.expires_in": 2})
    list_certificates(fleet, headers)
    platform.clear_faults()
    time.sleep(2)


def get_outcome(send: Callable[[], gateway.Response]) -> str:
    """Send a request, again while AWS is too slow, and return its outcome."""
    codes = [code_of(send())]
    while codes[-1] in TOO_LATE and len(codes) < ATTEMPTS:
        codes.append(code_of(send()))
    return codes[-1]


def list_certificates(fleet: Fleet, headers: Headers) -> list[str]:
    """Let all instances list at the same moment, and return the outcomes."""
    return fleet.each(lambda instance: get_outcome(lambda: request(instance, headers)))


def assert_all_served_with_one_mint(fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
    platform.server.calls.clear()
    assert list_certificates(fleet, headers) == ["ok"] * len(fleet.instances)
    assert len(platform.calls("client_token")) == 1
    row = aws.row(TOKEN_ROW)
    assert row["access_token"]["S"] == platform.newest_token()
    assert row["outcome"]["S"] == "ok"


class TestFiftyInstances:
    @pytest.mark.parametrize("has_row", [False, True], ids=["missing", "expired"])
    def test_a_missing_or_expired_token_is_minted_once(
        self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws, *, has_row: bool
    ) -> None:
        expire_cached_tokens(fleet, headers, platform)
        aws.dynamodb.delete_item(TableName=aws.table, Key={"pk": {"S": TOKEN_ROW}})
        if has_row:
            aws.put(TOKEN_ROW, access_token="clt.expired", expires_at=in_seconds(-1))
        assert_all_served_with_one_mint(fleet, headers, platform, aws)

    def test_a_revoked_token_is_minted_once(self, fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
        list_certificates(fleet, headers)
        end_claim(aws.dynamodb, aws.table)
        platform.server.platform.revoke_tokens(APP_ID)
        assert_all_served_with_one_mint(fleet, headers, platform, aws)


def test_a_slow_mint_is_waited_for(small_fleet: Fleet, headers: Headers, platform: Platform, aws: Aws) -> None:
    # Four instances: fifty that poll the row for a second are more than the emulated DynamoDB can serve in time.
    aws.dynamodb.delete_item(TableName=aws.table, Key={"pk": {"S": TOKEN_ROW}})
    platform.fail("delay", "client_token", seconds=1)
    assert_all_served_with_one_mint(small_fleet, headers, platform, aws)


def test_a_holder_that_is_killed_during_its_mint_costs_the_time_of_its_claim(
    small_fleet: Fleet, headers: Headers, platform: Platform, aws: Aws
) -> None:
    holder, *others = small_fleet.instances
    platform.fail("delay", "client_token", seconds=2.5, times=1)
    killed = small_fleet.begin_request(holder, headers)
    wait_until(lambda: platform.calls("client_token"))
    holder.popen.send_signal(signal.SIGKILL)
    with pytest.raises(FunctionError, match="exited with status -9"):
        killed.result(30)
    responses = [future.result(30) for future in [small_fleet.begin_request(other, headers) for other in others]]
    assert {code_of(response) for response in responses} == {"token_unavailable"}
    assert all(0 < response.json["retry_after"] <= CLAIM_SECONDS for response in responses)
    end_claim(aws.dynamodb, aws.table)
    responses = [future.result(30) for future in [small_fleet.begin_request(other, headers) for other in others]]
    assert [code_of(response) for response in responses] == ["ok"] * len(others)
    assert len(platform.calls("client_token")) == 2, "one mint of the killed holder, one of its successor"
    assert aws.row(TOKEN_ROW)["access_token"]["S"] == platform.newest_token()

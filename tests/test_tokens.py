"""Tokens through the front door: read, minted when there is none or it has ended, one renewal for a refused one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import app as application
from chalicelib.errors import StorageUnavailableError
from sandbox import gateway
from sandbox.stack import free_port
from tests.conftest import APP, MERCHANT, OTHER_APP, Context
from tests.test_contract import assert_problem, restart

if TYPE_CHECKING:
    from tests.conftest import Api, Aws, Platform

ROW = f"TOKEN#{APP}"


def in_seconds(seconds: int) -> int:
    return int(time.time()) + seconds


def refresh() -> None:
    application.refresh_tokens(gateway.scheduled(), Context(60_000))


@pytest.fixture
def logged_in(api: Api) -> Api:
    api.login()
    return api


def test_a_token_is_minted_and_stored_when_there_is_none(logged_in: Api, platform: Platform, aws: Aws) -> None:
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
    row = aws.row(ROW)
    assert row["access_token"]["S"].startswith("clt.")
    assert abs(int(row["expires_at"]["N"]) - in_seconds(7200)) <= 2
    assert not {"lease_owner", "lease_until", "failed_until", "failure"} & set(row)


def test_a_token_in_the_table_is_used(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(ROW, access_token=platform.mint(), expires_at=in_seconds(60))
    assert logged_in.list().status == 200
    assert platform.calls("client_token") == []


def test_a_token_that_has_ended_is_replaced(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(ROW, access_token="clt.old", expires_at=in_seconds(-1))
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
    assert aws.row(ROW)["access_token"]["S"] != "clt.old"


def test_a_token_without_an_end_is_replaced(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(ROW, access_token="clt.old")
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1


def test_a_refused_token_is_renewed_once(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(ROW, access_token="clt.revoked", expires_at=in_seconds(7000))
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1
    assert len(platform.calls("query_user_certificates")) == 2


def test_the_newer_token_of_the_row_is_used_before_any_is_minted(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    assert logged_in.list().status == 200
    platform.server.platform.revoke(APP)
    aws.put(ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    assert logged_in.list().status == 200
    assert platform.calls("client_token") == []


def test_pages_beside_each_other_renew_a_refused_token_once(api: Api, platform: Platform, aws: Aws) -> None:
    api.login("zhou")
    aws.put(ROW, access_token=platform.mint(), expires_at=in_seconds(7000))
    for page in (2, 3, 4):
        platform.fail("code", page=page, code=2190008, times=1)
    answer = api.list()
    assert len(answer.json["certificates"]) == 200
    assert len(platform.calls("client_token")) == 1


@pytest.mark.parametrize(
    ("code", "reason"), [(10013, "10013"), (10003, "10003"), (10020, "10020"), (2190004, "2190004")]
)
def test_a_mint_that_is_refused_names_itself_and_is_not_repeated(
    logged_in: Api, platform: Platform, capsys: pytest.CaptureFixture[str], code: int, reason: str
) -> None:
    platform.fail("code", "client_token", code=code)
    body = assert_problem(logged_in.list(), 503, "token_unavailable")
    assert body["upstream"]["error_code"] == code
    assert_problem(logged_in.list(), 503, "token_unavailable")
    assert len(platform.calls("client_token")) == 1, "the failure is remembered in the row for a while"
    assert f"minting failed moments ago: {reason}" in capsys.readouterr().out


def test_a_passing_failure_to_mint_passes(logged_in: Api, platform: Platform) -> None:
    platform.fail("http", "client_token", status=502, times=2)
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 3


def test_a_mint_that_keeps_failing_is_given_up_and_tried_again_later(
    logged_in: Api, platform: Platform, aws: Aws
) -> None:
    platform.fail("body", "client_token", body='{"data":{"access_token":"","expires_in":7200}}')
    assert_problem(logged_in.list(), 503, "token_unavailable")
    assert len(platform.calls("client_token")) == 3
    platform.server.plan.faults.clear()
    row = aws.row(ROW)
    assert float(row["failed_until"]["N"]) / 1000 <= time.time() + 2
    aws.put(ROW, version=int(row["version"]["N"]))
    assert logged_in.list().status == 200


def test_a_token_that_cannot_be_stored_still_serves(
    logged_in: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = application.parts().tokens._table
    write = table.write

    def taken_then_away(*arguments: Any) -> Any:
        monkeypatch.setattr(table, "_name", "no-such-table" if platform.calls("client_token") else table._name)
        return write(*arguments)

    monkeypatch.setattr(table, "write", taken_then_away)
    assert logged_in.list().status == 200
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1


def test_a_row_of_another_system_is_only_read(logged_in: Api, platform: Platform, aws: Aws) -> None:
    aws.put(f"MERCHANT#{MERCHANT}", app_id=APP, token_id="theirs")
    aws.put("TOKEN#theirs", access_token=platform.mint(), expires_at=in_seconds(600))
    assert logged_in.list().status == 200
    platform.server.platform.revoke(APP)
    assert_problem(logged_in.list(), 503, "token_unavailable")
    assert platform.calls("client_token") == []
    assert set(aws.row("TOKEN#theirs")) == {"pk", "access_token", "expires_at"}


def test_a_row_of_another_system_that_has_ended_is_unavailable(logged_in: Api, aws: Aws) -> None:
    aws.put(f"MERCHANT#{MERCHANT}", app_id=APP, token_id="theirs")
    assert_problem(logged_in.list(), 503, "token_unavailable")


class TestWarm:
    def test_a_warm_request_reads_no_table_and_makes_one_call_a_page(
        self, logged_in: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
    ) -> None:
        logged_in.list()
        capsys.readouterr()
        platform.server.calls.clear()
        for _ in range(10):
            assert logged_in.list().status == 200
        assert len(platform.server.calls) == 10
        assert len({entry["connection"] for entry in platform.server.calls}) == 1
        assert "dynamodb" not in capsys.readouterr().out

    def test_what_is_cached_goes_on_serving_without_the_table(
        self, logged_in: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert logged_in.list().status == 200
        monkeypatch.setattr(application.parts().tokens._table, "_name", "no-such-table")
        assert logged_in.list().status == 200
        assert_problem(logged_in.list(merchant="7000000000000000000"), 503, "unavailable")
        del aws

    def test_a_token_near_its_end_serves_while_the_table_is_away(
        self, logged_in: Api, platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        aws.put(ROW, access_token=platform.mint(), expires_at=in_seconds(30))
        assert logged_in.list().status == 200
        monkeypatch.setattr(application.parts().tokens._table, "_name", "no-such-table")
        assert logged_in.list().status == 200

    def test_a_suspended_merchant_is_refused_within_five_minutes(
        self, logged_in: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert logged_in.list().status == 200
        aws.put(f"MERCHANT#{MERCHANT}", app_id=APP, active=False)
        assert logged_in.list().status == 200
        memory = application.parts().certificates._merchants._memory
        monkeypatch.setattr(memory, "_clock", lambda: time.time() + 300)
        assert_problem(logged_in.list(), 404, "merchant_not_found")


class TestAway:
    def test_nothing_cached_and_nothing_reachable_is_unavailable_in_time(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        begun = time.monotonic()
        answer = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP, "code": "c"}))
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - begun < 10

    def test_the_secret_in_memory_serves_while_secrets_manager_is_away(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login()
        credentials = application.parts().credentials
        now = time.time()
        monkeypatch.setattr(credentials, "_clock", lambda: now + 400)

        def away(_: object) -> str:
            raise StorageUnavailableError("AccessDeniedException")

        monkeypatch.setattr(credentials, "_fetch", away)
        assert api.list().status == 200


class TestSchedule:
    def test_what_ends_within_half_an_hour_is_renewed_and_the_rest_left(
        self, api: Api, platform: Platform, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del api
        soon, late = platform.mint(), platform.mint(OTHER_APP)
        aws.put(ROW, access_token=soon, expires_at=in_seconds(1700))
        aws.put(f"TOKEN#{OTHER_APP}", access_token=late, expires_at=in_seconds(1900))
        refresh()
        assert aws.row(ROW)["access_token"]["S"] != soon
        assert aws.row(f"TOKEN#{OTHER_APP}")["access_token"]["S"] == late
        [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"refresh_tokens"' in line]
        assert line["renewed"] == [APP]
        assert line["left"] == 1

    def test_one_failure_does_not_stop_the_others_and_leaves_the_token_in_use(
        self, api: Api, platform: Platform, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = platform.mint(), platform.mint(OTHER_APP)
        aws.put(ROW, access_token=first, expires_at=in_seconds(1000))
        aws.put(f"TOKEN#{OTHER_APP}", access_token=second, expires_at=in_seconds(1000))
        platform.fail("code", "client_token", app_id=APP, code=10013)
        refresh()
        assert aws.row(ROW)["access_token"]["S"] == first
        assert aws.row(f"TOKEN#{OTHER_APP}")["access_token"]["S"] != second
        out = capsys.readouterr().out
        assert '"TokenMintFailures":[1.0]' in out
        assert '"TokenMints":[1.0]' in out
        api.login()
        assert api.list().status == 200

    def test_a_short_life_is_not_renewed_for_ever(self, api: Api, platform: Platform, aws: Aws) -> None:
        """A token whose whole life is less than the early margin is minted once a run."""
        del api
        aws.put(ROW, access_token=platform.mint(), expires_at=in_seconds(100))
        platform.fail("patch", "client_token", patch={"expires_in": 600})
        refresh()
        assert len(platform.calls("client_token")) == 1

    def test_rows_of_other_systems_are_left_alone(self, api: Api, platform: Platform, aws: Aws) -> None:
        del api
        aws.put("TOKEN#theirs", access_token="clt.theirs", expires_at=in_seconds(10))
        refresh()
        assert platform.calls("client_token") == []
        assert aws.row("TOKEN#theirs")["access_token"]["S"] == "clt.theirs"

    def test_without_the_secret_the_run_fails_and_says_why(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del api
        monkeypatch.setenv("SECRET_NAME", "no-such-secret")
        with pytest.raises(StorageUnavailableError):
            refresh()
        assert "ResourceNotFoundException" in capsys.readouterr().out


def test_a_restart_finds_the_token_of_the_instance_before(logged_in: Api, platform: Platform) -> None:
    logged_in.list()
    restart()
    assert logged_in.list().status == 200
    assert len(platform.calls("client_token")) == 1

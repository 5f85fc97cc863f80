"""Log lines of requests: what they name, and that no secret is in them, whatever a peer sends or a library logs."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.sessions import PROBE_CODE, PROBE_OPEN_ID, Session, encode_session
from infra.smoke import UNKNOWN_MERCHANT_PROBE
from sandbox.sample_data import APP_ID, APP_SECRET, CUSTOMER, POI_ID
from tests.harness import (
    LIST_MEMBER,
    STAGE_SESSION_KEY,
    TOKEN_PK,
    Api,
    Aws,
    Platform,
    in_seconds,
    read_log_and_metrics,
    run_refresh_tokens,
)
from tests.scripted_server import CLOSE, ReceivedRequest, ScriptedServer, http_response


def test_the_outcome_of_the_schedule_is_that_of_an_app_that_failed_and_the_run_does_not_fail(
    api: Api, aws: Aws, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    del api
    aws.put(TOKEN_PK, access_token=platform.mint(), expires_at=in_seconds(60))
    platform.fail("code", "client_token", code=10013)
    run_refresh_tokens()
    line, metrics = read_log_and_metrics(capsys)
    assert (line["level"], line["outcome"]) == ("WARNING", "token_unavailable")
    assert line["failed"] == {APP_ID: "minting failed: 10013"}
    assert 0 < line["seconds_left"] <= 60
    assert "TokenSecondsLeft" in metrics


def test_a_call_for_health_counts_in_no_metric(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """Many calls of a monitor would hide that few customers' requests fail."""
    assert api.call("GET", "/v1/health").status == 200
    assert read_log_and_metrics(capsys)[1] == {}


@pytest.mark.parametrize(("open_id", "is_probe"), [(PROBE_OPEN_ID, True), ("ou_unknown", False)])
def test_a_list_of_the_reserved_user_is_marked_and_counts_in_no_metric(
    api: Api, capsys: pytest.CaptureFixture[str], open_id: str, is_probe: bool
) -> None:
    token = encode_session(Session(APP_ID, open_id), in_seconds(60), [STAGE_SESSION_KEY])
    api.list(headers={"Authorization": f"Bearer {token}"})
    line, metrics = read_log_and_metrics(capsys)
    assert line.get("probe", False) is is_probe
    assert (metrics == {}) is is_probe


def test_who_is_turned_away_by_our_own_rows_counts_as_refused_and_the_smoke_test_does_not(
    api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    smoke_test = api.call("GET", UNKNOWN_MERCHANT_PROBE.path)
    assert (smoke_test.json["code"], read_log_and_metrics(capsys)[1]) == ("merchant_not_found", {})
    unknown_app = api.login(code="c", app_id="tt-unknown")
    assert unknown_app.json["code"] == "unauthenticated"
    assert read_log_and_metrics(capsys)[1]["Refused"] == [1.0]
    aws.put("MERCHANT#7200000000000000009", app_id=APP_ID, active=False)
    for path in ("/v1/merchants/7200000000000000009/stores", "/v1/merchants/1/stores"):
        assert api.call("GET", path).json["code"] == "merchant_not_found"
        metrics = read_log_and_metrics(capsys)[1]
        assert (metrics["Refused"], "RequestFailed" in metrics) == ([1.0], False)
    for poi_id, code in (("1", "store_not_found"), (POI_ID, None)):
        login = api.login(list={**LIST_MEMBER, "poi_id": poi_id}).json
        assert login.get("list_problem", {}).get("code") == code
        assert ("Refused" in read_log_and_metrics(capsys)[1]) is (code is not None)


@pytest.mark.parametrize("code", [PROBE_CODE, "another"])
def test_a_login_with_the_code_of_the_checks_is_refused(
    api: Api, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    """Also with a list. Anybody can send this code, so it must hide no customer: it logs nobody in."""
    assert api.login(code=code, list=LIST_MEMBER).json["code"] == "unauthenticated"
    line, metrics = read_log_and_metrics(capsys)
    assert line.get("probe", False) is (code == PROBE_CODE)
    assert metrics == {}


def test_no_secret_is_logged_at_any_level(
    api: Api,
    platform: Platform,
    aws: Aws,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every logger at DEBUG, no secret is in a log line, a metric or a list."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret-planted")
    code = platform.issue_login_code()
    with caplog.at_level(logging.DEBUG):
        login = api.login(code=code, list=LIST_MEMBER).json
        response = api.list()
    captured = capfd.readouterr()
    written = captured.out + captured.err + caplog.text + json.dumps(login["list"]) + response.text
    secrets = {
        "access token": aws.item(TOKEN_PK)["access_token"]["S"],
        "app secret": platform.data.apps[APP_ID].app_secret,
        "open_id": platform.data.customers[CUSTOMER].open_ids[APP_ID],
        "session token": login["token"],
        "session key": STAGE_SESSION_KEY,
        "login code": code,
        "coupon code": platform.data.purchases[CUSTOMER][0].order["certificates"][0]["code"],
        "AWS key": "aws-secret-planted",
    }
    assert "query_user_certificates" in written
    assert {name for name, value in secrets.items() if value in written} == set()


def test_no_token_code_or_open_id_of_a_service_providers_app_is_written(
    api: Api, aws: Aws, platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    aws.put_secret({APP_ID: ""}, [STAGE_SESSION_KEY])
    token, code = platform.server.platform.issue_provider_token(APP_ID).value, platform.issue_login_code()
    aws.put(TOKEN_PK, access_token=token, expires_at=in_seconds(7200))
    responses = [api.login(code=code, list=LIST_MEMBER)]
    assert [entry["call"] for entry in platform.server.calls] == ["code2session", "query_user_certificates"]
    responses.append(api.login(code=code))
    platform.server.platform.revoke_tokens(APP_ID)
    responses.append(api.login())
    assert [response.status for response in responses] == [200, 401, 503]
    written = "".join(capfd.readouterr()) + "".join(response.text for response in responses)
    open_id = platform.data.customers[CUSTOMER].open_ids[APP_ID]
    assert [secret for secret in (token, code, open_id) if secret in written] == []
    assert f'"app_id":"{APP_ID}"' in written


PLANTED = {
    "access token": "clt.planted-access-token",
    "open_id": "planted-open-id",
    "coupon code": "10815planted7001",
    "app secret": APP_SECRET,
    "session key": STAGE_SESSION_KEY,
    "login code": "planted-login-code",
}
TEXT = json.dumps(PLANTED)
ORDER = {"order_id": "1", "can_use": True, "certificates": [{"code": TEXT}, TEXT], **PLANTED}

REPLIES: dict[str, bytes] = {
    "no blank line after the headers": f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{TEXT}".encode(),
    "no status line": TEXT.encode(),
    "a chunk without a length": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{TEXT}\r\n".encode(),
    "an encoding that it does not have": http_response(TEXT, "200 OK", "Content-Encoding: gzip"),
    "a redirect": http_response(b"", "302 Found", f"Location: http://127.0.0.1:9/{TEXT}"),
    "half of a reply": http_response(TEXT)[:-10],
    "an error page": http_response(TEXT, "503 Service Unavailable"),
    "an error with its description": http_response(
        json.dumps({"data": {"error_code": 2100005, "description": TEXT}, "extra": {"logid": TEXT}, "Message": TEXT})
    ),
    "data of another form": http_response(
        json.dumps(
            {
                "data": {"orders": [ORDER], "access_token": PLANTED["access token"], "expires_in": TEXT},
                "extra": {},
                "Item": ORDER,
                "SecretString": TEXT,
            }
        )
    ),
}

CALLS = {
    "list": ("DOUYIN_OPEN_API", "query_user_certificates"),
    "mint": ("DOUYIN_OPEN_API", "client_token"),
    "login": ("DOUYIN_LOGIN_API", "jscode2session"),
    "DynamoDB": ("AWS_ENDPOINT_URL_DYNAMODB", "GetItem"),
    "Secrets Manager": ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "GetSecretValue"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_no_secret_of_a_broken_reply_is_logged_at_any_level(
    api: Api,
    aws: Aws,
    platform: Platform,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    reply: bytes,
) -> None:
    variable, name = CALLS[call]
    if call != "mint":
        aws.put(TOKEN_PK, access_token=PLANTED["access token"], expires_at=in_seconds(7000))

    def script(_: ReceivedRequest) -> Iterator[Any]:
        yield reply
        yield CLOSE

    code = platform.issue_login_code() if call != "login" else PLANTED["login code"]
    with ScriptedServer(script) as broken, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv(variable, broken.url)
        response = api.login(code=code, list=LIST_MEMBER)
        assert broken.requests, "the broken peer was called"
    captured = capfd.readouterr()
    written = captured.out + captured.err + caplog.text
    assert name in written, "the call is in the log"
    assert {secret for secret, value in PLANTED.items() if value in written + response.text} == set()

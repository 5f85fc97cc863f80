"""A peer whose replies are broken, at every call: no secret in them is logged, whichever library logs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, POI_ID
from tests.harness import JSON_HEADERS, MERCHANT_ROW, SESSION_KEY, TOKEN_ROW, Api, Aws, Platform, in_seconds
from tests.scripted_server import CLOSE, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scripted_server import Received

PLANTED = {
    "access token": "clt.planted-access-token",
    "open_id": "planted-open-id",
    "coupon code": "10815planted7001",
    "app secret": APP_SECRET,
    "session key": SESSION_KEY,
    "login code": "planted-login-code",
}
REPLY = json.dumps(PLANTED)

BREAKS: dict[str, bytes] = {
    "no blank line after the headers": f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{REPLY}".encode(),
    "a header without a name": f"HTTP/1.1 200 OK\r\n: {REPLY}\r\n{REPLY}\r\n\r\n".encode(),
    "no status line": REPLY.encode(),
    "a status that is no number": f"HTTP/1.1 {REPLY}\r\n\r\n".encode(),
    "a chunk without a length": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{REPLY}\r\n".encode(),
    "an encoding that it does not have": (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(REPLY)}\r\n\r\n{REPLY}".encode()
    ),
    "a redirect": f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/{REPLY}\r\nContent-Length: 0\r\n\r\n".encode(),
    "a cookie": f"HTTP/1.1 200 OK\r\nSet-Cookie: a={REPLY}\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
}

CALLS = {
    "list": ("DOUYIN_OPEN_API", "query_user_certificates"),
    "mint": ("DOUYIN_OPEN_API", "client_token"),
    "login": ("DOUYIN_LOGIN_API", "jscode2session"),
    "DynamoDB": ("AWS_ENDPOINT_URL_DYNAMODB", "GetItem"),
    "Secrets Manager": ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "GetSecretValue"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("reply", BREAKS.values(), ids=BREAKS)
def test_no_secret_is_logged(
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
    assert MERCHANT_ROW in {item["pk"]["S"] for item in aws.dynamodb.scan(TableName=aws.table)["Items"]}
    if call != "mint":
        aws.put(TOKEN_ROW, access_token=PLANTED["access token"], expires_at=in_seconds(7000))

    def script(request: Received) -> Iterator[Any]:
        del request
        yield reply
        yield CLOSE

    code = platform.issue_login_code() if call != "login" else PLANTED["login code"]
    body = json.dumps({"app_id": APP_ID, "code": code, "list": {"account_id": ACCOUNT_ID, "poi_id": POI_ID}})
    with ScriptedServer(script) as broken, caplog.at_level(logging.DEBUG):
        monkeypatch.setenv(variable, broken.url)
        response = api.call("POST", "/v1/sessions", body, JSON_HEADERS)
        assert broken.requests, "the broken peer was called"
    captured = capfd.readouterr()
    written = captured.out + captured.err + caplog.text
    assert name in written, "the call is in the log"
    assert {secret for secret, value in PLANTED.items() if value in written + response.text} == set()

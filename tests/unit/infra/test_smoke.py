"""How the smoke test judges a list, with a faked endpoint and a faked table."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from botocore.exceptions import ClientError

from chalicelib.sessions import PROBE_OPEN_ID, Session, decode_session
from infra import smoke
from infra.bundle import Build
from infra.stage_settings import StageError

UPSTREAM = {"error_code": 2119005, "sub_error_code": 0}
KEYS = ["k" * 32]
SECRET = json.dumps({"apps": {"tt1": "s"}, "session_keys": KEYS})
WAY_BACK = "make rollback STAGE=dev [TO=<commit>]"
PASSED = "smoke test: passed"
NO_ANSWER = "smoke test: deployed; no answer from the platform: run doctor"
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan")


def row(account_id: str, app_id: str = "tt1", **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": f"MERCHANT#{account_id}"}, "app_id": {"S": app_id}, **attributes}


MERCHANTS = [row("1")]


def response(status: int, body: Any) -> Any:
    headers = {"Content-Type": "application/problem+json"}
    return SimpleNamespace(status_code=status, text=json.dumps(body), json=lambda: body, headers=headers)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[smoke.Probe]]]:
    """Run the smoke test; return its result, and the lists that were requested. `answer` is the answer to a list."""

    def run(
        answer: Any, secret: Any = SECRET, rows: Any = MERCHANTS, url: str | None = "https://x"
    ) -> tuple[str, list[smoke.Probe]]:
        client, lists = Mock(), list[smoke.Probe]()
        client.describe_secret.return_value = {} if secret is None else {"VersionIdsToStages": {"1": ["AWSCURRENT"]}}
        client.get_secret_value.side_effect = [secret if isinstance(secret, ClientError) else {"SecretString": secret}]
        pages = rows if isinstance(rows, ClientError) else [{"Items": rows[:1]}, {"Items": rows[1:]}]
        client.get_paginator = {"scan": Mock(paginate=Mock(side_effect=[pages]))}.get

        def send(_url: str, probe: smoke.Probe) -> Any:
            if probe.session in ("", "forged"):
                return response(probe.status, {**probe.expected, "request_id": "1"})
            lists.append(probe)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(smoke, "send", send)
        account: Any = SimpleNamespace(client=lambda _: client)
        return smoke.check(account, "dev", {}, Build("1", None), url, way_back=WAY_BACK), lists

    monkeypatch.setattr(smoke, "HTTP_SECONDS", 0)
    monkeypatch.setattr(smoke, "compare_schedule", lambda *_: ())
    return run


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (response(200, {"account_id": "1", "certificates": []}), PASSED),
        (response(503, {"code": "token_unavailable", "upstream": UPSTREAM}), PASSED),
        (response(429, {"code": "rate_limited"}), PASSED),
        (response(503, {"code": "quota_exhausted"}), PASSED),
        (response(503, {"code": "upstream_unavailable"}), NO_ANSWER),
        (response(502, {"code": "upstream_malformed"}), NO_ANSWER),
        (response(504, {"code": "upstream_timeout"}), NO_ANSWER),
        (response(503, {"code": "token_unavailable"}), NO_ANSWER),
    ],
)
def test_a_list_that_the_service_can_give_passes(run: Any, answer: Any, result: str) -> None:
    found, lists = run(answer)
    assert (found, len(lists)) == (result, 1)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (response(503, {"code": "unavailable"}), "HTTP 503"),
        (response(401, {"code": "unauthenticated"}), "HTTP 401"),
        (response(502, {"message": "Internal server error"}), "HTTP 502"),
        (response(200, {}), "HTTP 200"),
        (requests.ConnectionError("x"), "ConnectionError"),
    ],
)
def test_any_other_list_fails_and_the_way_back_is_named(run: Any, answer: Any, text: str) -> None:
    with pytest.raises(StageError) as raised:
        run(answer)
    assert f"GET /v1/merchants/1/stores/{PROBE_OPEN_ID}/certificates: {text}" in str(raised.value)
    assert str(raised.value).endswith(f"\n{WAY_BACK}")


@pytest.mark.parametrize(
    ("secret", "rows", "reason"),
    [
        (None, [], "there is no app yet"),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"), [],
         "GetSecretValue reports AccessDeniedException"),
        (SECRET, DENIED, "Scan reports AccessDeniedException"),
        (SECRET, [row("1", "other"), row("2", active={"BOOL": False}), row("3", stores={"S": "odd"})],
         "no active merchant has a known app"),
        ("{", [row("1")], "the secret is malformed"),
    ],
)  # fmt: skip
def test_without_rights_or_a_merchant_no_list_is_tried_and_it_says_so(
    run: Any, secret: Any, rows: Any, reason: str
) -> None:
    assert run(response(500, {}), secret, rows) == (f"smoke test: passed; no list was tried: {reason}", [])


def test_the_list_is_that_of_an_active_merchant_in_a_session_of_the_reserved_user(run: Any) -> None:
    rows = [row("1", "other"), row("2", stores={"M": {"6601": {"S": "人民广场店"}}})]
    _, [probe] = run(response(200, {"certificates": []}), rows=rows)
    assert probe.path == "/v1/merchants/2/stores/6601/certificates"
    assert decode_session(probe.session, KEYS, 0) == Session("tt1", PROBE_OPEN_ID)


def test_without_an_endpoint_nothing_is_requested(run: Any) -> None:
    result, lists = run(response(500, {}), url=None)
    assert result.startswith("smoke test: passed, without a request")
    assert lists == []

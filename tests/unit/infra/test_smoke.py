"""How the smoke test judges a list, with a faked endpoint and a faked table."""

import json
from types import SimpleNamespace
from typing import Any

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
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan")


def row(account_id: str, app_id: str = "tt1", **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": f"MERCHANT#{account_id}"}, "app_id": {"S": app_id}, **attributes}


def response(status: int, body: Any) -> Any:
    return SimpleNamespace(status_code=status, text=json.dumps(body), json=lambda: body, headers={})


class FakeStage:
    """An account with a secret and rows, and an endpoint whose list has a `response`. `lists` has those requested."""

    def __init__(self, secret: str | ClientError | None, rows: list[Any] | ClientError, answer: Any) -> None:
        self._secret, self._rows, self._answer = secret, rows, answer
        self.lists: list[smoke.Probe] = []

    def client(self, _service: str) -> Any:
        return self

    def describe_secret(self, **_: Any) -> Any:
        return {} if self._secret is None else {"VersionIdsToStages": {"1": ["AWSCURRENT"]}}

    def get_secret_value(self, **_: Any) -> Any:
        if isinstance(self._secret, ClientError):
            raise self._secret
        return {"SecretString": self._secret}

    def get_paginator(self, operation: str) -> Any:
        assert operation == "scan"
        return SimpleNamespace(paginate=self._scan)

    def _scan(self, **_: Any) -> Any:
        if isinstance(self._rows, ClientError):
            raise self._rows
        return [{"Items": self._rows[:1]}, {"Items": self._rows[1:]}]

    def send(self, _url: str, probe: smoke.Probe) -> Any:
        if probe.session in ("", "forged"):
            found = response(probe.status, {**probe.expected, "request_id": "1"})
            found.headers = {"Content-Type": "application/problem+json"}
            return found
        self.lists.append(probe)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def run(stage: FakeStage, monkeypatch: pytest.MonkeyPatch, url: str | None = "https://x") -> str:
    monkeypatch.setattr(smoke, "send", stage.send)
    monkeypatch.setattr(smoke, "HTTP_SECONDS", 0)
    for name in ("compare_functions", "compare_schedule"):
        monkeypatch.setattr(smoke, name, lambda *_: ())
    account: Any = stage
    return smoke.check(account, "dev", {}, Build("1", None), url, way_back=WAY_BACK)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (response(200, {"account_id": "1", "certificates": []}), PASSED),
        (response(403, {"code": "merchant_not_authorized", "upstream": UPSTREAM}), PASSED),
        (response(503, {"code": "token_unavailable", "upstream": UPSTREAM}), PASSED),
        (response(429, {"code": "rate_limited"}), PASSED),
        (response(503, {"code": "quota_exhausted"}), PASSED),
        *(
            (response(503, {"code": code}), "smoke test: deployed; no answer from the platform: run doctor")
            for code in ("upstream_unavailable", "upstream_timeout", "upstream_malformed", "token_unavailable")
        ),
    ],
)
def test_a_list_that_the_service_can_give_passes(answer: Any, result: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FakeStage(SECRET, [row("1")], answer)
    assert run(stage, monkeypatch) == result
    assert len(stage.lists) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (response(500, {"code": "internal_error"}), "HTTP 500"),
        (response(503, {"code": "unavailable"}), "HTTP 503"),
        (response(401, {"code": "unauthenticated"}), "HTTP 401"),
        (response(404, {"code": "store_not_found"}), "HTTP 404"),
        (response(502, {"message": "Internal server error"}), "HTTP 502"),
        (response(200, {}), "HTTP 200"),
        (requests.ConnectionError("x"), "ConnectionError"),
    ],
)
def test_any_other_list_fails_and_the_way_back_is_named(
    answer: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StageError) as raised:
        run(FakeStage(SECRET, [row("1")], answer), monkeypatch)
    assert f"GET /v1/merchants/1/stores/{PROBE_OPEN_ID}/certificates: {text}" in str(raised.value)
    assert str(raised.value).endswith(f"\n{WAY_BACK}")


@pytest.mark.parametrize(
    ("secret", "rows", "reason"),
    [
        (None, [], "there is no app yet"),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"), [],
         "GetSecretValue reports AccessDeniedException"),
        (SECRET, DENIED, "Scan reports AccessDeniedException"),
        (SECRET, [], "no active merchant has a known app"),
        (SECRET, [row("1", "other"), row("2", active={"BOOL": False}), row("3", stores={"S": "odd"})],
         "no active merchant has a known app"),
        ("{", [row("1")], "the secret is malformed"),
    ],
)  # fmt: skip
def test_without_rights_or_a_merchant_no_list_is_tried_and_it_says_so(
    secret: Any, rows: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = FakeStage(secret, rows, response(500, {}))
    assert run(stage, monkeypatch) == f"smoke test: passed; no list was tried: {reason}"
    assert stage.lists == []


def test_the_list_is_that_of_an_active_merchant_in_a_session_of_the_reserved_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores = {"M": {"6601": {"S": "人民广场店"}}}
    stage = FakeStage(SECRET, [row("1", "other"), row("2", stores=stores)], response(200, {"certificates": []}))
    run(stage, monkeypatch)
    [probe] = stage.lists
    assert probe.path == "/v1/merchants/2/stores/6601/certificates"
    assert decode_session(probe.session, KEYS, 0) == Session("tt1", PROBE_OPEN_ID)


def test_without_an_endpoint_nothing_is_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = FakeStage(SECRET, [row("1")], response(500, {}))
    assert run(stage, monkeypatch, url=None).startswith("smoke test: passed, without a request")
    assert stage.lists == []

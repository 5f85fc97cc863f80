"""How the smoke test judges a login and a list, with a faked endpoint and a faked table."""

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from botocore.exceptions import ClientError

from chalicelib.sessions import PROBE_CODE, PROBE_OPEN_ID, Session, decode_session
from infra import smoke
from infra.bundle import Build
from infra.stage_settings import Domain, StageError

UPSTREAM = {"error_code": 2119005, "sub_error_code": 0}
KEYS = ["k" * 32]
SECRET = json.dumps({"apps": {"tt1": "s"}, "session_keys": KEYS})
EXTERNAL = json.dumps({"apps": {"tt1": "s"}, "session_keys": KEYS, "external_tokens": ["tt1"]})
PROVIDERS = json.dumps({"apps": {"tt1": "", "tt2": ""}, "session_keys": KEYS})
ADVICE = "make rollback STAGE=dev"
PASSED = "smoke test: passed"
URL, DOMAIN = "https://x", "api.example.com"
SETTINGS = Domain(DOMAIN, "arn:aws:acm:us-east-1:123456789012:certificate/x")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan")
NOT_RESOLVED = requests.ConnectionError("Max retries exceeded (Caused by NameResolutionError('x'))")


def row(account_id: str, app_id: str = "tt1", **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": f"MERCHANT#{account_id}"}, "app_id": {"S": app_id}, **attributes}


def token(app_id: str, seconds: int) -> dict[str, Any]:
    expires_at = {"N": str(int(time.time()) + seconds)}
    return {"pk": {"S": f"TOKEN#{app_id}"}, "access_token": {"S": "t"}, "expires_at": expires_at}


MERCHANTS = [row("1")]


def response(status: int, body: Any) -> Any:
    headers = {"Content-Type": "application/problem+json"}
    return SimpleNamespace(status_code=status, text=json.dumps(body), json=lambda: body, headers=headers)


LIST = response(200, {"account_id": "1", "certificates": []})
REFUSED = response(401, {"code": "unauthenticated", "request_id": "1"})


class Run:
    """A smoke test. The endpoint gives these answers to a list and a login; `sent` are the requests of both."""

    def __init__(self, rows: Any = MERCHANTS, secret: Any = SECRET) -> None:
        self.answers: dict[str, Any] = {"GET": LIST, "POST": REFUSED}
        self.domain: Any = None
        self.sent: list[smoke.Probe] = []
        self.urls: set[str] = set()
        self.client = Mock()
        self.client.describe_secret.return_value = {"VersionIdsToStages": {"1": ["AWSCURRENT"]}}
        self.client.get_secret_value.side_effect = [
            secret if isinstance(secret, Exception) else {"SecretString": secret}
        ]
        self.rows = rows
        self.client.get_paginator = {"scan": SimpleNamespace(paginate=self.scan)}.get

    def scan(self, *, ExpressionAttributeValues: Any, **_: Any) -> Any:  # noqa: N803 - AWS's name
        if isinstance(self.rows, Exception):
            raise self.rows
        [prefix] = [value["S"] for value in ExpressionAttributeValues.values()]
        found = [item for item in self.rows if item["pk"]["S"].startswith(prefix)]
        return [{"Items": found[:1]}, {"Items": found[1:]}]

    def send(self, url: str, probe: smoke.Probe) -> Any:
        self.urls.add(url)
        if url.endswith(DOMAIN) and isinstance(self.domain, Exception):
            raise self.domain
        if not ("code" in (probe.body or ()) or probe.session_token not in ("", "forged")):
            commit = {"commit": self.domain} if url.endswith(DOMAIN) and self.domain else {}
            return response(probe.expected_status, {**probe.expected_members, "request_id": "1", **commit})
        self.sent.append(probe)
        if isinstance(self.answers[probe.method], Exception):
            raise self.answers[probe.method]
        return self.answers[probe.method]

    def check(self, **options: Any) -> str:
        account: Any = SimpleNamespace(client=lambda _: self.client)
        return smoke.check(account, "dev", Build("1", "a"), URL, advice=ADVICE, **options)

    @property
    def paths(self) -> list[str]:
        return [probe.path for probe in self.sent]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Create a run of the smoke test."""
    monkeypatch.setattr(smoke, "REPEAT_SECONDS", 0)

    def create(*arguments: Any) -> Run:
        tested = Run(*arguments)
        monkeypatch.setattr(smoke, "send", tested.send)
        return tested

    return create


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (LIST, ""),
        (REFUSED, ""),
        (response(503, {"code": "token_unavailable", "upstream": UPSTREAM}), ""),
        (response(502, {"code": "upstream_rejected", "upstream": UPSTREAM}), ""),
        (response(429, {"code": "rate_limited"}), ""),
        (response(503, {"code": "upstream_unavailable"}), smoke.NO_ANSWER),
        (response(504, {"code": "upstream_timeout"}), smoke.NO_ANSWER),
        (response(503, {"code": "token_unavailable"}), smoke.NO_TOKEN),
        (response(502, {"code": "upstream_malformed"}), "HTTP 502 upstream_malformed"),
        (response(502, {"message": "Internal server error"}), "HTTP 502 None"),
        (response(200, {"token": "a session is not printed"}), "HTTP 200 None"),
    ],
)
def test_what_a_login_or_list_proves(answer: Any, verdict: str) -> None:
    assert smoke.find_fault(answer, "unauthenticated") == verdict


@pytest.mark.parametrize(
    ("method", "answer", "sent"),
    [
        ("POST", response(200, {"token": "session"}), ["POST"]),
        ("GET", requests.ConnectionError("x"), ["POST", "GET"]),
    ],
)
def test_a_login_or_list_that_fails_ends_the_test_with_the_advice(
    run: Callable[..., Run], method: str, answer: Any, sent: list[str]
) -> None:
    tested = run()
    tested.answers[method] = answer
    with pytest.raises(StageError, match=rf"{method} /v1/.*: (HTTP 200|ConnectionError)(?s:.*)\n{ADVICE}$"):
        tested.check(tolerates_outage=True)
    assert [probe.method for probe in tested.sent] == sent


def test_an_answer_of_the_platform_that_is_no_list_passes_and_is_named(run: Callable[..., Run]) -> None:
    tested = run()
    tested.answers["GET"] = response(502, {"code": "upstream_rejected", "upstream": UPSTREAM})
    assert tested.check() == f"{PASSED}; GET {tested.paths[-1]} was answered with upstream_rejected"


@pytest.mark.parametrize(
    ("secret", "rows", "reason", "sent"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"), [],
         "GetSecretValue reports AccessDeniedException", []),
        ("{", [row("1")], "the secret is malformed", []),
        (SECRET, DENIED, "Scan reports AccessDeniedException", []),
        (SECRET, [row("1", "other"), row("2", active={"BOOL": False}), row("3", stores={"S": "odd"})],
         "no active merchant has a known app and a store", ["/v1/sessions"]),
        (EXTERNAL, [row("1"), token("tt1", -1)], "the tokens of all merchants have expired", []),
        (PROVIDERS, [row("1"), token("tt1", -1)], "the tokens of all merchants have expired", []),
    ],
)  # fmt: skip
def test_without_rights_or_a_token_no_list_is_tried_and_it_says_so(
    run: Callable[..., Run], secret: Any, rows: Any, reason: str, sent: list[str]
) -> None:
    tested = run(rows, secret)
    assert tested.check() == f"{PASSED}; no list was tried: {reason}"
    assert tested.paths == sent


BOTH = json.dumps({"apps": {"tt1": "", "tt2": "s"}, "session_keys": KEYS})
ROTATED = json.dumps({"apps": {"tt1": "s"}, "session_keys": ["n" * 32, *KEYS]})


@pytest.mark.parametrize(
    ("secret", "rows", "app_id", "store"),
    [
        (SECRET, [row("1", "other"), row("2", stores={"M": {}}), row("3")], "tt1", f"3/stores/{smoke.PROBE_POI_ID}"),
        (ROTATED, [row("2", stores={"M": {"6601": {"S": "人民广场店"}}})], "tt1", "2/stores/6601"),
        (EXTERNAL, [row("1"), token("tt1", 3600)], "tt1", f"1/stores/{smoke.PROBE_POI_ID}"),
        (BOTH, [row("1"), row("2", "tt2"), token("tt1", 3600)], "tt2", f"2/stores/{smoke.PROBE_POI_ID}"),
        (PROVIDERS, [row("1"), row("2", "tt2"), token("tt1", -1), token("tt2", 3600)], "tt2",
         f"2/stores/{smoke.PROBE_POI_ID}"),
    ],
    ids=["own token", "first store, with a key that all instances know", "token of another system", "own app first",
         "provider"],
)  # fmt: skip
def test_asked_is_who_needs_no_token_of_another_system_or_has_one_that_has_not_expired(
    run: Callable[..., Run], secret: str, rows: list[Any], app_id: str, store: str
) -> None:
    tested = run(rows, secret)
    assert tested.check() == PASSED
    login, listed = tested.sent
    assert login.body == {"app_id": app_id, "code": PROBE_CODE}
    assert listed.path == f"/v1/merchants/{store}/certificates"
    assert decode_session(listed.session_token, KEYS, 0) == Session(app_id, PROBE_OPEN_ID)


NOT_IN_DNS = f"{DOMAIN} is not in DNS yet, so it was not requested"


@pytest.mark.parametrize(
    ("domain", "result", "is_passed"),
    [
        (None, PASSED, True),
        (NOT_RESOLVED, f"{PASSED}; {NOT_IN_DNS}", True),
        (requests.ConnectionError("refused"), "domain api.example.com: /v1/health: ConnectionError", False),
        ("b", "domain api.example.com: GET /v1/health: HTTP 200", False),
    ],
)
def test_the_domain_is_requested_too_and_may_have_no_dns_record_yet(
    run: Callable[..., Run], domain: Any, result: str, *, is_passed: bool
) -> None:
    tested = run()
    tested.domain = domain
    if not is_passed:
        with pytest.raises(StageError, match=result):
            tested.check(domain=SETTINGS)
        return
    assert tested.check(domain=SETTINGS) == result
    assert tested.urls == {URL, f"https://{DOMAIN}"}
    assert len(tested.sent) == 2

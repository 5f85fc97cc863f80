"""How the probes of the endpoint are judged and chosen, with a faked endpoint and a faked table."""

import json
import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import requests
from botocore.exceptions import ClientError

from chalicelib.merchants import Merchant
from chalicelib.sessions import PROBE_CODE, PROBE_OPEN_ID, Session, decode_session
from infra import smoke
from infra.bundle import Build
from infra.smoke import PROBE_POI_ID
from infra.stage_settings import Domain, StageError

KEYS = ["k" * 32]


def secret(apps: dict[str, str], **members: Any) -> str:
    return json.dumps({"apps": apps, "session_keys": KEYS} | members)


OWN, PROVIDERS, BOTH = secret({"tt1": "s"}), secret({"tt1": "", "tt2": ""}), secret({"tt1": "", "tt2": "s"})
EXTERNAL = secret({"tt1": "s"}, external_tokens=["tt1"])
ROTATED = secret({"tt1": "s"}, session_keys=["n" * 32, *KEYS])
ADVICE = "make rollback STAGE=dev"
PASSED = "smoke test: passed"
URL, DOMAIN = "https://x", "api.example.com"
SETTINGS = Domain(DOMAIN, "arn:aws:acm:us-east-1:123456789012:certificate/x")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan")
NOT_RESOLVED = requests.ConnectionError("Max retries exceeded (Caused by NameResolutionError('x'))")
BUILD = Build("1", "a1")
HEALTH = smoke.health_probe(BUILD)
LOGIN = smoke.refused_login_probe("tt1")
LIST = smoke.list_probe(Merchant("1", "tt1", None, None, active=True), KEYS)


def row(account_id: str, app_id: str = "tt1", **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": f"MERCHANT#{account_id}"}, "app_id": {"S": app_id}, **attributes}


def token(app_id: str, seconds: int) -> dict[str, Any]:
    expires_at = {"N": str(int(time.time()) + seconds)}
    return {"pk": {"S": f"TOKEN#{app_id}"}, "access_token": {"S": "t"}, "expires_at": expires_at}


def response(status: int, body: Any, content_type: str = "application/problem+json") -> requests.Response:
    found = requests.Response()
    found.status_code = status
    found._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    found.headers["Content-Type"] = content_type
    return found


def problem(code: str, status: int = 503, *upstream: int) -> requests.Response:
    codes = {"upstream": {"error_code": upstream[0], "sub_error_code": upstream[1], "logid": "LOG"}} if upstream else {}
    return response(status, {"code": code, "request_id": "1", **codes})


def expected(probe: smoke.Probe) -> requests.Response:
    return response(probe.expected_status, {**probe.expected_members, "request_id": "1"})


@pytest.mark.parametrize(
    ("probe", "answer", "code", "passes", "text"),
    [
        (HEALTH, response(200, {"status": "ok", "version": "1", "commit": "a1"}, "application/json"), "", True, ""),
        (HEALTH, response(200, {"status": "ok", "version": "2", "commit": "a1"}), "other_build", False, '"2"'),
        (HEALTH, response(200, {"status": "ok", "version": "1", "commit": "a1+"}), "other_build", False, 'a1"}'),
        (HEALTH, response(403, {"message": "Forbidden"}), "broken", False, "HTTP 403"),
        (smoke.UNKNOWN_MERCHANT_PROBE, problem("rate_limited", 429), "rate_limited", False, "HTTP 429"),
        (LOGIN, problem("unauthenticated", 401), "", True, "HTTP 401"),
        (LOGIN, response(401, {"code": "unauthenticated"}), "unauthenticated", False, "unauthenticated (HTTP 401)"),
        (LOGIN, response(200, {"token": "a session is not printed"}), "broken", False, "HTTP 200"),
        (LOGIN, problem("app_misconfigured", 503, 40017, 0), "app_misconfigured", True, "(platform error 40017)"),
        (LIST, response(200, {"account_id": "1", "certificates": []}), "", True, "HTTP 200"),
        (LIST, response(200, {"account_id": "2", "certificates": []}), "broken", False, "HTTP 200"),
        (LIST, response(502, "Bad Gateway", "text/html"), "broken", False, "HTTP 502"),
        (LIST, response(502, [], "text/html"), "broken", False, "HTTP 502"),
        (LIST, response(503, {"code": "unavailable", "upstream": 1}), "unavailable", False, "unavailable (HTTP 503)"),
        (LIST, problem("rate_limited", 429), "rate_limited", True, "rate_limited (HTTP 429)"),
        (LIST, problem("quota_exhausted"), "quota_exhausted", True, "HTTP 503"),
        (LIST, problem("upstream_malformed", 502), "upstream_malformed", False, "HTTP 502"),
        (LIST, problem("upstream_unavailable"), "no_answer", False, "upstream_unavailable (HTTP 503): no answer"),
        (LIST, problem("upstream_timeout", 504), "no_answer", False, "no answer from the platform"),
        (LIST, problem("upstream_unavailable", 503, 2100004, 0), "upstream_unavailable", True, "2100004"),
        (LIST, problem("token_unavailable"), "token_unavailable", False, "no valid access token"),
        (LIST, problem("token_unavailable", 503, 10003, 0), "app_misconfigured", True, "(platform error 10003)"),
        (LIST, problem("merchant_not_authorized", 403, 2100004, 11006), "merchant_not_authorized", True, "4/11006"),
        (LIST, problem("upstream_unavailable", 503, 424242, 0), "unknown_error", True, "424242"),
    ],
)  # fmt: skip
def test_what_a_response_proves(probe: smoke.Probe, answer: Any, code: str, passes: bool, text: str) -> None:
    result = smoke.judge(probe, answer)
    assert (result.code, result.passes) == (code, passes)
    assert text in result.text
    assert "printed" not in result.text
    assert result.upstream.logid == ("LOG" if b'"logid"' in answer.content else "")


ONE_ROW = [row("1")]


class Run:
    """A smoke test. The endpoint gives these answers to a list and a login; `sent` are the requests of both."""

    def __init__(self, rows: Any = ONE_ROW, secret_value: Any = OWN) -> None:
        self.answers: dict[str, Any] = {"GET": response(200, {"account_id": "1"}), "POST": expected(LOGIN)}
        self.domain = expected(smoke.health_probe(BUILD))
        self.sent: list[smoke.Probe] = []
        self.urls: set[str] = set()
        self.rows = rows
        self.client = mock.Mock()
        self.client.describe_secret.return_value = {"VersionIdsToStages": {"1": ["AWSCURRENT"]}}
        self.client.get_secret_value = lambda **_: self.answer(secret_value) and {"SecretString": secret_value}
        self.client.get_paginator = {"scan": SimpleNamespace(paginate=self.scan)}.get

    def answer(self, value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    def scan(self, *, ExpressionAttributeValues: Any, **_: Any) -> Any:  # noqa: N803 - AWS's name
        [prefix] = [value["S"] for value in ExpressionAttributeValues.values()]
        found = [item for item in self.answer(self.rows) if item["pk"]["S"].startswith(prefix)]
        return [{"Items": found[:1]}, {"Items": found[1:]}]

    def send(self, url: str, probe: smoke.Probe) -> Any:
        self.urls.add(url)
        if url.endswith(DOMAIN):
            return self.answer(self.domain)
        if not probe.reaches_platform:
            return expected(probe)
        self.sent.append(probe)
        return self.answer(self.answers[probe.method])

    def check(self, **options: Any) -> str:
        account: Any = SimpleNamespace(client=lambda _: self.client)
        with mock.patch.object(smoke, "send", self.send), mock.patch.object(smoke, "REPEAT_SECONDS", 0):
            return smoke.check(account, "dev", BUILD, URL, advice=ADVICE, **options)


@pytest.mark.parametrize(
    ("method", "answer", "sent", "text"),
    [
        ("POST", response(200, {"token": "session"}), 1, "POST /v1/sessions: HTTP 200"),
        ("GET", requests.ConnectionError("x"), 2, r"GET /v1/.*: no response \(ConnectionError\)"),
    ],
)
def test_a_login_or_list_that_fails_ends_the_test_with_the_advice(
    method: str, answer: Any, sent: int, text: str
) -> None:
    run = Run()
    run.answers[method] = answer
    with pytest.raises(StageError, match=rf"{text}(?s:.*)\n{ADVICE}$"):
        run.check(tolerates_outage=True)
    assert len(run.sent) == sent


def test_an_answer_of_the_platform_that_is_no_list_passes_and_is_named() -> None:
    run = Run()
    run.answers["GET"] = problem("upstream_rejected", 502, 2119001, 0)
    assert run.check() == f"{PASSED}; GET {LIST.path}: upstream_rejected (platform error 2119001)"


@pytest.mark.parametrize("code", ["token_unavailable", "upstream_timeout"])
def test_an_outage_of_the_platform_passes_only_if_it_is_known(code: str) -> None:
    run = Run()
    run.answers["GET"] = problem(code)
    assert f"{PASSED}; GET {LIST.path}: {code} (HTTP 503): no" in run.check(tolerates_outage=True)
    with pytest.raises(StageError, match="NO_PLATFORM=1"):
        run.check()


def test_a_probe_is_repeated_while_aws_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    for probe, pause in ((smoke.FORGED_SESSION_PROBE, 1), (LIST, 10)):
        answers = [response(502, ""), response(502, ""), expected(probe)]
        monkeypatch.setattr(smoke, "send", lambda *_, answers=answers: answers.pop(0))
        assert not smoke._repeat(URL, probe, (), 30).code
        assert pauses == [pause, pause]
        pauses.clear()


@pytest.mark.parametrize(
    ("secret_value", "rows", "reason", "sent"),
    [
        ("{", [row("1")], "the secret is not {", 0),
        (OWN, DENIED, "An error occurred (AccessDeniedException) when calling the Scan", 0),
        (OWN, [row("1", "other"), row("2", active={"BOOL": False}), row("3", stores={"S": "odd"})],
         "no active merchant has a known app and a store", 1),
        (EXTERNAL, [row("1"), token("tt1", -1)], "the tokens of all merchants have expired", 0),
    ],
)  # fmt: skip
def test_without_rights_or_a_token_no_list_is_tried_and_it_says_so(
    secret_value: Any, rows: Any, reason: str, sent: int
) -> None:
    run = Run(rows, secret_value)
    assert run.check().startswith(f"{PASSED}; no list was tried: {reason}")
    assert [probe.path for probe in run.sent] == ["/v1/sessions"] * sent


@pytest.mark.parametrize(
    ("secret_value", "rows", "app_id", "store"),
    [
        (OWN, [row("1", "other"), row("2", stores={"M": {}}), row("3")], "tt1", f"3/stores/{PROBE_POI_ID}"),
        (ROTATED, [row("2", stores={"M": {"6601": {"S": "人民广场店"}}})], "tt1", "2/stores/6601"),
        (EXTERNAL, [row("1"), token("tt1", 3600)], "tt1", f"1/stores/{PROBE_POI_ID}"),
        (BOTH, [row("1"), row("2", "tt2"), token("tt1", 3600)], "tt2", f"2/stores/{PROBE_POI_ID}"),
        (PROVIDERS, [row("1"), row("2", "tt2"), token("tt1", -1), token("tt2", 3600)], "tt2",
         f"2/stores/{PROBE_POI_ID}"),
    ],
    ids=["own token", "first store, with a key that all instances know", "token of another system", "own app first",
         "provider"],
)  # fmt: skip
def test_asked_is_who_needs_no_token_of_another_system_or_has_one_that_has_not_expired(
    secret_value: str, rows: list[Any], app_id: str, store: str
) -> None:
    run = Run(rows, secret_value)
    run.answers["GET"] = response(200, {"account_id": store[0]})
    assert run.check() == PASSED
    login, listed = run.sent
    assert login.body == {"app_id": app_id, "code": PROBE_CODE}
    assert listed.path == f"/v1/merchants/{store}/certificates"
    assert decode_session(listed.session_token, KEYS, 0) == Session(app_id, PROBE_OPEN_ID)


@pytest.mark.parametrize(
    ("domain", "result"),
    [
        (expected(smoke.health_probe(BUILD)), PASSED),
        (NOT_RESOLVED, f"{PASSED}; {DOMAIN} is not in DNS yet, so it was not requested"),
        (requests.ConnectionError("refused"), r"domain api.example.com: GET /v1/health: no response"),
        (response(200, {"status": "ok"}), "domain api.example.com: GET /v1/health: HTTP 200"),
    ],
)
def test_the_domain_is_requested_too_and_may_have_no_dns_record_yet(domain: Any, result: str) -> None:
    run = Run()
    run.domain = domain
    if not result.startswith(PASSED):
        with pytest.raises(StageError, match=result):
            run.check(domain=SETTINGS)
        return
    assert run.check(domain=SETTINGS) == result
    assert run.urls == {URL, f"https://{DOMAIN}"}

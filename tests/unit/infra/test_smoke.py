"""How the probes of the endpoint are judged and chosen, with a faked endpoint and a faked table."""

import json
import time
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
URL, DOMAIN = "https://x", Domain("api.example.com", "arn:aws:acm:us-east-1:123456789012:certificate/x")
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


UNSERVED = [row("1", "other"), row("2", active={"BOOL": False}), row("3", stores={"S": "odd"})]
TWO_APPS = [row("1"), row("2", "tt2")]


def response(status: int, body: Any) -> requests.Response:
    found = requests.Response()
    found.status_code = status
    found._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return found


def problem(code: str, status: int = 503, *upstream: int) -> requests.Response:
    codes = {"upstream": {"error_code": upstream[0], "sub_error_code": upstream[1], "logid": "LOG"}} if upstream else {}
    return response(status, {"code": code, **codes})


def expected(probe: smoke.Probe) -> requests.Response:
    return response(probe.expected_status, {**probe.expected_members, "request_id": "1"})


@pytest.mark.parametrize(
    ("probe", "answer", "code", "passes", "text"),
    [
        (HEALTH, response(200, {"status": "ok", "version": "1", "commit": "a1"}), "", True, "HTTP 200"),
        (HEALTH, response(200, {"status": "ok", "version": "2", "commit": "a1"}), "other_build", False, '"2"'),
        (HEALTH, response(200, {"status": "ok", "version": "1", "commit": "a1+"}), "other_build", False, 'a1"}'),
        (HEALTH, response(403, {"message": "Forbidden"}), "broken", False, "HTTP 403"),
        (smoke.UNKNOWN_MERCHANT_PROBE, problem("rate_limited", 429), "rate_limited", False, "HTTP 429"),
        (LOGIN, problem("unauthenticated", 401), "", True, "HTTP 401"),
        (LOGIN, response(200, {"token": "a session is not printed"}), "broken", False, "HTTP 200"),
        (LIST, response(200, {"account_id": "1", "certificates": []}), "", True, "HTTP 200"),
        (LIST, response(200, {"account_id": "2", "certificates": []}), "broken", False, "HTTP 200"),
        (LIST, response(502, []), "broken", False, "HTTP 502"),
        (LIST, problem("rate_limited", 429), "rate_limited", True, "rate_limited (HTTP 429)"),
        (LIST, problem("quota_exhausted"), "quota_exhausted", True, "HTTP 503"),
        (LIST, problem("upstream_malformed", 502), "upstream_malformed", False, "HTTP 502"),
        (LIST, problem("upstream_unavailable"), "no_answer", False, "upstream_unavailable (HTTP 503): no answer"),
        (LIST, problem("upstream_timeout", 504), "no_answer", False, "no answer from the platform"),
        (LIST, problem("upstream_unavailable", 503, 2100004, 0), "upstream_unavailable", True, "2100004"),
        (LIST, problem("token_unavailable"), "token_unavailable", False, "no valid access token"),
        (LIST, problem("token_unavailable", 503, 10003, 0), "token_unavailable", True, "(platform error 10003)"),
        (LIST, problem("merchant_not_authorized", 403, 2100004, 11006), "merchant_not_authorized", True, "4/11006"),
    ],
)  # fmt: skip
def test_what_a_response_proves(probe: smoke.Probe, answer: Any, code: str, passes: bool, text: str) -> None:
    result = smoke.judge(probe, answer)
    assert (result.code, result.passes) == (code, passes)
    assert text in result.text
    assert "printed" not in result.text
    assert result.upstream.logid == ("LOG" if b'"logid"' in answer.content else "")


def test_a_probe_is_repeated_until_it_passes_while_aws_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    answers = [response(502, ""), requests.ConnectionError("x"), expected(LIST)]
    request = mock.Mock(side_effect=[*answers, *answers])
    monkeypatch.setattr(requests, "request", request)
    assert not smoke.request(URL, LIST, (), time.monotonic() + 30).code
    assert pauses == [5, 5]
    assert request.call_args.args == ("GET", URL + LIST.path)
    assert request.call_args.kwargs["headers"] == {"Authorization": f"Bearer {LIST.session_token}"}
    assert smoke.request(URL, LIST).code == "broken", "without a deadline, one attempt"


def check(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], **options: Any) -> str:
    """Run a smoke test. `answers` has, by URL, those that are not as expected."""
    probes = [*smoke.endpoint_probes(BUILD, has_app=True).values(), LOGIN, LIST]
    found = {URL + probe.path: expected(probe) for probe in probes} | answers

    def send(_method: str, url: str, **_: Any) -> Any:
        answer: Any = found[url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(requests, "request", send)
    monkeypatch.setattr(smoke, "REPEAT_SECONDS", 0)
    monkeypatch.setattr(smoke, "find_platform_probes", lambda *_: ([LOGIN, LIST], ""))
    return smoke.check(mock.MagicMock(), "dev", BUILD, URL, advice="make rollback STAGE=dev", **options)


LISTED, DOMAIN_HEALTH = URL + LIST.path, f"https://{DOMAIN.name}/v1/health"
KNOWN_OUTAGE, WITH_DOMAIN = {"tolerates_outage": True}, {"domain": DOMAIN}
NOT_TRIED = {LISTED: AssertionError("a list is not tried after another failure")}


@pytest.mark.parametrize(
    ("answers", "options", "note"),
    [
        ({}, {}, ""),
        ({LISTED: problem("upstream_rejected", 502, 2119001, 0)}, {}, "upstream_rejected (platform error 2119001)"),
        ({LISTED: problem("token_unavailable")}, KNOWN_OUTAGE, "token_unavailable (HTTP 503): no valid access token"),
        ({LISTED: problem("upstream_timeout", 504)}, KNOWN_OUTAGE, "no answer from the platform"),
        ({DOMAIN_HEALTH: expected(HEALTH)}, WITH_DOMAIN, ""),
        ({DOMAIN_HEALTH: NOT_RESOLVED}, WITH_DOMAIN, f"{DOMAIN.name} is not in DNS yet, so it was not requested"),
    ],
)
def test_what_passes_is_named_if_it_is_not_as_expected(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], options: dict[str, Any], note: str
) -> None:
    passed, _, found = check(monkeypatch, answers, **options).partition("; ")
    assert passed == "smoke test: passed"
    assert note in found
    assert bool(note) == bool(found)


@pytest.mark.parametrize(
    ("answers", "options", "text"),
    [
        ({f"{URL}/v1/health": response(200, {"status": "ok"}), **NOT_TRIED}, {}, "GET /v1/health: HTTP 200"),
        ({f"{URL}{LOGIN.path}": response(200, {"token": "x"}), **NOT_TRIED}, {}, r"POST /v1/sessions: broken \(HTTP"),
        ({LISTED: requests.ConnectionError("x")}, KNOWN_OUTAGE, r"/certificates: no response \(ConnectionError\)"),
        ({LISTED: problem("token_unavailable")}, {}, "NO_PLATFORM=1"),
        ({DOMAIN_HEALTH: requests.ConnectionError("x")}, WITH_DOMAIN, f"domain {DOMAIN.name}: GET /v1/health: no resp"),
        ({DOMAIN_HEALTH: response(200, {"status": "ok"})}, WITH_DOMAIN, f"domain {DOMAIN.name}: GET /v1/health: HTTP"),
    ],
)
def test_what_fails_is_named_and_the_advice_comes_last(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(StageError, match=rf"{text}(?s:.*)\nmake rollback STAGE=dev$"):
        check(monkeypatch, answers, **options)


def choose(monkeypatch: pytest.MonkeyPatch, secret_value: str, scans: Any) -> tuple[list[smoke.Probe], str]:
    """Choose the probes that reach the platform. `scans` are the rows of merchants and of tokens, or an error."""
    monkeypatch.setattr(smoke, "scan_items", mock.Mock(side_effect=scans))
    account = mock.Mock()
    account.client.return_value.get_secret_value.return_value = {"SecretString": secret_value}
    return smoke.find_platform_probes(account, "dev")


@pytest.mark.parametrize(
    ("secret_value", "scans", "reason", "paths"),
    [
        ("{", [[], []], "the secret is not {", []),
        (OWN, DENIED, "An error occurred (AccessDeniedException) when calling the Scan", []),
        (OWN, [UNSERVED, []], "no active merchant has a known app and a store", ["/v1/sessions"]),
        (EXTERNAL, [[row("1")], [token("tt1", -1)]], "the tokens of all merchants have expired", []),
    ],
)
def test_without_rights_or_a_token_no_list_is_tried_and_it_says_so(
    monkeypatch: pytest.MonkeyPatch, secret_value: str, scans: Any, reason: str, paths: list[str]
) -> None:
    probes, found = choose(monkeypatch, secret_value, scans)
    assert found.startswith(reason)
    assert [probe.path for probe in probes] == paths


@pytest.mark.parametrize(
    ("secret_value", "merchants", "tokens", "app_id", "store"),
    [
        (OWN, [*UNSERVED, row("4", stores={"M": {}}), row("5")], [], "tt1", f"5/stores/{PROBE_POI_ID}"),
        (ROTATED, [row("2", stores={"M": {"6601": {"S": "人民广场店"}}})], [], "tt1", "2/stores/6601"),
        (BOTH, TWO_APPS, [token("tt1", 3600)], "tt2", f"2/stores/{PROBE_POI_ID}"),
        (PROVIDERS, TWO_APPS, [token("tt1", -1), token("tt2", 3600)], "tt2", f"2/stores/{PROBE_POI_ID}"),
    ],
    ids=["own token", "first store, with a key that all instances know", "own app first", "provider"],
)
def test_asked_is_who_needs_no_token_of_another_system_or_has_one_that_has_not_expired(
    monkeypatch: pytest.MonkeyPatch, secret_value: str, merchants: Any, tokens: Any, app_id: str, store: str
) -> None:
    [login, listed], reason = choose(monkeypatch, secret_value, [merchants, tokens])
    assert not reason
    assert login.body == {"app_id": app_id, "code": PROBE_CODE}
    assert listed.path == f"/v1/merchants/{store}/certificates"
    assert decode_session(listed.session_token, KEYS, 0) == Session(app_id, PROBE_OPEN_ID)

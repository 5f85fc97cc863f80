"""Smoke test of a deployed stage: the public endpoint, a login and a list.

The login code is invented, and the list is requested for a user who does not exist. Both probes reach the platform. The
service does not count them in its metrics.
"""

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import requests
from botocore.exceptions import ClientError

from chalicelib.credentials import parse_credentials
from chalicelib.errors import ConfigurationError
from chalicelib.merchants import MERCHANT_PREFIX, Merchant, parse_merchant
from chalicelib.sessions import PROBE_ACCOUNT_ID, PROBE_CODE, PROBE_OPEN_ID, Session, encode_session
from chalicelib.tokens.rows import TokenRow, token_pk
from infra.account import AwsAccount
from infra.bundle import Build
from infra.cloudformation import secret_name, shared_name
from infra.stage_settings import Domain, StageError
from infra.table import scan_items

T = TypeVar("T")

REPEAT_SECONDS = 30.0
"""The time for which a check is repeated. API Gateway and Lambda switch to a new version with a delay, and a single
call of the platform may fail."""

_PAUSE_SECONDS = 1.0
"""Pause before a check is repeated."""

_PLATFORM_PAUSE_SECONDS = 10.0
"""Pause before a probe that reaches the platform is repeated. The service sends a login to the platform only once, so
one failure is no proof of a defect."""

_REQUEST_SECONDS = 15.0
"""Limit for a response: the service answers within 10 s."""

SESSION_SECONDS = 600
"""Lifetime of the session with which a list is requested."""

NO_ANSWER = "no answer from the platform"
NO_TOKEN = "no valid access token, or no answer to the request for one"  # noqa: S105 - a text
UNREACHED = (NO_ANSWER, NO_TOKEN)
"""What `find_fault` returns if the platform has not answered."""

_NOT_IN_DNS = "not in DNS"


class Probe(NamedTuple):
    """A request to the endpoint, and the expected response: its status, and members of its JSON object."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    expected_status: int
    expected_members: Mapping[str, Any]
    session_token: str = ""

    @property
    def expected_text(self) -> str:
        """The expected response as text."""
        return f"HTTP {self.expected_status} {json.dumps(self.expected_members)}"


PROBE_POI_ID = PROBE_OPEN_ID
"""The poi_id for a merchant without a store list. For such a merchant, the service accepts any poi_id."""

UNKNOWN_ROUTE_PROBE = Probe("GET", "/v1/no-such-route", None, 404, {"code": "not_found"})
"""API Gateway responds to it, without the function."""

INVALID_LOGIN_PROBE = Probe("POST", "/v1/sessions", {}, 400, {"code": "invalid_request"})
"""The function responds to it."""

UNKNOWN_MERCHANT_PROBE = Probe(
    "GET", f"/v1/merchants/{PROBE_ACCOUNT_ID}/stores", None, 404, {"code": "merchant_not_found"}
)
"""For this response, the function must read the table."""

FORGED_SESSION_PROBE = Probe(
    "GET", f"/v1/merchants/{PROBE_ACCOUNT_ID}/stores/1/certificates", None, 401, {"code": "unauthenticated"}, "forged"
)
"""For this response, the function must read the secret."""


def health_probe(build: Build) -> Probe:
    """Return the health call, which must report this build. An unknown commit is not compared."""
    commit = {} if build.commit is None else {"commit": build.commit}
    return Probe("GET", "/v1/health", None, 200, {"status": "ok", "version": build.version, **commit})


def list_probe(merchant: Merchant, session_keys: Sequence[str]) -> Probe:
    """Return the request for the list of a merchant's first store, in a session of the user who does not exist.

    The oldest session key signs this session. An instance may have cached the secret for up to five minutes, but it
    already knows this key. After `session-key rotate --revoke` it may not know it; then it reads the secret again.
    """
    poi_id = PROBE_POI_ID if merchant.stores is None else next(iter(merchant.stores))
    path = f"/v1/merchants/{merchant.account_id}/stores/{poi_id}/certificates"
    user, expires_at = Session(merchant.app_id, PROBE_OPEN_ID), int(time.time()) + SESSION_SECONDS
    return Probe("GET", path, None, 200, {}, encode_session(user, expires_at, list(session_keys[-1:])))


def refused_login_probe(app_id: str) -> Probe:
    """Return a login with an invented code. To refuse it, the function reads the secret and calls the platform."""
    login = {"app_id": app_id, "code": PROBE_CODE}
    return Probe("POST", "/v1/sessions", login, 401, {"code": "unauthenticated"})


def check(
    account: AwsAccount,
    stage: str,
    build: Build,
    url: str,
    domain: Domain | None = None,
    *,
    advice: str = "",
    tolerates_outage: bool = False,
) -> str:
    """Check the endpoint at `url` and, if there is one, at `domain`; return a line for the user.

    With `tolerates_outage`, the check also passes if the platform does not answer. Raises StageError, whose message
    lists each failed check. The message ends with `advice`: what to do now.
    """
    failures: list[str] = []
    notes = ["smoke test: passed"]
    if domain is not None:
        at_domain = f"https://{domain.name}"
        check_domain = functools.partial(_check_http, at_domain, [health_probe(build)])
        domain_failures = repeat(check_domain, lambda result: result in ([], [_NOT_IN_DNS]))
        if domain_failures == [_NOT_IN_DNS]:
            notes.append(f"{domain.name} is not in DNS yet, so it was not requested")
        else:
            failures += [f"domain {domain.name}: {failure}" for failure in domain_failures]
    probes = [health_probe(build), UNKNOWN_ROUTE_PROBE, INVALID_LOGIN_PROBE, UNKNOWN_MERCHANT_PROBE]
    # Before the first app is added, the secret has no value.
    secret = account.client("secretsmanager").describe_secret(SecretId=secret_name(stage))
    if has_app := bool(secret.get("VersionIdsToStages")):
        probes.append(FORGED_SESSION_PROBE)
    failures += repeat(functools.partial(_check_http, url, probes), lambda result: not result)
    platform_probes, reason = find_platform_probes(account, stage) if has_app else ([], "there is no app yet")
    notes += [f"no list was tried: {reason}"] if reason else []
    accepted = UNREACHED if tolerates_outage else ()
    for probe in [] if failures else platform_probes:
        find_probe_fault = functools.partial(_find_probe_fault, url, probe)
        fault, code = repeat(find_probe_fault, lambda result: result[0] in ("", *accepted), _PLATFORM_PAUSE_SECONDS)
        if fault in accepted:
            notes.append(f"{fault} (NO_PLATFORM=1)")
        elif fault:
            hint = " (NO_PLATFORM=1 says that this is known)" if fault in UNREACHED else ""
            failures.append(f"{probe.method} {probe.path}: {fault}{hint}")
            break
        elif code:
            notes.append(f"{probe.method} {probe.path} was answered with {code}")
    if failures:
        lines = ["the deployed stage does not work:", *(f"  {failure}" for failure in failures), advice]
        raise StageError("\n".join(filter(None, lines)))
    return "; ".join(notes)


def send(url: str, probe: Probe) -> requests.Response:
    """Send a request to the endpoint at `url`; raises requests.RequestException."""
    authorization = {"Authorization": f"Bearer {probe.session_token}"} if probe.session_token else {}
    headers = {"Connection": "close", **authorization}
    return requests.request(probe.method, url + probe.path, json=probe.body, timeout=_REQUEST_SECONDS, headers=headers)


def compare_response(response: requests.Response, probe: Probe) -> str:
    """Return how a response differs from the expected one, or "" if it does not.

    If a problem is expected, the response must also have a problem's content type and a request id.
    """
    body = read_object(response)
    content_type = response.headers.get("Content-Type", "").split(";")[0]
    is_problem = content_type == "application/problem+json" and bool(body.get("request_id"))
    is_complete = is_problem or probe.expected_status < 400
    is_expected = response.status_code == probe.expected_status and body.items() >= probe.expected_members.items()
    if is_expected and is_complete:
        return ""
    return f"HTTP {response.status_code} {content_type} {response.text[:200]}, expected {probe.expected_text}"


def find_fault(response: requests.Response, expected_code: str | None = None) -> str:
    """Return what is wrong with the response to a login or list, or "" if nothing is wrong.

    A text of UNREACHED means that the platform has not answered. Nothing is wrong with a list, the expected problem, a
    rate limit or a used-up quota. The same is true for any other problem with `upstream`, because it proves that the
    platform has answered.
    """
    body = read_object(response)
    code = str(body.get("code"))
    if "certificates" in body or "upstream" in body or code in ("rate_limited", "quota_exhausted", expected_code):
        return ""
    if code == "token_unavailable":
        return NO_TOKEN
    # `upstream_malformed` is not NO_ANSWER: the platform has answered, and perhaps this build cannot read the answer.
    # Only status and code are reported: the rest of the response may contain a session token.
    return NO_ANSWER if code in ("upstream_unavailable", "upstream_timeout") else f"HTTP {response.status_code} {code}"


def read_object(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def repeat(check: Callable[[], T], is_final: Callable[[T], bool], pause: float = _PAUSE_SECONDS) -> T:
    """Repeat a check until its result is final, or REPEAT_SECONDS have passed; return the last result."""
    deadline = time.monotonic() + REPEAT_SECONDS
    while not is_final(result := check()) and time.monotonic() + pause <= deadline:
        time.sleep(pause)
    return result


def _check_http(url: str, probes: Iterable[Probe]) -> list[str]:
    failures: list[str] = []
    for probe in probes:
        try:
            difference = compare_response(send(url, probe), probe)
        except requests.RequestException as error:
            reason = _NOT_IN_DNS if "NameResolutionError" in str(error) else f"{probe.path}: {type(error).__name__}"
            return [*failures, reason]
        failures += [f"{probe.method} {probe.path}: {difference}"] if difference else []
    return failures


def _find_probe_fault(url: str, probe: Probe) -> tuple[str, str]:
    """Send a probe; return what is wrong with the response, and the code of an unexpected problem. Each may be ""."""
    try:
        response = send(url, probe)
    except requests.RequestException as error:
        return type(error).__name__, ""
    code, expected = str(read_object(response).get("code", "")), probe.expected_members.get("code")
    return find_fault(response, expected), "" if code == expected else code


def find_platform_probes(account: AwsAccount, stage: str) -> tuple[list[Probe], str]:
    """Return the probes that reach the platform (a login and a list), and why there is no list, or "".

    Prefer an app whose tokens this service mints. Second choice: an app whose token in the table has not expired.
    """
    client, table, merchants = account.client("dynamodb"), shared_name(stage), list[Merchant]()
    try:
        secret = account.client("secretsmanager").get_secret_value(SecretId=secret_name(stage))
        credentials = parse_credentials(secret.get("SecretString", ""))
        for item in scan_items(client, table, MERCHANT_PREFIX):
            # `redeemctl doctor` reports malformed rows.
            with contextlib.suppress(ConfigurationError):
                merchants.append(parse_merchant(item["pk"]["S"].removeprefix(MERCHANT_PREFIX), item))
        tokens = {item["pk"]["S"]: TokenRow.from_item(item) for item in scan_items(client, table, token_pk(""))}
    except ClientError as error:
        return [], f"{error.operation_name} reports {error.response['Error']['Code']}"
    except ConfigurationError:
        return [], "the secret is malformed"

    def rank(app_id: str) -> int:
        row = tokens.get(token_pk(app_id), TokenRow())
        return 0 if credentials.mints_tokens_of(app_id) else 1 if row.is_valid(time.time()) else 2

    app_id = min(credentials.apps, key=rank, default="")
    # A merchant whose list of stores is empty has no store to ask for.
    served = [m for m in merchants if m.active and m.stores != {} and m.app_id in credentials.apps]
    merchant = min(served, key=lambda merchant: rank(merchant.app_id), default=None)
    probes = [refused_login_probe(app_id)] if rank(app_id) < 2 else []
    if merchant is None or rank(merchant.app_id) == 2:
        missing = "no active merchant has a known app and a store"
        return probes, "the tokens of all merchants have expired" if served else missing
    return [*probes, list_probe(merchant, credentials.session_keys)], ""

"""Probes of a stage's public endpoint, what their responses mean, and the smoke test of a deployment.

`redeemctl doctor` sends the same probes. A login with an invented code and a list of a user who does not exist reach
the platform. The service does not count them in its metrics.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import requests
from botocore.exceptions import ClientError

from chalicelib.aws import Item
from chalicelib.credentials import parse_credentials
from chalicelib.errors import NO_CODES, ConfigurationError, UpstreamCodes
from chalicelib.merchants import MERCHANT_PREFIX, Merchant, parse_merchant
from chalicelib.sessions import PROBE_ACCOUNT_ID, PROBE_CODE, PROBE_OPEN_ID, Session, encode_session
from chalicelib.tokens.rows import TokenRow, token_pk
from infra.account import AwsAccount
from infra.bundle import Build
from infra.cloudformation import secret_name, shared_name
from infra.stage_settings import Domain, StageError
from infra.table import scan_items

REPEAT_SECONDS = 30.0
"""The time for which the smoke test repeats probes that fail. API Gateway and Lambda switch to a new version with a
delay, and a single call of the platform may fail."""

_PAUSE_SECONDS = 5.0
"""Pause before a probe is repeated."""

_REQUEST_SECONDS = 15.0
"""Limit for a response: the service answers within 10 s."""

SESSION_SECONDS = 600
"""Lifetime of the session with which a list is requested."""

PROBE_POI_ID = "redeemctl-doctor-store"
"""The poi_id for a merchant without a store list. For such a merchant, the service accepts any poi_id."""

OUTAGE_CODES = ("no_answer", "token_unavailable")
"""The codes of a result, without a code of the platform, with which a deployment passes if the outage is known."""


class Probe(NamedTuple):
    """A request to the endpoint, and the expected response: its status, and members of its JSON object."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    expected_status: int
    expected_members: Mapping[str, Any]
    session_token: str = ""
    reaches_platform: bool = False


class Result(NamedTuple):
    """What a response means.

    `code` is "" for the expected response, else the code of the problem, or one of these: `other_build`, `no_answer`
    (of the platform), `broken` (no problem of this service), `no_response`, `not_in_dns`.
    """

    code: str
    #: What was seen.
    text: str
    upstream: UpstreamCodes = NO_CODES
    #: Whether the response proves that the stage works, although it may not be the expected one.
    passes: bool = False


UNKNOWN_ROUTE_PROBE = Probe("GET", "/v1/no-such-route", None, 404, {"code": "not_found"})
"""API Gateway responds to it, without the function."""

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


def refused_login_probe(app_id: str) -> Probe:
    """Return a login with an invented code. To refuse it, the function reads the secret and calls the platform."""
    login = {"app_id": app_id, "code": PROBE_CODE}
    return Probe("POST", "/v1/sessions", login, 401, {"code": "unauthenticated"}, reaches_platform=True)


def list_probe(merchant: Merchant, session_keys: Sequence[str]) -> Probe:
    """Return the request for the list of a merchant's first store, in a session of the user who does not exist.

    The oldest session key signs this session. An instance may have cached the secret for up to five minutes, but it
    already knows this key. After `session-key rotate --revoke` it may not know it; then it reads the secret again.
    """
    poi_id = PROBE_POI_ID if merchant.stores is None else next(iter(merchant.stores))
    path = f"/v1/merchants/{merchant.account_id}/stores/{poi_id}/certificates"
    user, expires_at = Session(merchant.app_id, PROBE_OPEN_ID), int(time.time()) + SESSION_SECONDS
    session_token = encode_session(user, expires_at, list(session_keys[-1:]))
    return Probe("GET", path, None, 200, {"account_id": merchant.account_id}, session_token, reaches_platform=True)


def endpoint_probes(build: Build, *, has_app: bool) -> dict[str, Probe]:
    """Return the probes that do not reach the platform, by the ids of doctor's checks.

    Before the first app is added, the secret has no value, so the function cannot read it.
    """
    probes = {"api.health": health_probe(build), "api.route": UNKNOWN_ROUTE_PROBE, "api.table": UNKNOWN_MERCHANT_PROBE}
    return probes | ({"api.secret": FORGED_SESSION_PROBE} if has_app else {})


def request(url: str, probe: Probe, tolerated: Collection[str] = (), deadline: float = 0.0) -> Result:
    """Send a probe to the endpoint at `url`, and judge the response; return the last result.

    Until `deadline` (of the monotonic clock), the probe is repeated unless it passes or its code is tolerated.
    """
    headers = {"Authorization": f"Bearer {probe.session_token}"} if probe.session_token else {}
    content: Any = {"headers": headers, "json": probe.body}
    while True:
        try:
            result = judge(probe, requests.request(probe.method, url + probe.path, timeout=_REQUEST_SECONDS, **content))
        except requests.RequestException as error:
            code = "not_in_dns" if "NameResolutionError" in str(error) else "no_response"
            result = Result(code, f"no response ({type(error).__name__})")
        if result.passes or result.code in tolerated or time.monotonic() + _PAUSE_SECONDS > deadline:
            return result
        time.sleep(_PAUSE_SECONDS)


class _Problem(msgspec.Struct):
    """What a problem of this service says. Any other body has no `code`."""

    code: str = ""
    upstream: UpstreamCodes = NO_CODES


def judge(probe: Probe, response: requests.Response) -> Result:
    """Judge the response to a probe."""
    try:
        body = response.json()
        problem = msgspec.convert(body, _Problem)
    except ValueError:
        body, problem = {}, _Problem()
    expected = f"HTTP {probe.expected_status} {json.dumps(probe.expected_members)}"
    if response.status_code == probe.expected_status and body.items() >= probe.expected_members.items():
        return Result("", expected, passes=True)
    seen = f"HTTP {response.status_code}"
    if probe.reaches_platform:
        # The body is not shown: it may contain a session token or coupons.
        return _judge_problem(problem.code or "broken", problem.upstream, seen)
    code = "other_build" if body.get("status") == "ok" else problem.code or "broken"
    return Result(code, f"{seen} {response.text[:200]}, expected {expected}")


def _judge_problem(code: str, upstream: UpstreamCodes, seen: str) -> Result:
    """Judge a login or list that was not answered as expected.

    A code of the platform, a rate limit and a used-up quota prove that the platform has answered.
    """
    if upstream.has_code:
        sub_code = f"/{upstream.sub_error_code}" if upstream.sub_error_code else ""
        return Result(code, f"{code} (platform error {upstream.error_code}{sub_code})", upstream, passes=True)
    text = f"{code} ({seen})"
    if code == "token_unavailable":
        return Result(code, f"{text}: no valid access token, or no answer to the request for one")
    # After `upstream_malformed`, the platform has answered, and perhaps this build cannot read the answer.
    if code in ("upstream_timeout", "upstream_unavailable"):
        return Result("no_answer", f"{text}: no answer from the platform")
    return Result(code, text, passes=code in ("rate_limited", "quota_exhausted"))


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
    lists each failed probe. The message ends with `advice`: what to do now.
    """
    failures, notes = list[str](), ["smoke test: passed"]
    deadline = time.monotonic() + REPEAT_SECONDS
    if domain is not None:
        result = request(f"https://{domain.name}", health_probe(build), ("not_in_dns",), deadline)
        if result.code == "not_in_dns":
            notes.append(f"{domain.name} is not in DNS yet, so it was not requested")
        elif result.code:
            failures.append(f"domain {domain.name}: GET /v1/health: {result.text}")
    secret = account.client("secretsmanager").describe_secret(SecretId=secret_name(stage))
    has_app = bool(secret.get("VersionIdsToStages"))
    platform_probes, reason = find_platform_probes(account, stage) if has_app else ([], "there is no app yet")
    notes += [f"no list was tried: {reason}"] if reason else []
    tolerated = OUTAGE_CODES if tolerates_outage else ()
    for probe in [*endpoint_probes(build, has_app=has_app).values(), *platform_probes]:
        if failures and probe.reaches_platform:
            break
        result = request(url, probe, tolerated, deadline)
        text = f"{probe.method} {probe.path}: {result.text}"
        if result.passes or result.code in tolerated:
            notes += [text] if result.code else []
        else:
            hint = " (NO_PLATFORM=1 says that this is known)" if result.code in OUTAGE_CODES else ""
            failures.append(text + hint)
    if failures:
        lines = ["the deployed stage does not work:", *(f"  {failure}" for failure in failures), advice]
        raise StageError("\n".join(filter(None, lines)))
    return "; ".join(notes)


def read_merchant(item: Item, apps: Collection[str]) -> tuple[Merchant | None, str, str]:
    """Return the merchant of a row if its list can be requested. Otherwise return None, why not, and what to do."""
    account_id = item["pk"]["S"].removeprefix(MERCHANT_PREFIX)
    try:
        merchant = parse_merchant(account_id, item)
    except ConfigurationError as error:
        text = f"malformed row: {str(error).removeprefix(f'merchant {account_id}: ')}"
        return None, text, "redeemctl merchant add fixes app_id, merchant resume active; else merchant remove, then add"
    if not merchant.active:
        return None, "suspended, not queried", ""
    if merchant.stores == {}:
        return None, "its store list is empty, so it is served in no store", "redeemctl store add ACCOUNT_ID POI_ID"
    if merchant.app_id not in apps:
        text = f"its app {merchant.app_id} is not in the secret: customers cannot log in"
        return None, text, f"redeemctl app add {merchant.app_id}, or redeemctl merchant add ACCOUNT_ID --app APP_ID"
    return merchant, "", ""


def find_platform_probes(account: AwsAccount, stage: str) -> tuple[list[Probe], str]:
    """Return the probes that reach the platform (a login and a list), and why there is no list, or "".

    Prefer an app whose tokens this service mints. Second choice: an app whose token in the table has not expired.
    """
    client, table = account.client("dynamodb"), shared_name(stage)
    try:
        secret = account.client("secretsmanager").get_secret_value(SecretId=secret_name(stage))
        credentials = parse_credentials(secret.get("SecretString", ""))
        rows = [read_merchant(item, credentials.apps) for item in scan_items(client, table, MERCHANT_PREFIX)]
        tokens = {item["pk"]["S"]: TokenRow.from_item(item) for item in scan_items(client, table, token_pk(""))}
    except (ClientError, ConfigurationError) as error:
        return [], str(error)

    def has_token(app_id: str) -> bool:
        row = tokens.get(token_pk(app_id), TokenRow())
        return credentials.mints_tokens_of(app_id) or row.is_valid(time.time())

    apps = sorted(filter(has_token, credentials.apps), key=credentials.mints_tokens_of, reverse=True)
    served = [merchant for merchant, _, _ in rows if merchant]
    asked = [merchant for app_id in apps for merchant in served if merchant.app_id == app_id][:1]
    probes = [*map(refused_login_probe, apps[:1]), *(list_probe(m, credentials.session_keys) for m in asked)]
    missing = "the tokens of all merchants have expired" if served else "no active merchant has a known app and a store"
    return probes, "" if asked else missing

"""Smoke test of a deployed stage: the functions' configuration, the schedule, the public endpoint, and one list.

The list is requested for a user that does not exist: it proves the service, and counts in no metric of lists.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import requests
from botocore.exceptions import ClientError

from chalicelib.aws import Item
from chalicelib.credentials import parse_credentials
from chalicelib.errors import ConfigurationError
from chalicelib.merchants import MERCHANT_PREFIX, Merchant, parse_merchant
from chalicelib.sessions import PROBE_OPEN_ID, Session, encode_session
from infra.account import Account
from infra.bundle import Build
from infra.cloudformation import secret_name, stack_name
from infra.comparison import Difference, compare_functions, compare_schedule
from infra.stage_settings import StageError

T = TypeVar("T")

HTTP_SECONDS = 30.0
"""How long the endpoint may answer with the previous version: API Gateway and Lambda switch with a delay."""

_POLL_SECONDS = 1.0

_REQUEST_SECONDS = 15.0
"""Limit for a response: the service answers within 10 s."""

SESSION_SECONDS = 600
"""Lifetime of the session with which a list is requested."""

NO_ANSWER = "no answer from the platform"


class Probe(NamedTuple):
    """A request to the endpoint, and the expected response: its status, and members of its JSON object."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    status: int
    expected: Mapping[str, Any]
    session: str = ""

    @property
    def response(self) -> str:
        """The expected response as text."""
        return f"HTTP {self.status} {json.dumps(self.expected)}"


UNKNOWN_ROUTE = Probe("GET", "/v1/no-such-route", None, 404, {"code": "not_found"})
"""API Gateway's own response."""

INVALID_LOGIN = Probe("POST", "/v1/sessions", {}, 400, {"code": "invalid_request"})
"""A response of the function."""

UNKNOWN_MERCHANT = Probe("GET", "/v1/merchants/smoke-test/stores", None, 404, {"code": "merchant_not_found"})
"""The function has read the table."""

FORGED_SESSION = Probe(
    "GET", "/v1/merchants/smoke-test/stores/1/certificates", None, 401, {"code": "unauthenticated"}, "forged"
)
"""The function has read the secret."""


def health(build: Build) -> Probe:
    """Return the health call, which must report this build. An unknown commit is not compared."""
    commit = {} if build.commit is None else {"commit": build.commit}
    return Probe("GET", "/v1/health", None, 200, {"status": "ok", "version": build.version, **commit})


def certificates(merchant: Merchant, session_keys: Sequence[str]) -> Probe:
    """Return the request for the list of a merchant's first store, in a session of the user that does not exist."""
    store = next(iter(merchant.stores or ()), PROBE_OPEN_ID)
    path = f"/v1/merchants/{merchant.account_id}/stores/{store}/certificates"
    user, expires_at = Session(merchant.app_id, PROBE_OPEN_ID), int(time.time()) + SESSION_SECONDS
    return Probe("GET", path, None, 200, {}, encode_session(user, expires_at, list(session_keys)))


def check(
    account: Account,
    stage: str,
    functions: Mapping[str, Mapping[str, Any]],
    build: Build,
    url: str | None,
    *,
    way_back: str = "",
) -> str:
    """Check the functions, the schedule and, if `url` is its base URL, the endpoint; return a line for the user.

    `functions` are the expected values of each function's configuration, by the function's name. Raises StageError
    that lists each failed check, and `way_back`: what brings the former build back.
    """
    failures = [str(d) for d in (*compare_functions(account, functions), *compare_schedule(account, stage))]
    result = "passed, without a request (the default endpoint is off, or there are several APIs)"
    if url is not None:
        probes = [health(build), UNKNOWN_ROUTE, INVALID_LOGIN, UNKNOWN_MERCHANT]
        # Before the first app is added, the secret has no value.
        secret = account.client("secretsmanager").describe_secret(SecretId=secret_name(stage))
        if has_app := bool(secret.get("VersionIdsToStages")):
            probes.append(FORGED_SESSION)
        failures += _repeat(lambda: list(_check_http(url, probes)), lambda found: not found)
        probe = _find_list(account, stage) if has_app and not failures else "there is no app yet"
        if isinstance(probe, str):
            result = f"passed; no list was tried: {probe}"
        else:
            verdict = _repeat(lambda: _check_list(url, probe), lambda found: found in ("", NO_ANSWER))
            result = f"deployed; {verdict}: run doctor" if verdict else "passed"
            failures += [verdict] if verdict not in ("", NO_ANSWER) else []
    if failures:
        lines = ["the deployed stage does not work:", *(f"  {failure}" for failure in failures), way_back]
        raise StageError("\n".join(filter(None, lines)))
    return f"smoke test: {result}"


def send(url: str, probe: Probe) -> requests.Response:
    """Send a request to the endpoint at `url`; raises requests.RequestException."""
    headers = {"Connection": "close"} | ({"Authorization": f"Bearer {probe.session}"} if probe.session else {})
    address = f"{url}{probe.path}"
    return requests.request(probe.method, address, json=probe.body, timeout=_REQUEST_SECONDS, headers=headers)


def compare_response(response: requests.Response, probe: Probe) -> Difference | None:
    """Compare a response with the expected one. A problem must also have its content type and a request id."""
    body = read_object(response)
    content_type = response.headers.get("Content-Type", "").split(";")[0]
    is_problem = content_type == "application/problem+json" and bool(body.get("request_id"))
    is_complete = is_problem or probe.status < 400
    if response.status_code == probe.status and body.items() >= probe.expected.items() and is_complete:
        return None
    actual = f"HTTP {response.status_code} {content_type} {response.text[:200]}"
    return Difference(f"{probe.method} {probe.path}", f"{actual}, expected {probe.response}")


def judge_list(response: requests.Response) -> str:
    """Return "" if the list proves the service, NO_ANSWER, or what is wrong.

    The service works if there is a list, if the platform has answered, and if calls are limited.
    """
    body = read_object(response)
    code = str(body.get("code"))
    if "certificates" in body or "upstream" in body or code in ("rate_limited", "quota_exhausted"):
        return ""
    if code.startswith("upstream_") or code == "token_unavailable":
        return NO_ANSWER
    return f"HTTP {response.status_code} {response.text[:200]}"


def read_object(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def scan_merchants(client: Any, table: str) -> Iterator[Item]:
    """Yield the rows of merchants."""
    pages = client.get_paginator("scan").paginate(
        TableName=table,
        ConsistentRead=True,
        FilterExpression="begins_with(pk, :merchant)",
        ExpressionAttributeValues={":merchant": {"S": MERCHANT_PREFIX}},
    )
    return (item for page in pages for item in page["Items"])


def _repeat(check: Callable[[], T], is_final: Callable[[T], bool]) -> T:
    """Repeat a check until its result is final, or HTTP_SECONDS have passed; return the last result."""
    deadline = time.monotonic() + HTTP_SECONDS
    while not is_final(result := check()) and time.monotonic() <= deadline:
        time.sleep(_POLL_SECONDS)
    return result


def _check_http(url: str, probes: Iterable[Probe]) -> Iterator[str]:
    for probe in probes:
        try:
            difference = compare_response(send(url, probe), probe)
        except requests.RequestException as error:
            yield f"{probe.path}: {type(error).__name__}"
            return
        if difference is not None:
            yield str(difference)


def _check_list(url: str, probe: Probe) -> str:
    try:
        verdict = judge_list(send(url, probe))
    except requests.RequestException as error:
        verdict = type(error).__name__
    return verdict if verdict in ("", NO_ANSWER) else f"GET {probe.path}: {verdict}"


def _find_list(account: Account, stage: str) -> Probe | str:
    """Return the request for a list of an active merchant of a known app, or why there is none."""
    try:
        secret = account.client("secretsmanager").get_secret_value(SecretId=secret_name(stage))
        credentials = parse_credentials(secret.get("SecretString", ""))
        for item in scan_merchants(account.client("dynamodb"), stack_name(stage)):
            # A malformed row is a matter of `doctor`.
            with contextlib.suppress(ConfigurationError):
                merchant = parse_merchant(item["pk"]["S"].removeprefix(MERCHANT_PREFIX), item)
                if merchant.active and merchant.app_id in credentials.apps:
                    return certificates(merchant, credentials.session_keys)
    except ClientError as error:
        return f"{error.operation_name} reports {error.response['Error']['Code']}"
    except ConfigurationError:
        return "the secret is malformed"
    return "no active merchant has a known app"

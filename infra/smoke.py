"""Smoke test of a deployed stage: the functions' configuration, the schedule, and the public endpoint.

The endpoint's responses show that the function can read the table and the secret.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import requests

from infra.account import Account
from infra.bundle import Build
from infra.cloudformation import secret_name
from infra.comparison import Difference, compare_functions, compare_schedule
from infra.stage_settings import StageError

HTTP_SECONDS = 30.0
"""How long the endpoint may answer with the previous version: API Gateway and Lambda switch with a delay."""

_POLL_SECONDS = 1.0

_REQUEST_SECONDS = 15.0
"""Limit for a response: the service answers within 10 s."""


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


def check(
    account: Account, stage: str, functions: Mapping[str, Mapping[str, Any]], build: Build, url: str | None
) -> str:
    """Check the functions, the schedule and, if `url` is its base URL, the endpoint; return a line for the user.

    `functions` are the expected values of each function's configuration, by the function's name. Raises StageError
    that lists each failed check.
    """
    differences = [*compare_functions(account, functions), *compare_schedule(account, stage)]
    probes = [health(build), UNKNOWN_ROUTE, INVALID_LOGIN, UNKNOWN_MERCHANT]
    # Before the first app is added, the secret has no value.
    if account.client("secretsmanager").describe_secret(SecretId=secret_name(stage)).get("VersionIdsToStages"):
        probes.append(FORGED_SESSION)
    failures = [*map(str, differences), *(check_endpoint(url, probes) if url is not None else ())]
    if failures:
        raise StageError("the deployed stage does not work:\n" + "\n".join(f"  {failure}" for failure in failures))
    return "smoke test: passed" if url else "smoke test: passed, without a request (the default endpoint is off)"


def check_endpoint(url: str, probes: Iterable[Probe], sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Return what is wrong with the endpoint at `url`."""
    deadline = time.monotonic() + HTTP_SECONDS
    while failures := list(_check_http(url, probes)):
        if time.monotonic() > deadline:
            break
        sleep(_POLL_SECONDS)
    return failures


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


def read_object(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _check_http(url: str, probes: Iterable[Probe]) -> Iterator[str]:
    for probe in probes:
        try:
            difference = compare_response(send(url, probe), probe)
        except requests.RequestException as error:
            yield f"{probe.path}: {type(error).__name__}"
            return
        if difference is not None:
            yield str(difference)

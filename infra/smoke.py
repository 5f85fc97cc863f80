"""Smoke test of a deployed stage: the functions' configuration, the schedule, and the public endpoint."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from infra.bundle import Build, parse_version, read_build
from infra.comparison import Difference, compare_functions, compare_schedule, expected_functions
from infra.versions import code_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from infra.account import Account
    from infra.comparison import Target

HTTP_SECONDS = 30.0
"""How long the endpoint may answer with the previous version: API Gateway and Lambda switch with a delay."""

_POLL_SECONDS = 1.0
_REQUEST_SECONDS = 30.0

HEALTH_PATH = "/v1/health"


class ProblemRequest(NamedTuple):
    """A request that the endpoint must answer with a problem of this status and code."""

    method: str
    path: str
    body: Mapping[str, Any]
    status: int
    code: str


UNKNOWN_ROUTE = ProblemRequest("GET", "/v1/no-such-route", {}, 404, "not_found")
"""API Gateway's own response."""

INVALID_LOGIN = ProblemRequest("POST", "/v1/sessions", {}, 400, "invalid_request")
"""A response of the function."""


class SmokeTestError(Exception):
    """The deployed stage does not work. The message lists each failed check."""


def check_stage(target: Target, archive: Path, url: str | None) -> str:
    """Check the stage that was deployed with the bundle `archive`, as `check` does."""
    code = {"code": code_hash(archive.read_bytes())}
    functions = {name: {**expected, **code} for name, expected in expected_functions(target).items()}
    return check(target.account, target.stage, functions, read_build(archive), url)


def check(
    account: Account, stage: str, functions: Mapping[str, Mapping[str, Any]], build: Build, url: str | None
) -> str:
    """Check the functions, the schedule and, if `url` is its base URL, the endpoint; return a line for the user.

    `functions` are the expected values of each function's configuration, by the function's name. Raises SmokeTestError.
    """
    differences = [*compare_functions(account, functions), *compare_schedule(account, stage)]
    failures = [*map(str, differences), *(check_endpoint(url, build) if url is not None else ())]
    if failures:
        raise SmokeTestError("the deployed stage does not work:\n" + "\n".join(f"  {failure}" for failure in failures))
    return "smoke test: passed" if url else "smoke test: passed, without a request (the default endpoint is off)"


def check_endpoint(url: str, build: Build, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Return what is wrong with the endpoint at `url`, which must serve `build`."""
    deadline = time.monotonic() + HTTP_SECONDS
    while failures := list(_check_http(url, build)):
        if time.monotonic() > deadline:
            break
        sleep(_POLL_SECONDS)
    return failures


def read_version(project: Path) -> str:
    """Return the version of the project's app, which may be another one than that of this program."""
    return str(parse_version((project / "chalicelib" / "__init__.py").read_text(encoding="utf-8")))


def _check_http(url: str, build: Build) -> Iterator[str]:
    try:
        health = send_request("GET", f"{url}{HEALTH_PATH}")
        differences = [compare_health(health, str(build.version)) or compare_commit(health, build.commit)]
        for request in (UNKNOWN_ROUTE, INVALID_LOGIN):
            response = send_request(request.method, f"{url}{request.path}", request.body)
            differences.append(compare_problem(response, request))
    except requests.RequestException as error:
        yield f"{HEALTH_PATH}: {type(error).__name__}"
        return
    yield from map(str, filter(None, differences))


def send_request(
    method: str, url: str, body: Mapping[str, Any] | None = None, seconds: float = _REQUEST_SECONDS
) -> requests.Response:
    """Send a request to the endpoint; raises requests.RequestException."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    data = None if body is None else json.dumps(body)
    return requests.request(method, url, data=data, timeout=seconds, headers=headers)


def compare_health(response: requests.Response, version: str) -> Difference | None:
    """Compare status and version in the response of the health call with the expected ones."""
    expected = {"status": "ok", "version": version}
    if response.status_code == 200 and read_object(response).items() >= expected.items():
        return None
    actual = f"HTTP {response.status_code} {response.text[:200]}"
    return Difference(f"GET {HEALTH_PATH}", f"{actual}, expected {json.dumps(expected)}")


def compare_commit(response: requests.Response, commit: str | None) -> Difference | None:
    """Compare the commit in the response of the health call with that of a bundle, None if it is unknown."""
    actual = read_object(response).get("commit")
    return None if actual == commit else Difference(f"GET {HEALTH_PATH}", f"commit {actual}, expected {commit}")


def compare_problem(response: requests.Response, request: ProblemRequest) -> Difference | None:
    """Compare the response to a request with the expected problem."""
    problem = read_object(response)
    content_type = response.headers.get("Content-Type", "").split(";")[0]
    found = (response.status_code, problem.get("code"), content_type)
    if found == (request.status, request.code, "application/problem+json") and problem.get("request_id"):
        return None
    actual = f"HTTP {response.status_code}, {content_type} {response.text[:200]}"
    return Difference(f"{request.method} {request.path}", f"{actual}, expected problem {request.code}")


def read_object(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}

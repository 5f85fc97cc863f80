"""Smoke test of a deployed stage: the functions' configuration, the schedule, and the public endpoint."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from infra.bundle import Build, parse_version, read_build
from infra.chalice_state import function_names, rule_name
from infra.cloudformation import none_if_not_found
from infra.versions import code_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from infra.account import Account

SCHEDULE = "rate(10 minutes)"
HTTP_SECONDS = 30.0
"""How long the endpoint may answer with the previous version: API Gateway and Lambda switch with a delay."""

_POLL_SECONDS = 1.0
_REQUEST_SECONDS = 30.0

HEALTH_PATH = "/v1/health"


class Difference(NamedTuple):
    """A value that differs from the expected one."""

    name: str
    actual: Any
    expected: Any


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


def check_stage(account: Account, project: Path, stage: str, archive: Path, url: str | None) -> str:
    """Check the stage that was deployed from `project`, as `check` does."""
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    code = {"code": code_hash(archive.read_bytes())}
    functions = {
        function_name: {**expected_configuration(config, stage, name), **code}
        for name, function_name in function_names(stage).items()
    }
    return check(account, stage, functions, read_build(archive), url)


def check(
    account: Account, stage: str, functions: Mapping[str, Mapping[str, Any]], build: Build, url: str | None
) -> str:
    """Check the functions, the schedule and, if `url` is its base URL, the endpoint; return a line that says so.

    `functions` are the expected values of each function's configuration, by the function's name. Raises SmokeTestError.
    """
    failures = [*_check_functions(account, functions), *_check_schedule(account, stage)]
    if url is not None:
        failures += check_endpoint(url, build)
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
    for difference in filter(None, differences):
        yield f"{difference.name}: {difference.actual}, expected {difference.expected}"


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
    return Difference(f"GET {HEALTH_PATH}", actual, json.dumps(expected))


def compare_commit(response: requests.Response, commit: str | None) -> Difference | None:
    """Compare the commit in the response of the health call with that of a bundle, None if it is unknown."""
    actual = read_object(response).get("commit")
    return None if actual == commit else Difference(f"GET {HEALTH_PATH} commit", actual, commit)


def compare_problem(response: requests.Response, request: ProblemRequest) -> Difference | None:
    """Compare the response to a request with the expected problem."""
    problem = read_object(response)
    content_type = response.headers.get("Content-Type", "").split(";")[0]
    found = (response.status_code, problem.get("code"), content_type)
    if found == (request.status, request.code, "application/problem+json") and problem.get("request_id"):
        return None
    actual = f"HTTP {response.status_code}, {content_type} {response.text[:200]}"
    return Difference(f"{request.method} {request.path}", actual, f"problem {request.code}")


def read_object(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response, or an empty one."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _check_functions(account: Account, functions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    client = account.client("lambda")
    for function_name, expected in functions.items():
        function = none_if_not_found(client.get_function, FunctionName=function_name)
        if function is None:
            yield f"function {function_name}: missing"
            continue
        for difference in compare(actual_configuration(function), expected):
            yield f"function {function_name}: {_describe(difference)}"


def compare(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Difference]:
    """Return the differences between actual and expected values."""
    return [Difference(name, actual[name], value) for name, value in expected.items() if actual[name] != value]


def _describe(difference: Difference) -> str:
    return f"{difference.name} is {difference.actual!r}, expected {difference.expected!r}"


def expected_configuration(config: Mapping[str, Any], stage: str, name: str) -> dict[str, Any]:
    """Return how a function must be configured; `config` is Chalice's, `name` the function's name in Chalice."""
    settings = config["stages"][stage]
    function = settings["lambda_functions"].get(name, {})
    return {
        "state": "Active",
        "last update": "Successful",
        "architecture": [settings["lambda_architecture"]],
        "handler": f"app.{'app' if name == 'api_handler' else name}",
        "memory": settings["lambda_memory_size"],
        "timeout": function.get("lambda_timeout", config["lambda_timeout"]),
        "environment": settings["environment_variables"],
        "tracing": "Active" if settings["xray"] else "PassThrough",
        "reserved concurrency": function.get("reserved_concurrency"),
    }


def actual_configuration(function: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a function is configured, from the response of GetFunction."""
    configuration = function["Configuration"]
    return {
        "state": configuration.get("State"),
        "last update": configuration.get("LastUpdateStatus"),
        "code": configuration.get("CodeSha256"),
        "runtime": configuration.get("Runtime"),
        "architecture": configuration.get("Architectures"),
        "handler": configuration.get("Handler"),
        "memory": configuration.get("MemorySize"),
        "timeout": configuration.get("Timeout"),
        "environment": configuration.get("Environment", {}).get("Variables"),
        "tracing": configuration.get("TracingConfig", {}).get("Mode", "PassThrough"),
        "reserved concurrency": function.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
    }


def _check_schedule(account: Account, stage: str) -> Iterator[str]:
    client, name = account.client("events"), rule_name(stage)
    rule = none_if_not_found(client.describe_rule, Name=name)
    if rule is None:
        yield f"schedule {name}: missing"
        return
    targets = client.list_targets_by_rule(Rule=name)["Targets"]
    for difference in compare(actual_schedule(rule, targets, stage), expected_schedule(stage)):
        yield f"schedule {name}: {_describe(difference)}"


def expected_schedule(stage: str) -> dict[str, Any]:
    """Return how the schedule must be configured."""
    return {"state": "ENABLED", "expression": SCHEDULE, "target": function_names(stage)["refresh_tokens"]}


def actual_schedule(rule: Mapping[str, Any], targets: Iterable[Mapping[str, Any]], stage: str) -> dict[str, Any]:
    """Return how the schedule is configured, from the responses of DescribeRule and ListTargetsByRule."""
    names = [target["Arn"].partition(":function:")[2] for target in targets]
    expected = function_names(stage)["refresh_tokens"]
    target = expected if expected in names else ", ".join(names) or None
    return {"state": rule.get("State"), "expression": rule.get("ScheduleExpression"), "target": target}

"""Smoke test of a deployed stage: the functions' configuration, the schedule, and the public endpoint."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import requests

from infra.chalice_state import function_names, rule_name
from infra.cloudformation import none_if_not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from infra.account import Account

SCHEDULE = "rate(10 minutes)"
HTTP_SECONDS = 30.0
"""How long the endpoint may answer with the previous version: API Gateway and Lambda switch with a delay."""

_POLL_SECONDS = 1.0


class SmokeTestError(Exception):
    """The deployed stage does not work. The message lists each failed check."""


def check_stage(account: Account, project: Path, stage: str, archive: Path, url: str | None) -> None:
    """Check the functions, the schedule and, if `url` is its base URL, the endpoint; raises SmokeTestError."""
    failures = [*_check_functions(account, project, stage, archive), *_check_schedule(account, stage)]
    if url is not None:
        failures += check_endpoint(url, _read_version(project))
    if failures:
        raise SmokeTestError("the deployed stage does not work:\n" + "\n".join(f"  {failure}" for failure in failures))


def code_hash(archive: Path) -> str:
    """Return the SHA-256 of an archive, as Lambda reports it."""
    return base64.b64encode(hashlib.sha256(archive.read_bytes()).digest()).decode()


def check_endpoint(url: str, version: str, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """Return what is wrong with the endpoint at `url`."""
    deadline = time.monotonic() + HTTP_SECONDS
    while failures := list(_check_http(url, version)):
        if time.monotonic() > deadline:
            break
        sleep(_POLL_SECONDS)
    return failures


def _read_version(project: Path) -> str:
    """Return the version of the project's app, which may be another one than that of this program."""
    text = (project / "chalicelib" / "__init__.py").read_text(encoding="utf-8")
    return str(re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1])  # type: ignore[index]  # it has one


def _check_http(url: str, version: str) -> Iterator[str]:
    path = "/v1/health"
    try:
        health = requests.get(f"{url}{path}", timeout=30, headers={"Connection": "close"})
        expected = {"status": "ok", "version": version}
        if health.status_code != 200 or _json(health) != expected:
            yield f"GET {path}: HTTP {health.status_code} {health.text[:200]}, expected {json.dumps(expected)}"
        # The first is API Gateway's own response, the second the function's.
        for method, path, status, code in (
            ("GET", "/v1/no-such-route", 404, "not_found"),
            ("POST", "/v1/sessions", 400, "invalid_request"),
        ):
            response = requests.request(
                method, f"{url}{path}", data=b"{}", timeout=30,
                headers={"Content-Type": "application/json", "Connection": "close"},
            )  # fmt: skip
            problem = _json(response)
            found = (response.status_code, problem.get("code"), response.headers.get("Content-Type", "").split(";")[0])
            if found != (status, code, "application/problem+json") or not problem.get("request_id"):
                yield f"{method} {path}: HTTP {found[0]}, {found[2]} {response.text[:200]}, expected problem {code}"
    except requests.RequestException as error:
        yield f"{path}: {type(error).__name__}"


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _check_functions(account: Account, project: Path, stage: str, archive: Path) -> Iterator[str]:
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    client = account.client("lambda")
    for name, function_name in function_names(stage).items():
        function = none_if_not_found(client.get_function, FunctionName=function_name)
        if function is None:
            yield f"function {function_name}: missing"
            continue
        actual = _actual_configuration(function)
        expected = _expected_configuration(config, stage, name, archive)
        for key, value in expected.items():
            if actual[key] != value:
                yield f"function {function_name}: {key} is {actual[key]!r}, expected {value!r}"


def _expected_configuration(config: Mapping[str, Any], stage: str, name: str, archive: Path) -> dict[str, Any]:
    settings = config["stages"][stage]
    function = settings["lambda_functions"].get(name, {})
    return {
        "state": "Active",
        "last update": "Successful",
        "code": code_hash(archive),
        "architecture": [settings["lambda_architecture"]],
        "handler": f"app.{'app' if name == 'api_handler' else name}",
        "memory": settings["lambda_memory_size"],
        "timeout": function.get("lambda_timeout", config["lambda_timeout"]),
        "environment": settings["environment_variables"],
        "reserved concurrency": function.get("reserved_concurrency"),
    }


def _actual_configuration(function: Mapping[str, Any]) -> dict[str, Any]:
    configuration = function["Configuration"]
    return {
        "state": configuration.get("State"),
        "last update": configuration.get("LastUpdateStatus"),
        "code": configuration.get("CodeSha256"),
        "architecture": configuration.get("Architectures"),
        "handler": configuration.get("Handler"),
        "memory": configuration.get("MemorySize"),
        "timeout": configuration.get("Timeout"),
        "environment": configuration.get("Environment", {}).get("Variables"),
        "reserved concurrency": function.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
    }


def _check_schedule(account: Account, stage: str) -> Iterator[str]:
    client, name = account.client("events"), rule_name(stage)
    rule = none_if_not_found(client.describe_rule, Name=name)
    if rule is None:
        yield f"schedule {name}: missing"
        return
    found = (rule.get("State"), rule.get("ScheduleExpression"))
    if found != ("ENABLED", SCHEDULE):
        yield f"schedule {name}: {found[0]}, {found[1]}, expected ENABLED, {SCHEDULE}"
    function = function_names(stage)["refresh_tokens"]
    targets = [target["Arn"] for target in client.list_targets_by_rule(Rule=name)["Targets"]]
    if not any(arn.endswith(f":function:{function}") for arn in targets):
        yield f"schedule {name}: function {function} is not its target"

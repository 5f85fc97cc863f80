"""What Chalice cannot say of its API, said after `chalice deploy`.

Limits: API Gateway counts calls before any Lambda is started, so what is over them costs nothing and reaches neither
the function nor the platform. They stay on the stage through later deployments.

API Gateway's own answers (no such route, too many requests, a function that failed) get the one shape of a problem.
`chalice deploy` overwrites the API's definition and with it these, so they are put there anew each time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chalicelib import problems

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_apigateway.literals import GatewayResponseTypeType

RATE = 100
"""Requests a second, for all callers together. The platform publishes no limit of the call we make; a sibling's is 200
a second, so this is half of it. Raise it with what the platform grants your app."""

BURST = 200

_RESPONSES: dict[GatewayResponseTypeType, problems.Kind] = {
    "MISSING_AUTHENTICATION_TOKEN": problems.NOT_FOUND,  # what API Gateway says of a route that is none
    "THROTTLED": problems.RATE_LIMITED,
    "REQUEST_TOO_LARGE": problems.INVALID_REQUEST,
    "INTEGRATION_FAILURE": problems.INTERNAL_ERROR,
    "INTEGRATION_TIMEOUT": problems.UPSTREAM_TIMEOUT,
}


def complete_stage(client: APIGatewayClient, project: Path, stage: str) -> dict[str, Any]:
    """Complete the API that Chalice has deployed from `project`; returns the stage's limits."""
    api_id = rest_api_id(project, stage)
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    name = config["api_gateway_stage"]
    for kind, problem in _RESPONSES.items():
        client.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            statusCode=str(problem.status),
            responseParameters=_headers(problem),
            responseTemplates={"application/json": problems.problem_of_kind(problem, "$context.requestId").body},
        )
    client.create_deployment(restApiId=api_id, stageName=name)
    return limit_calls(client, api_id, name, RATE, BURST)


def rest_api_id(project: Path, stage: str) -> str:
    """The API that Chalice has deployed from `project`."""
    deployed = json.loads((project / ".chalice" / "deployed" / f"{stage}.json").read_text(encoding="utf-8"))
    return str(next(r["rest_api_id"] for r in deployed["resources"] if r["resource_type"] == "rest_api"))


def limit_calls(client: APIGatewayClient, api_id: str, name: str, rate: int, burst: int) -> dict[str, Any]:
    """Limit all calls of the API's stage `name` together, in requests a second and at once; returns its settings."""
    settings = client.update_stage(
        restApiId=api_id,
        stageName=name,
        patchOperations=[
            {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": str(rate)},
            {"op": "replace", "path": "/*/*/throttling/burstLimit", "value": str(burst)},
        ],
    )
    return dict(settings["methodSettings"]["*/*"])


def _headers(problem: problems.Kind) -> dict[str, str]:
    told = {"Content-Type": "'application/problem+json'", "Cache-Control": "'no-store'"}
    told["X-Request-Id"] = "context.requestId"
    if problem.retry_after is not None:
        told["Retry-After"] = f"'{problem.retry_after}'"
    return {f"gatewayresponse.header.{name}": value for name, value in told.items()}

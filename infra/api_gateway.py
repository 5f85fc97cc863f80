"""API Gateway settings that Chalice cannot make: throttling and gateway responses. Applied after `chalice deploy`.

Throttling: API Gateway rejects requests above the limit before Lambda starts, so these requests cost nothing and do not
reach the platform. The limit belongs to the stage and stays there in later deployments.

Gateway responses: API Gateway's own errors (unknown route, throttled, integration failure) get the same problem format
as the service's errors. `chalice deploy` imports the API definition again, which removes them, so each deployment
restores them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chalicelib.api import problems

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_apigateway.literals import GatewayResponseTypeType

RATE_LIMIT = 100
"""Requests per second to each method of the API, all callers together.

A stage's default limit applies to each method separately, not to their sum:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
The platform publishes no limit for query_user_certificates. A related call allows 200 per second; this is half of that.
Raise it when the platform grants your app a higher limit."""

BURST_LIMIT = 200
"""Size of the token bucket, in requests."""

_GATEWAY_RESPONSES: dict[GatewayResponseTypeType, problems.ProblemType] = {
    "MISSING_AUTHENTICATION_TOKEN": problems.NOT_FOUND,  # API Gateway's response to an unknown route
    "THROTTLED": problems.RATE_LIMITED,
    "REQUEST_TOO_LARGE": problems.INVALID_REQUEST,
    "INTEGRATION_FAILURE": problems.INTERNAL_ERROR,
    "INTEGRATION_TIMEOUT": problems.UPSTREAM_TIMEOUT,
}


def configure_stage(client: APIGatewayClient, project: Path, stage: str) -> dict[str, Any]:
    """Set gateway responses and throttling of the API deployed from `project`; return the stage's method settings."""
    api_id = read_rest_api_id(project, stage)
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    stage_name = config["api_gateway_stage"]
    for response_type, problem_type in _GATEWAY_RESPONSES.items():
        client.put_gateway_response(
            restApiId=api_id,
            responseType=response_type,
            statusCode=str(problem_type.status),
            responseParameters=_response_headers(problem_type),
            responseTemplates={
                "application/json": problems.problem_for_type(problem_type, "$context.requestId").body,
            },
        )
    # Gateway responses take effect with the next deployment of the API.
    client.create_deployment(restApiId=api_id, stageName=stage_name)
    return set_throttling(client, api_id, stage_name, RATE_LIMIT, BURST_LIMIT)


def read_rest_api_id(project: Path, stage: str) -> str:
    """Return the id of the REST API that Chalice deployed from `project`."""
    deployed = json.loads((project / ".chalice" / "deployed" / f"{stage}.json").read_text(encoding="utf-8"))
    return str(next(r["rest_api_id"] for r in deployed["resources"] if r["resource_type"] == "rest_api"))


def set_throttling(
    client: APIGatewayClient, api_id: str, stage_name: str, rate_limit: int, burst_limit: int
) -> dict[str, Any]:
    """Set the default throttling limits for the methods of an API stage; return its method settings."""
    settings = client.update_stage(
        restApiId=api_id,
        stageName=stage_name,
        patchOperations=[
            {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": str(rate_limit)},
            {"op": "replace", "path": "/*/*/throttling/burstLimit", "value": str(burst_limit)},
        ],
    )
    return dict(settings["methodSettings"]["*/*"])


def _response_headers(problem_type: problems.ProblemType) -> dict[str, str]:
    # A value in single quotes is a literal, a value without quotes is a mapping expression:
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-parameter-mapping.html
    headers = {
        "Content-Type": "'application/problem+json'",
        "Cache-Control": "'no-store'",
        "X-Request-Id": "context.requestId",
    }
    if problem_type.retry_after is not None:
        headers["Retry-After"] = f"'{problem_type.retry_after}'"
    return {f"gatewayresponse.header.{name}": value for name, value in headers.items()}

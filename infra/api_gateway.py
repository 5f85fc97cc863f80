"""API Gateway settings that Chalice cannot make; applied after each `chalice deploy`.

- The throttling limit of each route. API Gateway rejects requests above it before Lambda starts, so these requests
  cost nothing and do not reach the platform.
- Gateway responses: API Gateway's own errors (unknown route, throttled, integration failure) get the same problem
  format as the service's errors. `chalice deploy` imports the API definition again, which removes these responses.
- The mapping of the custom domain. The stack has the domain itself: Chalice's support of domains needs a state that
  lists the domain, and the state that `chalice_state` rebuilds does not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chalicelib.api import problems
from chalicelib.api.problems import Problem, problem_for_error, problem_for_type
from chalicelib.api.validation import BODY_SIZE_RULE
from chalicelib.errors import InvalidRequestError, NotFoundError, RateLimitedError, UpstreamTimeoutError
from infra.chalice_config import API_STAGE
from infra.cloudformation import none_if_not_found
from infra.stage_settings import Limits, StageSettings

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_apigateway.literals import GatewayResponseTypeType

_REQUEST_ID = "$context.requestId"
_NOT_FOUND = problem_for_error(NotFoundError("no such route"), _REQUEST_ID)
_INVALID_BODY = problem_for_error(InvalidRequestError("body", BODY_SIZE_RULE), _REQUEST_ID)
_RATE_LIMITED = problem_for_error(RateLimitedError("throttled"), _REQUEST_ID)
_INTERNAL_ERROR = problem_for_type(problems.INTERNAL_ERROR, _REQUEST_ID)

_GATEWAY_RESPONSES: dict[GatewayResponseTypeType, Problem] = {
    "MISSING_AUTHENTICATION_TOKEN": _NOT_FOUND,  # an unknown route or method
    "INVALID_SIGNATURE": _NOT_FOUND,  # the same, in a request with an Authorization header
    "RESOURCE_NOT_FOUND": _NOT_FOUND,
    "BAD_REQUEST_BODY": _INVALID_BODY,
    "REQUEST_TOO_LARGE": _INVALID_BODY,
    "UNSUPPORTED_MEDIA_TYPE": problem_for_type(problems.FRAMEWORK_PROBLEM_TYPES[415], _REQUEST_ID),
    "THROTTLED": _RATE_LIMITED,
    "WAF_FILTERED": _RATE_LIMITED,  # a rate rule of a web ACL
    "INTEGRATION_TIMEOUT": problem_for_error(UpstreamTimeoutError("timeout"), _REQUEST_ID),
    "DEFAULT_5XX": _INTERNAL_ERROR,
}


def configure_api(client: APIGatewayClient, api_id: str, settings: StageSettings) -> None:
    """Apply all settings of this module to an API that Chalice has deployed."""
    # The limit comes first, because it protects the platform. It takes effect without a deployment.
    set_throttling(client, api_id, settings.limits)
    for response_type, problem in _GATEWAY_RESPONSES.items():
        _put_gateway_response(client, api_id, response_type, problem)
    # Any other 4xx response keeps its own status, so its body has no `status`. The body has no `errors` either, because
    # they would blame the request's body.
    _put_gateway_response(client, api_id, "DEFAULT_4XX", _INVALID_BODY, sets_status=False)
    # Former versions of this project could disable the default endpoint.
    switch: Any = {"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "false"}
    client.update_rest_api(restApiId=api_id, patchOperations=[switch])
    if settings.domain is not None:
        map_domain(client, settings.domain.name, api_id)
    # Gateway responses and the default endpoint take effect with the next deployment of the API.
    client.create_deployment(restApiId=api_id, stageName=API_STAGE)


def set_throttling(client: APIGatewayClient, api_id: str, limits: Limits) -> None:
    """Set the throttling limit of each route, and remove all other method settings.

    A limit of `/*/*` applies to each method separately, not to their sum:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
    """
    values = {"rateLimit": f"{limits.rate:g}", "burstLimit": str(limits.burst)}
    patch: Any = [
        {"op": "replace", "path": f"/*/*/throttling/{name}", "value": value} for name, value in values.items()
    ]
    for key in client.get_stage(restApiId=api_id, stageName=API_STAGE).get("methodSettings", {}):
        if key != "*/*":
            route, _, method = key.rpartition("/")
            patch.append({"op": "remove", "path": f"/{route.replace('/', '~1')}/{method}"})
    client.update_stage(restApiId=api_id, stageName=API_STAGE, patchOperations=patch)


def map_domain(client: APIGatewayClient, domain: str, api_id: str) -> None:
    """Let the custom domain serve the API. A domain that was deleted by hand is not restored: docs/run.md, "Drift"."""
    for root in [mapping for mapping in list_mappings(client, domain) if mapping["basePath"] == "(none)"]:
        if (root["restApiId"], root.get("stage")) == (api_id, API_STAGE):
            return
        client.delete_base_path_mapping(domainName=domain, basePath="(none)")
    mapping = {"domainName": domain, "restApiId": api_id, "stage": API_STAGE}
    none_if_not_found(client.create_base_path_mapping, **mapping)


def unmap_domain(client: APIGatewayClient, domain: str) -> None:
    """Remove the mappings of the custom domain."""
    for mapping in list_mappings(client, domain):
        client.delete_base_path_mapping(domainName=domain, basePath=mapping["basePath"])


def _put_gateway_response(
    client: APIGatewayClient, api_id: str, kind: GatewayResponseTypeType, problem: Problem, *, sets_status: bool = True
) -> None:
    omitted = () if sets_status else ("status", "errors")
    body = {name: value for name, value in json.loads(problem.body).items() if name not in omitted}
    status: dict[str, Any] = {"statusCode": str(problem.view.status)} if sets_status else {}
    # A value in single quotes is a literal, a value without quotes is a mapping expression:
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-parameter-mapping.html
    headers = {
        "Content-Type": "'application/problem+json'",
        "Cache-Control": "'no-store'",
        "X-Request-Id": "context.requestId",
        **{name: f"'{value}'" for name, value in problem.headers.items()},
    }
    client.put_gateway_response(
        restApiId=api_id,
        responseType=kind,
        responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items()},
        responseTemplates={"application/json": json.dumps(body, ensure_ascii=False, separators=(",", ":"))},
        **status,
    )


def list_mappings(client: APIGatewayClient, domain: str) -> list[Any]:
    """Return the mappings of a custom domain; none if there is no such domain."""
    response = none_if_not_found(client.get_base_path_mappings, domainName=domain)
    return list(response.get("items", [])) if response else []

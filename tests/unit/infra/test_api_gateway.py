"""API Gateway settings: error responses, and the quota of CreateDeployment."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from infra.api_gateway import (
    _ACCESS_LOG_FIELDS,
    _GATEWAY_RESPONSES,
    _INVALID_BODY,
    CREATE_DEPLOYMENT_ATTEMPTS,
    _put_gateway_response,
    create_deployment,
)


class FakeApiGateway:
    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.calls: list[dict[str, Any]] = []

    def create_deployment(self, **arguments: Any) -> None:
        self.calls.append(arguments)
        if self.errors:
            raise ClientError({"Error": {"Code": self.errors.pop(0)}}, "CreateDeployment")

    def put_gateway_response(self, **arguments: Any) -> None:
        self.calls.append(arguments)


def test_while_the_quota_is_used_up_the_deployment_waits_at_least_five_seconds() -> None:
    client = FakeApiGateway(*["TooManyRequestsException"] * 2)
    waits: list[float] = []
    create_deployment(cast("Any", client), "abc", waits.append)
    assert len(client.calls) == 3
    assert client.calls[0] == {"restApiId": "abc", "stageName": "api"}
    assert len(waits) == 2
    assert min(waits) >= 5


@pytest.mark.parametrize(
    ("errors", "attempts"),
    [
        (["NotFoundException"], 1),
        (["TooManyRequestsException"] * CREATE_DEPLOYMENT_ATTEMPTS, CREATE_DEPLOYMENT_ATTEMPTS),
    ],
)
def test_another_error_or_a_lasting_refusal_fails(errors: list[str], attempts: int) -> None:
    client = FakeApiGateway(*errors)
    with pytest.raises(ClientError):
        create_deployment(cast("Any", client), "abc", lambda _: None)
    assert len(client.calls) == attempts


@pytest.mark.parametrize("response_type", _GATEWAY_RESPONSES)
def test_the_status_in_the_body_is_the_responses_status(response_type: Any) -> None:
    client = FakeApiGateway()
    _put_gateway_response(cast("Any", client), "abc", response_type, _GATEWAY_RESPONSES[response_type])
    [call] = client.calls
    body = json.loads(call["responseTemplates"]["application/json"])
    assert (str(body["status"]), body["code"]) == (call["statusCode"], _GATEWAY_RESPONSES[response_type].type.code)
    assert body["request_id"] == "$context.requestId"
    headers = call["responseParameters"]
    assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert ("gatewayresponse.header.Retry-After" in headers) == ("retry_after" in body)


def test_a_response_that_keeps_its_status_claims_no_other() -> None:
    client = FakeApiGateway()
    _put_gateway_response(cast("Any", client), "abc", "DEFAULT_4XX", _INVALID_BODY, own_status=True)
    [call] = client.calls
    assert "statusCode" not in call
    assert not {"status", "errors"} & json.loads(call["responseTemplates"]["application/json"]).keys()


def test_the_access_log_has_an_id_that_the_client_cannot_choose() -> None:
    assert _ACCESS_LOG_FIELDS["extended_request_id"] == "$context.extendedRequestId"

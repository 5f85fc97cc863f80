"""API Gateway settings: error responses, and the quota of CreateDeployment."""

import contextlib
import json
from typing import Any
from unittest.mock import Mock, call

import pytest
from botocore.exceptions import ClientError

from infra.api_gateway import (
    _GATEWAY_RESPONSES,
    _INVALID_BODY,
    _put_gateway_response,
    create_deployment,
)


@pytest.mark.parametrize(
    ("errors", "attempts", "raised"),
    [
        (["TooManyRequestsException"] * 2, 3, contextlib.nullcontext()),
        (["TooManyRequestsException"] * 10, 10, pytest.raises(ClientError)),
        (["NotFoundException"], 1, pytest.raises(ClientError)),
    ],
)
def test_only_while_the_quota_is_used_up_the_deployment_waits_five_seconds_and_is_repeated(
    errors: list[str], attempts: int, raised: contextlib.AbstractContextManager[Any]
) -> None:
    client, waits = Mock(), list[float]()
    refusals = [ClientError({"Error": {"Code": code}}, "CreateDeployment") for code in errors]
    client.create_deployment.side_effect = [*refusals, None]
    with raised:
        create_deployment(client, "abc", waits.append)
    assert client.mock_calls == [call.create_deployment(restApiId="abc", stageName="api")] * attempts
    assert len(waits) == attempts - 1
    assert min(waits, default=5) >= 5


@pytest.mark.parametrize("response_type", _GATEWAY_RESPONSES)
def test_the_status_in_the_body_is_the_responses_status(response_type: Any) -> None:
    client = Mock()
    _put_gateway_response(client, "abc", response_type, _GATEWAY_RESPONSES[response_type])
    put = client.put_gateway_response.call_args.kwargs
    body = json.loads(put["responseTemplates"]["application/json"])
    assert (str(body["status"]), body["code"]) == (put["statusCode"], _GATEWAY_RESPONSES[response_type].type.code)
    assert body["request_id"] == "$context.requestId"
    headers = put["responseParameters"]
    assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert ("gatewayresponse.header.Retry-After" in headers) == ("retry_after" in body)


def test_a_response_that_keeps_its_status_claims_no_other() -> None:
    client = Mock()
    _put_gateway_response(client, "abc", "DEFAULT_4XX", _INVALID_BODY, own_status=True)
    put = client.put_gateway_response.call_args.kwargs
    assert "statusCode" not in put
    assert not {"status", "errors"} & json.loads(put["responseTemplates"]["application/json"]).keys()

"""API Gateway settings: error responses."""

import json
from typing import Any
from unittest.mock import Mock

import pytest

from infra.api_gateway import (
    _GATEWAY_RESPONSES,
    _INVALID_BODY,
    _put_gateway_response,
)


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

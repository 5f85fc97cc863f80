"""API Gateway settings: error responses, limits, and the domain."""

import json
from typing import Any
from unittest.mock import Mock, call

import pytest

from infra.api_gateway import (
    _GATEWAY_RESPONSES,
    _INVALID_BODY,
    _put_gateway_response,
    map_domain,
    set_throttling,
)
from infra.stage_settings import Limits


def test_one_limit_is_set_for_each_route() -> None:
    client = Mock()
    set_throttling(client, "abc", Limits(7.5, 9))
    assert client.update_stage.call_args.kwargs["patchOperations"] == [
        {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "7.5"},
        {"op": "replace", "path": "/*/*/throttling/burstLimit", "value": "9"},
    ]


@pytest.mark.parametrize("response_type", _GATEWAY_RESPONSES)
def test_the_status_in_the_body_is_the_responses_status(response_type: Any) -> None:
    client = Mock()
    _put_gateway_response(client, "abc", response_type, _GATEWAY_RESPONSES[response_type])
    put = client.put_gateway_response.call_args.kwargs
    body = json.loads(put["responseTemplates"]["application/json"])
    assert (str(body["status"]), body["code"]) == (put["statusCode"], _GATEWAY_RESPONSES[response_type].view.code)
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


def mapping(api_id: str, path: str = "(none)", stage: str = "api") -> dict[str, str]:
    return {"restApiId": api_id, "basePath": path, "stage": stage}


@pytest.mark.parametrize(
    ("mappings", "deleted", "created"),
    [
        ([], 0, 1),
        ([mapping("abc")], 0, 0),
        ([mapping("former")], 1, 1),
        ([mapping("abc", stage="other")], 1, 1),
        ([mapping("shop", "orders")], 0, 1),
    ],
)
def test_the_domain_serves_this_api_and_keeps_other_paths(mappings: Any, deleted: int, created: int) -> None:
    client = Mock()
    client.get_base_path_mappings.return_value = {"items": mappings}
    map_domain(client, "api.example.com", "abc")
    assert (
        client.delete_base_path_mapping.mock_calls == [call(domainName="api.example.com", basePath="(none)")] * deleted
    )
    expected = [call(domainName="api.example.com", restApiId="abc", stage="api")] * created
    assert client.create_base_path_mapping.mock_calls == expected

"""API Gateway settings: error responses, limits, and the domain."""

import json
from typing import Any
from unittest.mock import Mock, call

import pytest

from infra.api_gateway import _GATEWAY_RESPONSES, _INVALID_BODY, _put_gateway_response, map_domain, set_throttling
from infra.stage_settings import Limits


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("v1~1sessions/POST", "/v1~1sessions/POST"),
        ("/v1/sessions/POST", "/~1v1~1sessions/POST"),
        ("~1/GET", "/~1/GET"),
    ],
)
def test_one_limit_is_set_and_every_other_setting_of_a_method_is_removed(key: str, path: str) -> None:
    """A key is as GetStage returns it: https://docs.aws.amazon.com/apigateway/latest/api/API_Stage.html."""
    client = Mock()
    client.get_stage.return_value = {"methodSettings": {"*/*": {}, key: {}}}
    set_throttling(client, "abc", Limits(7.5, 9))
    assert client.update_stage.call_args.kwargs["patchOperations"] == [
        {"op": "replace", "path": "/*/*/throttling/rateLimit", "value": "7.5"},
        {"op": "replace", "path": "/*/*/throttling/burstLimit", "value": "9"},
        {"op": "remove", "path": path},
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
    _put_gateway_response(client, "abc", "DEFAULT_4XX", _INVALID_BODY, sets_status=False)
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
        ([mapping("former"), mapping("abc", "beta")], 1, 1),
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

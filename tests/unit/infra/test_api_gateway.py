"""API Gateway settings: error responses, and the quota of CreateDeployment."""

import contextlib
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
from botocore.exceptions import ClientError

from infra.api_gateway import (
    _ACCESS_LOG_FIELDS,
    _GATEWAY_RESPONSES,
    _INVALID_BODY,
    _put_gateway_response,
    create_deployment,
    ensure_log_role,
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


def test_the_access_log_has_no_text_of_the_client() -> None:
    """API Gateway does not escape it: a `"` in a User-Agent would break the line."""
    assert not [value for value in _ACCESS_LOG_FIELDS.values() if "userAgent" in value or "$context.path" in value]


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


class FreshAccount:
    """An account without a role for logs. `refusals` are the errors of UpdateAccount, one after the other."""

    def __init__(self, *refusals: str, has_role: bool = False) -> None:
        self.aws = Mock()
        self.aws.get_account.return_value = {}
        no_role = ClientError({"Error": {"Code": "NoSuchEntity"}}, "GetRole")
        self.aws.get_role.side_effect = None if has_role else no_role
        self.aws.get_role.return_value = self.aws.create_role.return_value = {"Role": {"Arn": "role-arn"}}
        errors = [ClientError({"Error": {"Code": code}}, "UpdateAccount") for code in refusals]
        self.aws.update_account.side_effect = [*errors, None]
        self.waits: list[float] = []
        self.report: list[str] = []

    def ensure_log_role(self) -> None:
        account: Any = SimpleNamespace(client=lambda _: self.aws, region="us-east-1", partition="aws")
        ensure_log_role(account, self.report.append, self.waits.append)


@pytest.mark.parametrize("has_role", [False, True])
@pytest.mark.parametrize("refusals", [[], ["BadRequestException", "TooManyRequestsException", "BadRequestException"]])
def test_the_first_deployment_waits_for_the_log_role_and_for_the_quota_and_says_so(
    refusals: list[str], *, has_role: bool
) -> None:
    """UpdateAccount is allowed once in 20 s, and refused calls count."""
    account = FreshAccount(*refusals, has_role=has_role)
    account.ensure_log_role()
    assert account.aws.create_role.called is not has_role
    assert account.aws.update_account.call_args.kwargs["patchOperations"][0]["value"] == "role-arn"
    assert account.waits == [21.0] * len(refusals)
    assert [line.partition(" s: ")[0] for line in account.report] == ["waiting 21"] * len(refusals)


def test_a_role_that_is_never_accepted_fails_after_two_minutes() -> None:
    account = FreshAccount(*["BadRequestException"] * 100)
    with pytest.raises(ClientError, match="BadRequestException"):
        account.ensure_log_role()
    assert 60 < sum(account.waits) < 180


def test_an_account_that_has_a_role_keeps_it() -> None:
    account = FreshAccount()
    account.aws.get_account.return_value = {"cloudwatchRoleArn": "their-role"}
    account.ensure_log_role()
    account.aws.update_account.assert_not_called()

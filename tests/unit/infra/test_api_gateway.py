"""API Gateway settings: error responses, and the quota of CreateDeployment."""

import contextlib
import json
from typing import Any, cast

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
    client, waits = FakeApiGateway(*errors), list[float]()
    with raised:
        create_deployment(cast("Any", client), "abc", waits.append)
    assert client.calls == [{"restApiId": "abc", "stageName": "api"}] * attempts
    assert len(waits) == attempts - 1
    assert min(waits, default=5) >= 5


def test_the_access_log_has_no_text_of_the_client() -> None:
    """API Gateway does not escape it: a `"` in a User-Agent would break the line."""
    assert not [value for value in _ACCESS_LOG_FIELDS.values() if "userAgent" in value or "$context.path" in value]


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


class FreshAccount:
    """API Gateway and IAM of an account without a role for logs. The clock moves only when somebody sleeps.

    A role is refused for `role_seconds`; UpdateAccount is allowed once in 20 s, and refused calls count.
    """

    def __init__(self, role_seconds: float, *, has_role: bool = False) -> None:
        self.now = 0.0
        self.role_arn = ""
        self._role_seconds = role_seconds
        self._has_role = has_role
        self._created = 0.0 if has_role else float("inf")
        self._last_call = float("-inf")
        self.region, self.partition = "us-east-1", "aws"

    def client(self, _service: str) -> Any:
        return self

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def get_account(self) -> Any:
        return {"cloudwatchRoleArn": self.role_arn} if self.role_arn else {}

    def create_role(self, **_: Any) -> Any:
        self._has_role, self._created = True, self.now
        return self.get_role()

    def get_role(self, **_: Any) -> Any:
        if not self._has_role:
            raise ClientError({"Error": {"Code": "NoSuchEntity"}}, "GetRole")
        return {"Role": {"Arn": "role-arn"}}

    def attach_role_policy(self, **_: Any) -> None:
        pass

    def update_account(self, patchOperations: Any) -> None:  # noqa: N803 - AWS's name
        elapsed, self._last_call = self.now - self._last_call, self.now
        if elapsed < 20:
            raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "UpdateAccount")
        if self.now - self._created < self._role_seconds:
            raise ClientError({"Error": {"Code": "BadRequestException"}}, "UpdateAccount")
        self.role_arn = patchOperations[0]["value"]


@pytest.mark.parametrize(
    ("role_seconds", "has_role", "seconds"),
    [(0.0, False, 0.0), (8.0, False, 21.0), (60.0, False, 63.0), (0.0, True, 0.0), (8.0, True, 21.0)],
)
def test_the_first_deployment_waits_for_the_log_role_and_for_the_quota_and_says_so(
    role_seconds: float, has_role: bool, seconds: float,
) -> None:  # fmt: skip
    account, report = FreshAccount(role_seconds, has_role=has_role), list[str]()
    ensure_log_role(cast("Any", account), report.append, account.sleep)
    assert account.role_arn == "role-arn"
    assert account.now == seconds
    assert bool(report) == (seconds > 0)
    assert all(line.startswith("waiting ") for line in report)


def test_a_role_that_is_never_accepted_fails_after_two_minutes() -> None:
    account = FreshAccount(float("inf"))
    with pytest.raises(ClientError, match="BadRequestException"):
        ensure_log_role(cast("Any", account), lambda _: None, account.sleep)
    assert 60 < account.now < 180


def test_an_account_that_has_a_role_keeps_it() -> None:
    account = FreshAccount(0.0)
    account.role_arn = "their-role"
    ensure_log_role(cast("Any", account), lambda _: None, account.sleep)
    assert account.role_arn == "their-role"

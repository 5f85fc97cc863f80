"""Differences between what is deployed and the settings, where AWS differs from the emulated one."""

import json
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import Mock

import pytest

from infra import api_gateway
from infra.account import Account
from infra.bundle import ROOT
from infra.comparison import (
    Target,
    compare_api,
    compare_function,
    compare_table,
    expected_functions,
)
from infra.stage_settings import StageSettings

PATHS = ("*/*", "/v1/sessions/POST", "/v1/merchants/{account_id}/stores/{poi_id}/certificates/GET")
STORES = "/v1/merchants/{account_id}/stores/GET"
LIMIT = {"throttlingRateLimit": 100.0, "throttlingBurstLimit": 200}


def target(client: Any, settings: StageSettings | None = None, **overrides: str) -> Target:
    account = Account(cast("Callable[[str], Any]", lambda _: client), {}, "us-east-1")
    return Target(account, ROOT, "dev", settings or StageSettings(), "abc", overrides=overrides)


def fake_api(*paths: str, off: bool = False, allowed: str = "abc") -> Target:
    """Return a target with an API, and the policy of its function. `paths` are the keys of its method settings."""
    source = f"arn:aws:execute-api:us-east-1:123456789012:{allowed}/*"
    principal, condition = {"Service": "apigateway.amazonaws.com"}, {"ArnLike": {"AWS:SourceArn": source}}
    statement = {"Effect": "Allow", "Principal": principal, "Condition": condition}
    client = Mock()
    client.get_policy.return_value = {"Policy": json.dumps({"Statement": [statement]})}
    client.get_caller_identity.return_value = {"Account": "123456789012"}
    log = api_gateway.access_log_settings(target(client).account, "dev")
    client.get_stage.return_value = {"methodSettings": dict.fromkeys(paths, LIMIT), "accessLogSettings": log}
    client.get_rest_api.return_value = {"disableExecuteApiEndpoint": off}
    return target(client)


@pytest.mark.parametrize("path", [STORES, STORES.lstrip("/"), "~1v1~1merchants~1{account_id}~1stores/GET"])
def test_a_limit_is_found_in_each_form_of_its_path(path: str) -> None:
    assert list(compare_api(fake_api(*PATHS, path))) == []


def test_a_limit_that_is_not_set_a_missing_permission_and_a_disabled_endpoint_are_differences() -> None:
    found = [str(difference) for difference in compare_api(fake_api(*PATHS, off=True, allowed="abcd"))]
    assert found == [
        f"api abc: limit of {STORES} is (None, None), expected (100, 200)",
        "api abc: API Gateway may not invoke the function",
        "api abc: the default endpoint is disabled",
    ]


def test_a_function_is_compared_by_the_names_of_aws_and_of_variables_only_the_names_are_shown() -> None:
    settings = StageSettings(python="3.12")
    expected = expected_functions(target(None, settings, SESSION_TTL_SECONDS="60"))["douyin-redemption-dev"]
    assert "Runtime" not in expected_functions(target(None))["douyin-redemption-dev"]
    variables = expected["Environment.Variables"]
    assert (variables["SESSION_TTL_SECONDS"], variables["STAGE"]) == ("60", "dev")
    configuration = {
        "State": "Active", "LastUpdateStatus": "Successful", "Architectures": ["x86_64"], "Handler": "app.app",
        "MemorySize": 1024, "Timeout": 15, "Environment": {"Variables": variables}, "Runtime": "python3.12",
        "TracingConfig": {"Mode": "Active"},
    }  # fmt: skip
    assert list(compare_function("f", {"Configuration": configuration}, expected)) == []
    other = configuration | {
        "MemorySize": 512,
        "Environment": {"Variables": {**variables, "SESSION_TTL_SECONDS": "old", "NEW": "x"}},
        "VpcConfig": {"SubnetIds": ["subnet-2", "subnet-1"]},
    }
    found = {"Configuration": other, "Concurrency": {"ReservedConcurrentExecutions": 7}}
    assert [str(difference) for difference in compare_function("f", found, expected)] == [
        "function f: MemorySize is 512, expected 1024",
        "function f: variables differ: NEW, SESSION_TTL_SECONDS",
        "function f: Concurrency.ReservedConcurrentExecutions is 7, expected None",
        "function f: VpcConfig.SubnetIds is ['subnet-1', 'subnet-2'], expected []",
    ]


TABLE = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "TableStatus": "ACTIVE",
    "DeletionProtectionEnabled": True,
}
BACKUPS = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}}


@pytest.mark.parametrize(
    ("table", "backups", "text", "advice"),
    [
        ({"KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}, BACKUPS, "partition key", "account and region"),
        ({"TableStatus": "CREATING"}, BACKUPS, "CREATING", "wait"),
        ({"DeletionProtectionEnabled": False}, BACKUPS, "not enabled: deletion protection", "docs/operate.md"),
        ({}, {}, "not enabled: point-in-time recovery", "as an administrator"),
    ],
)
def test_what_a_deployment_does_not_correct_in_a_table_has_an_advice(
    table: Any, backups: Any, text: str, advice: str
) -> None:
    client = Mock()
    client.describe_table.return_value = {"Table": TABLE}
    client.describe_continuous_backups.return_value = {"ContinuousBackupsDescription": BACKUPS}
    assert list(compare_table(target(client))) == []
    client.describe_table.return_value = {"Table": TABLE | table}
    client.describe_continuous_backups.return_value = {"ContinuousBackupsDescription": backups}
    [difference] = compare_table(target(client))
    assert text in difference.text
    assert advice in difference.advice

"""Differences between what is deployed and the settings, where AWS differs from the emulated one."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from infra import api_gateway
from infra.account import Account
from infra.bundle import ROOT
from infra.comparison import Target, compare_api, compare_values, expected_functions
from infra.stage_settings import StageSettings

PATHS = ("*/*", "/v1/sessions/POST", "/v1/merchants/{account_id}/stores/{poi_id}/certificates/GET")
STORES = "/v1/merchants/{account_id}/stores/GET"
LIMIT = {"throttlingRateLimit": 100.0, "throttlingBurstLimit": 200}


def target(client: Any, settings: StageSettings | None = None, **overrides: str) -> Target:
    account = Account(cast("Callable[[str], Any]", lambda _: client), {}, "us-east-1")
    return Target(account, ROOT, "dev", settings or StageSettings(), "abc", overrides=overrides)


class FakeApiGateway:
    """An API. `paths` are the keys of its method settings."""

    def __init__(self, *paths: str, off: bool = False) -> None:
        self.paths = paths
        self.off = off

    def get_caller_identity(self) -> Any:
        return {"Account": "123456789012"}

    def get_stage(self, **_: str) -> Any:
        log = api_gateway.access_log_settings(target(self).account, "dev")
        return {"methodSettings": dict.fromkeys(self.paths, LIMIT), "accessLogSettings": log}

    def get_rest_api(self, **_: str) -> Any:
        return {"disableExecuteApiEndpoint": self.off}


@pytest.mark.parametrize("path", [STORES, STORES.lstrip("/"), "~1v1~1merchants~1{account_id}~1stores/GET"])
def test_a_limit_is_found_in_each_form_of_its_path(path: str) -> None:
    assert list(compare_api(target(FakeApiGateway(*PATHS, path)))) == []


def test_a_limit_that_is_not_set_and_a_disabled_endpoint_are_differences() -> None:
    found = [str(difference) for difference in compare_api(target(FakeApiGateway(*PATHS, off=True)))]
    assert found == [
        f"api abc: limit of {STORES} is (None, None), expected (100, 200)",
        "api abc: the default endpoint is disabled",
    ]


def test_of_variables_only_the_names_are_shown() -> None:
    expected = expected_functions(target(None, StageSettings(python="3.12"), SESSION_TTL_SECONDS="60"))
    environment = expected["douyin-redemption-dev"]["environment"]
    assert (environment["SESSION_TTL_SECONDS"], environment["STAGE"]) == ("60", "dev")
    assert expected["douyin-redemption-dev"]["runtime"] == "python3.12"
    [difference] = compare_values(
        "function f", {"environment": {"A": "old", "B": "x"}}, {"environment": {"B": "x", "C": "new"}}
    )
    assert str(difference) == "function f: variables differ: A, C"

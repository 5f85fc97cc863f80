"""Settings from the environment: each variable missing, malformed, and as it should be."""

from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from chalicelib.components import Components
from chalicelib.errors import ConfigurationError
from chalicelib.settings import Settings, TelemetrySettings, is_lambda, is_traced

REQUIRED = {"TABLE_NAME": "table", "SECRET_NAME": "secret"}


DEFAULTS = Settings("table", "secret", "https://open.douyin.com", "https://developer.toutiao.com", 7200)


def test_two_variables_are_enough() -> None:
    assert Settings.from_env(REQUIRED) == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("TABLE_NAME", "t", {"table_name": "t"}),
        ("SECRET_NAME", "s/", {"secret_name": "s/"}),
        ("DOUYIN_OPEN_API", "", {}),
        ("DOUYIN_OPEN_API", "  https://open.example/api/\n", {"open_api": "https://open.example/api/"}),
        ("DOUYIN_LOGIN_API", "http://127.0.0.1:1", {"login_api": "http://127.0.0.1:1"}),
        ("DOUYIN_LOGIN_API", "http://[::1]:8080/", {"login_api": "http://[::1]:8080/"}),
        ("DOUYIN_LOGIN_API", "https://open.example:8443/v1:x", {"login_api": "https://open.example:8443/v1:x"}),
        ("SESSION_TTL_SECONDS", "1", {"session_seconds": 1}),
        ("SESSION_TTL_SECONDS", "2592000", {"session_seconds": 2592000}),
        ("SESSION_TTL_SECONDS", " 60 ", {"session_seconds": 60}),
    ],
)
def test_a_variable_sets_its_setting_and_an_empty_one_nothing(name: str, value: str, changed: dict[str, Any]) -> None:
    assert Settings.from_env(REQUIRED | {name: value}) == msgspec.structs.replace(DEFAULTS, **changed)


def test_the_platform_is_called_without_the_slash_at_the_end_of_a_base_url() -> None:
    settings = msgspec.structs.replace(DEFAULTS, open_api="https://a/", login_api="https://b/c/")
    douyin = Components(settings, Mock(), Mock()).douyin
    assert (douyin.open_api, douyin.login_api) == ("https://a", "https://b/c")


NO_BASE_URLS = [
    "open.douyin.com",
    "https:///path",
    "https://open.example?x=1",
    "https://:password@open.example",
    "https://open.example:port",
    "https://[::1",
    "https://open.example:123456",
    "http://open.douyin.com",
    "http://127.0.0.1.example",
    "ftp://localhost",
]


@pytest.mark.parametrize(
    ("name", "problem", "values"),
    [
        ("TABLE_NAME", "Object missing required field `{}`", [None, "", " \n"]),
        ("SECRET_NAME", "Object missing required field `{}`", [None, "", " \n"]),
        ("SESSION_TTL_SECONDS", "Expected `int` >= 1 - at `$.{}`", ["0", "-1"]),
        ("SESSION_TTL_SECONDS", "Expected `int` <= 2592000 - at `$.{}`", ["2592001"]),
        ("SESSION_TTL_SECONDS", "Expected `int`, got `str` - at `$.{}`", ["1.5", "٣", "²", "many"]),
        ("DOUYIN_OPEN_API", "{} is not an https base URL (http only for loopback)", NO_BASE_URLS),
        ("DOUYIN_LOGIN_API", "{} is not an https base URL (http only for loopback)", NO_BASE_URLS),
    ],
)
def test_a_missing_or_malformed_variable_is_named_without_its_value(
    name: str, problem: str, values: list[str | None]
) -> None:
    for value in values:
        env = {other: text for other, text in {**REQUIRED, name: value}.items() if text is not None}
        with pytest.raises(ConfigurationError) as raised:
            Settings.from_env(env)
        assert str(raised.value) == f"environment: {problem.format(name)}"


def test_telemetry_has_names_whatever_is_configured() -> None:
    default = TelemetrySettings("douyin-redemption", "DouyinRedemption", "")
    names = {"POWERTOOLS_SERVICE_NAME": "a", "POWERTOOLS_METRICS_NAMESPACE": "b", "STAGE": "prod"}
    assert TelemetrySettings.from_env({}) == default
    assert TelemetrySettings.from_env(dict.fromkeys(names, "")) == default
    assert TelemetrySettings.from_env(names) == TelemetrySettings("a", "b", "prod")


def test_lambda_is_recognized_by_its_runtime() -> None:
    assert is_lambda({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"})
    assert not is_lambda({"AWS_LAMBDA_FUNCTION_NAME": "f"})


@pytest.mark.parametrize(
    ("header", "disabled", "expected"),
    [
        (None, None, False),
        ("Root=1-5759e988;Parent=53995c3f42cd8ad8;Sampled=1", None, True),
        ("Root=1-5759e988;Sampled=0", None, False),
        ("Root=1-5759e988;Sampled=1", "TRUE", False),
        ("Root=1-5759e988;Sampled=1", "false", True),
    ],
)
def test_an_invocation_is_traced_when_it_is_sampled(header: str | None, disabled: str | None, expected: bool) -> None:
    env = {"_X_AMZN_TRACE_ID": header, "POWERTOOLS_TRACE_DISABLED": disabled}
    assert is_traced({name: value for name, value in env.items() if value is not None}) is expected

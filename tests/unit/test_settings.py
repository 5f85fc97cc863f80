"""Settings from the environment: each variable missing, malformed, and as it should be."""

from __future__ import annotations

import pytest

from chalicelib.errors import ConfigurationError
from chalicelib.settings import Settings, TelemetrySettings, is_lambda, is_traced

REQUIRED = {"TABLE_NAME": "table", "SECRET_NAME": "secret"}
URLS = ("DOUYIN_OPEN_API", "DOUYIN_LOGIN_API")


def test_two_variables_are_enough() -> None:
    assert Settings.from_env(REQUIRED) == Settings(
        table_name="table",
        secret_name="secret",
        open_api="https://open.douyin.com",
        login_api="https://developer.toutiao.com",
        session_ttl=7200,
    )


def test_every_variable_is_read() -> None:
    env = {
        "TABLE_NAME": "t",
        "SECRET_NAME": "s",
        "DOUYIN_OPEN_API": "https://open.example",
        "DOUYIN_LOGIN_API": "https://login.example",
        "SESSION_TTL_SECONDS": "60",
    }
    assert Settings.from_env(env) == Settings("t", "s", "https://open.example", "https://login.example", 60)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    env = {key: text for key, text in (REQUIRED | {name: value}).items() if text is not None}
    with pytest.raises(ConfigurationError, match=f"environment variable {name} is missing"):
        Settings.from_env(env)


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    ("value", "base_url"),
    [
        ("https://open.example/", "https://open.example"),
        ("https://open.example/api/", "https://open.example/api"),
        ("  https://open.example\n", "https://open.example"),
        ("https://open.example:8443", "https://open.example:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("", "https://open.douyin.com"),
    ],
)
def test_a_base_url_has_no_trailing_slash(name: str, value: str, base_url: str) -> None:
    settings = Settings.from_env(REQUIRED | {name: value})
    if name == "DOUYIN_OPEN_API":
        assert settings.open_api == base_url
    else:
        assert settings.login_api == base_url.replace("open.douyin.com", "developer.toutiao.com")


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("not a url", "is not a base URL"),
        ("open.douyin.com", "is not a base URL"),
        ("https://", "is not a base URL"),
        ("https:///path", "is not a base URL"),
        ("https://open.example?x=1", "is not a base URL"),
        ("https://open.example#x", "is not a base URL"),
        ("https://user@open.example", "is not a base URL"),
        ("https://:password@open.example", "is not a base URL"),
        ("https://open.example:port", "is not a base URL"),
        ("https://open.example:99999", "is not a base URL"),
        ("https://[::1", "is not a base URL"),
        ("http://open.douyin.com", "must be https"),
        ("http://127.0.0.1.example", "must be https"),
        ("ftp://localhost", "must be https"),
        ("//open.douyin.com", "must be https"),
    ],
)
def test_a_malformed_base_url_is_named(name: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=f"environment variable {name} {problem}") as raised:
        Settings.from_env(REQUIRED | {name: value})
    assert value not in str(raised.value)


@pytest.mark.parametrize(("value", "seconds"), [("1", 1), ("2592000", 2592000), (" 60 ", 60), ("", 7200), ("007", 7)])
def test_the_session_ttl_is_a_number_of_seconds(value: str, seconds: int) -> None:
    assert Settings.from_env(REQUIRED | {"SESSION_TTL_SECONDS": value}).session_ttl == seconds


@pytest.mark.parametrize("value", ["0", "-1", "+1", "1.5", "1e3", "2592001", "an hour", "1_000", "٣", "²", "0x10"])
def test_a_malformed_session_ttl_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match="SESSION_TTL_SECONDS is not a number of seconds from 1 to 2592000"):
        Settings.from_env(REQUIRED | {"SESSION_TTL_SECONDS": value})


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, TelemetrySettings("douyin-redemption", "DouyinRedemption", "")),
        (
            {"POWERTOOLS_SERVICE_NAME": "a", "POWERTOOLS_METRICS_NAMESPACE": "b", "STAGE": "prod"},
            TelemetrySettings("a", "b", "prod"),
        ),
        (
            {"POWERTOOLS_SERVICE_NAME": "", "POWERTOOLS_METRICS_NAMESPACE": ""},
            TelemetrySettings("douyin-redemption", "DouyinRedemption", ""),
        ),
    ],
)
def test_telemetry_has_names_whatever_is_configured(env: dict[str, str], expected: TelemetrySettings) -> None:
    assert TelemetrySettings.from_env(env) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [({}, False), ({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, True), ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, False)],
)
def test_lambda_is_recognized_by_its_runtime(env: dict[str, str], expected: bool) -> None:
    assert is_lambda(env) is expected


SAMPLED = {"_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        (SAMPLED, True),
        ({"_X_AMZN_TRACE_ID": "Root=1-5759e988;Sampled=0"}, False),
        (SAMPLED | {"POWERTOOLS_TRACE_DISABLED": "true"}, False),
        (SAMPLED | {"POWERTOOLS_TRACE_DISABLED": "TRUE"}, False),
        (SAMPLED | {"POWERTOOLS_TRACE_DISABLED": "1"}, False),
        (SAMPLED | {"POWERTOOLS_TRACE_DISABLED": "on"}, False),
        (SAMPLED | {"POWERTOOLS_TRACE_DISABLED": "false"}, True),
        (SAMPLED | {"POWERTOOLS_TRACE_DISABLED": ""}, True),
    ],
)
def test_an_invocation_is_traced_when_it_is_sampled(env: dict[str, str], expected: bool) -> None:
    assert is_traced(env) is expected

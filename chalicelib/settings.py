"""Configuration from environment variables. The service reads them nowhere else."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from chalicelib.errors import ConfigurationError

MAX_TTL = 30 * 86_400
"""The longest lifetime of a session, in seconds."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _base_url(name: str, value: str) -> str:
    if not _is_safe_base_url(value):
        raise ConfigurationError(f"environment variable {name} is not an https base URL (http only for loopback)")
    return value.rstrip("/")


def _is_safe_base_url(value: str) -> bool:
    try:
        url = urlsplit(value)
        # Reading the port checks it.
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    # These calls carry the access token and the app secret: no plain http except on this machine.
    is_safe = url.scheme == "https" or (url.scheme == "http" and host in _LOOPBACK)
    return bool(host) and is_safe and not url.query and not url.fragment and url.username is None


def _seconds(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= MAX_TTL):
        raise ConfigurationError(f"environment variable {name} is not a number of seconds from 1 to {MAX_TTL}")
    return int(value)


class Variable(NamedTuple):
    """An environment variable of the service."""

    name: str
    #: None: the variable is required. Empty: nothing is set by default.
    default: str | None = None
    #: Returns the value of a text, given the name; raises ConfigurationError.
    parse: Callable[[str, str], Any] = lambda _, value: value


VARIABLES = {
    "table_name": Variable("TABLE_NAME"),
    "secret_name": Variable("SECRET_NAME"),
    "open_api": Variable("DOUYIN_OPEN_API", "https://open.douyin.com", _base_url),
    "login_api": Variable("DOUYIN_LOGIN_API", "https://developer.toutiao.com", _base_url),
    "session_ttl": Variable("SESSION_TTL_SECONDS", "7200", _seconds),
}
"""The variable of each field of Settings. The tests compare the stages' files and the guides with it."""


class Settings(msgspec.Struct, frozen=True):
    """Configuration of one deployment."""

    #: The DynamoDB table.
    table_name: str
    #: The secret in Secrets Manager.
    secret_name: str
    #: Base URL of tokens, certificates and code2session, without a trailing slash.
    open_api: str
    #: Base URL of jscode2session, without a trailing slash.
    login_api: str
    #: Lifetime of a session in seconds.
    session_ttl: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises ConfigurationError that names the missing or malformed variable."""
        return cls(**{field: _read(env, variable) for field, variable in VARIABLES.items()})


class TelemetrySettings(msgspec.Struct, frozen=True):
    """Names used in logs, metrics and traces. All are optional, so that a misconfigured deployment can still log."""

    service: str
    namespace: str
    #: A metric dimension; empty for none.
    stage: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "TelemetrySettings":
        """Read Powertools' variables and STAGE."""
        return cls(
            service=env.get("POWERTOOLS_SERVICE_NAME") or "douyin-redemption",
            namespace=env.get("POWERTOOLS_METRICS_NAMESPACE") or "DouyinRedemption",
            stage=env.get("STAGE", ""),
        )

    @property
    def api_name(self) -> str:
        """The name of the API in API Gateway. API Gateway's own metrics tell two stages apart by it."""
        return f"douyin-redemption-{self.stage}" if self.stage else "douyin-redemption"


def is_lambda(env: Mapping[str, str]) -> bool:
    """Return whether Lambda's runtime loaded the app (not a Chalice command or a test)."""
    return "AWS_LAMBDA_RUNTIME_API" in env


def is_traced(env: Mapping[str, str]) -> bool:
    """Return whether this invocation is traced. The runtime sets the trace header for each invocation."""
    disabled = env.get("POWERTOOLS_TRACE_DISABLED", "").lower() in ("1", "true", "yes", "on", "y", "t")
    return not disabled and "Sampled=1" in env.get("_X_AMZN_TRACE_ID", "")


def _read(env: Mapping[str, str], variable: Variable) -> Any:
    value = env.get(variable.name, "").strip() or variable.default
    if value is None:
        raise ConfigurationError(f"environment variable {variable.name} is missing")
    return variable.parse(variable.name, value)

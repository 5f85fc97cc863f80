"""Configuration from environment variables, and the commit of the bundle. The service reads them nowhere else."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import msgspec

from chalicelib.errors import ConfigurationError

MAX_SESSION_SECONDS = 30 * 86_400
"""The longest lifetime of a session, in seconds."""

COMMIT_FILE = Path(__file__).parent.parent / "commit.txt"
"""The file that `infra.bundle` writes into the bundle. It is missing from an archive that Chalice has built itself."""

_BASE_URL = re.compile(r"(https://[\w.-]+|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]{1,5})?(/[^?#\s]*)?", re.ASCII)
"""Calls to these URLs carry the access token or the app secret, so http is allowed only on this machine."""


class _Environment(msgspec.Struct, frozen=True):
    """Base class of structs that are read from environment variables. `name` of each field is its variable."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables; raises ConfigurationError that names the missing or malformed one. Blank is missing."""
        values = {name: value.strip() for name, value in env.items() if value.strip()}
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"environment: {error}") from None


class Settings(_Environment, frozen=True):
    """Configuration of one deployment."""

    #: The DynamoDB table.
    table_name: str = msgspec.field(name="TABLE_NAME")
    #: The secret in Secrets Manager.
    secret_name: str = msgspec.field(name="SECRET_NAME")
    #: Base URL of tokens, certificates and code2session.
    open_api: str = msgspec.field(name="DOUYIN_OPEN_API", default="https://open.douyin.com")
    #: Base URL of jscode2session.
    login_api: str = msgspec.field(name="DOUYIN_LOGIN_API", default="https://developer.toutiao.com")
    #: Lifetime of a session in seconds.
    session_seconds: Annotated[int, msgspec.Meta(ge=1, le=MAX_SESSION_SECONDS)] = msgspec.field(
        name="SESSION_TTL_SECONDS", default=7200
    )

    def __post_init__(self) -> None:
        for variable, value in (("DOUYIN_OPEN_API", self.open_api), ("DOUYIN_LOGIN_API", self.login_api)):
            if not _BASE_URL.fullmatch(value):
                raise ValueError(f"{variable} is not an https base URL (http only for loopback)")


class TelemetrySettings(_Environment, frozen=True):
    """Names used in logs, metrics and traces. All are optional, so that a misconfigured deployment can still log."""

    service: str = msgspec.field(name="POWERTOOLS_SERVICE_NAME", default="douyin-redemption")
    namespace: str = msgspec.field(name="POWERTOOLS_METRICS_NAMESPACE", default="DouyinRedemption")
    #: A metric dimension; empty for none.
    stage: str = msgspec.field(name="STAGE", default="")

    @property
    def api_name(self) -> str:
        """The name of the API in API Gateway. It differs between stages, so that API Gateway's own metrics do, too."""
        return f"douyin-redemption-{self.stage}" if self.stage else "douyin-redemption"


def is_lambda(env: Mapping[str, str]) -> bool:
    """Return whether Lambda's runtime loaded the app (not a Chalice command or a test)."""
    return "AWS_LAMBDA_RUNTIME_API" in env


def is_traced(env: Mapping[str, str]) -> bool:
    """Return whether this invocation is traced. The runtime sets the trace header for each invocation."""
    disabled = env.get("POWERTOOLS_TRACE_DISABLED", "").lower() in ("1", "true", "yes", "on", "y", "t")
    return not disabled and "Sampled=1" in env.get("_X_AMZN_TRACE_ID", "")


def read_commit() -> str | None:
    """Return the commit, or None if it is unknown. A `+` at its end: a file of the app differs from the commit."""
    return COMMIT_FILE.read_text(encoding="ascii").strip() if COMMIT_FILE.is_file() else None

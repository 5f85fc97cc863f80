"""Configuration from environment variables, and the commit of the bundle. The service reads them nowhere else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from chalicelib.errors import ConfigurationError

MAX_SESSION_SECONDS = 30 * 86_400
"""The longest lifetime of a session, in seconds."""

COMMIT_FILE = Path(__file__).parent.parent / "commit.txt"
"""The file that `infra.bundle` writes into the bundle. It is missing from an archive that Chalice has built itself."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _is_safe_base_url(value: str) -> bool:
    try:
        url = urlsplit(value)
        # Reading `port` raises ValueError if it is malformed.
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    # Calls to these URLs carry the access token or the app secret, so http is allowed only on this machine.
    is_safe = url.scheme == "https" or (url.scheme == "http" and host in _LOOPBACK)
    return bool(host) and is_safe and not url.query and not url.fragment and url.username is None


class Settings(msgspec.Struct, frozen=True):
    """Configuration of one deployment. `name` of each field is its environment variable."""

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
            if not _is_safe_base_url(value):
                raise ValueError(f"{variable} is not an https base URL (http only for loopback)")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises ConfigurationError that names the missing or malformed variable."""
        values = {name: value.strip() for name, value in env.items() if value.strip()}
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"environment: {error}") from None


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

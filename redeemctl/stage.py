"""An operator's access to a stage: its table, its secret and the platform, through the service's own modules."""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from chalicelib import __version__
from chalicelib.aws import Table
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.transport import Transport, create_session
from chalicelib.errors import ConfigurationError, RedemptionError
from chalicelib.settings import Settings
from chalicelib.tokens.provider import TokenProvider
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.secret import SecretStore
from redeemctl.table import MerchantTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import requests
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from chalicelib.credentials import Credentials
    from redeemctl.rows import Item

CALL_SECONDS = 30.0
"""Time limit for one call to the table or the platform, retries included."""

PARALLEL_WRITES = 16
"""Threads of an import. DynamoDB serves 4,000 writes a second on a new on-demand table."""

PARALLEL_QUERIES = 8
"""Threads of `doctor`. With 0.1 s a call they stay below the rate that the platform publishes for a related call, 200
per second."""

AWS_CONFIG = Config(
    connect_timeout=3,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=PARALLEL_WRITES,
)
"""An unreachable AWS is reported within 15 s."""

_FIXED_VARIABLES = ("TABLE_NAME", "SECRET_NAME")
OTHER_VARIABLES = ("DOUYIN_OPEN_API", "DOUYIN_LOGIN_API", "SESSION_TTL_SECONDS")
"""The environment may override these, for example to use a sandbox."""


@dataclass(frozen=True)
class Stage:
    """One stage. Create it with `open_stage`.

    `notices` are environment variables that change the stage's configuration.
    """

    name: str
    settings: Settings
    session: Any
    dynamodb: DynamoDBClient
    secrets_manager: SecretsManagerClient
    douyin: DouyinClient
    tokens: TokenProvider
    secret: SecretStore
    merchants: MerchantTable
    http: requests.Session
    notices: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Return lines that say on which stage, account and region a command acts."""
        account = self.create_client("sts").get_caller_identity()["Account"]
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        where = f", endpoint {endpoint}" if endpoint else ""
        line = f"stage {self.name}, account {account}, region {self.session.region_name}{where}"
        return [line, *self.notices]

    def new_context(self) -> RequestContext:
        """Return a context with the time limit of one call."""
        return RequestContext(Deadline(CALL_SECONDS))

    def create_client(self, service: str) -> Any:
        """Create the client of another AWS service."""
        return self.session.client(service, config=AWS_CONFIG)

    def read_credentials(self) -> Credentials | None:
        """Return the secret's value, or None if it has none yet; raises ConfigurationError if it is malformed."""
        return self.secret.read().credentials

    def secret_exists(self) -> bool:
        """Return whether the secret exists, with or without a value."""
        return self.secret.exists()

    def list_merchants(self) -> list[Item]:
        """Return the rows of all merchants, sorted by account_id."""
        return self.merchants.list_all()

    def get_app_secret(self, app_id: str) -> str:
        """Return an app's secret; raises CommandError if the app is unknown."""
        self.require_app(app_id)
        return self.secret.read().apps[app_id]

    def require_app(self, app_id: str) -> None:
        """Raise CommandError if the app is not in the secret."""
        apps = self.secret.read().apps
        if app_id not in apps:
            known = ", ".join(apps) or "none"
            raise CommandError(f"app {app_id} not found (apps: {known}); to add it: redeemctl app add {app_id}")

    def longest_session(self) -> int:
        """Return the lifetime of sessions in seconds: the longer of the configured one and the deployed one."""
        try:
            function = self.create_client("lambda").get_function_configuration(
                FunctionName=f"douyin-redemption-{self.name}"
            )
            deployed = Settings.from_env(function.get("Environment", {}).get("Variables", {})).session_ttl
        except (ClientError, BotoCoreError, ConfigurationError):
            # Not deployed, or the operator may not read the function.
            deployed = 0
        return max(self.settings.session_ttl, deployed)


def merge_variables(
    stage: str, configured: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the stage's variables and a notice for each that the environment overrides.

    Raises InvalidInputError if the environment names another table or secret than the stage's.
    """
    for name in _FIXED_VARIABLES:
        if environ.get(name) and environ[name] != configured.get(name):
            raise InvalidInputError(
                f"variable {name} is {environ[name]!r}, but stage {stage} uses {configured.get(name)!r}: "
                f"unset {name}, or select the stage with --stage"
            )
    overrides = {n: environ[n] for n in OTHER_VARIABLES if environ.get(n) and environ[n] != configured.get(n)}
    notices = tuple(f"{name}={value} (from the environment)" for name, value in overrides.items())
    return {**configured, **overrides}, notices


@contextmanager
def open_stage(name: str, project: Path) -> Iterator[Stage]:
    """Open a stage of `project`, configured by its .chalice/config.json.

    AWS errors and errors of the service become CommandError.
    """
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    if name not in config["stages"]:
        raise InvalidInputError(f"--stage: stage {name} not found; stages: {', '.join(config['stages'])}")
    variables, notices = merge_variables(name, config["stages"][name]["environment_variables"], os.environ)
    with closing(create_session(f"redeemctl/{__version__}", PARALLEL_QUERIES)) as http, _translate_errors(name):
        settings = Settings.from_env(variables)
        session: Any = boto3.Session()
        if not session.region_name:
            raise InvalidInputError("AWS region: set AWS_DEFAULT_REGION, or a region in the AWS profile")
        dynamodb = session.client("dynamodb", config=AWS_CONFIG)
        secrets_manager = session.client("secretsmanager", config=AWS_CONFIG)
        douyin = DouyinClient(Transport(http), settings.open_api, settings.login_api)
        yield Stage(
            name,
            settings,
            session,
            dynamodb,
            secrets_manager,
            douyin,
            TokenProvider(Table(dynamodb, settings.table_name), douyin),
            SecretStore(secrets_manager, settings.secret_name),
            MerchantTable(dynamodb, settings.table_name),
            http,
            notices,
        )


@contextmanager
def _translate_errors(stage: str) -> Iterator[None]:
    try:
        yield
    except RedemptionError as error:
        raise CommandError(f"{type(error).__name__}: {error}") from None
    except ClientError as error:
        details = error.response["Error"]
        missing = details["Code"] == "ResourceNotFoundException"
        hint = f"; is stage {stage} deployed here? make deploy STAGE={stage}" if missing else ""
        raise CommandError(f"AWS: {details['Code']}: {details['Message']}{hint}") from None
    except BotoCoreError as error:
        raise CommandError(f"AWS: {error}") from None
    except ResponseParserError:
        raise CommandError("AWS: the response is not one of AWS; check AWS_ENDPOINT_URL and proxies") from None

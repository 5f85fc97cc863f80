"""An operator's access to a stage: its table, its secret and the platform, through the service's own modules."""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import __version__
from chalicelib.aws import Table
from chalicelib.context import Deadline, RequestContext
from chalicelib.credentials import Credentials, parse_credentials
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.transport import Transport, create_session
from chalicelib.errors import RedemptionError
from chalicelib.merchants import MERCHANT_PREFIX, merchant_key
from chalicelib.settings import Settings
from chalicelib.tokens.store import TokenStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

    Item = dict[str, AttributeValueTypeDef]

CALL_SECONDS = 30.0
"""Time limit for one call to the table or the platform, retries included."""

PENDING_TAG = "pending-session-key"
"""Tag of the secret: fingerprint of the session key that verifies but does not sign yet."""


class CommandError(Exception):
    """A command cannot be completed. The message is for the operator."""


@dataclass(frozen=True)
class Stage:
    """One stage. Create it with `open_stage`."""

    name: str
    settings: Settings
    dynamodb: DynamoDBClient
    secrets_manager: SecretsManagerClient
    douyin: DouyinClient
    tokens: TokenStore

    def new_context(self) -> RequestContext:
        """Return a context with the time limit of one call."""
        return RequestContext(Deadline(CALL_SECONDS))

    def read_credentials(self) -> Credentials | None:
        """Return the secret's value, or None if it has none yet; raises ConfigurationError if it is malformed."""
        try:
            value = self.secrets_manager.get_secret_value(SecretId=self.settings.secret_name).get("SecretString")
        except ClientError as error:
            # Secrets Manager reports a missing value and a missing secret with the same code.
            if error.response["Error"]["Code"] != "ResourceNotFoundException" or not self.secret_exists():
                raise
            return None
        return parse_credentials(value) if value else None

    def secret_exists(self) -> bool:
        """Return whether the secret exists, with or without a value."""
        try:
            self.secrets_manager.describe_secret(SecretId=self.settings.secret_name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return False
        return True

    def put_credentials(self, apps: dict[str, str], session_keys: list[str]) -> None:
        """Replace the secret's value."""
        value = json.dumps({"apps": apps, "session_keys": session_keys})
        self.secrets_manager.put_secret_value(SecretId=self.settings.secret_name, SecretString=value)

    def get_app_secret(self, app_id: str) -> str:
        """Return an app's secret; raises CommandError if the app is unknown."""
        credentials = self.read_credentials()
        if credentials is None or app_id not in credentials.apps:
            raise CommandError(f"app {app_id} not found; to add it: redeemctl app add {app_id}")
        return credentials.apps[app_id]

    def list_merchants(self) -> list[Item]:
        """Return the rows of all merchants, sorted by account_id."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.settings.table_name,
            FilterExpression="begins_with(pk, :merchant)",
            ExpressionAttributeValues={":merchant": {"S": MERCHANT_PREFIX}},
        )
        items: list[Item] = [item for page in pages for item in page["Items"]]
        return sorted(items, key=lambda item: item["pk"]["S"])

    def get_merchant(self, account_id: str) -> Item | None:
        """Return a merchant's row, or None."""
        key: Item = {"pk": {"S": merchant_key(account_id)}}
        item: Item | None = self.dynamodb.get_item(
            TableName=self.settings.table_name, Key=key, ConsistentRead=True
        ).get("Item")
        return item

    def put_merchant(self, item: Item) -> None:
        """Write a merchant's row."""
        self.dynamodb.put_item(TableName=self.settings.table_name, Item=item)


@contextmanager
def open_stage(name: str, project: Path) -> Iterator[Stage]:
    """Open a stage of `project`. Environment variables override those in .chalice/config.json.

    AWS errors and errors of the service become CommandError.
    """
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    if name not in config["stages"]:
        raise CommandError(f"stage {name} not found; stages: {', '.join(config['stages'])}")
    variables = config["stages"][name]["environment_variables"]
    session: Any = boto3.Session()
    with closing(create_session(f"redeemctl/{__version__}", 1)) as http:
        try:
            settings = Settings.from_env({**variables, **os.environ})
            douyin = DouyinClient(Transport(http), settings.open_api, settings.login_api)
            dynamodb = session.client("dynamodb")
            tokens = TokenStore(Table(dynamodb, settings.table_name), douyin)
            yield Stage(name, settings, dynamodb, session.client("secretsmanager"), douyin, tokens)
        except RedemptionError as error:
            raise CommandError(f"{type(error).__name__}: {error}") from None
        except ClientError as error:
            details = error.response["Error"]
            raise CommandError(f"AWS: {details['Code']}: {details['Message']}") from None
        except BotoCoreError as error:
            raise CommandError(f"AWS: {error}") from None

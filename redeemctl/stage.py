"""A stage as an operator reaches it: its table, its secret, the platform, over the same parts that the service uses."""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import __version__
from chalicelib.credentials import Credentials, read_credentials
from chalicelib.errors import RedemptionError
from chalicelib.merchants import PREFIX, merchant_key
from chalicelib.scope import Deadline, Scope
from chalicelib.settings import Settings
from chalicelib.storage import Table
from chalicelib.tokens import TokenStore
from chalicelib.transport import Transport, make_session
from chalicelib.upstream import Douyin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

    Item = dict[str, AttributeValueTypeDef]

COMMAND_SECONDS = 30.0

PENDING_TAG = "pending-session-key"
"""On the secret: the fingerprint of the session key that is read already and signs next."""


class OperatorError(Exception):
    """What stops a command, in words for whoever typed it."""


@dataclass(frozen=True)
class Stage:
    """One stage; close over it with `opened`."""

    name: str
    settings: Settings
    dynamodb: DynamoDBClient
    secrets_manager: SecretsManagerClient
    douyin: Douyin
    tokens: TokenStore

    def scope(self) -> Scope:
        """The time that one step may take."""
        return Scope(Deadline(COMMAND_SECONDS))

    def credentials(self) -> Credentials | None:
        """The secret, None while it has no value; raises ConfigurationError when its form is wrong."""
        try:
            value = self.secrets_manager.get_secret_value(SecretId=self.settings.secret_name).get("SecretString")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException" or not self.has_secret():
                raise
            return None
        return read_credentials(value) if value else None

    def has_secret(self) -> bool:
        """Whether the secret exists, with or without a value."""
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

    def app_secret(self, app_id: str) -> str:
        """An app's secret; raises OperatorError when the app is none of ours."""
        credentials = self.credentials()
        if credentials is None or app_id not in credentials.apps:
            raise OperatorError(f"no app {app_id}: redeemctl app add {app_id}")
        return credentials.apps[app_id]

    def merchants(self) -> list[Item]:
        """Every merchant's row, by account_id."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.settings.table_name,
            FilterExpression="begins_with(pk, :merchant)",
            ExpressionAttributeValues={":merchant": {"S": PREFIX}},
        )
        items: list[Item] = [item for page in pages for item in page["Items"]]
        return sorted(items, key=lambda item: item["pk"]["S"])

    def merchant(self, account_id: str) -> Item | None:
        """A merchant's row as it stands."""
        key: Item = {"pk": {"S": merchant_key(account_id)}}
        found: Item | None = self.dynamodb.get_item(
            TableName=self.settings.table_name, Key=key, ConsistentRead=True
        ).get("Item")
        return found

    def put(self, item: Item) -> None:
        """Write a row."""
        self.dynamodb.put_item(TableName=self.settings.table_name, Item=item)


@contextmanager
def opened(name: str, project: Path) -> Iterator[Stage]:
    """Reach a stage of `project`: its variables from .chalice/config.json, over which the environment's go.

    Raises OperatorError for whatever AWS or the service's own parts say.
    """
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    if name not in config["stages"]:
        raise OperatorError(f"no stage {name}: {', '.join(config['stages'])}")
    configured = config["stages"][name]["environment_variables"]
    session: Any = boto3.Session()
    with closing(make_session(f"redeemctl/{__version__}", 1)) as http:
        try:
            settings = Settings.from_env({**configured, **os.environ})
            douyin = Douyin(Transport(http), settings.open_api, settings.login_api)
            dynamodb = session.client("dynamodb")
            tokens = TokenStore(Table(dynamodb, settings.table_name), douyin)
            yield Stage(name, settings, dynamodb, session.client("secretsmanager"), douyin, tokens)
        except RedemptionError as error:
            raise OperatorError(f"{type(error).__name__}: {error}") from None
        except ClientError as error:
            told = error.response["Error"]
            raise OperatorError(f"AWS: {told['Code']}: {told['Message']}") from None
        except BotoCoreError as error:
            raise OperatorError(f"AWS: {error}") from None

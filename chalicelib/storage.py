"""The table and the secret over botocore: its errors become ours here, and every call is entered in the journal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from chalicelib.scope import Scope

    Item = dict[str, AttributeValueTypeDef]

# Both answer in milliseconds; two tries are worth their time, and the worst case still fits the request's budget.
_CLIENT_CONFIG = Config(
    connect_timeout=0.7,
    read_timeout=1.0,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=8,
)


class ConditionFailedError(Exception):
    """A conditional write found the item otherwise; `item` is what stands there now (empty when nothing does)."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item = item


class Table:
    """The service's one DynamoDB table, partition key `pk`."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def read(self, pk: str, scope: Scope) -> Item:
        """The item as it stands (a consistent read), empty when there is none; raises StorageUnavailableError."""
        with scope.timed("dynamodb", "GetItem"), _translated():
            answer = self._client.get_item(TableName=self._name, Key={"pk": {"S": pk}}, ConsistentRead=True)
        return answer.get("Item", {})

    def write(self, pk: str, update: str, condition: str, values: Item, scope: Scope) -> Item:
        """Change the item if `condition` holds and return it whole.

        Raises ConditionFailedError with what stands there otherwise, and StorageUnavailableError.
        """
        with scope.timed("dynamodb", "UpdateItem"), _translated():
            answer = self._client.update_item(
                TableName=self._name,
                Key={"pk": {"S": pk}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        return answer.get("Attributes", {})


def read_secret(client: SecretsManagerClient, name: str, scope: Scope) -> str:
    """The secret's current text; raises StorageUnavailableError."""
    with scope.timed("secretsmanager", "GetSecretValue"), _translated():
        return client.get_secret_value(SecretId=name)["SecretString"]


def make_clients() -> tuple[DynamoDBClient, SecretsManagerClient]:
    """Clients configured by the environment (region, credentials, AWS_ENDPOINT_URL)."""
    # botocore is what boto3 wraps; without boto3's resource layer an instance starts tens of milliseconds sooner.
    session: Any = botocore.session.get_session()
    return (
        session.create_client("dynamodb", config=_CLIENT_CONFIG),
        session.create_client("secretsmanager", config=_CLIENT_CONFIG),
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        answer: Any = error.response
        code = answer.get("Error", {}).get("Code", "ClientError")
        if code == "ConditionalCheckFailedException":
            raise ConditionFailedError(answer.get("Item", {})) from None
        raise StorageUnavailableError(code) from None
    except BotoCoreError as error:
        raise StorageUnavailableError(type(error).__name__) from None

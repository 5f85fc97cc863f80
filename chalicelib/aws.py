"""DynamoDB and Secrets Manager over botocore. AWS errors become errors of this service; each call is logged."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, DataNotFoundError
from botocore.loaders import Loader

from chalicelib.errors import StorageUnavailableError
from chalicelib.retry import RetryPolicy, call_with_retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from chalicelib.context import RequestContext

    Item = dict[str, AttributeValueTypeDef]

T = TypeVar("T")

SDK_DATA = Path(__file__).parent.parent / "sdk-data"
"""botocore's data of these two services only, written by `make bundle`.

botocore's own data covers four hundred services; searching it takes a third of a cold start.
"""

# Both services answer in milliseconds: repeat a slow attempt rather than wait for it.
CONNECT_SECONDS = 0.5
READ_SECONDS = 0.5

RETRY_POLICY = RetryPolicy(max_attempts=2, base_delay=0.1, max_delay=0.1, min_seconds=CONNECT_SECONDS + READ_SECONDS)

_CLIENT_CONFIG = Config(
    connect_timeout=CONNECT_SECONDS,
    read_timeout=READ_SECONDS,
    # RETRY_POLICY repeats calls, because botocore does not know the request's deadline.
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=8,
)
_RETRYABLE_CODES = frozenset(
    {
        "InternalServerError",
        "InternalServiceError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)


class ConditionFailedError(Exception):
    """The condition of a write was false. `item` is the present item (empty when there is none)."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item = item


class Table:
    """The service's DynamoDB table; its partition key is `pk`."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def get_item(self, pk: str, context: RequestContext) -> Item:
        """Return an item by a consistent read, empty when there is none; raises StorageUnavailableError."""
        response = _call(
            "dynamodb",
            "GetItem",
            context,
            lambda: self._client.get_item(TableName=self._name, Key={"pk": {"S": pk}}, ConsistentRead=True),
        )
        return response.get("Item", {})

    def update_item(self, pk: str, update: str, condition: str, values: Item, context: RequestContext) -> Item:
        """Update an item if `condition` holds, and return all of it.

        Raises ConditionFailedError with the present item, or StorageUnavailableError.
        """
        response = _call(
            "dynamodb",
            "UpdateItem",
            context,
            lambda: self._client.update_item(
                TableName=self._name,
                Key={"pk": {"S": pk}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            ),
        )
        return response.get("Attributes", {})


def read_secret(client: SecretsManagerClient, name: str, context: RequestContext) -> str:
    """Return the secret's current text; raises StorageUnavailableError."""
    response = _call("secretsmanager", "GetSecretValue", context, lambda: client.get_secret_value(SecretId=name))
    return response.get("SecretString", "")


def create_clients() -> tuple[DynamoDBClient, SecretsManagerClient]:
    """Create both clients. The environment gives region, credentials and AWS_ENDPOINT_URL."""
    try:
        return _create_clients(Loader([str(SDK_DATA)], include_default_search_paths=False))
    except DataNotFoundError:
        # Outside of a bundle, or botocore needs data that the botocore of the build did not have.
        return _create_clients(Loader())


def _create_clients(loader: Loader) -> tuple[DynamoDBClient, SecretsManagerClient]:
    # botocore without boto3's resource layer: an instance starts tens of milliseconds sooner.
    session: Any = botocore.session.get_session()
    session.register_component("data_loader", loader)
    return (
        session.create_client("dynamodb", config=_CLIENT_CONFIG),
        session.create_client("secretsmanager", config=_CLIENT_CONFIG),
    )


def _call(service: str, operation: str, context: RequestContext, send: Callable[[], T]) -> T:
    """Call AWS with retries inside the deadline; raises ConditionFailedError or StorageUnavailableError."""

    def attempt() -> T:
        if context.deadline.remaining() <= 0:
            raise StorageUnavailableError("budget")
        with context.record_call(service, operation), _translate_errors():
            return send()

    return call_with_retries(attempt, RETRY_POLICY, context.deadline)


@contextmanager
def _translate_errors() -> Iterator[None]:
    # `from None`: botocore's messages quote ids and host names.
    try:
        yield
    except ClientError as error:
        response: Any = error.response
        code = response.get("Error", {}).get("Code", "ClientError")
        if code == "ConditionalCheckFailedException":
            raise ConditionFailedError(response.get("Item", {})) from None
        is_server_error = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
        raise StorageUnavailableError(code, retryable=is_server_error or code in _RETRYABLE_CODES) from None
    except BotoCoreError as error:
        raise StorageUnavailableError(type(error).__name__, retryable=True) from None

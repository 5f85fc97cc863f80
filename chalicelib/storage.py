"""The table and the secret over botocore: its errors become ours here, and every call is entered in the journal."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import botocore.session
import tenacity
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, DataNotFoundError
from botocore.loaders import Loader

from chalicelib.errors import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from chalicelib.scope import Scope

    Item = dict[str, AttributeValueTypeDef]

_T = TypeVar("_T")

SDK_DATA = Path(__file__).parent.parent / "sdk-data"
"""What botocore must know of the two services and of nothing else; `make bundle` puts it there.

botocore's own covers four hundred services, and looking through it takes a third of a start.
"""

# Both answer in milliseconds, and a try that does not is better repeated than waited for.
CONNECT_SECONDS = 0.5
READ_SECONDS = 0.5
TRIES = 2

_CLIENT_CONFIG = Config(
    connect_timeout=CONNECT_SECONDS,
    read_timeout=READ_SECONDS,
    # Repeated here, where the request's budget is known.
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=8,
)
_PASSING = frozenset(
    {"InternalServerError", "InternalServiceError", "ServiceUnavailable", "RequestLimitExceeded", "ThrottlingException"}
    | {"ProvisionedThroughputExceededException", "TransactionInProgressException", "Throttling"}
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
        answer = _called(
            "dynamodb.GetItem",
            scope,
            lambda: self._client.get_item(TableName=self._name, Key={"pk": {"S": pk}}, ConsistentRead=True),
        )
        return answer.get("Item", {})

    def write(self, pk: str, update: str, condition: str, values: Item, scope: Scope) -> Item:
        """Change the item if `condition` holds and return it whole.

        Raises ConditionFailedError with what stands there otherwise, and StorageUnavailableError.
        """
        answer = _called(
            "dynamodb.UpdateItem",
            scope,
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
        return answer.get("Attributes", {})


def read_secret(client: SecretsManagerClient, name: str, scope: Scope) -> str:
    """The secret's current text; raises StorageUnavailableError."""
    answer = _called("secretsmanager.GetSecretValue", scope, lambda: client.get_secret_value(SecretId=name))
    return answer.get("SecretString", "")


def make_clients() -> tuple[DynamoDBClient, SecretsManagerClient]:
    """Clients configured by the environment (region, credentials, AWS_ENDPOINT_URL)."""
    try:
        return _clients(Loader([str(SDK_DATA)], include_default_search_paths=False))
    except DataNotFoundError:
        # Not in a bundle, or a botocore that wants data which the one of the build did not have.
        return _clients(Loader())


def _clients(data: Loader) -> tuple[DynamoDBClient, SecretsManagerClient]:
    # botocore is what boto3 wraps; without boto3's resource layer an instance starts tens of milliseconds sooner.
    session: Any = botocore.session.get_session()
    session.register_component("data_loader", data)
    return (
        session.create_client("dynamodb", config=_CLIENT_CONFIG),
        session.create_client("secretsmanager", config=_CLIENT_CONFIG),
    )


def _called(name: str, scope: Scope, call: Callable[[], _T]) -> _T:
    """Call, and once more after a failure that may pass while the budget lasts; raises our errors."""

    def once() -> _T:
        if scope.deadline.remaining() <= 0:
            raise StorageUnavailableError("budget")
        with scope.timed(*name.split(".")), _translated():
            return call()

    def worthwhile(error: BaseException) -> bool:
        left = scope.deadline.remaining()
        return isinstance(error, StorageUnavailableError) and error.passing and left > CONNECT_SECONDS + READ_SECONDS

    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_random(0, 0.1),
        retry=tenacity.retry_if_exception(worthwhile),
        reraise=True,
    )(once)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        answer: Any = error.response
        code = answer.get("Error", {}).get("Code", "ClientError")
        if code == "ConditionalCheckFailedException":
            raise ConditionFailedError(answer.get("Item", {})) from None
        broken = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
        raise StorageUnavailableError(code, passing=broken or code in _PASSING) from None
    except BotoCoreError as error:
        raise StorageUnavailableError(type(error).__name__, passing=True) from None

"""DynamoDB and Secrets Manager over boto3. AWS errors become errors of this service; each call is logged."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import boto3
import botocore
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

from chalicelib.context import RequestContext
from chalicelib.errors import StorageUnavailableError
from chalicelib.retry import RetryPolicy, call_with_retries

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

Item = dict[str, "AttributeValueTypeDef"]
T = TypeVar("T")

SDK_DATA = Path(__file__).parent.parent / "sdk-data"
"""The folder with botocore's data for these two services. `make bundle` writes it.

botocore's own data covers four hundred services. Searching it would take a third of a cold start.
"""

AWS_ATTEMPT_SECONDS = 1.0
"""The usual limit of an attempt: half of it for connecting, half for each read.

Both services respond in milliseconds, so it is faster to repeat a slow attempt than to wait for it.
"""

RETRY_POLICY = RetryPolicy(max_attempts=2, base_delay=0.1, min_seconds_left=AWS_ATTEMPT_SECONDS)

_CLIENT_CONFIG = Config(
    connect_timeout=AWS_ATTEMPT_SECONDS / 2,
    read_timeout=AWS_ATTEMPT_SECONDS / 2,
    # RETRY_POLICY repeats calls, because botocore does not know the request's deadline.
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=8,
)
_NOT_FOUND = "`make deploy` creates table and secret, `redeemctl app add` the content of the secret"
_ERROR_CODE = re.compile(r"[A-Za-z]{1,64}")
# Transient errors that arrive with HTTP 400. Every 5xx is repeated too.
_THROTTLING_CODES = (
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
)


class Clients(NamedTuple):
    """The clients of AWS."""

    dynamodb: "DynamoDBClient"
    secrets_manager: "SecretsManagerClient"


@dataclass(eq=False, repr=False)
class Table:
    """The service's DynamoDB table; its partition key is `pk`."""

    client: "DynamoDBClient"
    name: str

    def get_item(self, pk: str, context: RequestContext) -> Item:
        """Return an item by a consistent read, empty when there is none; raises StorageUnavailableError."""
        send = partial(self.client.get_item, TableName=self.name, Key={"pk": {"S": pk}}, ConsistentRead=True)
        return _call("dynamodb", "GetItem", context, send).get("Item", {})

    def update_item(self, pk: str, update: str, condition: str, values: Item, context: RequestContext) -> Item:
        """Update an item if `condition` holds. Return the item as it is then, updated or not; {} if there is none.

        Raises StorageUnavailableError.
        """

        def send() -> Any:
            try:
                return self.client.update_item(
                    TableName=self.name,
                    Key={"pk": {"S": pk}},
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            # A false condition is a result, so it is neither logged as a failed call nor raised.
            except self.client.exceptions.ConditionalCheckFailedException as error:
                return error.response

        response: dict[str, Item] = _call("dynamodb", "UpdateItem", context, send)
        return response.get("Attributes") or response.get("Item", {})


def read_secret(client: "SecretsManagerClient", name: str, context: RequestContext) -> str:
    """Return the secret's current text; raises StorageUnavailableError."""
    send = partial(client.get_secret_value, SecretId=name)
    return _call("secretsmanager", "GetSecretValue", context, send).get("SecretString", "")


def create_clients(warn: Callable[[str], None] = lambda _: None) -> Clients:
    """Create both clients. The environment gives region, credentials and AWS_ENDPOINT_URL.

    The clients use the reduced SDK data of the bundle if the runtime's botocore can work with it. Otherwise they use
    botocore's own, and `warn` is called with the reason.
    """
    if SDK_DATA.is_dir():
        try:
            return _create_clients_with(Loader([str(SDK_DATA)], include_default_search_paths=False))
        except Exception as error:
            # Catch every exception: another version of botocore may fail with any error.
            warn(f"the bundle's SDK data does not fit botocore {botocore.__version__}: {type(error).__name__}")
    return _create_clients_with(Loader())


def _create_clients_with(loader: Loader) -> Clients:
    core_session = botocore.session.get_session()
    core_session.register_component("data_loader", loader)
    session = boto3.session.Session(botocore_session=core_session)
    return Clients(
        dynamodb=session.client("dynamodb", config=_CLIENT_CONFIG),
        secrets_manager=session.client("secretsmanager", config=_CLIENT_CONFIG),
    )


def _call(service: str, name: str, context: RequestContext, send: Callable[[], T]) -> T:
    """Call AWS, with retries; raises StorageUnavailableError.

    No attempt starts after the deadline. One that started before it usually ends AWS_ATTEMPT_SECONDS after it at most.
    """

    def attempt() -> T:
        with context.record_call(service, name):
            # `from None`: botocore's messages quote ids and host names, which must not reach a log.
            try:
                return send()
            except ClientError as error:
                response: Any = error.response
                status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                code = response.get("Error", {}).get("Code", "")
                # The code is logged. A faulty peer may send any text as the code, even a secret.
                if not _ERROR_CODE.fullmatch(code):
                    code = f"http_{status}"
                reason = f"{code} ({_NOT_FOUND})" if code == "ResourceNotFoundException" else code
                raise StorageUnavailableError(reason, is_transient=status >= 500 or code in _THROTTLING_CODES) from None
            except BotoCoreError as error:
                raise StorageUnavailableError(type(error).__name__) from None

    return call_with_retries(attempt, RETRY_POLICY, context.deadline)

"""AWS calls: what is sent, how errors are translated, and what is repeated. No socket is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import botocore
import botocore.session
import msgspec
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError
from botocore.loaders import Loader
from botocore.stub import Stubber

from chalicelib import aws
from chalicelib.aws import ConditionFailedError, Table, create_clients, read_secret
from chalicelib.context import RequestContext
from chalicelib.errors import StorageUnavailableError, UpstreamTimeoutError
from tests.unit.fakes import make_context

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from chalicelib.aws import Item

ITEM: Item = {"pk": {"S": "TOKEN#a"}, "version": {"N": "7"}}


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "RETRY_POLICY", msgspec.structs.replace(aws.RETRY_POLICY, base_delay=0.0))


@pytest.fixture(scope="module")
def clients() -> tuple[DynamoDBClient, SecretsManagerClient]:
    session: Any = botocore.session.Session()
    options = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return session.create_client("dynamodb", **options), session.create_client("secretsmanager", **options)


@pytest.fixture
def dynamodb(clients: tuple[DynamoDBClient, SecretsManagerClient]) -> DynamoDBClient:
    return clients[0]


def make_client(*results: Any) -> Mock:
    """Return a client of either service whose operations return or raise `results` one after the other."""
    send = Mock(side_effect=results)
    return Mock(get_item=send, update_item=send, get_secret_value=send)


CALLS: dict[str, Callable[[Any, RequestContext], Any]] = {
    "dynamodb.GetItem": lambda client, context: Table(client, "table").get_item("TOKEN#a", context),
    "dynamodb.UpdateItem": lambda client, context: Table(client, "table").update_item("a", "SET", "c", {}, context),
    "secretsmanager.GetSecretValue": lambda client, context: read_secret(client, "secret", context),
}


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "planted: the message of AWS"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetItem")


def test_an_item_is_read_consistently_and_a_missing_one_is_empty(dynamodb: DynamoDBClient) -> None:
    with Stubber(dynamodb) as stub:
        expected = {"TableName": "table", "Key": {"pk": {"S": "TOKEN#a"}}, "ConsistentRead": True}
        stub.add_response("get_item", {"Item": ITEM}, expected)
        stub.add_response("get_item", {}, expected)
        assert Table(dynamodb, "table").get_item("TOKEN#a", make_context()) == ITEM
        assert Table(dynamodb, "table").get_item("TOKEN#a", make_context()) == {}


def test_an_item_is_updated_under_a_condition(dynamodb: DynamoDBClient) -> None:
    with Stubber(dynamodb) as stub:
        expected = {
            "TableName": "table",
            "Key": {"pk": {"S": "TOKEN#a"}},
            "UpdateExpression": "SET v = :v",
            "ConditionExpression": "attribute_not_exists(v)",
            "ExpressionAttributeValues": {":v": {"N": "7"}},
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        stub.add_response("update_item", {"Attributes": ITEM}, expected)
        item = Table(dynamodb, "table").update_item(
            "TOKEN#a", "SET v = :v", "attribute_not_exists(v)", {":v": {"N": "7"}}, make_context()
        )
    assert item == ITEM


@pytest.mark.parametrize("present", [ITEM, {}])
def test_a_failed_condition_returns_the_present_item(dynamodb: DynamoDBClient, present: Item) -> None:
    """The call itself has succeeded."""
    fields = {"Item": present} if present else {}
    context = make_context()
    with Stubber(dynamodb) as stub:
        stub.add_client_error("update_item", "ConditionalCheckFailedException", modeled_fields=fields)
        with pytest.raises(ConditionFailedError) as raised:
            Table(dynamodb, "table").update_item("a", "SET v = :v", "v = :v", {":v": {"N": "1"}}, context)
    assert raised.value.item == present
    assert [call.outcome for call in context.record.calls] == ["ok"]


def test_a_secret_is_read_and_a_binary_one_is_empty_text(clients: tuple[Any, SecretsManagerClient]) -> None:
    secrets_manager = clients[1]
    with Stubber(secrets_manager) as stub:
        stub.add_response("get_secret_value", {"SecretString": "text"}, {"SecretId": "secret"})
        stub.add_response("get_secret_value", {"SecretBinary": b"x"})
        assert read_secret(secrets_manager, "secret", make_context()) == "text"
        assert read_secret(secrets_manager, "secret", make_context()) == ""


@pytest.mark.parametrize(
    ("error", "message", "retryable"),
    [
        (client_error("ThrottlingException"), "ThrottlingException", True),
        (client_error("Unheard", 500), "Unheard", True),
        (client_error("Unheard", 499), "Unheard", False),
        (client_error("AccessDeniedException"), "AccessDeniedException", False),
        (client_error("clt.planted-token", 500), "http_500", True),
        (ClientError({}, "GetItem"), "http_0", False),
        (ReadTimeoutError(endpoint_url="https://planted"), "ReadTimeoutError", True),
        (NoCredentialsError(), "NoCredentialsError", True),
        (TimeoutError(), "timeout", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_of_aws_is_translated_and_repeated_once_when_transient(
    error: Exception, message: str, retryable: bool
) -> None:
    client, context = make_client(error, error, error), make_context()
    with pytest.raises(StorageUnavailableError) as raised:
        CALLS["dynamodb.GetItem"](client, context)
    assert str(raised.value) == message
    assert raised.value.retryable is retryable
    assert raised.value.__suppress_context__, "messages of botocore quote ids and host names"
    assert [entry.outcome for entry in context.record.calls] == [message] * (2 if retryable else 1)
    assert client.get_item.call_count == len(context.record.calls)


@pytest.mark.parametrize(
    ("call", "result", "expected"),
    [
        ("dynamodb.GetItem", {"Item": ITEM}, ITEM),
        ("dynamodb.UpdateItem", {"Attributes": ITEM}, ITEM),
        ("secretsmanager.GetSecretValue", {"SecretString": "text"}, "text"),
    ],
)
def test_a_transient_error_of_each_call_is_overcome(call: str, result: Any, expected: Any) -> None:
    client, context = make_client(client_error("ThrottlingException"), result), make_context()
    assert CALLS[call](client, context) == expected
    first, second = client.get_item.call_args_list
    assert first == second
    assert [entry.outcome for entry in context.record.calls] == ["ThrottlingException", "ok"]
    assert {f"{entry.service}.{entry.name}" for entry in context.record.calls} == {call}


@pytest.mark.parametrize(
    ("seconds", "attempts", "error"),
    [(1.01, 2, StorageUnavailableError), (0.99, 1, StorageUnavailableError), (0.0, 0, UpstreamTimeoutError)],
)
def test_a_call_is_begun_before_the_deadline_and_repeated_when_there_is_time_for_a_whole_attempt(
    seconds: float, attempts: int, error: type[Exception]
) -> None:
    client, context = make_client(*[client_error("ThrottlingException")] * 2), make_context(seconds)
    with pytest.raises(error):
        CALLS["dynamodb.GetItem"](client, context)
    assert (client.get_item.call_count, len(context.record.calls)) == (attempts, attempts)


class Data:
    """The reduced SDK data in a folder of the test. `loaders` are those that clients were created with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.loaders: list[Loader] = []
        self.warnings: list[str] = []
        create = aws._create_clients

        def record(loader: Loader) -> Any:
            self.loaders.append(loader)
            return create(loader)

        monkeypatch.setattr(aws, "_create_clients", record)
        monkeypatch.setattr(aws, "SDK_DATA", folder)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")

    def write(self) -> None:
        self.folder.symlink_to(Loader.BUILTIN_DATA_PATH)

    def create_clients(self) -> tuple[Any, ...]:
        return create_clients(self.warnings.append)

    @property
    def is_botocores_own(self) -> list[bool]:
        return [Loader.BUILTIN_DATA_PATH in loader.search_paths for loader in self.loaders]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Data:
    return Data(tmp_path / "data", monkeypatch)


def test_clients_have_short_timeouts_and_do_not_retry_by_themselves(data: Data) -> None:
    """Outside of a bundle, they are created from botocore's own data."""
    clients = data.create_clients()
    assert (data.is_botocores_own, data.warnings) == ([True], [])
    assert [client.meta.service_model.service_name for client in clients] == ["dynamodb", "secretsmanager"]
    for client in clients:
        config: Any = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (0.5, 0.5)
        assert config.retries["total_max_attempts"] == 1
        assert client.meta.region_name == "cn-north-1"


def test_the_reduced_data_of_the_bundle_is_used_when_it_fits(data: Data) -> None:
    data.write()
    client, _ = data.create_clients()
    assert ([loader.search_paths for loader in data.loaders], data.warnings) == ([[str(data.folder)]], [])
    with Stubber(client) as stub:
        stub.add_response("get_item", {"Item": ITEM})
        assert Table(client, "table").get_item("TOKEN#a", make_context()) == ITEM


def test_botocores_own_data_is_used_with_a_warning_when_the_reduced_data_does_not_fit(data: Data) -> None:
    data.folder.mkdir()
    assert len(data.create_clients()) == 2
    assert data.is_botocores_own == [False, True]
    [warning] = data.warnings
    assert warning.startswith(f"the bundle's SDK data does not fit botocore {botocore.__version__}: ")

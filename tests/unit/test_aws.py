"""AWS calls: what is sent, how errors are translated, and what is repeated. No socket is opened."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import botocore.session
import msgspec
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.loaders import Loader
from botocore.stub import Stubber

from chalicelib import aws
from chalicelib.aws import ConditionFailedError, Table, create_clients, read_secret
from chalicelib.errors import StorageUnavailableError
from tests.unit.fakes import make_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from chalicelib.aws import Item
    from chalicelib.context import RequestContext

ITEM: Item = {"pk": {"S": "TOKEN#a"}, "version": {"N": "7"}}


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "RETRY_POLICY", msgspec.structs.replace(aws.RETRY_POLICY, base_delay=0.0))


@pytest.fixture(scope="module")
def session() -> Any:
    return botocore.session.Session()


def create_client(session: Any, service: str) -> Any:
    return session.create_client(
        service, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


@pytest.fixture(scope="module")
def dynamodb(session: Any) -> DynamoDBClient:
    return cast("DynamoDBClient", create_client(session, "dynamodb"))


@pytest.fixture(scope="module")
def secrets_manager(session: Any) -> SecretsManagerClient:
    return cast("SecretsManagerClient", create_client(session, "secretsmanager"))


class Client:
    """A client of either service whose operations return or raise `results` one after the other."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.calls: list[dict[str, Any]] = []

    def get_item(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    update_item = get_secret_value = get_item


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
        stub.add_response(
            "update_item",
            {"Attributes": ITEM},
            {
                "TableName": "table",
                "Key": {"pk": {"S": "TOKEN#a"}},
                "UpdateExpression": "SET version = :version",
                "ConditionExpression": "attribute_not_exists(version)",
                "ExpressionAttributeValues": {":version": {"N": "7"}},
                "ReturnValues": "ALL_NEW",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            },
        )
        item = Table(dynamodb, "table").update_item(
            "TOKEN#a",
            "SET version = :version",
            "attribute_not_exists(version)",
            {":version": {"N": "7"}},
            make_context(),
        )
    assert item == ITEM


@pytest.mark.parametrize("present", [ITEM, {}])
def test_a_failed_condition_returns_the_present_item(dynamodb: DynamoDBClient, present: Item) -> None:
    fields = {"Item": present} if present else {}
    with Stubber(dynamodb) as stub:
        stub.add_client_error("update_item", "ConditionalCheckFailedException", modeled_fields=fields)
        with pytest.raises(ConditionFailedError) as raised:
            Table(dynamodb, "table").update_item("a", "SET v = :v", "v = :v", {":v": {"N": "1"}}, make_context())
    assert raised.value.item == present


def test_a_secret_is_read_and_a_binary_one_is_empty_text(secrets_manager: SecretsManagerClient) -> None:
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
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_of_aws_is_translated_and_repeated_once_when_transient(
    error: ClientError | BotoCoreError, message: str, retryable: bool
) -> None:
    client, context = Client(error, error, error), make_context()
    with pytest.raises(StorageUnavailableError) as raised:
        CALLS["dynamodb.GetItem"](client, context)
    assert str(raised.value) == message
    assert raised.value.retryable is retryable
    assert raised.value.__suppress_context__, "messages of botocore quote ids and host names"
    assert [entry.outcome for entry in context.record.calls] == ["StorageUnavailableError"] * (2 if retryable else 1)
    assert len(client.calls) == len(context.record.calls)


@pytest.mark.parametrize(
    ("call", "result", "expected"),
    [
        ("dynamodb.GetItem", {"Item": ITEM}, ITEM),
        ("dynamodb.UpdateItem", {"Attributes": ITEM}, ITEM),
        ("secretsmanager.GetSecretValue", {"SecretString": "text"}, "text"),
    ],
)
def test_a_transient_error_of_each_call_is_overcome(call: str, result: Any, expected: Any) -> None:
    client, context = Client(client_error("ThrottlingException"), result), make_context()
    assert CALLS[call](client, context) == expected
    assert client.calls[0] == client.calls[1]
    assert [entry.outcome for entry in context.record.calls] == ["StorageUnavailableError", "ok"]
    assert {f"{entry.service}.{entry.name}" for entry in context.record.calls} == {call}


def test_nothing_is_sent_after_the_deadline() -> None:
    client, context = Client(), make_context(0.0)
    with pytest.raises(StorageUnavailableError, match="budget"):
        CALLS["dynamodb.GetItem"](client, context)
    assert client.calls == []
    assert context.record.calls == []


@pytest.mark.parametrize(("seconds", "attempts"), [(1.01, 2), (0.99, 1)])
def test_a_call_is_repeated_only_when_there_is_time_for_a_whole_attempt(seconds: float, attempts: int) -> None:
    client = Client(client_error("ThrottlingException"), client_error("ThrottlingException"))
    with pytest.raises(StorageUnavailableError):
        CALLS["dynamodb.GetItem"](client, make_context(seconds))
    assert len(client.calls) == attempts


def test_an_attempt_that_hangs_is_cut_and_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeouts of botocore apply to each read alone."""
    monkeypatch.setattr(aws, "AWS_ATTEMPT_SECONDS", 0.02)
    opened = threading.Event()

    class Hanging(Client):
        def get_item(self, **arguments: Any) -> Any:
            self.calls.append(arguments)
            assert opened.wait(10)
            return {}

    client, context = Hanging(), make_context()
    try:
        with pytest.raises(StorageUnavailableError, match="timeout") as raised:
            CALLS["dynamodb.GetItem"](client, context)
    finally:
        opened.set()
    assert raised.value.retryable
    assert len(client.calls) == 2
    assert [entry.outcome for entry in context.record.calls] == ["StorageUnavailableError"] * 2


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")


@pytest.fixture
def loaders(monkeypatch: pytest.MonkeyPatch) -> list[Loader]:
    """Return the list of loaders that clients were created with."""
    used: list[Loader] = []
    create = aws._create_clients

    def record(loader: Loader) -> Any:
        used.append(loader)
        return create(loader)

    monkeypatch.setattr(aws, "_create_clients", record)
    return used


def is_botocores_own(loader: Loader) -> bool:
    return Loader.BUILTIN_DATA_PATH in loader.search_paths


@pytest.mark.usefixtures("environment")
def test_clients_have_short_timeouts_and_do_not_retry_by_themselves(
    monkeypatch: pytest.MonkeyPatch, loaders: list[Loader], tmp_path: Path
) -> None:
    """Outside of a bundle, they are created from botocore's own data."""
    monkeypatch.setattr(aws, "SDK_DATA", tmp_path / "missing")
    warnings: list[str] = []
    clients = create_clients(warnings.append)
    assert warnings == []
    assert [is_botocores_own(loader) for loader in loaders] == [True]
    assert [client.meta.service_model.service_name for client in clients] == ["dynamodb", "secretsmanager"]
    for client in clients:
        config: Any = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (0.5, 0.5)
        assert config.retries["total_max_attempts"] == 1
        assert client.meta.region_name == "cn-north-1"


@pytest.mark.usefixtures("environment")
def test_the_reduced_data_of_the_bundle_is_used_when_it_fits(
    monkeypatch: pytest.MonkeyPatch, loaders: list[Loader], tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(Loader.BUILTIN_DATA_PATH)
    monkeypatch.setattr(aws, "SDK_DATA", tmp_path / "data")
    warnings: list[str] = []
    clients = create_clients(warnings.append)
    assert warnings == []
    [loader] = loaders
    assert loader.search_paths == [str(tmp_path / "data")]
    with Stubber(clients[0]) as stub:
        stub.add_response("get_item", {"Item": ITEM})
        assert Table(clients[0], "table").get_item("TOKEN#a", make_context()) == ITEM, "test calls leave nothing behind"


@pytest.mark.usefixtures("environment")
def test_botocores_own_data_is_used_with_a_warning_when_the_reduced_data_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, loaders: list[Loader], tmp_path: Path
) -> None:
    monkeypatch.setattr(aws, "SDK_DATA", tmp_path)
    warnings: list[str] = []
    assert len(create_clients(warnings.append)) == 2
    [warning] = warnings
    assert warning.startswith("the bundle's SDK data does not fit botocore ")
    assert warning.endswith("Error")
    assert [is_botocores_own(loader) for loader in loaders] == [False, True]


@pytest.mark.usefixtures("environment")
def test_data_that_fails_only_when_a_call_is_made_does_not_fit_either(
    monkeypatch: pytest.MonkeyPatch, loaders: list[Loader], tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(Loader.BUILTIN_DATA_PATH)
    monkeypatch.setattr(aws, "SDK_DATA", tmp_path / "data")
    tried: list[str] = []

    def fail(client: Any, operation: str, parameters: dict[str, Any]) -> None:
        assert parameters
        tried.append(operation)
        if client.meta.service_model.service_name == "secretsmanager":
            raise KeyError("planted")

    monkeypatch.setattr(aws, "_test_client", fail)
    warnings: list[str] = []
    create_clients(warnings.append)
    assert tried == ["GetItem", "GetSecretValue"]
    assert [is_botocores_own(loader) for loader in loaders] == [False, True]
    assert warnings[0].endswith(": KeyError")
    assert "planted" not in warnings[0]

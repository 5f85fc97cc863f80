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
from botocore import xform_name
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.loaders import Loader
from botocore.stub import Stubber

from chalicelib import aws
from chalicelib.aws import Table, create_clients, read_secret
from chalicelib.context import RequestContext
from chalicelib.errors import DeadlineExceededError, StorageUnavailableError
from tests.unit.fakes import make_context

if TYPE_CHECKING:
    from chalicelib.aws import Item

ITEM: Item = {"pk": {"S": "TOKEN#a"}, "version": {"N": "7"}}


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "RETRY_POLICY", msgspec.structs.replace(aws.RETRY_POLICY, base_delay=0.0))


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    session: Any = botocore.session.Session()
    options = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return {service: session.create_client(service, **options) for service in ("dynamodb", "secretsmanager")}


def get_item(client: Any, context: RequestContext) -> Item:
    return Table(client, "table").get_item("TOKEN#a", context)


def update_item(client: Any, context: RequestContext) -> Item:
    return Table(client, "table").update_item(
        "TOKEN#a", "SET v = :v", "attribute_not_exists(v)", {":v": {"N": "7"}}, context
    )


def get_secret(client: Any, context: RequestContext) -> str:
    return read_secret(client, "secret", context)


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "planted: the message of AWS"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetItem")


KEY = {"TableName": "table", "Key": {"pk": {"S": "TOKEN#a"}}}
UPDATE = KEY | {
    "UpdateExpression": "SET v = :v",
    "ConditionExpression": "attribute_not_exists(v)",
    "ExpressionAttributeValues": {":v": {"N": "7"}},
    "ReturnValues": "ALL_NEW",
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}


CALLS: dict[str, tuple[Callable[..., Any], Any]] = {
    "dynamodb.GetItem": (get_item, KEY | {"ConsistentRead": True}),
    "dynamodb.UpdateItem": (update_item, UPDATE),
    "secretsmanager.GetSecretValue": (get_secret, {"SecretId": "secret"}),
}


@pytest.mark.parametrize(
    ("name", "response", "result"),
    [
        ("dynamodb.GetItem", {"Item": ITEM}, ITEM),
        ("dynamodb.GetItem", {}, {}),
        ("dynamodb.UpdateItem", {"Attributes": ITEM}, ITEM),
        ("secretsmanager.GetSecretValue", {"SecretString": "text"}, "text"),
        ("secretsmanager.GetSecretValue", {"SecretBinary": b"x"}, ""),
    ],
)
def test_a_request_is_sent_and_repeated_after_a_transient_error(
    clients: dict[str, Any], name: str, response: Any, result: Any
) -> None:
    call, request = CALLS[name]
    service, operation = name.split(".")
    context = make_context()
    with Stubber(clients[service]) as stub:
        stub.add_client_error(xform_name(operation), "ThrottlingException", expected_params=request)
        stub.add_response(xform_name(operation), response, request)
        assert call(clients[service], context) == result
    logged = [(entry.service, entry.name, entry.outcome) for entry in context.record.calls]
    assert logged == [(service, operation, "ThrottlingException"), (service, operation, "ok")]


@pytest.mark.parametrize("present", [ITEM, {}])
def test_a_failed_condition_returns_the_present_item(clients: dict[str, Any], present: Item) -> None:
    """The call itself has succeeded."""
    fields = {"Item": present} if present else {}
    context = make_context()
    with Stubber(clients["dynamodb"]) as stub:
        stub.add_client_error("update_item", "ConditionalCheckFailedException", modeled_fields=fields)
        assert update_item(clients["dynamodb"], context) == present
    assert [call.outcome for call in context.record.calls] == ["ok"]


@pytest.mark.parametrize(
    ("error", "message", "is_transient"),
    [
        (client_error("ThrottlingException"), "ThrottlingException", True),
        (client_error("Unheard", 500), "Unheard", True),
        (client_error("Unheard", 499), "Unheard", False),
        (client_error("AccessDeniedException"), "AccessDeniedException", False),
        (client_error("ResourceNotFoundException"), f"ResourceNotFoundException ({aws._NOT_FOUND})", False),
        (client_error("clt.planted-token", 500), "http_500", True),
        (ClientError({}, "GetItem"), "http_0", False),
        (ReadTimeoutError(endpoint_url="https://planted"), "ReadTimeoutError", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_of_aws_is_translated_and_repeated_once_when_transient(
    error: Exception, message: str, is_transient: bool
) -> None:
    client, context = Mock(), make_context()
    client.get_item.side_effect = error
    with pytest.raises(StorageUnavailableError) as raised:
        get_item(client, context)
    assert str(raised.value) == message
    assert raised.value.is_transient is is_transient
    assert raised.value.__suppress_context__, "messages of botocore quote ids and host names"
    assert [entry.outcome for entry in context.record.calls] == [message] * (2 if is_transient else 1)
    assert client.get_item.call_count == len(context.record.calls)


@pytest.mark.parametrize(
    ("seconds", "attempts", "error"),
    [(1.01, 2, StorageUnavailableError), (0.99, 1, StorageUnavailableError), (0.0, 0, DeadlineExceededError)],
)
def test_a_call_is_begun_before_the_deadline_and_repeated_when_there_is_time_for_a_whole_attempt(
    seconds: float, attempts: int, error: type[Exception]
) -> None:
    client, context = Mock(), make_context(seconds)
    client.get_item.side_effect = client_error("ThrottlingException")
    with pytest.raises(error):
        get_item(client, context)
    assert (client.get_item.call_count, len(context.record.calls)) == (attempts, attempts)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder for the reduced SDK data, which does not exist yet."""
    monkeypatch.setattr(aws, "SDK_DATA", tmp_path / "data")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")
    return tmp_path / "data"


@pytest.mark.usefixtures("data")
def test_clients_have_short_timeouts_and_do_not_retry_by_themselves() -> None:
    """Outside of a bundle, they are created from botocore's own data."""
    warnings: list[str] = []
    clients: Any = create_clients(warnings.append)
    assert warnings == []
    assert [client.meta.service_model.service_name for client in clients] == ["dynamodb", "secretsmanager"]
    for client in clients:
        config = client.meta.config
        assert Loader.BUILTIN_DATA_PATH in client._loader.search_paths
        assert (config.connect_timeout, config.read_timeout) == (0.5, 0.5)
        assert config.retries["total_max_attempts"] == 1
        assert client.meta.region_name == "cn-north-1"


def test_the_reduced_data_of_the_bundle_is_used_when_it_fits(data: Path) -> None:
    data.symlink_to(Loader.BUILTIN_DATA_PATH)
    warnings: list[str] = []
    client: Any = create_clients(warnings.append)[0]
    assert (client._loader.search_paths[0], warnings) == (str(data), [])
    assert Loader.BUILTIN_DATA_PATH not in client._loader.search_paths
    with Stubber(client) as stub:
        stub.add_response("get_item", {"Item": ITEM})
        assert get_item(client, make_context()) == ITEM


def test_botocores_own_data_is_used_with_a_warning_when_the_reduced_data_does_not_fit(data: Path) -> None:
    data.mkdir()
    warnings: list[str] = []
    clients: Any = create_clients(warnings.append)
    assert [Loader.BUILTIN_DATA_PATH in client._loader.search_paths for client in clients] == [True, True]
    [warning] = warnings
    assert warning.startswith(f"the bundle's SDK data does not fit botocore {botocore.__version__}: ")

"""The proxy that injects DynamoDB faults: what the service sees of each fault, and what is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chalicelib.aws import Table, create_clients
from chalicelib.context import Deadline, RequestContext
from chalicelib.errors import StorageUnavailableError
from sandbox.dynamodb_proxy import FAULT_KINDS, DynamoDbFault, DynamoDbProxy, TableCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Aws

ROW = "TOKEN#proxy"


class Recorded:
    """A proxy, the calls that it has recorded, and the table of one caller."""

    def __init__(self, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[TableCall] = []
        self.faults: list[tuple[str, str, str]] = []
        self.proxy = DynamoDbProxy(aws.url, 1, self.calls.append, lambda *fault: self.faults.append(fault))
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.proxy.open_port("A"))
        self.table = Table(create_clients()[0], aws.table)

    def write(self) -> None:
        context = RequestContext(Deadline(9))
        self.table.update_item(
            ROW, "SET version = :version", "attribute_not_exists(version)", {":version": {"N": "1"}}, context
        )

    def read(self) -> str:
        item = self.table.get_item(ROW, RequestContext(Deadline(9)))
        return item.get("version", {}).get("N", "")


@pytest.fixture
def recorded(aws: Aws, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    del environment
    recorded = Recorded(aws, monkeypatch)
    with recorded.proxy:
        yield recorded


@pytest.mark.parametrize(
    ("kind", "fails", "is_forwarded"),
    [
        ("delay", False, True),
        ("error", True, False),
        ("throttle", True, False),
        ("drop", True, False),
        ("lose", True, True),
        ("drip", True, True),
    ],
)
def test_each_fault_is_recorded_and_retried(recorded: Recorded, kind: str, fails: bool, is_forwarded: bool) -> None:
    recorded.write()
    recorded.calls.clear()
    recorded.proxy.set_faults(DynamoDbFault(kind, "GetItem"))
    if fails:
        with pytest.raises(StorageUnavailableError):
            recorded.read()
    else:
        assert recorded.read() == "1"
    assert recorded.faults == [("A", "GetItem", kind)] * (2 if fails else 1)
    assert bool(recorded.calls) == is_forwarded
    recorded.proxy.set_faults()
    assert recorded.read() == "1"


def test_each_kind_of_fault_is_tested() -> None:
    assert set(FAULT_KINDS) == {"delay", "error", "throttle", "drop", "lose", "drip"}


def test_calls_are_recorded_with_their_results(recorded: Recorded) -> None:
    recorded.write()
    assert recorded.read() == "1"
    assert [(call.caller, call.operation, call.pk, call.status) for call in recorded.calls] == [
        ("A", "UpdateItem", ROW, 200),
        ("A", "GetItem", ROW, 200),
    ]
    write, read = recorded.calls
    assert write.request["ExpressionAttributeValues"] == {":version": {"N": "1"}}
    assert write.response["Attributes"]["version"] == read.response["Item"]["version"] == {"N": "1"}
    assert write.at < read.at


def test_a_write_whose_response_is_lost_is_applied(recorded: Recorded) -> None:
    recorded.proxy.set_faults(DynamoDbFault("lose", "UpdateItem", times=2))
    with pytest.raises(StorageUnavailableError):
        recorded.write()
    assert recorded.read() == "1"
    assert [call.error_code for call in recorded.calls] == ["", "ConditionalCheckFailedException", ""]


@pytest.mark.parametrize(
    "fault",
    [
        DynamoDbFault("drop", "UpdateItem"),
        DynamoDbFault("drop", callers=frozenset({"B"})),
        DynamoDbFault("drop", probability=0),
        DynamoDbFault("drop", times=0),
    ],
)
def test_a_fault_affects_only_matching_calls(recorded: Recorded, fault: DynamoDbFault) -> None:
    recorded.proxy.set_faults(fault)
    assert not recorded.read()
    assert recorded.faults == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        DynamoDbFault("unknown")

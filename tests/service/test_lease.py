"""The lease's conditional writes, by the rules of DynamoDB. Everything else about the lease is in tests/unit/tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from chalicelib.aws import ConditionFailedError, Table, create_clients
from chalicelib.context import Deadline, RequestContext
from chalicelib.errors import UpstreamUnavailableError
from chalicelib.tokens.lease import Lease, TokenRow
from tests.aws_proxy import NetworkFault, run_aws_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.aws_proxy import AwsProxy
    from tests.harness import Aws

ROW = "TOKEN#lease"


class Instances:
    """Instances that share a row, and the proxy through which they reach it."""

    def __init__(self, aws: Aws, proxy: AwsProxy) -> None:
        self.aws = aws
        self.proxy = proxy
        self._table = Table(create_clients()[0], aws.table)

    def read(self) -> Lease:
        """Return the lease, not yet acquired, of an instance that reads the row now."""
        context = RequestContext(Deadline(9))
        row = TokenRow.from_item(self._table.get_item(ROW, context))
        return Lease(self._table, "lease", row, time.time, context)

    def token(self) -> str:
        """Return the token in the row."""
        return str(self.aws.row(ROW)["access_token"]["S"])


@pytest.fixture
def instances(aws: Aws, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Instances]:
    del environment
    aws.put(ROW, access_token="clt.old", expires_at=1)
    with run_aws_proxy(aws.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield Instances(aws, proxy)


@pytest.mark.parametrize("is_new", [False, True])
def test_of_two_instances_that_read_the_same_row_one_acquires_the_lease(instances: Instances, is_new: bool) -> None:
    if is_new:
        instances.aws.dynamodb.delete_item(TableName=instances.aws.table, Key={"pk": {"S": ROW}})
    first, second = instances.read(), instances.read()
    first.acquire()
    with pytest.raises(ConditionFailedError) as conflict:
        second.acquire()
    assert conflict.value.item == instances.aws.row(ROW)
    first.commit("clt.new", 0, 2)
    assert instances.token() == "clt.new"


def test_a_replaced_holder_can_neither_commit_nor_extend_nor_release(instances: Instances) -> None:
    slow = instances.read()
    slow.acquire()
    successor = instances.read()
    successor.acquire()
    before = instances.aws.row(ROW)
    for write in (
        lambda: slow.commit("clt.late", 0, 1),
        slow.extend,
        lambda: slow.release(UpstreamUnavailableError("http_503")),
    ):
        with pytest.raises(ConditionFailedError):
            write()
        assert instances.aws.row(ROW) == before
    successor.commit("clt.new", 0, 2)
    with pytest.raises(ConditionFailedError):
        slow.commit("clt.late", 0, 1)
    assert instances.token() == "clt.new"


@pytest.mark.parametrize("is_new", [False, True])
def test_a_token_that_was_written_by_hand_is_not_overwritten(instances: Instances, is_new: bool) -> None:
    """The operator does not set a `version`."""
    if is_new:
        instances.aws.dynamodb.delete_item(TableName=instances.aws.table, Key={"pk": {"S": ROW}})
    lease = instances.read()
    instances.aws.put(ROW, access_token="clt.by-hand", expires_at=2)
    with pytest.raises(ConditionFailedError):
        lease.acquire()
    assert instances.token() == "clt.by-hand"


def test_a_write_whose_response_was_lost_is_no_conflict(instances: Instances) -> None:
    """The retry meets the change that the first attempt has made."""
    lease = instances.read()
    faults = [NetworkFault("lose")]
    instances.proxy.refuse = lambda _: faults.pop() if faults else None
    lease.acquire()
    assert [call.operation for call in instances.proxy.calls] == ["GetItem", "UpdateItem", "UpdateItem"]
    lease.commit("clt.new", 0, 2)
    assert instances.token() == "clt.new"


def test_a_failed_mint_leaves_the_token_and_its_failure_in_the_row(instances: Instances) -> None:
    lease = instances.read()
    lease.acquire()
    lease.release(UpstreamUnavailableError("http_503", retryable=True))
    row = instances.aws.row(ROW)
    assert set(row) == {"pk", "access_token", "expires_at", "version", "failed_at", "failed_until", "failure"}

"""The lease's conditional writes, by the rules of DynamoDB. Everything else about the lease is in tests/unit/tokens."""

import time

import pytest

from chalicelib.aws import ConditionFailedError, Table, create_clients
from chalicelib.context import Deadline, RequestContext
from chalicelib.errors import UpstreamUnavailableError
from chalicelib.tokens.lease import Lease
from chalicelib.tokens.rows import TokenRow
from tests.aws_proxy import NetworkFault, run_aws_proxy
from tests.harness import Aws

pytestmark = pytest.mark.usefixtures("environment")

ROW = "TOKEN#lease"
BUSY = UpstreamUnavailableError("http_503")


def read_lease(aws: Aws) -> Lease:
    """Return the lease, not yet acquired, of an instance that reads the row now."""
    table, context = Table(create_clients()[0], aws.table), RequestContext(Deadline(9))
    return Lease(table, "lease", TokenRow.from_item(table.get_item(ROW, context)), time.time, context)


def read_token(aws: Aws) -> str:
    return str(aws.row(ROW)["access_token"]["S"])


@pytest.mark.parametrize("is_new", [False, True])
def test_only_the_instance_that_holds_the_lease_writes(aws: Aws, is_new: bool) -> None:
    if not is_new:
        aws.put(ROW, access_token="clt.old", expires_at=1)
    slow, successor = read_lease(aws), read_lease(aws)
    slow.take()
    with pytest.raises(ConditionFailedError) as conflict:
        successor.take()
    assert conflict.value.item == aws.row(ROW)
    successor = read_lease(aws)
    successor.take()
    before = aws.row(ROW)
    with pytest.raises(ConditionFailedError):
        slow.commit("clt.late", 0, 1)
    with pytest.raises(ConditionFailedError):
        slow.take()
    slow.release(BUSY)
    assert aws.row(ROW) == before
    successor.commit("clt.new", 0, 2)
    with pytest.raises(ConditionFailedError):
        slow.commit("clt.late", 0, 1)
    assert read_token(aws) == "clt.new"


def test_a_write_whose_response_was_lost_is_no_conflict(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry meets the change that the first attempt has made."""
    with run_aws_proxy(aws.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        lease = read_lease(aws)
        faults = [NetworkFault("lose")]
        proxy.refuse = lambda _: faults.pop() if faults else None
        lease.take()
        assert [call.operation for call in proxy.calls] == ["GetItem", "UpdateItem", "UpdateItem"]
        lease.commit("clt.new", 0, 2)
    assert read_token(aws) == "clt.new"

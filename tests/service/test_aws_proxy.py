"""The proxy that lets AWS calls fail: what the service sees of each failure, and what AWS gets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from chalicelib.aws import Table, create_clients
from chalicelib.context import Deadline, RequestContext
from chalicelib.errors import StorageUnavailableError
from tests.aws_proxy import NetworkFault, Refusal, run_aws_proxy

if TYPE_CHECKING:
    from tests.harness import Aws


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("failure", "forwarded", "seconds"),
    [
        (NetworkFault("delay", 0.3), 1, 0.3),
        (NetworkFault("drop"), 0, 0),
        (NetworkFault("lose"), 2, 0),
        (Refusal(500, "InternalServerError"), 0, 0),
    ],
)
def test_a_failing_call_is_tried_twice(
    failure: NetworkFault | Refusal, forwarded: int, seconds: float, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_aws_proxy(aws.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        table = Table(create_clients()[0], aws.table)
        observed: list[int] = []
        proxy.observe = lambda _call, status, _body: observed.append(status)
        proxy.refuse = lambda _: failure
        started = time.monotonic()
        if seconds:
            table.get_item("TOKEN#proxy", RequestContext(Deadline(9)))
        else:
            with pytest.raises(StorageUnavailableError):
                table.get_item("TOKEN#proxy", RequestContext(Deadline(9)))
        assert time.monotonic() - started >= seconds
        assert [call.access_key for call in proxy.calls] == ["test"] * forwarded
        assert observed == [200] * forwarded
        assert len(proxy.calls) + len(proxy.refused) == (1 if seconds else 2)

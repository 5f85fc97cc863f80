"""Time limits of AWS calls: a slow response of AWS does not delay the service's response."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.aws import Table, create_clients
from chalicelib.context import Deadline, RequestContext
from chalicelib.errors import StorageUnavailableError
from sandbox.sample_data import APP_ID
from tests.harness import JSON_HEADERS, assert_problem
from tests.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Api
    from tests.scripted_server import Received

BODY = b'{"Item":{"pk":{"S":"TOKEN#x"}}}'


def send_slowly(_: Received) -> Iterator[Any]:
    """Send a valid response, one byte every 0.3 s: no single read takes as long as the read timeout."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    for byte in BODY:
        yield bytes([byte])
        yield 0.3


@pytest.fixture
def slow_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer(send_slowly) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server


@pytest.mark.usefixtures("slow_aws")
def test_a_slow_response_is_aborted_after_the_time_limit_of_an_attempt() -> None:
    dynamodb, _ = create_clients()
    context = RequestContext(Deadline(9))
    started = time.monotonic()
    with pytest.raises(StorageUnavailableError, match="timeout"):
        Table(dynamodb, "table").get_item("TOKEN#x", context)
    assert time.monotonic() - started < 2.5
    assert [call.outcome for call in context.record.calls] == ["StorageUnavailableError"] * 2


def test_a_request_is_unavailable_within_four_seconds(api: Api, slow_aws: ScriptedServer) -> None:
    del slow_aws
    started = time.monotonic()
    response = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP_ID, "code": "c"}), JSON_HEADERS)
    assert_problem(response, 503, "unavailable")
    assert time.monotonic() - started < 4

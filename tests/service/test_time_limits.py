"""A response leaves within 10 s whatever AWS does."""

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


def drip(_: Received) -> Iterator[Any]:
    """Send a valid response, one byte every 0.3 s: no single read takes as long as the read timeout."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    for byte in BODY:
        yield bytes([byte])
        yield 0.3


@pytest.fixture
def dripping_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer(drip) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server


@pytest.mark.usefixtures("dripping_aws")
def test_a_dripping_response_is_given_up_after_the_limit_of_an_attempt() -> None:
    dynamodb, _ = create_clients()
    context = RequestContext(Deadline(9))
    begun = time.monotonic()
    with pytest.raises(StorageUnavailableError, match="timeout"):
        Table(dynamodb, "table").get_item("TOKEN#x", context)
    assert time.monotonic() - begun < 2.5
    assert [call.outcome for call in context.calls] == ["StorageUnavailableError"] * 2


def test_the_front_door_answers_in_time(api: Api, dripping_aws: ScriptedServer) -> None:
    del dripping_aws
    begun = time.monotonic()
    response = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP_ID, "code": "c"}), JSON_HEADERS)
    assert_problem(response, 503, "unavailable")
    assert time.monotonic() - begun < 4

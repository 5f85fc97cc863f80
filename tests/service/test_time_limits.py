"""Time limits of AWS calls: a slow response of AWS does not delay the service's response."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.harness import Api, assert_problem
from tests.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.scripted_server import Received

BODY = b'{"SecretString":"{}"}'


def send_slowly(_: Received) -> Iterator[Any]:
    """Send a valid response, one byte every 0.3 s: no single read takes as long as the read timeout."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    for byte in BODY:
        yield bytes([byte])
        yield 0.3


def test_a_request_is_unavailable_within_four_seconds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(send_slowly) as slow_aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", slow_aws.url)
        started = time.monotonic()
        assert_problem(api.login(), 503, "unavailable")
        assert time.monotonic() - started < 4
        assert len(slow_aws.requests) == 2, "each attempt has its own limit"

"""TLS to the platform, over real sockets: which certificates the transport accepts, and that it reuses connections."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from chalicelib.context import Deadline
from chalicelib.douyin.protocol import CONNECTION_TEST, Request
from chalicelib.douyin.transport import Transport, create_http_pool
from chalicelib.errors import UpstreamUnavailableError
from tests.scripted_server import Received, ScriptedServer, http_response

POST = Request("/", b"{}")


def respond(request: Received) -> Iterator[Any]:
    """Send the body in two parts, and none after a HEAD request."""
    if request.method == "HEAD":
        yield http_response(b"")
    else:
        response = http_response(b"{}")
        yield response[:-1]
        yield 0.3
        yield response[-1:]


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


@pytest.fixture
def serve(authority: trustme.CA) -> Callable[[str], ScriptedServer]:
    """Return a function that creates a server whose certificate is for this host."""

    def create(host: str) -> ScriptedServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        return ScriptedServer(respond, tls=context)

    return create


def test_the_connect_request_opens_a_connection_that_is_reused_and_bodies_are_complete(
    serve: Callable[[str], ScriptedServer], tmp_path: Path
) -> None:
    with serve("127.0.0.1") as server, closing(create_http_pool("test", 4, str(tmp_path / "ca.pem"))) as session:
        transport = Transport(session)
        assert not transport.has_idle_connection(server.url, CONNECTION_TEST)
        for request, body in ((CONNECTION_TEST, b""), (POST, b"{}"), (POST, b"{}")):
            assert transport.send(server.url, request, Deadline(5), 100).body == body
            assert transport.has_idle_connection(server.url, CONNECTION_TEST)
        assert server.connections == 1


@pytest.mark.parametrize(
    ("host", "is_trusted"),
    [pytest.param("127.0.0.1", False, id="unknown authority"), pytest.param("elsewhere", True, id="wrong name")],
)
def test_a_server_with_an_invalid_certificate_is_unavailable(
    serve: Callable[[str], ScriptedServer], tmp_path: Path, host: str, is_trusted: bool
) -> None:
    with (
        serve(host) as server,
        closing(create_http_pool("test", 4, str(tmp_path / "ca.pem") if is_trusted else None)) as session,
        pytest.raises(UpstreamUnavailableError, match="connection"),
    ):
        Transport(session).send(server.url, POST, Deadline(5), 100)

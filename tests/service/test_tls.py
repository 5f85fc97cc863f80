"""TLS to the platform, over real sockets: which certificates the transport accepts, and that it reuses connections."""

import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from chalicelib.context import Deadline
from chalicelib.douyin.protocol import CONNECT_REQUEST, Request
from chalicelib.douyin.transport import Transport, create_session
from chalicelib.errors import UpstreamUnavailableError


class Handler(http.server.BaseHTTPRequestHandler):
    """Responds to each request with `{}` and the client's port, which identifies the connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("X-Port", str(self.client_address[1]))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{")
            if self.path == "/slow":
                self.wfile.flush()
                time.sleep(0.3)
            self.wfile.write(b"}")

    def do_HEAD(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def run_server(authority: trustme.CA, name: str) -> Iterator[int]:
    """Run a server whose certificate is for `name`; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # some handshakes fail on purpose
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


def test_the_connect_request_opens_a_connection_that_is_reused(authority: trustme.CA, tmp_path: Path) -> None:
    with (
        run_server(authority, "localhost") as port,
        closing(create_session("test", 4, str(tmp_path / "ca.pem"))) as session,
    ):
        transport, url = Transport(session), f"https://localhost:{port}"
        assert not transport.has_idle_connection(url, CONNECT_REQUEST)
        ports = set()
        for request in (CONNECT_REQUEST, Request("/", b"{}"), Request("/", b"{}")):
            ports.add(transport.send(url, request, Deadline(5), 100).headers["x-port"])
            assert transport.has_idle_connection(url, CONNECT_REQUEST)
    assert len(ports) == 1


def test_a_body_that_arrives_in_parts_is_complete(authority: trustme.CA, tmp_path: Path) -> None:
    with (
        run_server(authority, "localhost") as port,
        closing(create_session("test", 4, str(tmp_path / "ca.pem"))) as session,
    ):
        response = Transport(session).send(f"https://localhost:{port}", Request("/slow", b"{}"), Deadline(5), 100)
    assert response.body == b"{}"


@pytest.mark.parametrize(
    ("name", "trusted"),
    [pytest.param("localhost", False, id="unknown authority"), pytest.param("elsewhere", True, id="wrong name")],
)
def test_a_server_with_an_invalid_certificate_is_unavailable(
    authority: trustme.CA, tmp_path: Path, name: str, *, trusted: bool
) -> None:
    with (
        run_server(authority, name) as port,
        closing(create_session("test", 4, str(tmp_path / "ca.pem") if trusted else None)) as session,
        pytest.raises(UpstreamUnavailableError, match="connection"),
    ):
        Transport(session).send(f"https://localhost:{port}", Request("/", b"{}"), Deadline(5), 100)

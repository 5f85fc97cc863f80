"""Connections to the platform: reused only after a clean, complete exchange, and limited in time as a whole."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import trustme

from chalicelib.authorized_calls import AuthorizedCalls
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin import transport
from chalicelib.douyin.calls import QUERY_USER_CERTIFICATES, ListQuery, page_body
from chalicelib.douyin.client import RETRY_POLICY, DouyinClient
from chalicelib.douyin.transport import READ_SECONDS, Transport
from chalicelib.errors import DeadlineExceededError, ServiceError, UpstreamError, UpstreamUnavailableError
from tests.scripted_server import CLOSE, ReceivedRequest, ScriptedServer, certificates_body, http_response
from tests.unit.fakes import FixedTokenSource

CUSTOMERS = [f"customer-{number}" for number in range(6)]
FOREIGN_PAGE = certificates_body("of-another-customer")


def own_page(request: ReceivedRequest) -> bytes:
    """Return the page that belongs to the request: its certificate is named after the user."""
    return http_response(certificates_body(str((request.body or {}).get("open_id"))))


def create_client(url: str, ca_file: str | None = None) -> DouyinClient:
    return DouyinClient(Transport("test", 4, ca_file), url, url, sleep=lambda _: None)


def fetch(client: DouyinClient, open_id: str, deadline: Deadline | None = None) -> list[str]:
    """Return the certificate_ids that a customer gets."""
    calls = AuthorizedCalls(client, FixedTokenSource(), "app", RequestContext(deadline or Deadline(5)))
    page = calls.send(QUERY_USER_CERTIFICATES, page_body(ListQuery("1", "2"), open_id, 1))
    return [certificate.certificate_id for certificate in page.certificates]


def interim(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


def on_first(steps: Callable[[ReceivedRequest], list[Any]]) -> Callable[[ReceivedRequest], Iterator[Any]]:
    """Return a script that responds to the first customer's requests with these steps, and to all others correctly."""

    def script(request: ReceivedRequest) -> Iterator[Any]:
        if (request.body or {}).get("open_id") == CUSTOMERS[0]:
            yield from steps(request)
        else:
            yield own_page(request)

    return script


DROPPED = {"a second response", "a second response in another packet"}
"""http.client may have read these surplus bytes with the response. It drops them, so the connection can be reused."""

SCRIPTS: dict[str, Callable[[ReceivedRequest], list[Any]]] = {
    "103, then a page too late": lambda r: [interim("103 Early Hints"), 0.05, own_page(r), http_response(FOREIGN_PAGE)],
    "204 with a late body": lambda _: [interim("204 No Content"), 0.05, http_response(FOREIGN_PAGE)],
    "a second response": lambda r: [own_page(r) + http_response(FOREIGN_PAGE)],
    # The client reads exactly the body: the rest of the packet waits in the system, or in the TLS library.
    "a second response behind a body": lambda r: [
        own_page(r)[:-20],
        0.05,
        own_page(r)[-20:] + http_response(FOREIGN_PAGE),
    ],
    "a second response in another packet": lambda r: [own_page(r), http_response(FOREIGN_PAGE)],
    "half a response": lambda r: [own_page(r)[:-5], CLOSE],
    "an error with a body": lambda _: [http_response(FOREIGN_PAGE, "404 Not Found") + http_response(FOREIGN_PAGE)],
}


def create_tls(folder: Path, host: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    """Return the TLS context of a server whose certificate is for this host, and the file of its authority."""
    authority, path = trustme.CA(), folder / "ca.pem"
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context, str(path)


@pytest.fixture(scope="module", params=["http", "https"])
def tls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `create_tls` returns; None for plain HTTP.

    Over TLS, bytes may wait in the TLS library, where urllib3 does not look for them.
    """
    return (None, None) if request.param == "http" else create_tls(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_customer_gets_the_response_of_another(name: str, tls: tuple[ssl.SSLContext | None, str | None]) -> None:
    context, ca_file = tls
    with ScriptedServer(on_first(SCRIPTS[name]), tls=context) as server:
        client = create_client(server.url, ca_file)
        # The connection exists and was used before.
        assert fetch(client, CUSTOMERS[1]) == [CUSTOMERS[1]]
        with contextlib.suppress(UpstreamError):
            assert fetch(client, CUSTOMERS[0]) == [CUSTOMERS[0]]
        # The client cannot foresee bytes that arrive after a complete response.
        server.wait_for_responses()
        used = {request.connection for request in server.requests}
        for customer in CUSTOMERS[2:]:
            assert fetch(client, customer) == [customer]
        if name not in DROPPED:
            assert server.requests[-1].connection not in used, "the connection was closed"


def test_the_rest_of_surplus_bytes_that_comes_after_the_next_request_reaches_nobody() -> None:
    """http.client dropped their first part, so the rest is no response: the request is repeated on a new connection."""
    foreign = http_response(FOREIGN_PAGE)

    def script(request: ReceivedRequest) -> Iterator[Any]:
        if request.number == 0:
            yield own_page(request) + foreign[:30]
        else:
            yield (foreign[30:] if request.number == 1 else b"") + own_page(request)

    with ScriptedServer(script) as server:
        client = create_client(server.url)
        for customer in CUSTOMERS[:3]:
            assert fetch(client, customer) == [customer]
        assert [request.connection for request in server.requests] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("host", "is_trusted"),
    [pytest.param("127.0.0.1", False, id="unknown authority"), pytest.param("elsewhere", True, id="wrong name")],
)
def test_a_server_with_an_invalid_certificate_is_unavailable(tmp_path: Path, host: str, is_trusted: bool) -> None:
    context, ca_file = create_tls(tmp_path, host)
    with ScriptedServer(lambda request: iter([own_page(request)]), tls=context) as server:
        client = create_client(server.url, ca_file if is_trusted else None)
        with pytest.raises(UpstreamUnavailableError, match="connection"):
            fetch(client, CUSTOMERS[0])


@pytest.mark.parametrize(
    ("head", "repeated"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    ],
    ids=["body", "chunks", "body without a length"],
)
def test_a_slow_body_ends_with_the_deadline(head: bytes, repeated: bytes) -> None:
    def script(_: ReceivedRequest) -> Iterator[Any]:
        yield head
        while True:
            yield repeated
            yield 0.02

    with ScriptedServer(script) as server:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            fetch(create_client(server.url), CUSTOMERS[0], Deadline(0.3))
        assert time.monotonic() - started < READ_SECONDS, "the deadline is earlier than the limit for reading"


class TestConnectTime:
    """Each attempt ends with the limit, so that there is time for all of them before the deadline."""

    @pytest.fixture(autouse=True)
    def limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.2)

    def test_a_hanging_resolver_ends_with_the_connect_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        released = threading.Event()
        resolve = Mock(side_effect=lambda *_, **__: released.wait(60) and [])
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(UpstreamUnavailableError, match="connect_timeout"):
            fetch(create_client("http://platform.invalid"), CUSTOMERS[0])
        assert resolve.call_count == RETRY_POLICY.max_attempts
        released.set()

    def test_an_abandoned_connection_attempt_does_not_affect_the_next_request(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve = socket.getaddrinfo
        released = threading.Event()
        waits = iter([released.wait])

        def slow(*arguments: Any, **options: Any) -> Any:
            next(waits, bool)()
            return resolve(*arguments, **options)

        with ScriptedServer(lambda request: iter([own_page(request)])) as server:
            client = create_client(server.url)
            monkeypatch.setattr(socket, "getaddrinfo", slow)
            with pytest.raises(ServiceError):
                fetch(client, CUSTOMERS[0], Deadline(0.1))
            assert fetch(client, CUSTOMERS[1]) == [CUSTOMERS[1]]
            released.set()
            deadline = Deadline(30)
            while server.connections < 2:
                deadline.require_remaining()
                time.sleep(0.01)
            assert fetch(client, CUSTOMERS[2]) == [CUSTOMERS[2]]
            assert [request.body["open_id"] for request in server.requests] == CUSTOMERS[1:3]

"""Connections: which response leaves a connection that may be reused, and how long a thread waits for its peer."""

import io
import socket
import time
from typing import Any

import pytest

from chalicelib.douyin import connections


class FakeSocket:
    """A socket that has received these bytes, of which each read returns at most `at_once`."""

    def __init__(self, received: bytes, at_once: int, seconds: float) -> None:
        self.received = io.BytesIO(received)
        self.at_once = at_once
        self.seconds = seconds

    def makefile(self, mode: str, buffering: int) -> "FakeSocket":
        assert (mode, buffering) == ("rb", 0)
        return self

    def recv_into(self, buffer: Any) -> int:
        return self.received.readinto(memoryview(buffer)[: self.at_once])

    def gettimeout(self) -> float:
        return self.seconds

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


def begin_response(received: bytes, at_once: int = 1 << 20, seconds: float = 3.0) -> Any:
    """Return an http.client response whose headers were read. `seconds` is the socket's timeout."""
    sock: Any = FakeSocket(received, at_once, seconds)
    response = connections._BoundedResponse(sock, method="POST")
    response.begin()
    return response


def read_response(received: bytes, at_once: int = 1 << 20) -> Any:
    """Return an http.client response that was read to its end, and its body."""
    response = begin_response(received, at_once)
    return response, response.read()


OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 2\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


class TestReuse:
    """A connection is reused only when nothing on it can be taken for the response of the next request."""

    @pytest.mark.parametrize("at_once", [1, 1 << 20])
    @pytest.mark.parametrize(
        ("received", "body", "allows_reuse"),
        [
            (OK + LENGTH + b"\r\n{}", b"{}", True),
            (OK + b"Content-Length:  2 \r\n\r\n{}", b"{}", True),
            (OK + CHUNKED + b"\r\n" + CHUNKS, b"{}", True),
            (OK + b"Transfer-Encoding: Chunked\r\n\r\n" + CHUNKS, b"{}", True),
            # The end of the body is not certain.
            (OK + b"\r\n{}", b"{}", False),
            (OK + b"Connection: close\r\n" + LENGTH + b"\r\n{}", b"{}", False),
            (OK + LENGTH + LENGTH + b"\r\n{}", b"{}", False),
            (OK + LENGTH + CHUNKED + b"\r\n" + CHUNKS, b"{}", False),
            (OK + CHUNKED + CHUNKED + b"\r\n" + CHUNKS, b"{}", False),
            (b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n{}", b"{}", False),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
            (b"HTTP/1.1 503 Busy\r\n" + LENGTH + b"\r\n{}", b"{}", False),
            # The only interim response that is skipped is 100.
            (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + b"\r\n{}", b"{}", True),
            (HINTS + OK + LENGTH + b"\r\n{}", b"", False),
        ],
    )
    def test_after_a_response(self, received: bytes, body: bytes, allows_reuse: bool, at_once: int) -> None:
        response, read = read_response(received, at_once=at_once)
        assert (read, response.allows_reuse()) == (body, allows_reuse)

    @pytest.mark.parametrize(
        ("received", "allows_reuse"),
        [
            (OK + LENGTH + b"\r\n{}x", False),
            (OK + b"Content-Length: 0\r\n\r\nx", False),
            (OK + CHUNKED + b"\r\n" + CHUNKS + b"x", False),
        ],
    )
    def test_after_surplus_bytes(self, received: bytes, allows_reuse: bool) -> None:
        assert read_response(received)[0].allows_reuse() is allows_reuse

    def test_after_a_response_that_was_not_read_to_its_end(self) -> None:
        response = begin_response(OK + LENGTH + b"\r\n{}")
        assert not response.allows_reuse()
        assert response.read(1) == b"{"
        assert not response.allows_reuse()

    def test_nothing_is_read_after_the_timeout(self) -> None:
        with pytest.raises(TimeoutError):
            begin_response(OK + LENGTH + b"\r\n{}", seconds=-1.0)


def make_connection(sock: socket.socket) -> Any:
    connection = connections._Connection("localhost", 1)
    connection.sock = sock
    connection.last_begun_at = time.time()
    return connection


def make_pool(*free: Any) -> Any:
    pool: Any = connections._Pool("localhost", 1, maxsize=3)
    for connection in free:
        pool.pool.get()
        pool.pool.put(connection)
    return pool


class TestExchange:
    @pytest.fixture
    def sockets(self) -> Any:
        ours, peers = socket.socketpair()
        with ours, peers:
            yield ours, peers

    @pytest.mark.parametrize(
        ("is_open", "idle", "is_reusable"),
        [(True, 29.9, True), (True, 30.0, False), (True, -1.0, False), (False, 0.0, False)],
    )
    def test_a_connection_is_reusable_while_it_is_open_and_not_idle_for_long(
        self,
        sockets: tuple[socket.socket, socket.socket],
        monkeypatch: pytest.MonkeyPatch,
        is_open: bool,
        idle: float,
        is_reusable: bool,
    ) -> None:
        """The wall clock counts, from the begin of the exchange: Lambda may freeze the instance during it."""
        ours, peers = sockets
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now)
        connection = make_connection(ours)
        if not is_open:
            peers.close()
        monkeypatch.setattr(time, "time", lambda: now + idle)
        connection._response, _ = read_response(OK + b"Content-Length: 0\r\n\r\n")
        connection.close_unless_reusable()
        assert connection.is_connected == is_open
        pool = make_pool(connection)
        pool.close_idle(30.0)
        assert (connection.sock is ours) == is_reusable

    def test_bytes_after_the_response_close_the_connection(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, peers = sockets
        connection = make_connection(ours)
        connection._response, _ = read_response(OK + b"Content-Length: 0\r\n\r\n")
        peers.send(b"x")
        connection.close_unless_reusable()
        assert connection.sock is None

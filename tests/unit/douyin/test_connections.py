"""Connections: which response leaves a connection that may be reused, and what an abort reaches."""

from __future__ import annotations

import io
import socket
import time
from http.client import HTTPException
from typing import Any

import pytest

from chalicelib.context import Deadline
from chalicelib.douyin import connections
from chalicelib.douyin.connections import Exchange, ExchangeTimeout
from tests.unit.fakes import Clock


class FakeSocket:
    """A socket that has received these bytes, of which each read returns at most `at_once`."""

    def __init__(self, received: bytes, at_once: int = 1 << 20) -> None:
        self.received = io.BytesIO(received)
        self.at_once = at_once
        self.timeouts: list[float] = []

    def makefile(self, mode: str, buffering: int) -> FakeSocket:
        assert (mode, buffering) == ("rb", 0)
        return self

    def readinto(self, buffer: Any) -> int:
        return self.received.readinto(memoryview(buffer)[: self.at_once])

    def gettimeout(self) -> float:
        return 3.0

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def close(self) -> None:
        pass


def read_response(received: bytes, method: str = "POST", *, at_once: int = 1 << 20, seconds: float = 9.0) -> Any:
    """Return an http.client response that was read to its end, and its body."""
    sock, deadline = FakeSocket(received, at_once), Deadline(seconds, Clock())
    response: Any = connections._BoundedResponse(sock, method=method, deadline=deadline)  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    return response, body


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


class TestReuse:
    """A connection is reused only when nothing on it can be taken for the response of the next request."""

    @pytest.mark.parametrize("at_once", [1, 1 << 20])
    @pytest.mark.parametrize(
        ("received", "body", "is_clean"),
        [
            (OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
            (OK + b"Content-Length:  2 \r\n\r\n{}", b"{}", True),
            (OK + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", b"{}", True),
            (OK + b"Transfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}", True),
            # The end of the body is not certain.
            (OK + b"\r\n{}", b"{}", False),
            (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
            (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
            (OK + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", b"{}", False),
            (OK + CHUNKED + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", b"{}", False),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
            (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
            # An interim response is skipped.
            (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True),
            (HINTS + OK + b"Content-Length: 2\r\n\r\n{}", b"{}", False),
            (HINTS * 7 + OK + b"Content-Length: 2\r\n\r\n{}", b"{}", False),
        ],
    )
    def test_after_a_response(self, received: bytes, body: bytes, is_clean: bool, at_once: int) -> None:
        response, read = read_response(received, at_once=at_once)
        assert read == body
        assert response.is_clean() is is_clean

    @pytest.mark.parametrize(
        ("received", "body"),
        [
            (OK + b"Content-Length: 2\r\n\r\n{}", b"{}"),
            (OK + b"Content-Length: 0\r\n\r\n", b""),
            (OK + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", b"{}"),
        ],
    )
    def test_after_a_response_with_surplus_bytes(self, received: bytes, body: bytes) -> None:
        response, read = read_response(received + b"x")
        assert read == body
        assert not response.is_clean()

    @pytest.mark.parametrize(
        ("received", "is_clean"),
        [
            (OK + b"Content-Length: 99\r\n\r\n", True),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n", True),
            (b"HTTP/1.1 204 No Content\r\n\r\n", False),
            (b"HTTP/1.1 304 Not Modified\r\n\r\n", False),
            (OK + b"Content-Length: 2\r\n\r\n{}", False),
        ],
    )
    def test_after_a_response_without_a_body(self, received: bytes, is_clean: bool) -> None:
        response, body = read_response(received, "HEAD")
        assert body == b""
        assert response.is_clean() is is_clean

    def test_after_a_response_that_was_not_read_to_its_end(self) -> None:
        sock, deadline = FakeSocket(OK + b"Content-Length: 2\r\n\r\n{}"), Deadline(9.0, Clock())
        response: Any = connections._BoundedResponse(sock, method="POST", deadline=deadline)  # type: ignore[arg-type]
        response.begin()
        assert not response.is_clean()
        assert response.read(1) == b"{"
        assert not response.is_clean()

    def test_too_many_interim_responses_are_an_error(self) -> None:
        with pytest.raises(HTTPException, match="too many interim responses"):
            read_response(HINTS * 8 + OK + b"Content-Length: 2\r\n\r\n{}")

    def test_nothing_is_read_after_the_deadline(self) -> None:
        with pytest.raises(TimeoutError):
            read_response(OK + b"Content-Length: 2\r\n\r\n{}", seconds=0.0)


class TestExchange:
    @pytest.fixture
    def sockets(self) -> Any:
        ours, peers = socket.socketpair()
        with ours, peers:
            yield ours, peers

    @staticmethod
    def connection(sock: socket.socket | None) -> Any:
        connection = connections._Connection("localhost", 1)
        connection.sock = sock
        connection._idle_since = time.time()
        return connection

    def test_an_abort_shuts_the_connection_down(self, sockets: tuple[socket.socket, socket.socket]) -> None:
        ours, peers = sockets
        exchange = Exchange(Deadline(9.0, Clock()), 30.0)
        exchange.begin(ours)
        exchange.abort()
        assert peers.recv(1) == b""

    def test_an_abort_that_comes_late_does_not_reach_the_next_exchange(
        self, sockets: tuple[socket.socket, socket.socket]
    ) -> None:
        """Another thread may run the callback after the connection has gone back to the pool."""
        ours, peers = sockets
        late, following = (Exchange(Deadline(9.0, Clock()), 30.0) for _ in range(2))
        connection = self.connection(ours)
        connection.begin_exchange(late)
        late.end()
        following.begin(ours)
        late.abort()
        peers.send(b"x")
        assert ours.recv(1) == b"x"
        ours.send(b"y")
        assert peers.recv(1) == b"y"

    @pytest.mark.parametrize(
        ("is_open", "idle", "is_reusable"),
        [(True, 30.0, True), (True, 30.1, False), (True, -1.0, False), (False, 0.0, False)],
    )
    def test_a_connection_is_reusable_while_it_is_open_and_not_idle_for_long(
        self,
        sockets: tuple[socket.socket, socket.socket],
        monkeypatch: pytest.MonkeyPatch,
        is_open: bool,
        idle: float,
        is_reusable: bool,
    ) -> None:
        """By the wall clock, which an operator may also set back."""
        ours, peers = sockets
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now)
        connection = self.connection(ours)
        connection.begin_exchange(Exchange(Deadline(9.0, Clock()), 30.0))
        if not is_open:
            peers.close()
        monkeypatch.setattr(time, "time", lambda: now + idle)
        assert connection.is_reusable(30.0) is is_reusable

    def test_a_freeze_during_an_exchange_counts_as_idle_time(
        self, sockets: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The response has arrived before the freeze, or during it; the peer may have dropped the connection since."""
        now = time.time()
        connection = self.connection(sockets[0])
        connection.begin_exchange(Exchange(Deadline(9.0, Clock()), 30.0))
        monkeypatch.setattr(time, "time", lambda: now + 300.0)
        connection._response, _ = read_response(OK + b"Content-Length: 0\r\n\r\n")
        connection.end_exchange()
        assert connection.is_connected
        assert not connection.is_reusable(30.0)

    def test_an_abort_before_the_connection_is_open_does_nothing(self) -> None:
        Exchange(Deadline(9.0, Clock()), 30.0).abort()

    def test_urllib3_passes_the_exchange_on_with_the_limits(self) -> None:
        exchange = Exchange(Deadline(9.0, Clock()), 30.0)
        clone = ExchangeTimeout(exchange, connect=1.5, read=3.0, total=5.0).clone().clone()
        assert clone.exchange is exchange
        assert (clone._connect, clone._read, clone.total) == (1.5, 3.0, 5.0)

    def test_the_end_of_an_exchange_takes_the_socket_from_it(
        self, sockets: tuple[socket.socket, socket.socket]
    ) -> None:
        exchange = Exchange(Deadline(9.0, Clock()), 30.0)
        connection = self.connection(None)
        connection.begin_exchange(exchange)
        exchange.begin(sockets[0])
        connection.end_exchange()
        assert exchange._sock is None

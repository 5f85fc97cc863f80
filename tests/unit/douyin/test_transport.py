"""The HTTP transport over a fake adapter: what goes to the wire, how errors are translated, and the limits."""

import gzip
import io
import socket
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from chalicelib import errors
from chalicelib.context import Deadline
from chalicelib.douyin.protocol import HttpReply
from chalicelib.douyin.transport import CONNECT_SECONDS, READ_SECONDS, Transport
from tests.unit.fakes import Clock

URL = "https://open.example/path/"
BODY = b'{"a":1}'


class Adapter(BaseAdapter):
    """Returns one response, or raises an error, instead of connecting."""

    def __init__(
        self,
        body: bytes = b"{}",
        status: int = 200,
        headers: dict[str, str] | None = None,
        error: Exception | None = None,
    ) -> None:
        super().__init__()
        self.body, self.status, self.headers, self.error = body, status, headers or {}, error
        self.requests: list[requests.PreparedRequest] = []
        self.options: list[dict[str, Any]] = []
        self.raw: Any = None

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        self.requests.append(request)
        self.options.append(options)
        if self.error is not None:
            raise self.error
        response = requests.Response()
        response.status_code = self.status
        response.headers.update(self.headers)
        self.raw = response.raw = urllib3.HTTPResponse(
            io.BytesIO(self.body), headers=self.headers, status=self.status, preload_content=False, connection=Mock()
        )
        return response

    def close(self) -> None:
        pass


def make_transport(adapter: Any) -> Transport:
    transport = Transport("service/1", 1)
    transport.adapter = adapter
    return transport


def send(adapter: Adapter, deadline: Deadline | None = None) -> HttpReply:
    return make_transport(adapter).send(URL, BODY, {}, deadline or Deadline(9.0, Clock()), 1000)


def test_each_request_goes_to_the_wire_with_its_own_headers_and_those_of_all() -> None:
    adapter = Adapter()
    transport, deadline = make_transport(adapter), Deadline(9.0, Clock())
    transport.send(URL, BODY, {"access-token": "clt.planted"}, deadline, 1000)
    transport.send(URL, b"{}", {}, deadline, 1000)
    own = {"user-agent": "service/1", "accept-encoding": "gzip, deflate"}
    assert [(sent.method, sent.url, sent.body, dict(sent.headers)) for sent in adapter.requests] == [
        ("POST", URL, BODY, own | {"access-token": "clt.planted", "Content-Length": "7"}),
        ("POST", URL, b"{}", own | {"Content-Length": "2"}),
    ]


@pytest.mark.parametrize("seconds", [9.0, 0.4])
def test_the_timeout_is_what_is_left_of_the_deadline(seconds: float) -> None:
    adapter = Adapter()
    send(adapter, Deadline(seconds, Clock()))
    [options] = adapter.options
    timeout = options["timeout"]
    assert timeout.total == pytest.approx(seconds)
    assert timeout.connect_timeout == pytest.approx(min(CONNECT_SECONDS, seconds))
    assert timeout._read == READ_SECONDS
    assert options == {"timeout": timeout, "stream": True}, "no proxies: requests passes those of the environment here"


def test_nothing_is_sent_after_the_deadline() -> None:
    adapter = Adapter()
    with pytest.raises(errors.DeadlineExceededError, match="budget") as raised:
        send(adapter, Deadline(0.0, Clock()))
    assert not raised.value.is_transient
    assert adapter.requests == []


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize(("size", "is_too_large"), [(1000, False), (1001, True)])
def test_a_body_is_read_up_to_its_limit(size: int, is_too_large: bool, is_compressed: bool) -> None:
    body = b"x" * size
    adapter = Adapter(gzip.compress(body), headers={"Content-Encoding": "gzip"}) if is_compressed else Adapter(body)
    if is_too_large:
        with pytest.raises(errors.UpstreamMalformedError, match="too_large") as raised:
            send(adapter)
        assert not raised.value.is_transient
    else:
        assert send(adapter).body == body
    assert adapter.raw.closed, "the connection is free for the next request, or the rest is not read"


def test_a_response_whose_body_is_too_large_is_judged_by_its_status() -> None:
    adapter = Adapter(b"<html>" * 1000, 429, {"Retry-After": "30"})
    response = send(adapter)
    assert (response.status, response.headers["retry-after"]) == (429, "30")
    assert adapter.raw.closed, "the rest is not read"


@pytest.mark.parametrize(
    ("error", "error_type", "reason"),
    [
        (requests.ConnectTimeout("planted"), errors.UpstreamUnavailableError, "connect_timeout"),
        (requests.ReadTimeout("planted"), errors.UpstreamTimeoutError, "timeout"),
        (urllib3.exceptions.TimeoutError("planted"), errors.UpstreamTimeoutError, "timeout"),
        (TimeoutError("planted"), errors.UpstreamTimeoutError, "timeout"),
        (requests.exceptions.InvalidHeader("planted"), errors.UpstreamUnavailableError, "connection"),
        (urllib3.exceptions.ProtocolError("planted"), errors.UpstreamUnavailableError, "connection"),
        (ConnectionResetError("planted"), errors.UpstreamUnavailableError, "connection"),
    ],
)
def test_an_error_of_the_library_is_translated(
    error: Exception, error_type: type[errors.UpstreamError], reason: str
) -> None:
    with pytest.raises(error_type) as raised:
        send(Adapter(error=error))
    assert (raised.value.reason, raised.value.is_transient, raised.value.upstream) == (
        reason,
        True,
        errors.NO_CODES,
    )
    assert raised.value.__suppress_context__, "the library's messages quote URLs and header values"


@pytest.mark.parametrize("error", [requests.ConnectTimeout, requests.ReadTimeout])
def test_an_attempt_that_the_deadline_cut_off_says_so(error: type[Exception]) -> None:
    with pytest.raises(errors.DeadlineExceededError, match="timeout"):
        send(Adapter(error=error("planted")), Deadline(1.0, iter([0.0, 0.0, 1.0]).__next__))


@pytest.mark.parametrize("url", ["https://open.example/", "http://127.0.0.1:1/"])
def test_it_never_retries_and_pools_its_connections(url: str) -> None:
    adapter: Any = Transport("service/1", 4).adapter
    assert adapter.max_retries.total == 0
    assert adapter.poolmanager.connection_from_url(url).pool.maxsize == 4


class TestReuse:
    @pytest.fixture
    def peer(self) -> Iterator[tuple[Any, socket.socket]]:
        """A connection whose last response was good, and the peer's end of it."""
        pool = self.make_pool()
        connection = pool._new_conn()
        connection.sock, peer = socket.socketpair()
        connection.status, connection.begun_at = 200, time.time()
        with connection.sock, peer:
            yield connection, peer

    def make_pool(self) -> Any:
        adapter: Any = Transport("service/1", 1).adapter
        return adapter.poolmanager.connection_from_url("http://a/")

    def put_back(self, connection: Any) -> bool:
        """Return the connection to a pool. Return whether it is still open there."""
        pool = self.make_pool()
        pool._get_conn()
        pool._put_conn(connection)
        pool.close_idle(30.0)
        return connection.sock is not None

    def test_a_waiting_byte_closes_it(self, peer: tuple[Any, socket.socket]) -> None:
        peer[1].send(b"x")
        assert not self.put_back(peer[0])

    def test_a_peer_that_has_closed_it_closes_it(self, peer: tuple[Any, socket.socket]) -> None:
        peer[1].close()
        assert not self.put_back(peer[0])

    @pytest.mark.parametrize("status", [0, 201, 503])
    def test_another_status_closes_it(self, peer: tuple[Any, socket.socket], status: int) -> None:
        peer[0].status = status
        assert not self.put_back(peer[0])

    @pytest.mark.parametrize(("idle", "is_reused"), [(29.9, True), (30.0, False), (-1.0, False)])
    def test_it_is_closed_after_idle_time(
        self, peer: tuple[Any, socket.socket], monkeypatch: pytest.MonkeyPatch, idle: float, is_reused: bool
    ) -> None:
        """The wall clock counts, because Lambda may freeze the instance."""
        now = peer[0].begun_at
        monkeypatch.setattr(time, "time", lambda: now + idle)
        assert self.put_back(peer[0]) is is_reused

    @pytest.mark.parametrize("seconds", [2.0, 0.0])
    def test_each_read_waits_for_the_rest_of_the_limit_at_most(
        self, peer: tuple[Any, socket.socket], seconds: float
    ) -> None:
        connection = peer[0]
        connection._read_sock, connection._read_deadline = connection.sock, Deadline(seconds, Clock())
        if seconds == 0:
            with pytest.raises(TimeoutError):
                connection.limit_next_read()
        else:
            connection.limit_next_read()
            assert connection.sock.gettimeout() == seconds

"""HTTP transport: one request over a pooled connection, limited in time and size.

A connection is reused only after a clean, complete exchange, so that no customer can receive another's response.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, parse_headers
from typing import TYPE_CHECKING, Any

import certifi
import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.douyin.protocol import Response
from chalicelib.errors import UpstreamMalformedError, UpstreamTimeoutError, UpstreamUnavailableError
from chalicelib.timeouts import call_with_timeout

if TYPE_CHECKING:
    from chalicelib.context import Deadline
    from chalicelib.douyin.protocol import Request

CONNECT_SECONDS = 1.5
"""Limit for name resolution, all addresses of the host, and the TLS handshake together."""

READ_SECONDS = 3.0
"""Limit for the whole response, from the end of the request to the last byte: includes the wait for the first byte."""

MAX_IDLE_SECONDS = 30.0
"""A connection that was idle for longer is replaced, for example after Lambda has frozen the instance."""

_CHUNK_BYTES = 64 * 1024
_MAX_INTERIM_RESPONSES = 8


class Transport:
    """Sends requests over the connection pool of a requests session.

    It calls the session's adapter directly. The session would prepare every request from the same settings (a sixth of
    a warm request's CPU), handle cookies, and follow redirects, which would send the access token to another host.
    """

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        self._prepared: dict[tuple[str, str], requests.PreparedRequest] = {}

    def send(
        self,
        base_url: str,
        request: Request,
        deadline: Deadline,
        max_bytes: int,
        max_idle: float = MAX_IDLE_SECONDS,
    ) -> Response:
        """Send one request and read the whole response, of at most `max_bytes`, before the deadline.

        The connection may have been idle for `max_idle` seconds at most.

        Raises UpstreamTimeoutError, UpstreamUnavailableError and UpstreamMalformedError.
        """
        left = deadline.remaining()
        if left <= 0:
            raise UpstreamTimeoutError("budget")
        url = base_url + request.path
        exchange = _current.exchange = _Exchange(deadline, max_idle)
        try:
            with (
                deadline.aborting(exchange.abort),
                self._session.get_adapter(url).send(
                    self._prepare(url, request),
                    # requests accepts urllib3's Timeout; its type stubs do not say so.
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS, total=left),  # type: ignore[arg-type]
                    stream=True,
                ) as response,
            ):
                body = _read(response, max_bytes)
        # `from None`: the library's errors quote URLs and header values, which must not reach a log.
        except requests.ConnectTimeout:
            raise UpstreamUnavailableError("connect_timeout", retryable=True) from None
        except (requests.Timeout, Urllib3TimeoutError, TimeoutError):
            raise UpstreamTimeoutError("timeout", retryable=True) from None
        except (requests.RequestException, HTTPError, OSError):
            raise UpstreamUnavailableError("connection", retryable=True) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, body)

    def has_idle_connection(self, base_url: str, request: Request) -> bool:
        """Return whether the request would reuse an open connection."""
        url = base_url + request.path
        adapter: Any = self._session.get_adapter(url)
        pool: _PoolMixin = adapter.get_connection_with_tls_context(self._prepare(url, request), verify=True)
        return pool.has_idle_connection(MAX_IDLE_SECONDS)

    def _prepare(self, url: str, request: Request) -> requests.PreparedRequest:
        key = request.method, url
        if key not in self._prepared:
            self._prepared[key] = self._session.prepare_request(requests.Request(request.method, url))
        prepared = self._prepared[key].copy()
        prepared.headers.update(request.headers)
        prepared.headers["Content-Length"] = str(len(request.body))
        prepared.body = request.body
        return prepared


def create_session(user_agent: str, connections: int, authorities: str | None = None) -> requests.Session:
    """Create a session that pools `connections` per host, ignores proxies and netrc, and never retries.

    `authorities` is a file of trusted CA certificates; certifi's by default.
    """
    session = requests.Session()
    session.trust_env = False
    session.headers = requests.structures.CaseInsensitiveDict(
        {"user-agent": user_agent, "accept-encoding": "gzip, deflate"}
    )
    adapter = _Adapter(authorities or certifi.where(), connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _read(response: requests.Response, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise UpstreamMalformedError("too_large")
    return b"".join(chunks)


class _Exchange:
    """One request and its response. `abort` may be called from another thread."""

    def __init__(self, deadline: Deadline, max_idle: float) -> None:
        self.deadline = deadline
        self.max_idle = max_idle
        self.connection: _ConnectionMixin | None = None

    def abort(self) -> None:
        """Unblock the thread that waits in this exchange, by shutting its connection down."""
        sock = None if self.connection is None else self.connection.sock
        if sock is not None:
            # Not SSLSocket.shutdown: it removes the TLS layer while the other thread uses it.
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Current(threading.local):
    """The exchange of this thread. urllib3 passes no state of the request to its pool and connections."""

    exchange: _Exchange


_current = _Current()


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline that is set when the request has been sent.

    A socket's timeout applies to each read alone, so a response that arrives byte by byte would never exceed it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._deadline = _current.exchange.deadline
        # urllib3 has set the timeout to what is left of the read timeout and of the total.
        self._end = time.monotonic() + (sock.gettimeout() or READ_SECONDS)
        self.is_finished = False

    def makefile(self, _mode: str) -> _BufferedResponse:
        """Return the reader that http.client requests from a socket."""
        return _BufferedResponse(self, _CHUNK_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_finished:
            return 0
        left = min(self._end - time.monotonic(), self._deadline.remaining())
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BufferedResponse(io.BufferedReader):
    """The buffered reader of one response."""

    raw: _BoundedReader

    def finish(self) -> bool:
        """Stop reading from the socket; return whether bytes are left that belong to no response."""
        self.raw.is_finished = True
        return bool(self.peek(1))


class _BoundedResponse(HTTPResponse):
    """An http.client response that knows whether its connection may be reused.

    http.client takes an interim response such as 103 for the final one, and drops surplus bytes silently. Both would
    give one customer the response of another.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(_BoundedReader(sock), *arguments, **options)  # type: ignore[arg-type]
        self._has_unexpected_bytes = False

    def _read_status(self) -> tuple[str, int, str]:
        """Return the final status line. Interim responses are skipped; after one, the connection is not reused."""
        for _ in range(_MAX_INTERIM_RESPONSES):
            status_line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # not in the stubs
            # http.client skips 100 itself; 101 is no interim response but another protocol.
            if not 101 < status_line[1] < 200:
                return status_line
            self._has_unexpected_bytes = True
            parse_headers(self.fp)
        raise HTTPException("too many interim responses")

    def _close_conn(self) -> None:
        reader: Any = self.fp
        self._has_unexpected_bytes |= reader.finish()
        super()._close_conn()  # type: ignore[misc]  # not in the stubs

    def is_clean(self) -> bool:
        """Return whether this was one complete, unambiguous response with nothing before or after it."""
        if self._has_unexpected_bytes or not self.isclosed() or self.will_close:
            return False
        if self._method == "HEAD":  # type: ignore[attr-defined]  # not in the stubs
            return self.status >= 200 and self.status not in (204, 304)
        lengths = self.headers.get_all("content-length", [])
        codings = self.headers.get_all("transfer-encoding", [])
        has_length = len(lengths) == 1 and lengths[0].strip().isdigit() and not codings
        is_chunked = [coding.strip().lower() for coding in codings] == ["chunked"] and not lengths
        # Other statuses than 200 are rare; a new connection is cheaper than any doubt about their bodies.
        return self.status == 200 and (has_length or is_chunked)


class _ConnectionMixin(HTTPConnection):
    """A connection with one time limit for name resolution, all addresses and the TLS handshake together."""

    response_class = _BoundedResponse

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._response: Any = None
        self._idle_since = 0.0

    def connect(self) -> None:
        limit = self.timeout if isinstance(self.timeout, float | int) else CONNECT_SECONDS
        try:
            call_with_timeout(super().connect, limit, _current.exchange.deadline, on_late=self.close)
        except TimeoutError:
            raise ConnectTimeoutError(self, "connecting timed out") from None

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._response = response._original_response  # noqa: SLF001 - only http.client's object knows
        return response

    def drop_if_stale(self, max_idle: float) -> None:
        """Close a connection that was idle for longer than `max_idle` seconds.

        Its peer, or a gateway between, may have dropped it without notice. Measured by the wall clock, which goes on
        while Lambda has frozen the instance.
        """
        if self.sock is not None and not self._is_fresh(max_idle):
            self.close()

    def is_reusable(self, max_idle: float) -> bool:
        """Return whether the connection is open and was idle for at most `max_idle` seconds."""
        return self.is_connected and self._is_fresh(max_idle)

    def _is_fresh(self, max_idle: float) -> bool:
        return 0 <= time.time() - self._idle_since <= max_idle

    def end_exchange(self) -> None:
        """Close the connection unless it can be reused."""
        response, self._response = self._response, None
        if self.sock is None:
            return
        if response is None or not response.is_clean() or self._has_pending_bytes():
            self.close()
        self._idle_since = time.time()

    def _has_pending_bytes(self) -> bool:
        pending = getattr(self.sock, "pending", None)
        return bool(pending and pending()) or not self.is_connected


class _Connection(_ConnectionMixin):
    pass


class _HTTPSConnection(_ConnectionMixin, HTTPSConnection):
    pass


class _PoolMixin(HTTPConnectionPool):
    def has_idle_connection(self, max_idle: float) -> bool:
        """Return whether the next request reuses an open connection: the one that was returned last."""
        connections: list[Any] = [] if self.pool is None else self.pool.queue[-1:]
        return any(connection is not None and connection.is_reusable(max_idle) for connection in connections)

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.drop_if_stale(_current.exchange.max_idle)
        _current.exchange.connection = connection
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.end_exchange()
        super()._put_conn(conn)


class _Pool(_PoolMixin):
    ConnectionCls = _Connection


class _HTTPSPool(_PoolMixin, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(requests.adapters.HTTPAdapter):
    """An adapter that loads the CA certificates once, not for each connection (12 ms of CPU each)."""

    def __init__(self, authorities: str, connections: int) -> None:
        self._context = create_urllib3_context()
        self._context.load_verify_locations(authorities)
        super().__init__(pool_connections=2, pool_maxsize=connections, max_retries=0)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Require a valid certificate. `conn` has the SSL context already; requests would load one per connection."""
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _HTTPSPool}

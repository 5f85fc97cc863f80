"""Pooled connections that are reused only after one complete exchange without surplus bytes.

After any other exchange, bytes may be left in the connection. Then the next customer could receive another customer's
response. urllib3 and http.client close a connection after an error. But they reuse some connections that RFC 9112
(HTTP/1.1) requires to be closed. The comments name its sections.
"""

import io
import socket
import threading
import time
from concurrent.futures import Future
from http.client import HTTPResponse
from typing import Any

import requests
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.cache import is_within

CONNECT_SECONDS = 1.5
"""Limit for name resolution, all addresses of the host, and the TLS handshake together."""

READ_SECONDS = 3.0
"""Limit for the whole response, from the end of the request to the last byte: includes the wait for the first byte."""

BUFFER_BYTES = 64 * 1024


class _BoundedReader(io.RawIOBase):
    """Reads a socket. The socket's timeout at the start limits all reads together.

    A socket itself applies its timeout to each read, so a response that arrives byte by byte would never exceed it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # If the peer has announced to close the connection, http.client closes the socket before the body is read. This
        # file keeps the socket open.
        self._file: Any = sock.makefile("rb", buffering=0)
        # urllib3 has set the timeout: the read timeout, or what is left of the total timeout if that is less.
        self._end = time.monotonic() + (sock.gettimeout() or READ_SECONDS)
        #: If True, nothing more is read from the socket.
        self.is_exhausted = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the reader that http.client requests from a socket."""
        return io.BufferedReader(self, BUFFER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.is_exhausted:
            return 0
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(seconds)
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    """An http.client response that can tell whether its connection may be reused.

    http.client drops surplus bytes silently; this class detects them. http.client also takes an interim response other
    than 100 for the final one. Then the request fails because of its status, and the connection is closed.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(_BoundedReader(sock), *arguments, **options)  # type: ignore[arg-type]
        self._has_unexpected_bytes = False

    def _close_conn(self) -> None:
        # Bytes after the end of the response belong to no request (RFC 9112, section 9.2). This looks for them in the
        # buffer; `close_unless_reusable` looks for those in the socket.
        buffered: Any = self.fp
        buffered.raw.is_exhausted = True
        self._has_unexpected_bytes = bool(buffered.peek(1))
        super()._close_conn()  # type: ignore[misc]  # not in the stubs

    def allows_reuse(self) -> bool:
        """Return whether this was one complete, unambiguous response without surplus bytes, with status 200."""
        # False for an incomplete response (RFC 9112, section 8), or if the peer closes the connection (section 9.6).
        if self._has_unexpected_bytes or not self.isclosed() or self.will_close:
            return False
        lengths = self.headers.get_all("content-length", [])
        codings = self.headers.get_all("transfer-encoding", [])
        # The end of the body must be certain: one Content-Length, or chunked alone (section 6.3, rules 3 to 6).
        has_length = len(lengths) == 1 and lengths[0].strip().isdigit() and not codings
        is_chunked = [coding.strip().lower() for coding in codings] == ["chunked"] and not lengths
        # Other statuses are rare, and the rules for their bodies differ. A new connection is cheaper than these rules.
        return self.status == 200 and (has_length or is_chunked)


class _Connection(HTTPConnection):
    """A connection for one exchange at a time. After an exchange it is closed, unless it may be reused."""

    response_class = _BoundedResponse

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._response: Any = None
        #: When the last exchange began, in epoch seconds. The wall clock goes on while Lambda has frozen the instance.
        self.last_begun_at = 0.0

    def request(self, *arguments: Any, **options: Any) -> None:
        """Begin an exchange. The idle time counts from here, because Lambda may freeze the instance before its end."""
        self.last_begun_at = time.time()
        super().request(*arguments, **options)

    def close_unless_reusable(self) -> None:
        """Close the connection unless it can be reused."""
        response = self._response
        self._response = None
        # `is_connected` is False if the socket has unread bytes. `pending` counts those that the TLS library has read.
        pending = getattr(self.sock, "pending", None)
        if response is None or not response.allows_reuse() or (pending and pending()) or not self.is_connected:
            self.close()

    def connect(self) -> None:
        """Connect within the time limit.

        Name resolution has no timeout, and urllib3 applies its limit to each address of the host, so a separate thread
        connects. After the limit, nobody waits for it. It is a daemon thread, so that the process can end before it.
        """
        limit = self.timeout if isinstance(self.timeout, float | int) else CONNECT_SECONDS
        connect, connected = super().connect, Future[None]()

        def run() -> None:
            try:
                connected.set_result(connect())
            except BaseException as error:
                connected.set_exception(error)

        threading.Thread(target=run, name="connect", daemon=True).start()
        try:
            connected.result(limit)
        except TimeoutError:
            # If the thread connects later, this closes the connection.
            connected.add_done_callback(lambda _: self.close())
            raise ConnectTimeoutError(self, "connecting timed out") from None

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._response = response._original_response  # noqa: SLF001 - only http.client's object knows
        return response


class _HTTPSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def close_idle(self, max_idle_seconds: float) -> None:
        """Close the connections that were idle for `max_idle_seconds`. The next request opens them again.

        The peer, or a gateway in between, may have dropped them without notice (RFC 9112, section 9.5).
        """
        free: Any = self.pool
        with free.mutex:
            for conn in free.queue:
                if conn is not None and not is_within(max_idle_seconds, conn.last_begun_at, time.time()):
                    conn.close()

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.close_unless_reusable()
        super()._put_conn(conn)


class _HTTPSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class PoolAdapter(requests.adapters.HTTPAdapter):
    """A requests adapter with these pools. It keeps at most `connections` connections per host, and never retries.

    It loads the trusted CA certificates of `ca_file` once. To load them for each connection would take 12 ms of CPU.
    """

    def __init__(self, ca_file: str, connections: int) -> None:
        self._context = create_urllib3_context()
        self._context.load_verify_locations(ca_file)
        super().__init__(pool_connections=2, pool_maxsize=connections, max_retries=0)

    def get_connection_with_tls_context(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Return the pool of a request. First close connections that were idle for its `max_idle_seconds`."""
        pool: Any = super().get_connection_with_tls_context(request, *arguments, **options)
        pool.close_idle(request.max_idle_seconds)
        return pool

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """Build requests' response. Skip its search for cookies, because this service does not use them."""
        response = requests.Response()
        response.request, response.raw, response.status_code, response.headers = req, resp, resp.status, resp.headers
        return response

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Require a valid TLS certificate.

        The shared SSL context has the CA certificates. requests would load them again for each connection.
        """
        del url, verify, cert
        conn.cert_reqs = "CERT_REQUIRED"

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Create the pools with the connections of this module and the shared SSL context."""
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _HTTPSPool}

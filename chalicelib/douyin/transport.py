"""HTTP transport: sends one request over a pooled connection and reads the whole response, limited in time and size.

A connection is reused only after one complete response with status 200, and with no byte waiting. Otherwise the next
customer could receive what was left over from another customer's response.
"""

import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import certifi
import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib import errors
from chalicelib.cache import is_within
from chalicelib.context import Deadline
from chalicelib.douyin.protocol import HttpReply

CONNECT_SECONDS = 1.5
"""Limit for name resolution, all addresses of the host, and the TLS handshake together."""

READ_SECONDS = 3.0
"""Limit for the whole response, from the end of the request to the last byte: includes the wait for the first byte.

Headers that arrive byte by byte can exceed it. Then Lambda's timeout ends the request.
"""

MAX_IDLE_SECONDS = 30.0
"""How long a connection may be idle. An older one is replaced, for example after Lambda has frozen the instance."""

BUFFER_BYTES = 64 * 1024


class _Connection(HTTPConnection):
    """A connection that connects within one limit, and knows what its last response allows."""

    #: When the last request began, in epoch seconds. The wall clock goes on while Lambda has frozen the instance.
    begun_at = 0.0
    #: The status of the last response.
    status = 0

    def connect(self) -> None:
        """Connect within the time limit.

        Name resolution has no timeout, and urllib3 applies its limit to each address of the host, so a separate thread
        connects. After the limit, nobody waits for it. It is a daemon thread, so that the process can end before it.
        """
        connect, connected = super().connect, Future[None]()

        def run() -> None:
            try:
                connected.set_result(connect())
            except BaseException as error:
                connected.set_exception(error)

        threading.Thread(target=run, name="connect", daemon=True).start()
        try:
            connected.result(self.timeout)
        except TimeoutError:
            # If the thread connects later, this closes the connection.
            connected.add_done_callback(lambda _: self.close())
            raise ConnectTimeoutError(self, "connecting timed out") from None

    def request(self, *arguments: Any, **options: Any) -> None:
        """Begin a request. The idle time counts from here, because Lambda may freeze the instance before its end."""
        self.begun_at, self.status = time.time(), 0
        super().request(*arguments, **options)

    def getresponse(self) -> Any:
        # urllib3 has set the timeout: READ_SECONDS, or what is left of the total timeout if that is less.
        self._read_deadline = Deadline(self.timeout or READ_SECONDS)
        # http.client drops its reference before the body is read if the peer has announced to close the connection.
        self._read_sock = self.sock
        response = super().getresponse()
        self.status = response.status
        return response

    def limit_next_read(self) -> None:
        """Let the next read wait no longer than the whole response may take; raises TimeoutError after that.

        A socket applies its timeout to each read, so a body that arrives byte by byte would never exceed it.
        """
        seconds = self._read_deadline.remaining()
        if seconds <= 0:
            raise TimeoutError("timed out")
        # It is closed after the last byte if the peer has announced it. What is left was read before.
        if self._read_sock.fileno() != -1:
            self._read_sock.settimeout(seconds)

    def is_reusable(self) -> bool:
        """Return whether the last response had status 200, and the connection is open and has no byte waiting.

        It was complete: otherwise urllib3 has closed the connection.
        """
        # `is_connected` is False if the socket has unread bytes. `pending` counts those that the TLS library has read.
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        return self.status == 200 and self.is_connected and not pending


class _HTTPSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection

    def close_idle(self, max_idle_seconds: float) -> None:
        """Close the connections that were idle for `max_idle_seconds`. The next request opens them again.

        The peer, or a gateway in between, may have dropped them without notice.
        """
        free: Any = self.pool
        with free.mutex:
            for conn in free.queue:
                if conn is not None and not is_within(max_idle_seconds, conn.begun_at, time.time()):
                    conn.close()

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and not conn.is_reusable():
            conn.close()
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
        """Create the pools with the connections above and the shared SSL context."""
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _HTTPSPool}


class Transport:
    """Sends POST requests, each over a pooled connection. It uses no proxy and no netrc, and never retries.

    It calls requests' adapter without a session. A session would prepare every request from the same settings (a sixth
    of a warm request's CPU), and handle cookies. It would also follow redirects, and so send the access token to
    another host.
    """

    def __init__(self, user_agent: str, connections: int, ca_file: str | None = None) -> None:
        """`connections` is the number per host. `ca_file` has the trusted CA certificates, by default certifi's."""
        self.adapter = PoolAdapter(ca_file or certifi.where(), connections)
        self._headers = {"user-agent": user_agent, "accept-encoding": "gzip, deflate"}

    def send(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: Deadline,
        max_bytes: int,
        *,
        max_idle_seconds: float = MAX_IDLE_SECONDS,
    ) -> HttpReply:
        """Send one request and read the whole response, of at most `max_bytes`, before the deadline.

        A connection that was idle for `max_idle_seconds` seconds is not reused.

        Raises DeadlineExceededError, UpstreamTimeoutError, UpstreamUnavailableError and UpstreamMalformedError.
        """
        prepared: Any = requests.PreparedRequest()
        prepared.method, prepared.url, prepared.body = "POST", url, body
        prepared.headers = {**self._headers, **headers, "Content-Length": str(len(body))}
        # PoolAdapter needs it to choose a connection. requests passes nothing but this object to it.
        prepared.max_idle_seconds = max_idle_seconds
        timeouts: Any = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS, total=deadline.require_remaining())
        try:
            with self.adapter.send(prepared, timeout=timeouts, stream=True) as response:
                content = _read(response, max_bytes)
        # `from None`: the library's errors quote URLs and header values, which must not reach a log.
        except (requests.Timeout, Urllib3TimeoutError, TimeoutError) as error:
            if deadline.remaining() <= 0:
                raise errors.DeadlineExceededError("timeout") from None
            if isinstance(error, requests.ConnectTimeout):
                raise errors.UpstreamUnavailableError("connect_timeout") from None
            raise errors.UpstreamTimeoutError("timeout") from None
        except (requests.RequestException, HTTPError, OSError):
            raise errors.UpstreamUnavailableError("connection") from None
        return HttpReply(response.status_code, response.headers, content)


def _read(response: requests.Response, max_bytes: int) -> bytes:
    body = bytearray()
    # The response drops its reference to the connection with the last byte.
    connection: Any = response.raw.connection
    while len(body) <= max_bytes:
        connection.limit_next_read()
        chunk = response.raw.read1(BUFFER_BYTES, decode_content=True)
        if not chunk:
            break
        body += chunk
    # Another status is an error even without the rest of the body.
    if len(body) > max_bytes and response.status_code == 200:
        raise errors.UpstreamMalformedError("too_large", is_transient=False)
    return bytes(body)

"""HTTP transport: one request over a pooled connection, limited in time and size."""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

import certifi
import requests
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from chalicelib.douyin.protocol import Response
from chalicelib.errors import UpstreamMalformedError, UpstreamTimeoutError, UpstreamUnavailableError

if TYPE_CHECKING:
    import socket

    from chalicelib.context import Deadline
    from chalicelib.douyin.protocol import Request

CONNECT_SECONDS = 1.5

READ_SECONDS = 3.0
"""Limit for the whole response, from its first header to its last byte."""

_CHUNK_BYTES = 64 * 1024


class Transport:
    """Sends requests over the connection pool of a requests session.

    It calls the session's adapter directly. The session would prepare every request from the same settings (a sixth of
    a warm request's CPU), handle cookies, and follow redirects, which would send the access token to another host.
    """

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        self._prepared: dict[tuple[str, str], requests.PreparedRequest] = {}

    def send(self, base_url: str, request: Request, deadline: Deadline, max_bytes: int) -> Response:
        """Send one request and read the whole response, of at most `max_bytes`, before the deadline.

        Raises UpstreamTimeoutError, UpstreamUnavailableError and UpstreamMalformedError.
        """
        left = deadline.remaining()
        if left <= 0:
            raise UpstreamTimeoutError("budget")
        url = base_url + request.path
        try:
            with self._session.get_adapter(url).send(
                self._prepare(url, request),
                # requests accepts urllib3's Timeout; its type stubs do not say so.
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS, total=left),  # type: ignore[arg-type]
                stream=True,
            ) as response:
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


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline that is set when the response begins.

    A socket's timeout applies to each read alone, so a response that arrives byte by byte would never exceed it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        # urllib3 has set the timeout to what is left of the read timeout and of the total.
        self._deadline = time.monotonic() + (sock.gettimeout() or READ_SECONDS)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the reader that http.client requests from a socket."""
        return io.BufferedReader(self, _CHUNK_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(_BoundedReader(sock), *arguments, **options)  # type: ignore[arg-type]


class _BoundedConnection(HTTPConnection):
    response_class = _BoundedResponse


class _BoundedHTTPSConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPSConnection


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

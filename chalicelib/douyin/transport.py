"""HTTP transport: sends one request and reads the whole response, limited in time and size."""

from typing import Any

import certifi
import requests
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from chalicelib import errors
from chalicelib.context import Deadline
from chalicelib.douyin.connections import BUFFER_BYTES, CONNECT_SECONDS, READ_SECONDS, PoolAdapter
from chalicelib.douyin.protocol import HttpReply, HttpRequest

MAX_IDLE_SECONDS = 30.0
"""How long a connection may be idle. An older one is replaced, for example after Lambda has frozen the instance."""


class Transport:
    """Sends requests over the connection pool of a requests session.

    It calls the session's adapter, not the session. The session would prepare every request from the same settings (a
    sixth of a warm request's CPU), and handle cookies. It would also follow redirects, and so send the access token to
    another host.
    """

    def __init__(self, http: requests.Session) -> None:
        self.http = http

    def send(
        self,
        base_url: str,
        request: HttpRequest,
        deadline: Deadline,
        max_bytes: int,
        max_idle_seconds: float = MAX_IDLE_SECONDS,
    ) -> HttpReply:
        """Send one request and read the whole response, of at most `max_bytes`, before the deadline.

        A connection that was idle for `max_idle_seconds` seconds is not reused.

        Raises DeadlineExceededError, UpstreamTimeoutError, UpstreamUnavailableError and UpstreamMalformedError.
        """
        prepared, adapter = self._prepare(base_url, request, max_idle_seconds)
        timeouts = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS, total=deadline.require_remaining())
        try:
            with adapter.send(prepared, timeout=timeouts, stream=True) as response:
                body = _read(response, max_bytes)
        # `from None`: the library's errors quote URLs and header values, which must not reach a log.
        except (requests.Timeout, Urllib3TimeoutError, TimeoutError) as error:
            if deadline.remaining() <= 0:
                raise errors.DeadlineExceededError("timeout") from None
            if isinstance(error, requests.ConnectTimeout):
                raise errors.UpstreamUnavailableError("connect_timeout") from None
            raise errors.UpstreamTimeoutError("timeout") from None
        except (requests.RequestException, HTTPError, OSError):
            raise errors.UpstreamUnavailableError("connection") from None
        return HttpReply(response.status_code, response.headers, body)

    def _prepare(self, base_url: str, request: HttpRequest, max_idle_seconds: float) -> tuple[Any, Any]:
        """Return a request as the adapter needs it, and the adapter."""
        prepared: Any = requests.PreparedRequest()
        # PoolAdapter needs `max_idle_seconds` to choose a connection. requests passes nothing but this object to it.
        prepared.max_idle_seconds = max_idle_seconds
        prepared.method, prepared.url, prepared.body = "POST", base_url + request.path, request.body
        prepared.headers = {**self.http.headers, **request.headers, "Content-Length": str(len(request.body))}
        return prepared, self.http.get_adapter(prepared.url)


def create_http_session(user_agent: str, connections: int, ca_file: str | None = None) -> requests.Session:
    """Create a requests session that pools `connections` per host, ignores proxies and netrc, and never retries.

    `ca_file` has the trusted CA certificates; that of certifi is the default.
    """
    session = requests.Session()
    session.trust_env = False
    session.headers = requests.structures.CaseInsensitiveDict(
        {"user-agent": user_agent, "accept-encoding": "gzip, deflate"}
    )
    adapter = PoolAdapter(ca_file or certifi.where(), connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _read(response: requests.Response, max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) <= max_bytes and (chunk := response.raw.read1(BUFFER_BYTES, decode_content=True)):
        body += chunk
    # Another status is an error even without the rest of the body.
    if len(body) > max_bytes and response.status_code == 200:
        raise errors.UpstreamMalformedError("too_large", is_transient=False)
    return bytes(body)

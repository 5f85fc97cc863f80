"""A proxy in front of the emulated AWS that records each call, and lets those fail that a test names."""

import contextlib
import functools
import http.client
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import botocore.session

_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive"}
_RESPONSE_HEADERS = {"content-length", "transfer-encoding", "connection", "content-encoding", "date", "server"}


class AwsHttpCall(NamedTuple):
    """A call of AWS: service and operation as botocore names them."""

    service: str
    operation: str


class Refusal(NamedTuple):
    """An error response of AWS."""

    status: int
    code: str
    message: str = "refused by the test"


class AwsProxy(ThreadingHTTPServer):
    """Forwards to `aws_url`. `refuse` decides what fails; `calls` has the calls that were forwarded."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, aws_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.aws_url = aws_url
        self.calls: list[AwsHttpCall] = []
        self.refuse: Callable[[AwsHttpCall], Refusal | None] = lambda _: None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore lost connections: clients give up waiting."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """The proxy's base URL."""
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def run_aws_proxy(aws_url: str) -> Iterator[AwsProxy]:
    """Run a proxy on a free port until the end of the block."""
    with AwsProxy(aws_url) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two packets: the second must not wait until the client acknowledges the first.
    disable_nagle_algorithm = True
    server: AwsProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization", "")
        # A request without a signature is one of a customer.
        if "Credential=" not in authorization:
            self._send(*self._exchange(body))
            return
        call = _identify(self.command, self.path, authorization, self.headers.get("X-Amz-Target", ""), body)
        refusal = self.server.refuse(call)
        if refusal is not None:
            self._refuse(refusal)
            return
        self.server.calls.append(call)
        self._send(*self._exchange(body))

    def _exchange(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        # A plain connection: a session of requests would take longer than the emulated AWS itself.
        connection = http.client.HTTPConnection(urlsplit(self.server.aws_url).netloc, timeout=60)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            content = response.read()
        kept = {name: value for name, value in response.headers.items() if name.lower() not in _RESPONSE_HEADERS}
        return response.status, kept, content

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _forward  # noqa: N815 - the names of http.server

    def _refuse(self, refusal: Refusal) -> None:
        content_type = self.headers.get("Content-Type", "")
        if content_type.startswith("application/x-www-form-urlencoded"):
            text = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{refusal.code}</Code>"
                f"<Message>{refusal.message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
            )
            self._send(refusal.status, {"Content-Type": "text/xml"}, text.encode())
        else:
            text = json.dumps({"__type": refusal.code, "message": refusal.message})
            headers = {"Content-Type": "application/json", "x-amzn-ErrorType": refusal.code}
            self._send(refusal.status, headers, text.encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            # The client may have given up waiting.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


def _identify(method: str, path: str, authorization: str, target: str, body: bytes) -> AwsHttpCall:
    service = authorization.split("Credential=")[1].split("/")[3]
    url = urlsplit(path)
    if target:
        operation = target.rsplit(".", 1)[-1]
    elif match := re.search(r"/operation/(\w+)$", url.path):
        operation = match[1]
    elif service in ("lambda", "apigateway"):
        operation = next((name for verb, pattern, name in _rest_operations(service) if verb == method and
                          pattern.fullmatch(url.path)), f"{method} {url.path}")  # fmt: skip
        if service == "apigateway" and operation == "CreateRestApi" and "mode=import" in url.query:
            operation = "ImportRestApi"
    else:
        operation = parse_qs(body.decode()).get("Action", [f"{method} {url.path}"])[0]
    return AwsHttpCall(service, operation)


@functools.cache
def _rest_operations(service: str) -> list[tuple[str, re.Pattern[str], str]]:
    model = botocore.session.get_session().get_service_model(service)
    operations = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = http["requestUri"].split("?")[0].rstrip("/")
        pattern = re.sub(r"\\\{(\w+)\\\}", "[^/]+", re.sub(r"\\\{(\w+)\\\+\\\}", ".+", re.escape(path)))
        operations.append((http["method"], re.compile(f"{pattern}/?"), name))
    # The most specific pattern first.
    return sorted(operations, key=lambda operation: -len(operation[1].pattern))

"""HTTP proxy in front of the emulated AWS that injects DynamoDB faults and records the calls on token rows.

Each caller has a port of its own, which tells the callers apart. Calls of other services are forwarded unchanged.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

TARGET_PREFIX = "DynamoDB_20120810."
RECORDED_OPERATIONS = ("GetItem", "UpdateItem")
RECORDED_KEY_PREFIX = "TOKEN#"

FAULT_KINDS: dict[str, str] = {
    "delay": "forward the call after `seconds`",
    "error": "return HTTP 500 InternalServerError without forwarding",
    "throttle": "return HTTP 400 ThrottlingException or ProvisionedThroughputExceededException without forwarding",
    "drop": "close the connection without forwarding",
    "lose": "forward the call, then close the connection without a response",
    "drip": "forward the call, then send the response one byte at a time, with a pause of `seconds` after each",
}
_THROTTLE_CODES = ("ThrottlingException", "ProvisionedThroughputExceededException")
_FORWARD_SECONDS = 30.0
_HOP_HEADERS = frozenset({"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"})


@dataclass
class DynamoDbFault:
    """One fault rule.

    `operation` is for example UpdateItem, or `*` for all; `callers` restricts the rule further (None: all callers).
    Of the matching calls the share `probability` is affected, at most `times` calls (None: no limit).
    """

    kind: str
    operation: str = "*"
    callers: frozenset[str] | None = None
    probability: float = 1.0
    times: int | None = None
    seconds: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(FAULT_KINDS)}")

    def matches(self, caller: str, operation: str) -> bool:
        """Return whether the rule applies to a call of this caller."""
        return (
            self.operation in ("*", operation) and (self.callers is None or caller in self.callers) and self.times != 0
        )


@dataclass
class TableCall:
    """A call on a token row that was forwarded. `at` is on the proxy's clock, when the table had responded."""

    at: float
    caller: str
    operation: str
    pk: str
    request: Mapping[str, Any]
    status: int
    response: Mapping[str, Any]

    @property
    def error_code(self) -> str:
        """The AWS error code, or "" when the call succeeded."""
        return str(self.response.get("__type", "")).rpartition("#")[2] if self.status != 200 else ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore lost connections: clients give up, are stopped, and are killed."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class DynamoDbProxy:
    """Proxy with a port for each caller; a context manager. Random choices depend on `seed` only.

    `on_call` receives each forwarded GetItem and UpdateItem on a TOKEN# row. These calls are forwarded one at a time,
    so `on_call` receives them in the order of their effects. `on_fault` receives caller, operation and kind of each
    fault before it takes effect. Both are called from the proxy's threads.
    """

    def __init__(
        self,
        aws_url: str,
        seed: int = 0,
        on_call: Callable[[TableCall], None] = lambda _: None,
        on_fault: Callable[[str, str, str], None] = lambda _caller, _operation, _kind: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._aws_host = urlsplit(aws_url).netloc
        self._random = random.Random(seed)  # noqa: S311 - test faults, not a secret
        self._on_call = on_call
        self._on_fault = on_fault
        self._clock = clock
        self._servers: dict[str, _Server] = {}
        self._fault_lock = threading.Lock()
        self._table_lock = threading.Lock()
        self._faults: list[DynamoDbFault] = []

    def __enter__(self) -> DynamoDbProxy:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for caller in list(self._servers):
            self.close_port(caller)

    def open_port(self, caller: str, *, has_faults: bool = True) -> str:
        """Serve a caller on a new port; return the URL. Without `has_faults` its calls are only recorded."""
        server = _Server(("127.0.0.1", 0), self._create_handler(caller, has_faults))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._servers[caller] = server
        return f"http://127.0.0.1:{server.server_port}"

    def close_port(self, caller: str) -> None:
        """Stop serving a caller. Responses that are under way still end."""
        server = self._servers.pop(caller)
        server.shutdown()
        server.server_close()

    def set_faults(self, *faults: DynamoDbFault) -> None:
        """Replace the fault rules; the first rule that affects a call applies."""
        with self._fault_lock:
            self._faults = list(faults)

    def _next_fault(self, caller: str, operation: str) -> DynamoDbFault | None:
        with self._fault_lock:
            for fault in self._faults:
                if fault.matches(caller, operation) and self._random.random() < fault.probability:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def _throttle_code(self) -> str:
        with self._fault_lock:
            return self._random.choice(_THROTTLE_CODES)

    def _create_handler(proxy, caller: str, has_faults: bool) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_POST(self) -> None:
                """Forward a call, or apply a fault."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target = self.headers.get("X-Amz-Target", "")
                operation = target.removeprefix(TARGET_PREFIX)
                fault = None
                if has_faults and target.startswith(TARGET_PREFIX):
                    fault = proxy._next_fault(caller, operation)
                if fault is not None:
                    proxy._on_fault(caller, operation, fault.kind)
                self.respond(target, operation, body, fault)

            def respond(self, target: str, operation: str, body: bytes, fault: DynamoDbFault | None) -> None:
                kind = "" if fault is None else fault.kind
                if kind == "error":
                    self.send(500, *_error("InternalServerError"))
                elif kind == "throttle":
                    self.send(400, *_error(proxy._throttle_code()))
                elif kind == "drop":
                    self.close_connection = True
                else:
                    if fault is not None and kind == "delay":
                        time.sleep(fault.seconds)
                    status, headers, payload = self.forward(target, operation, body)
                    if kind == "lose":
                        self.close_connection = True
                    else:
                        self.send(status, headers, payload, fault.seconds if fault and kind == "drip" else None)

            def forward(self, target: str, operation: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
                if not target.startswith(TARGET_PREFIX) or operation not in RECORDED_OPERATIONS:
                    return self.exchange(body)
                request = json.loads(body)
                pk = str(request.get("Key", {}).get("pk", {}).get("S", ""))
                if not pk.startswith(RECORDED_KEY_PREFIX):
                    return self.exchange(body)
                with proxy._table_lock:
                    status, headers, payload = self.exchange(body)
                    response = json.loads(payload) if payload else {}
                    proxy._on_call(TableCall(proxy._clock(), caller, operation, pk, request, status, response))
                return status, headers, payload

            def exchange(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
                """Send the request to AWS, over a connection of its own."""
                with contextlib.closing(http.client.HTTPConnection(proxy._aws_host, timeout=_FORWARD_SECONDS)) as aws:
                    headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS}
                    aws.request(self.command, self.path, body, headers)
                    response = aws.getresponse()
                    return response.status, dict(response.getheaders()), response.read()

            def send(self, status: int, headers: Mapping[str, str], payload: bytes, pause: float | None = None) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in _HOP_HEADERS:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                if pause is None:
                    self.wfile.write(payload)
                    return
                for byte in payload:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(pause)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Do not log requests."""

        return Handler


def _error(code: str) -> tuple[Mapping[str, str], bytes]:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected fault"}
    return {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(body).encode()

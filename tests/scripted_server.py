"""An HTTP server for tests that responds with any bytes, delays and closed connections."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

CLOSE = object()
"""A step of a script: close the connection."""


@dataclass
class ReceivedRequest:
    """A request: its number in all (from 0), its connection's number, and its JSON body.

    `ended` is set when all steps of the response were made.
    """

    number: int
    connection: int
    body: Any
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class ScriptedServer:
    """Responds to each request with the steps of `script`: bytes to send, seconds to wait, or CLOSE.

    With `tls`, it speaks TLS.
    """

    script: Callable[[ReceivedRequest], Iterator[Any]]
    tls: ssl.SSLContext | None = None
    requests: list[ReceivedRequest] = field(default_factory=list)
    url: str = ""
    connections: int = 0
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> "ScriptedServer":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(connection)
                number, self.connections = self.connections, self.connections + 1
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as resources:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            stream = resources.enter_context(resources.enter_context(connection).makefile("rb"))
            while stream.readline():
                request = self._read(stream, number)
                self.requests.append(request)
                try:
                    for step in self.script(request):
                        _perform(step, connection)
                finally:
                    request.ended.set()

    def wait_for_responses(self) -> None:
        """Wait until all steps of the responses to the present requests were made."""
        assert all(request.ended.wait(30) for request in self.requests)

    def _read(self, stream: Any, connection: int) -> ReceivedRequest:
        headers = {}
        while (header := stream.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return ReceivedRequest(len(self.requests), connection, json.loads(body) if body else None)


def _perform(step: Any, connection: socket.socket) -> None:
    if isinstance(step, bytes):
        connection.sendall(step)
    elif step is CLOSE:
        connection.shutdown(socket.SHUT_RDWR)
    else:
        time.sleep(step)


def http_response(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    """Return a complete response with a Content-Length."""
    data = body.encode() if isinstance(body, str) else body
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers, "", ""])
    return head.encode() + data


def certificates_body(certificate_id: str) -> str:
    """Return the body of a page with one usable certificate."""
    order = {"order_id": "1", "can_use": True, "certificates": [{"certificate_id": certificate_id}]}
    return json.dumps({"data": {"error_code": 0, "orders": [order], "total": 1}, "extra": {"error_code": 0}})

"""Lambda's part without Lambda: AWS's own runtime client over an unpacked bundle, fed by a Runtime API of our own.

The interpreter is one that has nothing but `awslambdaric` and `boto3`, as on Lambda, so that a bundle that lacks
something fails here as it would there.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

INTERPRETER = Path(__file__).parent.parent / ".lambda" / "bin" / "python"
FUNCTION_SECONDS = 15.0


class FunctionError(Exception):
    """The function, or its start, ended with an error instead of an answer."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of an instance that was killed while it waited for work."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Instance:
    """One Lambda instance; use as a context manager. `output` receives what it writes to stdout and stderr.

    `started` and `ready` are moments of time.perf_counter: when it was begun, and when it first asked for an event.
    """

    def __init__(
        self,
        bundle: Path,
        handler: str,
        environment: dict[str, str],
        interpreter: Path = INTERPRETER,
        output: IO[bytes] | int | None = None,
    ) -> None:
        self._events: queue.Queue[tuple[str, bytes, str]] = queue.Queue()
        self._results: dict[str, queue.Queue[Any]] = {}
        self._broken: str | None = None
        self.started = time.perf_counter()
        self.ready: float | None = None
        self._server = _Server(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.popen = subprocess.Popen(
            [interpreter, "-m", "awslambdaric", handler],
            cwd=bundle,
            env={
                "PATH": os.environ.get("PATH", ""),
                "LANG": "C.UTF-8",
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": "douyin-redemption-test",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
                "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
                "LAMBDA_TASK_ROOT": str(bundle),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
            stdout=output,
            stderr=output,
        )

    def __enter__(self) -> Instance:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.kill()
        self.popen.wait()
        self._server.shutdown()
        self._server.server_close()

    def kib(self, field: str) -> int:
        """The process's memory as /proc's status has it, KiB: `VmRSS` what is resident, `VmHWM` the most that was."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))

    def invoke(self, event: Any, trace: str = "") -> Any:
        """Hand one event to the function and wait for what it returns; `trace` is the X-Ray header."""
        request_id = str(uuid.uuid4())
        results = self._results[request_id] = queue.Queue()
        self._events.put((request_id, json.dumps(event).encode(), trace))
        deadline = time.monotonic() + 2 * FUNCTION_SECONDS
        while time.monotonic() < deadline:
            try:
                kind, result = results.get(timeout=0.1)
            except queue.Empty:
                if self._broken is not None or self.popen.poll() is not None:
                    raise FunctionError(self._broken or f"ended with {self.popen.returncode}") from None
                continue
            if kind == "error":
                raise FunctionError(result)
            return json.loads(result)
        raise FunctionError("no answer in time")

    def _handler(instance) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's, below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave together: apart, the second waits for the first one's acknowledgement.
            wbufsize = -1

            def do_GET(self) -> None:
                """Give out the next event, whenever there is one."""
                instance.ready = instance.ready or time.perf_counter()
                request_id, event, trace = instance._events.get()
                deadline = int((time.time() + FUNCTION_SECONDS) * 1000)
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:test"
                )
                if trace:
                    self.send_header("Lambda-Runtime-Trace-Id", trace)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self) -> None:
                """Take a result, or word of a failure."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                parts = self.path.split("/")
                if parts[-2:] == ["init", "error"]:
                    instance._broken = body
                else:
                    instance._results[parts[-2]].put((parts[-1], body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        return Handler

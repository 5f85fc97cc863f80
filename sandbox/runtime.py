"""A local Lambda runtime: AWS's own runtime client runs an unpacked bundle against a Runtime API served here.

The interpreter has only `awslambdaric` and `boto3` installed, as on Lambda, so a package that is missing from the
bundle causes the same error here.
"""

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
from types import TracebackType
from typing import IO, Any

INTERPRETER = Path(__file__).parent.parent / ".lambda" / "bin" / "python"
TIMEOUT_SECONDS = 15.0
"""The timeout that the function is given, in seconds. `invoke` itself waits for twice this time."""


class FunctionError(Exception):
    """The function raised an error, failed to start, or did not return in time."""


class _RuntimeApi(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore lost connections: an instance can be killed while it waits for an event."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Instance:
    """One Lambda instance of `app.app`, a context manager. `output` receives its stdout and stderr."""

    def __init__(self, bundle: Path, environment: dict[str, str], output: IO[bytes] | int | None = None) -> None:
        self._events: queue.Queue[tuple[str, bytes, str]] = queue.Queue()
        self._results: dict[str, queue.Queue[Any]] = {}
        self._init_error: str | None = None
        self._server = _RuntimeApi(("127.0.0.1", 0), self._create_handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.popen = subprocess.Popen(
            [INTERPRETER, "-m", "awslambdaric", "app.app"],
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

    def __enter__(self) -> "Instance":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.popen.kill()
        self.popen.wait()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any, trace_header: str = "") -> Any:
        """Invoke the function and return its result; `trace_header` is the X-Ray header. Raises FunctionError."""
        request_id = str(uuid.uuid4())
        results = self._results[request_id] = queue.Queue()
        self._events.put((request_id, json.dumps(event).encode(), trace_header))
        deadline = time.monotonic() + 2 * TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            try:
                outcome, result = results.get(timeout=0.1)
            except queue.Empty:
                if self._init_error is not None or self.popen.poll() is not None:
                    message = self._init_error or f"the process exited with status {self.popen.returncode}"
                    raise FunctionError(message) from None
                continue
            if outcome == "error":
                raise FunctionError(result)
            return json.loads(result)
        raise FunctionError("the function did not return in time")

    def _create_handler(instance) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler, below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Send headers and body in one packet: otherwise the body waits for the ACK of the headers (Nagle).
            wbufsize = -1

            def do_GET(self) -> None:
                """Return the next event; blocks until there is one."""
                request_id, event, trace_header = instance._events.get()
                deadline = int((time.time() + TIMEOUT_SECONDS) * 1000)
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:test"
                )
                if trace_header:
                    self.send_header("Lambda-Runtime-Trace-Id", trace_header)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self) -> None:
                """Receive a result or an error."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                parts = self.path.split("/")
                if parts[-2:] == ["init", "error"]:
                    instance._init_error = body
                else:
                    instance._results[parts[-2]].put((parts[-1], body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Do not log requests."""

        return Handler

"""Set-up of the benchmark: three implementations with the same platform, table, secret and events.

- ours: the service
- naive: `peers/naive`, a straightforward implementation
- floor: `peers/floor`, a handler without framework, logs and error handling
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from chalicelib.tokens.rows import token_key
from infra.bundle import ROOT, current_archive
from sandbox import gateway, stack
from sandbox.runtime import Instance
from sandbox.sample_data import ACCOUNT_ID, APP_ID, POI_ID

PEERS = Path(__file__).parent / "peers"
NAIVE_ARCHIVE = ROOT / "build" / "bench" / "naive" / "deployment.zip"
HANDLERS = {"ours": "app.app", "naive": "app.app", "floor": "handler.handler"}
NAMES = tuple(HANDLERS)


@dataclass
class Bench:
    """The implementations and the servers that they use. `sessions` are session tokens, by implementation."""

    folder: Path
    environment: dict[str, str]
    sessions: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def run_platform(self, certificates: int, delay: float = 0.0) -> Iterator[dict[str, str]]:
        """Run a platform whose list has this many certificates; yields the environment of instances that use it."""
        options = {"certificate": self.folder / "server.pem", "certificates": certificates, "delay": delay}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        with stack.run_server("benchmarks.static_platform", *arguments) as platform:
            # Two hosts, as on the real platform: the login's connection is not the list's.
            yield self.environment | {
                "DOUYIN_OPEN_API": f"https://localhost:{platform.port}",
                "DOUYIN_LOGIN_API": f"https://127.0.0.1:{platform.port}",
            }

    @contextlib.contextmanager
    def start_instance(self, name: str, environment: dict[str, str]) -> Iterator[Instance]:
        """Start an instance on the first CPU; all other processes use the other CPUs, if there are any."""
        with Instance(self.folder / name, HANDLERS[name], environment, output=subprocess.DEVNULL) as instance:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(instance.popen.pid, {0})
            yield instance

    def build_list_event(self, name: str) -> dict[str, Any]:
        """Build API Gateway's event for a request for the list."""
        headers = {"Authorization": f"Bearer {self.sessions[name]}"}
        return gateway.build_event("GET", gateway.certificates_url(), headers)


def build_login_event(*, with_list: bool = False) -> dict[str, Any]:
    """Build API Gateway's event for a login, which may ask for the list."""
    body: dict[str, Any] = {"app_id": APP_ID, "code": "any"}
    if with_list:
        body["list"] = {"account_id": ACCOUNT_ID, "poi_id": POI_ID}
    return gateway.build_event("POST", "/v1/sessions", {"Content-Type": "application/json"}, json.dumps(body))


def send(instance: Instance, event: dict[str, Any], trace_header: str = "") -> Any:
    """Send a request and return the response's body; raises RuntimeError if the status is not 200."""
    response = gateway.parse_response(instance.invoke(event, trace_header))
    if response.status != 200:
        raise RuntimeError(response.text)
    return response.json


@contextlib.contextmanager
def run_bench() -> Iterator[Bench]:
    """Start the emulated AWS, unpack the implementations, and log in at each of them."""
    if (os.cpu_count() or 1) > 1:
        # The first CPU is reserved for the instance that is measured.
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))
    with contextlib.ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-bench-")))
        aws = resources.enter_context(stack.run_server("sandbox.aws"))
        xray_daemon = resources.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        xray_daemon.bind(("127.0.0.1", 0))
        secret, table = stack.create_resources(aws.url, stack.STAGE)
        _write_token(aws.url, table)
        environment = {
            **stack.function_environment(aws.url, "https://localhost", secret, table),
            "STAGE": "bench",
            "POWERTOOLS_SERVICE_NAME": "bench",
            "POWERTOOLS_METRICS_NAMESPACE": "Bench",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{xray_daemon.getsockname()[1]}",
            "SSL_CERT_FILE": str(folder / "ours" / "certifi" / "cacert.pem"),
        }
        _unpack_bundles(folder, environment)
        bench = Bench(folder, environment)
        with bench.run_platform(certificates=2) as variables:
            for name in NAMES:
                with bench.start_instance(name, variables) as instance:
                    bench.sessions[name] = send(instance, build_login_event())["token"]
        yield bench


def _unpack_bundles(folder: Path, environment: dict[str, str]) -> None:
    """Unpack the bundles. The only change: they trust the static platform's certificate."""
    _package_naive(environment)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    for name, path in (("ours", current_archive()), ("naive", NAIVE_ARCHIVE)):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / name)
        authority.cert_pem.write_to_path(folder / name / "certifi" / "cacert.pem", append=True)
    shutil.copytree(PEERS / "floor", folder / "floor", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "floor"], check=True)


def _package_naive(environment: dict[str, str]) -> None:
    """Run `chalice package` for the naive peer. The result is cached, because the command downloads packages."""
    sources = [path for path in (PEERS / "naive").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    if NAIVE_ARCHIVE.exists() and NAIVE_ARCHIVE.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    with tempfile.TemporaryDirectory() as folder:
        project = shutil.copytree(PEERS / "naive", Path(folder) / "naive")
        # Chalice imports the app, and the import reads the secret and needs the X-Ray SDK.
        env = {**os.environ, **environment, "PYTHONPATH": str(ROOT / "vendor")}
        command = [str(Path(sys.executable).with_name("chalice")), "package", str(NAIVE_ARCHIVE.parent)]
        subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)


def _write_token(aws_url: str, table: str) -> None:
    item: Any = {"pk": {"S": token_key(APP_ID)}, "access_token": {"S": "clt.benchmark"}}
    item["expires_at"] = {"N": str(int(time.time()) + 86400)}
    stack.emulated_account(aws_url).client("dynamodb").put_item(TableName=table, Item=item)

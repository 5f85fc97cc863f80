"""Set-up of the benchmark: three implementations with the same platform, table, secret, session and event.

- ours: the service
- naive: `peers/naive`, a straightforward implementation
- floor: `peers/floor`, a handler without framework, logs and error handling
"""

import contextlib
import hashlib
import hmac
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import trustme

from benchmarks.static_platform import OPEN_ID
from chalicelib.tokens.lease import token_key
from infra.bundle import ROOT, current_archive
from sandbox import gateway, sample_data, stack
from sandbox.runtime import Instance
from sandbox.sample_data import ACCOUNT_ID, APP_ID, POI_ID

PEERS = Path(__file__).parent / "peers"
BUILD = ROOT / "build" / "bench"
NAMES = ("ours", "naive", "floor")
HANDLERS = {"ours": "app.app", "naive": "app.app", "floor": "handler.handler"}


@dataclass
class Implementation:
    """A deployable function: its handler, its unpacked bundle, and a session token that it accepts."""

    handler: str
    bundle: Path
    session: str


@dataclass
class Bench:
    """The implementations and the servers that they use."""

    folder: Path
    environment: dict[str, str]
    platform_url: str
    platform_ca: str
    distant_platform: dict[str, str]
    implementations: dict[str, Implementation]

    def configure_platform(self, certificates: int, delay: float = 0.0) -> None:
        """Set the number of certificates in the platform's response, and its delay in seconds."""
        self._control({"certificates": certificates, "delay": delay})

    def count_new_connections(self) -> int:
        """Return how many connections to the platform were opened since the last call."""
        return int(self._control({})["opened"])

    def _control(self, settings: dict[str, Any]) -> Any:
        response = requests.post(f"{self.platform_url}/_bench", json=settings, verify=self.platform_ca, timeout=10)
        return response.json()

    def build_event(self, name: str, session: str | None = None) -> dict[str, Any]:
        """Build API Gateway's event for a request for the list of certificates."""
        headers = {"Authorization": f"Bearer {session or self.implementations[name].session}"}
        return gateway.build_event("GET", gateway.certificates_url(), headers)

    @contextlib.contextmanager
    def start_instance(
        self, name: str, environment: dict[str, str] | None = None, bundle: Path | None = None
    ) -> Iterator[Instance]:
        """Start an instance on the first CPU; all other processes use the other CPUs, if there are any."""
        implementation = self.implementations[name]
        with Instance(
            bundle or implementation.bundle,
            implementation.handler,
            self.environment | (environment or {}),
            output=subprocess.DEVNULL,
        ) as instance:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(instance.popen.pid, {0})
            yield instance

    @contextlib.contextmanager
    def copy_bundle(self, name: str) -> Iterator[Path]:
        """Make a new copy of the bundle, as Lambda does for a new instance."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            # Hard links: copying the data would keep the disk busy during the measurement.
            yield Path(shutil.copytree(self.implementations[name].bundle, folder / "task", copy_function=os.link))
        finally:
            shutil.rmtree(folder)


@contextlib.contextmanager
def run_bench() -> Iterator[Bench]:
    """Start the servers and prepare the implementations."""
    if (os.cpu_count() or 1) > 1:
        # The first CPU is reserved for the instance that is measured.
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))
    with contextlib.ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-bench-")))
        authority = trustme.CA()
        certificate, ca = folder / "server.pem", folder / "ca.pem"
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        authority.cert_pem.write_to_path(ca)
        aws = resources.enter_context(stack.run_server("sandbox.aws"))
        distant_port = stack.free_port()
        arguments = ("--certificate", str(certificate), "--distant-port", str(distant_port))
        platform = resources.enter_context(stack.run_server("benchmarks.static_platform", *arguments))
        secret, table = stack.create_resources(aws.url, stack.STAGE)
        platform_url = f"https://localhost:{platform.port}"
        xray_daemon = resources.enter_context(contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        xray_daemon.bind(("127.0.0.1", 0))
        environment = {
            **stack.function_environment(aws.url, platform_url, secret, table),
            "STAGE": "bench",
            "POWERTOOLS_SERVICE_NAME": "bench",
            "POWERTOOLS_METRICS_NAMESPACE": "Bench",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{xray_daemon.getsockname()[1]}",
        }
        _write_tokens(aws.url, table)
        bundles = _unpack_bundles(folder, environment, ca)
        environment["SSL_CERT_FILE"] = str(bundles["ours"] / "certifi" / "cacert.pem")
        signed = f"{APP_ID}.{OPEN_ID}"
        key = _read_session_key(aws.url, secret)
        session = f"{signed}.{hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest()}"
        bench = Bench(
            folder,
            environment,
            platform_url,
            str(ca),
            # Two hosts, as on the real platform: the login's connection is not the list's.
            {
                "DOUYIN_OPEN_API": f"https://localhost:{distant_port}",
                "DOUYIN_LOGIN_API": f"https://127.0.0.1:{distant_port}",
            },
            {name: Implementation(HANDLERS[name], bundles[name], session) for name in NAMES},
        )
        bench.implementations["ours"].session = _login(bench)
        yield bench


def _unpack_bundles(folder: Path, environment: dict[str, str], ca: Path) -> dict[str, Path]:
    """Unpack the bundles. The only change: the static platform's certificate authority is trusted."""
    for name, path in (("ours", current_archive()), ("naive", _package_naive(environment))):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder / name)
        with (folder / name / "certifi" / "cacert.pem").open("ab") as trusted:
            trusted.write(ca.read_bytes())
    shutil.copytree(PEERS / "floor", folder / "floor", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "floor"], check=True)
    return {name: folder / name for name in NAMES}


def _package_naive(environment: dict[str, str]) -> Path:
    """Run `chalice package` for the naive peer. The result is cached, because the command downloads packages."""
    archive = BUILD / "naive" / "deployment.zip"
    sources = [path for path in (PEERS / "naive").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    if not archive.exists() or archive.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        with tempfile.TemporaryDirectory() as folder:
            project = shutil.copytree(PEERS / "naive", Path(folder) / "naive")
            chalice = Path(sys.executable).with_name("chalice")
            # Chalice imports the app, and the import reads the secret and needs the X-Ray SDK.
            env = {**os.environ, **environment, "PYTHONPATH": str(ROOT / "vendor")}
            subprocess.run([chalice, "package", archive.parent], cwd=project, env=env, check=True, capture_output=True)
    return archive


def _write_tokens(aws_url: str, table: str) -> None:
    client = stack.emulated_account(aws_url).client("dynamodb")
    for app_id in sample_data.load().apps:
        item: Any = {"pk": {"S": token_key(app_id)}, "access_token": {"S": "clt.benchmark"}}
        item["expires_at"] = {"N": str(int(time.time()) + 86400)}
        client.put_item(TableName=table, Item=item)


def _read_session_key(aws_url: str, secret: str) -> str:
    client = stack.emulated_account(aws_url).client("secretsmanager")
    return str(json.loads(client.get_secret_value(SecretId=secret)["SecretString"])["session_keys"][0])


def build_login_event(*, with_list: bool = False) -> dict[str, Any]:
    """Build API Gateway's event for a login, which may ask for the list."""
    body: dict[str, Any] = {"app_id": APP_ID, "code": "any"}
    if with_list:
        body["list"] = {"account_id": ACCOUNT_ID, "poi_id": POI_ID}
    return gateway.build_event("POST", "/v1/sessions", {"Content-Type": "application/json"}, json.dumps(body))


def _login(bench: Bench) -> str:
    with bench.start_instance("ours") as instance:
        response = gateway.parse_response(instance.invoke(build_login_event()))
    return str(response.json["token"])

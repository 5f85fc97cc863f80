"""The three that are measured, and what they need around them: the same upstream, table, secret, session and event."""

from __future__ import annotations

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import trustme

from infra.bundle import ROOT, current_archive
from sandbox import gateway, stack
from sandbox import world as worlds
from sandbox.runtime import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator

APP, MERCHANT, STORE = "ttsandbox00000000a1", "7296781329369139211", "6601"
LIST = f"/v1/merchants/{MERCHANT}/stores/{STORE}/certificates"
PEERS = Path(__file__).parent / "peers"
BUILD = ROOT / "build" / "bench"
NAMES = ("ours", "naive", "floor")


@dataclass
class Contestant:
    """A function as it is deployed: its handler, its bundle (unpacked, for copying), and a session it accepts."""

    name: str
    handler: str
    bundle: Path
    session: str


@dataclass
class Ring:
    """Everything around the contestants."""

    folder: Path
    environment: dict[str, str]
    upstream_url: str
    upstream_ca: str
    counted_aws_url: str
    contestants: dict[str, Contestant]

    def arrange(self, certificates: int | None = None, delay: float = 0.0) -> dict[str, Any]:
        """Say what upstream answers from now on (None: as before); returns what it counted since the last time."""
        asked = {} if certificates is None else {"certificates": certificates, "delay": delay}
        answer = requests.post(f"{self.upstream_url}/_bench", json=asked, verify=self.upstream_ca, timeout=10)
        counted: dict[str, Any] = answer.json()
        return counted

    def event(self, name: str, query: str = "") -> dict[str, Any]:
        """API Gateway's event of a request for the list."""
        return gateway.event("GET", LIST + query, {"Authorization": f"Bearer {self.contestants[name].session}"})

    @contextlib.contextmanager
    def instance(self, name: str, bundle: Path | None = None, **environment: str) -> Iterator[Instance]:
        """Start an instance on a processor of its own, as far as there are two."""
        contestant = self.contestants[name]
        with Instance(
            bundle or contestant.bundle,
            contestant.handler,
            {**self.environment, **environment},
            output=subprocess.DEVNULL,
        ) as instance:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(instance.popen.pid, {0})
            yield instance

    @contextlib.contextmanager
    def fresh(self, name: str) -> Iterator[Path]:
        """The bundle freshly laid out, as Lambda does for a new instance (linked: copying leaves the disk busy)."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield Path(shutil.copytree(self.contestants[name].bundle, folder / "task", copy_function=os.link))
        finally:
            shutil.rmtree(folder)


@contextlib.contextmanager
def ring() -> Iterator[Ring]:
    """Start what is needed and prepare the contestants; everything but the instances stays on the last processor."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)))
    with contextlib.ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-bench-")))
        authority = trustme.CA()
        certificate, ca = folder / "server.pem", folder / "ca.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        authority.cert_pem.write_to_path(ca)
        aws = resources.enter_context(stack.process("sandbox.aws"))
        aws_port = stack.free_port()
        arguments = ("--certificate", str(certificate), "--aws", aws.url, "--aws-port", str(aws_port))
        upstream = resources.enter_context(stack.process("benchmarks.upstream", *arguments))
        secret, table = stack.prepare(aws.url, stack.STAGE)
        url = f"https://localhost:{upstream.port}"
        daemon = resources.enter_context(contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        daemon.bind(("127.0.0.1", 0))
        environment = {
            **stack.function_environment(aws.url, url, secret, table),
            "STAGE": "bench",
            "POWERTOOLS_SERVICE_NAME": "bench",
            "POWERTOOLS_METRICS_NAMESPACE": "Bench",
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
        }
        _put_token(aws.url, table)
        bundles = _bundles(folder, environment, ca)
        environment["SSL_CERT_FILE"] = str(bundles["ours"] / "certifi" / "cacert.pem")
        signed = f"{APP}.open-id-of-nobody"
        key = _session_key(aws.url, secret)
        session = f"{signed}.{hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest()}"
        handlers = {"ours": "app.app", "naive": "app.app", "floor": "handler.handler"}
        made = Ring(
            folder,
            environment,
            url,
            str(ca),
            f"http://127.0.0.1:{aws_port}",
            {name: Contestant(name, handlers[name], bundles[name], session) for name in NAMES},
        )
        made.contestants["ours"].session = _logged_in(made)
        yield made


def _bundles(folder: Path, environment: dict[str, str], ca: Path) -> dict[str, Path]:
    """Unpack what each deploys; the only change is that upstream's authority is trusted like the others."""
    for name, archive in (("ours", current_archive()), ("naive", _packaged_naive(environment))):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder / name)
        with (folder / name / "certifi" / "cacert.pem").open("ab") as trusted:
            trusted.write(ca.read_bytes())
    shutil.copytree(PEERS / "floor", folder / "floor", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "floor"], check=True)
    return {name: folder / name for name in NAMES}


def _packaged_naive(environment: dict[str, str]) -> Path:
    """What `chalice package` makes of the naive peer; kept between runs, since it asks the package index."""
    archive = BUILD / "naive" / "deployment.zip"
    sources = [path for path in (PEERS / "naive").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    if not archive.exists() or archive.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        with tempfile.TemporaryDirectory() as folder:
            project = shutil.copytree(PEERS / "naive", Path(folder) / "naive")
            chalice = Path(sys.executable).with_name("chalice")
            # Chalice imports the app first: it reads its secret right then, and wants the X-Ray SDK.
            env = {**os.environ, **environment, "PYTHONPATH": str(ROOT / "vendor")}
            subprocess.run([chalice, "package", archive.parent], cwd=project, env=env, check=True, capture_output=True)
    return archive


def _put_token(aws_url: str, table: str) -> None:
    client = stack.account_at(aws_url).client("dynamodb")
    for app_id in worlds.load().apps:
        item: Any = {"pk": {"S": f"TOKEN#{app_id}"}, "access_token": {"S": "clt.of-the-bench"}}
        item["expires_at"] = {"N": str(int(time.time()) + 86400)}
        client.put_item(TableName=table, Item=item)


def _session_key(aws_url: str, secret: str) -> str:
    client = stack.account_at(aws_url).client("secretsmanager")
    return str(json.loads(client.get_secret_value(SecretId=secret)["SecretString"])["session_keys"][0])


def _logged_in(ring: Ring) -> str:
    body = json.dumps({"app_id": APP, "code": "any"})
    with ring.instance("ours") as instance:
        answer = gateway.answer(instance.invoke(gateway.event("POST", "/v1/sessions", {}, body)))
    return str(answer.json["token"])

"""An upgrade of a stage from the released version 0.9.0 to this one, back, and up again. For `make nightly`.

The released version comes from the repository's history, and is deployed and operated with its own tools. The figures
are printed, and appended to build/upgrade.log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import requests

from infra.bundle import ROOT, current_archive, read_build
from infra.rollback import rollback
from sandbox import gateway, preview, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, CUSTOMER_WITH_MANY_COUPONS, POI_ID
from sandbox.stack import STAGE
from tests.fleet import request, run_fleet
from tests.harness import IS_NIGHTLY, JSON_HEADERS, LIST_URL
from tests.operators import Operator, run_operator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox.runtime import Instance
    from tests.harness import Aws, Platform

    Headers = dict[str, str]
    Log = Callable[[str], None]

RELEASED = "155f9aab02f0"
"""The commit of version 0.9.0."""

LOAD_THREADS = 3
PAUSE_SECONDS = 0.1
"""Between two requests of a thread."""

ROUNDS = 5
"""Renewals by instances of both versions."""

pytestmark = pytest.mark.skipif(not IS_NIGHTLY, reason="takes two minutes: only in `make nightly`")


class Released:
    """A clone of the released version with its bundle, and its tools."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, cwd: str = ".", **environment: str) -> str:
        """Run a command in the clone and return its output."""
        process = subprocess.run(
            command, cwd=self.folder / cwd, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def deploy(self, operator: Operator) -> None:
        """Run its `make deploy`."""
        stack.set_platform_url(self.folder, operator.stack.platform.url)
        output = self.run(sys.executable, "-m", "infra.deploy", STAGE, **operator.environment())
        operator.stack.api_url = output.splitlines()[-1]

    def redeemctl(self, operator: Operator, *arguments: str, **variables: str) -> None:
        self.run(sys.executable, "-m", "redeemctl", *arguments, **operator.environment(), **variables)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    git = ("git", "-C", str(ROOT))
    if subprocess.run([*git, "cat-file", "-e", f"{RELEASED}^{{commit}}"], capture_output=True, check=False).returncode:
        pytest.skip(f"commit {RELEASED} is not in this clone's history (git fetch --unshallow)")
    folder = tmp_path_factory.mktemp("released") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder)], check=True)  # noqa: S607
    clone = Released(folder)
    clone.run("git", "checkout", "--quiet", RELEASED)
    clone.run(sys.executable, "-m", "infra.bundle")
    return clone


@pytest.fixture
def log(pytestconfig: pytest.Config) -> Log:
    """Prints a line, and appends it to build/upgrade.log."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled(), (ROOT / "build" / "upgrade.log").open("a") as file:
            for output in (sys.stdout, file):
                print(f"from {RELEASED}, {line}", file=output)

    return write


class Load:
    """Customers who list their coupons again and again, while the block runs."""

    def __init__(self, api_url: str, customers: list[Customer]) -> None:
        self._url, self._customers = f"{api_url}{LIST_URL}", customers
        self._is_done = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(LOAD_THREADS)]
        self.responses: list[tuple[float, str]] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        time.sleep(1)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(1)
        self._is_done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        while not self._is_done.wait(PAUSE_SECONDS):
            number += 1
            customer = self._customers[number % len(self._customers)]
            started = time.monotonic()
            found = [customer.list_page(self._url), customer.list_page(self._url, customer.cursor)]
            outcome = "ok" if found == customer.pages else str(found)[:500]
            self.responses.append((time.monotonic() - started, outcome))


@dataclass
class Customer:
    """A logged-in customer with the first two pages of the list, and the cursor between them."""

    headers: Headers
    pages: list[list[str]]
    cursor: str

    def list_page(self, url: str, cursor: str = "") -> list[str] | str:
        """Return the certificate_ids of a page, or the problem as text."""
        parameters = {"cursor": cursor} if cursor else {}
        response = requests.get(url, headers=self.headers, params=parameters, timeout=30)
        if response.status_code != 200:
            return response.text
        return [certificate["certificate_id"] for certificate in response.json()["certificates"]]


def log_in(operator: Operator) -> Customer:
    code = stack.create_login_code(operator.stack.platform.url, APP_ID, CUSTOMER_WITH_MANY_COUPONS)
    url = f"{operator.stack.api_url}{LIST_URL}"
    login = requests.post(f"{operator.stack.api_url}/v1/sessions", json={"app_id": APP_ID, "code": code}, timeout=30)
    headers = {"Authorization": f"Bearer {login.json()['token']}"}
    customer = Customer(headers, [], requests.get(url, headers=headers, timeout=30).json()["next_cursor"])
    for cursor in ("", customer.cursor):
        page = customer.list_page(url, cursor)
        assert isinstance(page, list), page
        customer.pages.append(page)
    assert len(set().union(*customer.pages)) == 340, "the coupons of this store"
    return customer


def read_commit(operator: Operator) -> str | None:
    """Return the commit that runs."""
    commit: str | None = requests.get(f"{operator.stack.api_url}/v1/health", timeout=30).json().get("commit")
    return commit


@pytest.mark.parametrize("rotation", [(), ("add",), ("add", "use")], ids=["no rotation", "after add", "after use"])
def test_a_stage_is_upgraded_rolled_back_and_upgraded_again_under_load(
    released: Released, archive: Path, tmp_path: Path, log: Log, rotation: tuple[str, ...]
) -> None:
    """Every list succeeds and is the same, sessions and cursors of each version are valid in the other, one mint."""
    with run_operator(tmp_path) as operator:
        released.deploy(operator)
        released.redeemctl(operator, "app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
        store = ("--name", "四季小馆", "--store", f"{POI_ID}=人民广场店")
        released.redeemctl(operator, "merchant", "add", ACCOUNT_ID, "--app", APP_ID, *store)
        customers = [log_in(operator)]
        for step in rotation:
            released.redeemctl(operator, "--yes", "session-key", step, *(["--now"] if step == "use" else []))
        former, present = read_commit(operator), read_build(archive).commit
        assert str(former).startswith(RELEASED)
        responses = []

        def take(step: Callable[[], object], commit: str | None) -> None:
            with Load(operator.stack.api_url, customers) as load:
                step()
            assert read_commit(operator) == commit
            assert {outcome for _, outcome in load.responses} == {"ok"}
            responses.extend(load.responses)
            customers.append(log_in(operator))

        take(operator.stack.deploy, present)
        # A rotation keeps the sessions of the key that signs, not those of the key before.
        del customers[:-1]
        take(lambda: operator.succeed("--yes", "session-key", "rotate"), present)
        take(lambda: rollback(operator.account, tmp_path, STAGE, lambda _: None), former)
        take(operator.stack.deploy, present)
        calls = requests.get(f"{operator.stack.platform.url}/_sandbox/calls", timeout=30).json()
        mints = [call for call in calls if call["call"] == "client_token"]
        assert len(mints) == 1
    slowest = max(seconds for seconds, _ in responses)
    state = f"a rotation after `{rotation[-1]}`" if rotation else "no rotation"
    lists = 2 * len(responses)
    log(f"{state}: {lists} lists, all served; the slowest two after each other {slowest:.1f} s; {len(mints)} mint")


def test_instances_of_both_versions_share_token_sessions_and_cursors(
    released: Released,
    bundle: Path,
    environment: dict[str, str],
    platform: Platform,
    aws: Aws,
    tmp_path: Path,
    log: Log,
) -> None:
    del aws
    with zipfile.ZipFile(current_archive(released.folder)) as packed:
        packed.extractall(tmp_path)
    with run_fleet(environment, tmp_path, tmp_path, bundle, bundle) as fleet:
        urls = [(headers, LIST_URL) for headers in fleet.each(lambda instance: log_in_at(instance, platform))]
        for headers, url in list(urls):
            cursors = [timed.response.json["next_cursor"] for timed in fleet.list_certificates(headers, url)]
            urls += [(headers, f"{url}?cursor={cursor}") for cursor in cursors]
        timed = [request(instance, headers, url) for instance in fleet.instances for headers, url in urls]
        assert {response.code for response in timed} == {"ok"}
        for _ in range(ROUNDS):
            platform.server.calls.clear()
            platform.server.platform.revoke_tokens(APP_ID)
            assert {response.code for response in fleet.list_certificates(urls[0][0])} == {"ok"}
            assert len(platform.calls("client_token")) == 1
    log(f"instances of both side by side: {len(timed)} lists, all served; {ROUNDS} renewals, one mint each")


def log_in_at(instance: Instance, platform: Platform) -> Headers:
    body = json.dumps({"app_id": APP_ID, "code": platform.issue_login_code(CUSTOMER_WITH_MANY_COUPONS)})
    login = instance.invoke(gateway.build_event("POST", "/v1/sessions", JSON_HEADERS, body))
    return {"Authorization": f"Bearer {gateway.parse_response(login).json['token']}"}


@pytest.mark.usefixtures("mini_program", "archive")
def test_each_client_works_with_the_other_versions_service(released: Released, tmp_path: Path, log: Log) -> None:
    """By the client's own tests over HTTP."""
    clone = released.folder / "miniprogram"
    (clone / "node_modules").symlink_to(preview.MINIPROGRAM_FOLDER / "node_modules")
    released.run("npm", "run", "build:program", cwd="miniprogram")
    with run_operator(tmp_path) as operator:
        for name, deploy, folder in (
            ("this client with the released service", lambda: released.deploy(operator), preview.MINIPROGRAM_FOLDER),
            ("the released client with this service", operator.stack.deploy, clone),
        ):
            deploy()
            stack.write_sample_data(operator.stack.aws.url, STAGE)
            urls = {"API_URL": operator.stack.api_url, "SANDBOX_URL": operator.stack.platform.url}
            command = ("node", "--import", "tsx", "--test", "tests/client.test.ts")
            output = released.run(*command, cwd=str(folder), **urls)
            assert "# fail 0" in output
            log(f"{name}: {next(line for line in output.splitlines() if line.startswith('# pass'))}")

"""The mini-program's own tests under node, against the deployed app; and what of it is weighed and compared here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from sandbox import preview
from sandbox import world as worlds
from tests.conftest import APP

if TYPE_CHECKING:
    from sandbox import stack

LARGEST_CLIENT = 8 * 1024


def run(*command: str, **environment: str) -> str:
    program = shutil.which(command[0])
    assert program is not None
    done = subprocess.run(
        [program, *command[1:]],
        cwd=preview.MINIPROGRAM,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_clients_own_tests_pass_against_the_deployed_app(deployed: stack.Stack) -> None:
    told = run("npm", "test", API_URL=deployed.api_url, SANDBOX_URL=deployed.platform.url)
    assert "# fail 0" in told
    assert "# skipped 0" in told


def test_the_client_is_small_and_needs_nothing_beside_it() -> None:
    assert (preview.MINIPROGRAM / "build" / "client.min.js").stat().st_size < LARGEST_CLIENT
    assert "dependencies" not in json.loads((preview.PROGRAM / "package.json").read_text(encoding="utf-8"))


def test_the_sample_knows_the_sandboxs_merchants() -> None:
    told: dict[str, Any] = json.loads(run("node", "-p", "JSON.stringify(require('./dist/config.js').config)"))
    assert told["api"] == "https://coupons.example.com"
    stores = {m["account_id"]: {s["poi_id"]: s["name"] for s in m["stores"]} for m in told["merchants"]}
    assert stores == {m.account_id: m.stores for m in worlds.load().merchants.values() if m.app_id == APP}

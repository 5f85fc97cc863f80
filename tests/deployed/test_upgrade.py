"""An upgrade of a stage from the released version 0.14.0 to this one, back, and up again. For `make nightly`.

The released version comes from the repository's history, and is deployed and operated with its own tools.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.bundle import ROOT, read_build
from infra.rollback import rollback
from sandbox import gateway, preview, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, CUSTOMER_WITH_MANY_COUPONS, OTHER_APP_ID, POI_ID
from sandbox.stack import RENEWAL_FUNCTION, STAGE
from tests.deployed.test_miniprogram import run
from tests.operators import SECRET, TABLE, Operator, run_operator
from tests.released import RELEASED, read_released
from tests.simulation import IS_NIGHTLY

Headers = dict[str, str]

SWITCH: dict[str, Any] = {"notice": "今晚请到收银台核销", "redeeming": False}
"""Attributes of a merchant's row that its customers see in each list."""

MERCHANTS = f"""\
account_id,app_id,name,life_account_id,token_id,active,poi_id,store_name,address,phone,latitude,longitude
{ACCOUNT_ID},{APP_ID},四季小馆,7100000000000000101,,是,{POI_ID},人民广场店,西藏中路180号,021-5555-6601,31.2327,121.4751
{ACCOUNT_ID},,,,,,6602,徐家汇店,,,,
7100000000000000002,{APP_ID},云上茶饮,,,,,,,,,
7100000000000000003,{APP_ID},,,,否,6606,江湾店,,,-31.5,0
"""

pytestmark = pytest.mark.skipif(not IS_NIGHTLY, reason="takes four minutes: only in `make nightly`")


@dataclass
class Released:
    """A clone of the released version with its bundle, and its tools."""

    folder: Path

    def deploy(self, operator: Operator) -> None:
        """Run its `make deploy`."""
        stack.write_stage_settings(self.folder, operator.sandbox.platform.url)
        output = run(self.folder, sys.executable, "-m", "infra.deploy", STAGE, **operator.account.environment)
        operator.sandbox.api_url = output.splitlines()[-1]

    def redeemctl(self, operator: Operator, *arguments: str, **variables: str) -> None:
        run(self.folder, sys.executable, "-m", "redeemctl", *arguments, **operator.environment(), **variables)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    read_released("app.py")  # skips the test in a shallow clone
    folder = tmp_path_factory.mktemp("released") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder)], check=True)  # noqa: S607
    run(folder, "git", "checkout", "--quiet", RELEASED)
    run(folder, sys.executable, "-m", "infra.bundle")
    return Released(folder)


@dataclass
class Customer:
    """A logged-in customer. `cursor` is that of the list's second page; `expected` are both pages."""

    api_url: str
    headers: Headers
    cursor: str = ""
    expected: list[Any] = field(default_factory=list)

    def list_pages(self) -> list[Any]:
        """Return the certificate_ids of both pages; for a problem, its text."""
        responses = [self.request(""), self.request(f"?cursor={self.cursor}")]
        return [[c["certificate_id"] for c in r.json().get("certificates", [])] or r.text for r in responses]

    def request(self, query: str) -> requests.Response:
        url = self.api_url + gateway.certificates_path() + query
        return requests.get(url, headers=self.headers, timeout=30)


def log_in(operator: Operator) -> Customer:
    urls = operator.sandbox.api_url, operator.sandbox.platform.url
    customer = Customer(operator.sandbox.api_url, stack.log_in(*urls, CUSTOMER_WITH_MANY_COUPONS))
    customer.cursor = customer.request("").json()["next_cursor"]
    customer.expected = customer.list_pages()
    assert len({certificate_id for page in customer.expected for certificate_id in page}) == 340
    return customer


def add_provider(operator: Operator) -> None:
    """Add an app of a service provider; its token is not to be renewed before it has expired."""
    operator.succeed("app", "add", "--provider", OTHER_APP_ID)
    token = stack.create_provider_token(operator.sandbox.platform.url, OTHER_APP_ID)
    row = {"access_token": {"S": token}, "expires_at": {"N": str(int(time.time()) + 900)}}
    operator.account.client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": f"TOKEN#{OTHER_APP_ID}"}, **row})


def set_switches(operator: Operator) -> None:
    options = ("--notice", SWITCH["notice"], "--redeeming", "off")
    operator.succeed("--yes", "merchant", "add", ACCOUNT_ID, *options)


def read_data(operator: Operator) -> list[Any]:
    """Return what identifies table and secret, and the secret's value."""
    client = operator.account.client
    table = client("dynamodb").describe_table(TableName=TABLE)["Table"]
    secret = client("secretsmanager").get_secret_value(SecretId=SECRET)
    return [table["TableArn"], table["CreationDateTime"], secret["ARN"], secret["VersionId"], secret["SecretString"]]


def read_commit(operator: Operator) -> str:
    return str(requests.get(f"{operator.sandbox.api_url}/v1/health", timeout=30).json()["commit"])


@pytest.mark.parametrize("is_rotated", [False, True], ids=["no rotation", "after a rotation"])
def test_a_stage_is_upgraded_rolled_back_and_upgraded_again(
    released: Released, archive: Path, tmp_path: Path, *, is_rotated: bool
) -> None:
    """Every list has the same coupons, sessions and cursors of each version are valid in the other, one mint.

    Both serve an app of a service provider, and a merchant with `notice` and `redeeming`. An export of the released
    version changes nothing when the present version imports it.
    """
    with run_operator(tmp_path) as operator:
        released.deploy(operator)
        released.redeemctl(operator, "app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
        file = tmp_path / "merchants.csv"
        file.write_text(MERCHANTS, encoding="utf-8")
        released.redeemctl(operator, "--yes", "merchant", "import", str(file))
        set_switches(operator)
        customers = [log_in(operator)]
        if is_rotated:
            released.redeemctl(operator, "--yes", "session-key", "rotate")
        former, present = read_commit(operator), read_build(archive).commit
        assert former.startswith(RELEASED)

        def take(step: Callable[[], object], commit: str | None) -> None:
            step()
            assert read_commit(operator) == commit
            stack.log_in(operator.sandbox.api_url, operator.sandbox.platform.url, app_id=OTHER_APP_ID)
            assert [customer.list_pages() for customer in customers] == [customer.expected for customer in customers]
            customers.append(log_in(operator))
            shown = customers[-1].request("").json()
            assert shown == shown | SWITCH

        take(lambda: add_provider(operator), former)
        data = read_data(operator)
        take(operator.sandbox.deploy, present)
        assert read_data(operator) == data
        # A rotation keeps the sessions of the key that signs, not those of the key before.
        del customers[:-1]
        take(lambda: operator.succeed("--yes", "session-key", "rotate"), present)
        take(lambda: rollback(operator.account, tmp_path, STAGE, lambda _: None), former)
        event = json.dumps(gateway.build_schedule_event())
        renewal = operator.account.client("lambda").invoke(FunctionName=RENEWAL_FUNCTION, Payload=event)
        assert "FunctionError" not in renewal, renewal["Payload"].read()
        exported = tmp_path / "exported.csv"
        released.redeemctl(operator, "merchant", "export", str(exported))
        assert "nothing to change" in operator.succeed("merchant", "import", str(exported))
        take(operator.sandbox.deploy, present)
        calls = requests.get(f"{operator.sandbox.platform.url}/_sandbox/calls", timeout=30).json()
        assert [call["call"] for call in calls].count("client_token") == 1


@pytest.mark.usefixtures("mini_program", "archive")
def test_each_client_works_with_the_other_versions_service(released: Released, tmp_path: Path) -> None:
    """By the client's own tests over HTTP."""
    clone = released.folder / "miniprogram"
    (clone / "node_modules").symlink_to(preview.MINIPROGRAM_FOLDER / "node_modules")
    run(clone, "npm", "run", "build:program")
    with run_operator(tmp_path) as operator:
        for deploy, folder in (
            (lambda: released.deploy(operator), preview.MINIPROGRAM_FOLDER),
            (operator.sandbox.deploy, clone),
        ):
            deploy()
            stack.write_sample_data(operator.sandbox.aws.url, STAGE)
            stack.change_merchant(operator.account, ACCOUNT_ID, **SWITCH)
            urls = {"API_URL": operator.sandbox.api_url, "SANDBOX_URL": operator.sandbox.platform.url}
            command = ("node", "--import", "tsx", "--test", "tests/client.test.ts")
            assert " fail 0\n" in run(folder, *command, **urls)

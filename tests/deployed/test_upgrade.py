"""An upgrade of a stage from the released version 0.14.0 to this one, back, and up again. For `make nightly`.

The released version comes from the repository's history, and is deployed and operated with its own tools. The figures
are printed.
"""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.bundle import ROOT, current_archive, read_build
from infra.rollback import rollback
from redeemctl.rows import MerchantRow, parse_row
from redeemctl.table import MerchantTable
from sandbox import gateway, preview, stack
from sandbox.runtime import Instance
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    CUSTOMER_WITH_MANY_COUPONS,
    OTHER_APP_ID,
    POI_ID,
)
from sandbox.stack import RENEWAL_FUNCTION, STAGE
from tests.deployed.test_miniprogram import run
from tests.fleet import Fleet, code_of, request, run_fleet
from tests.harness import IS_NIGHTLY, JSON_HEADERS, LIST_URL, TOKEN_ROW, Aws, Platform, in_seconds
from tests.operators import SECRET, TABLE, Operator, run_operator
from tests.released import RELEASED, read_released
from tests.template import read_resources

Headers = dict[str, str]
Log = Callable[[str], None]

LOAD_THREADS = 3
PAUSE_SECONDS = 0.4
"""With two pages in each list, the load stays below the throttling limit of a route."""

RENEWALS = 5

SWITCH: dict[str, Any] = {"notice": "今晚请到收银台核销", "redeeming": False}
"""Attributes of a merchant's row that its customers see in each list."""

TEXT_SWITCHES = {"7100000000000000002": "off", "7100000000000000003": "true"}
"""By account_id, a switch `redeeming` that somebody has written as a text. Only the first merchant is served."""

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
        stack.set_platform_url(self.folder, operator.stack.platform.url)
        output = run(self.folder, sys.executable, "-m", "infra.deploy", STAGE, **operator.account.environment)
        operator.stack.api_url = output.splitlines()[-1]

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


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Log:
    """Prints a line."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"from {RELEASED}, {line}\n")

    return write


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

    def request(self, query: str, account_id: str = ACCOUNT_ID) -> requests.Response:
        url = self.api_url + gateway.certificates_url(account_id) + query
        return requests.get(url, headers=self.headers, timeout=30)


def log_in(operator: Operator) -> Customer:
    code = stack.create_login_code(operator.stack.platform.url, APP_ID, CUSTOMER_WITH_MANY_COUPONS)
    login = requests.post(f"{operator.stack.api_url}/v1/sessions", json={"app_id": APP_ID, "code": code}, timeout=30)
    customer = Customer(operator.stack.api_url, {"Authorization": f"Bearer {login.json()['token']}"})
    customer.cursor = customer.request("").json()["next_cursor"]
    customer.expected = customer.list_pages()
    assert len({certificate_id for page in customer.expected for certificate_id in page}) == 340
    return customer


@contextlib.contextmanager
def steady_load(customers: list[Customer]) -> Iterator[list[str]]:
    """Let customers list their coupons again and again, while the block runs; yields the outcome of each two lists."""
    is_done = threading.Event()
    outcomes: list[str] = []

    def list_again(customer: Customer) -> None:
        while not is_done.wait(PAUSE_SECONDS):
            found = customer.list_pages()
            outcomes.append("ok" if found == customer.expected else str(found)[:500])

    with ThreadPoolExecutor(LOAD_THREADS) as executor:
        for customer in itertools.islice(itertools.cycle(customers), LOAD_THREADS):
            executor.submit(list_again, customer)
        try:
            time.sleep(1)
            yield outcomes
            time.sleep(1)
        finally:
            is_done.set()


def add_provider(operator: Operator) -> None:
    """Add an app of a service provider; its token is not to be renewed before it has expired."""
    operator.succeed("app", "add", "--provider", OTHER_APP_ID)
    token = stack.create_provider_token(operator.stack.platform.url, OTHER_APP_ID)
    row = {"access_token": {"S": token}, "expires_at": {"N": str(int(time.time()) + 900)}}
    operator.account.client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": f"TOKEN#{OTHER_APP_ID}"}, **row})


def log_in_to_provider(operator: Operator) -> int:
    """Log in to the app of the service provider, and return the status."""
    code = stack.create_login_code(operator.stack.platform.url, OTHER_APP_ID, CUSTOMER)
    body = {"app_id": OTHER_APP_ID, "code": code}
    return requests.post(f"{operator.stack.api_url}/v1/sessions", json=body, timeout=30).status_code


def set_switches(operator: Operator) -> None:
    options = ("--notice", SWITCH["notice"], "--redeeming", "off")
    operator.succeed("--yes", "merchant", "add", ACCOUNT_ID, *options)
    for account_id, text in TEXT_SWITCHES.items():
        stack.change_merchant(operator.account, account_id, redeeming=text)


def assert_switches(customer: Customer) -> None:
    """Assert what customers see: a text that is no form of true counts as off."""
    shown = customer.request("").json()
    assert shown == shown | SWITCH
    shown = customer.request("", next(iter(TEXT_SWITCHES))).json()
    assert shown["certificates"] == []
    assert shown["redeeming"] is False


def read_merchants(operator: Operator) -> list[MerchantRow]:
    """Return the merchants as the present version reads them: an import may write the switch in its own form."""
    return [parse_row(item) for item in MerchantTable(operator.account.client("dynamodb"), TABLE).list_all()]


def read_stack(operator: Operator) -> dict[str, Any]:
    """Return resources, alarms, policies and log groups of the stage, as AWS has them."""
    client = operator.account.client
    iam = client("iam")
    resources = client("cloudformation").describe_stack_resources(StackName=TABLE)["StackResources"]
    found: dict[str, Any] = {
        "resources": {resource["LogicalResourceId"] for resource in resources},
        "alarms": {alarm["AlarmName"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]},
        "other logs": {
            group["logGroupName"]
            for group in client("logs").describe_log_groups()["logGroups"]
            if not group["logGroupName"].startswith("/aws/lambda/")
        },
    }
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
        found[policy["PolicyName"]] = version["PolicyVersion"]["Document"]
    return found


def expected_stack() -> dict[str, Any]:
    """Return what `read_stack` finds of the present template, without optional resources."""
    resources = {
        name: found
        for name, found in read_resources().items()
        if found.get("Condition") in (None, "CreateTable", "CreateSecret")
    }

    def properties(kind: str) -> list[Any]:
        return [resource["Properties"] for resource in resources.values() if resource["Type"] == kind]

    return {
        "resources": {*resources},
        "alarms": {found["AlarmName"] for found in properties("AWS::CloudWatch::Alarm")},
        "other logs": set(),
        **{found["ManagedPolicyName"]: found["PolicyDocument"] for found in properties("AWS::IAM::ManagedPolicy")},
    }


def read_data(operator: Operator) -> list[Any]:
    """Return what identifies table and secret, and the secret's value."""
    client = operator.account.client
    table = client("dynamodb").describe_table(TableName=TABLE)["Table"]
    secret = client("secretsmanager").get_secret_value(SecretId=SECRET)
    return [table["TableArn"], table["CreationDateTime"], secret["ARN"], secret["VersionId"], secret["SecretString"]]


def read_commit(operator: Operator) -> str:
    return str(requests.get(f"{operator.stack.api_url}/v1/health", timeout=30).json()["commit"])


@pytest.mark.parametrize("is_rotated", [False, True], ids=["no rotation", "after a rotation"])
def test_a_stage_is_upgraded_rolled_back_and_upgraded_again_under_load(
    released: Released, archive: Path, tmp_path: Path, log: Log, *, is_rotated: bool
) -> None:
    """Every list has the same coupons, sessions and cursors of each version are valid in the other, one mint.

    Both serve an app of a service provider, and merchants with `notice` and `redeeming`, also where it is a text. An
    export of the released version changes nothing when the present version imports it.
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
        count = 0

        def take(step: Callable[[], object], commit: str | None) -> None:
            nonlocal count
            with steady_load(customers) as outcomes:
                step()
            assert read_commit(operator) == commit
            assert log_in_to_provider(operator) == 200
            assert set(outcomes) == {"ok"}
            count += 2 * len(outcomes)
            customers.append(log_in(operator))
            assert_switches(customers[-1])

        take(lambda: add_provider(operator), former)
        data = read_data(operator)
        take(operator.stack.deploy, present)
        assert read_stack(operator) == expected_stack(), "no alarm, query or log group is left behind"
        assert read_data(operator) == data
        # A rotation keeps the sessions of the key that signs, not those of the key before.
        del customers[:-1]
        take(lambda: operator.succeed("--yes", "session-key", "rotate"), present)
        take(lambda: rollback(operator.account, tmp_path, STAGE, lambda _: None), former)
        event = json.dumps(gateway.build_schedule_event())
        renewal = operator.account.client("lambda").invoke(FunctionName=RENEWAL_FUNCTION, Payload=event)
        assert "FunctionError" not in renewal, renewal["Payload"].read()
        released.redeemctl(operator, "store", "add", ACCOUNT_ID, POI_ID, "--phone", "021-5555-0000")
        rows, exported = read_merchants(operator), tmp_path / "exported.csv"
        released.redeemctl(operator, "merchant", "export", str(exported))
        released.redeemctl(operator, "--yes", "merchant", "import", str(exported), "--prune")
        assert "nothing to change" in operator.succeed("merchant", "import", str(exported))
        assert read_merchants(operator) == rows
        take(operator.stack.deploy, present)
        calls = requests.get(f"{operator.stack.platform.url}/_sandbox/calls", timeout=30).json()
        assert [call["call"] for call in calls].count("client_token") == 1
    log(f"rotation by the released version: {is_rotated}: {count} lists, all served; one mint")


@pytest.fixture
def fleet(released: Released, bundle: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[Fleet]:
    """Two instances of the released version, then two of the present one, side by side."""
    with zipfile.ZipFile(current_archive(released.folder)) as packed:
        packed.extractall(tmp_path)
    with run_fleet(environment, tmp_path, tmp_path, bundle, bundle) as fleet:
        yield fleet


def test_instances_of_both_versions_share_token_sessions_and_cursors(
    fleet: Fleet, platform: Platform, aws: Aws, log: Log
) -> None:
    urls = [(headers, LIST_URL) for headers in fleet.each(lambda instance: log_in_at(instance, platform))]
    for headers, url in list(urls):
        cursors = [response.json["next_cursor"] for response in fleet.list_certificates(headers, url)]
        urls += [(headers, f"{url}?cursor={cursor}") for cursor in cursors]
    lists = [request(instance, headers, url) for instance in fleet.instances for headers, url in urls]
    assert {response.status for response in lists} == {200}
    for _ in range(RENEWALS):
        revoke_old_token(platform, aws)
        # Who has cached another token than that of the row is refused twice in the first request.
        fleet.list_certificates(urls[0][0])
        assert {code_of(response) for response in fleet.list_certificates(urls[0][0])} == {"ok"}
        # A lease holds back the released version only, and a claim the present one.
        assert len(platform.calls("client_token")) <= 2
    log(f"instances of both side by side: {len(lists)} lists, all served; {RENEWALS} renewals, two mints each at most")


def revoke_old_token(platform: Platform, aws: Aws) -> None:
    """Revoke all tokens, at a time when each version may replace that of the row."""
    platform.server.calls.clear()
    aws.put(TOKEN_ROW, access_token=platform.newest_token(), expires_at=in_seconds(7000))
    platform.server.platform.revoke_tokens(APP_ID)


def log_in_at(instance: Instance, platform: Platform) -> Headers:
    body = json.dumps({"app_id": APP_ID, "code": platform.issue_login_code(CUSTOMER_WITH_MANY_COUPONS)})
    login = instance.invoke(gateway.build_event("POST", "/v1/sessions", JSON_HEADERS, body))
    return {"Authorization": f"Bearer {gateway.parse_response(login).json['token']}"}


@pytest.mark.usefixtures("mini_program", "archive")
def test_each_client_works_with_the_other_versions_service(released: Released, tmp_path: Path, log: Log) -> None:
    """By the client's own tests over HTTP."""
    clone = released.folder / "miniprogram"
    (clone / "node_modules").symlink_to(preview.MINIPROGRAM_FOLDER / "node_modules")
    run(clone, "npm", "run", "build:program")
    with run_operator(tmp_path) as operator:
        for name, deploy, folder in (
            ("this client with the released service", lambda: released.deploy(operator), preview.MINIPROGRAM_FOLDER),
            ("the released client with this service", operator.stack.deploy, clone),
        ):
            deploy()
            stack.write_sample_data(operator.stack.aws.url, STAGE)
            stack.change_merchant(operator.account, ACCOUNT_ID, **SWITCH)
            urls = {"API_URL": operator.stack.api_url, "SANDBOX_URL": operator.stack.platform.url}
            command = ("node", "--import", "tsx", "--test", "tests/client.test.ts")
            output = run(folder, *command, **urls)
            assert " fail 0\n" in output
            log(f"{name}: {next(line for line in output.splitlines() if line[1:].startswith(' pass '))}")

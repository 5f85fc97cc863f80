"""Every command of `redeemctl` in the emulated AWS, and two operators who change the same data at the same time.

Needs table and secret, but no deployed function. The tests build on each other and run in their order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from infra.bundle import copy_project
from redeemctl import keys
from redeemctl.changes import Plan, WriteConflictError, compare_and_set
from redeemctl.cli import redeemctl
from redeemctl.rows import Change, Edit, edit_item, list_changes
from redeemctl.secret import LABEL, SecretStore
from redeemctl.table import MerchantTable
from sandbox import stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, POI_ID
from sandbox.stack import STAGE
from tests.harness import TOKEN_ROW
from tests.operators import SECRET, TABLE, Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRIES = 10
PROCESS_TRIES = 3
"""A process takes a second of CPU time."""
OTHER_APP, OTHER_SECRET = "tt-other", "other-secret-planted"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    with stack.run_server("sandbox.server") as platform, stack.run_server("sandbox.aws") as aws:
        stack.set_platform_url(folder, platform.url)
        operator = Operator(platform, aws, folder)
        stack.create_infrastructure(operator.account, STAGE)
        yield operator


def run_together(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions at the same moment, each in a thread; return their results or exceptions."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(functions)) as executor:
        return list(executor.map(run, functions))


def test_each_command_says_on_which_stage_account_and_region_it_acts(operator: Operator) -> None:
    line = operator.run("app", "list").stderr.splitlines()[0]
    assert line == f"stage dev, account 000000000000, region us-east-1, endpoint {operator.stack.aws.url}"
    assert "stage prod" in operator.fail(1, "--stage", "prod", "merchant", "list")
    assert (
        "DOUYIN_OPEN_API=http://127.0.0.1:9" in operator.run("app", "list", DOUYIN_OPEN_API="http://127.0.0.1:9").stderr
    )


@pytest.mark.parametrize("name", ["TABLE_NAME", "SECRET_NAME"])
def test_a_variable_cannot_select_another_table_or_secret(operator: Operator, name: str) -> None:
    assert name in operator.fail(2, "--stage", "prod", "merchant", "list", **{name: "douyin-redemption-dev"})


def test_aws_that_cannot_be_used_is_reported_at_once(operator: Operator) -> None:
    started = time.monotonic()
    closed = f"http://127.0.0.1:{stack.free_port()}"
    assert "Could not connect" in operator.fail(1, "app", "list", AWS_ENDPOINT_URL=closed)
    assert time.monotonic() - started < 15
    assert "region" in operator.fail(2, "app", "list", AWS_DEFAULT_REGION="")


def test_options_are_accepted_before_and_after_the_subcommand(operator: Operator) -> None:
    for arguments in (
        ("--stage", "nowhere", "app", "list"),
        ("app", "--stage", "nowhere", "list"),
        ("app", "list", "--stage", "nowhere"),
        ("--stage", "dev", "app", "list", "--stage", "nowhere"),
    ):
        message = operator.fail(2, *arguments, REDEEM_STAGE="prod")
        assert "--stage: stage nowhere not found; stages: cn, dev, prod" in message
    assert "stage prod" in operator.run("app", "list", REDEEM_STAGE="prod").stderr
    assert "stage dev" in operator.run("app", "list", "--stage", "dev", REDEEM_STAGE="prod").stderr


def test_the_version_and_the_completion_of_the_shell(operator: Operator) -> None:
    assert operator.succeed("--version").startswith("redeemctl, version ")
    completion = {"_REDEEMCTL_COMPLETE": "bash_complete", "COMP_WORDS": "redeemctl --stage p", "COMP_CWORD": "2"}
    process = subprocess.run(
        [sys.executable, "-c", "from redeemctl.cli import redeemctl; redeemctl(prog_name='redeemctl')"],
        env={**os.environ, **completion},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout == "plain,prod\n"


@pytest.mark.parametrize("value", ["", "\n", "two words\n", "密钥\n", "x" * 300])
def test_an_app_secret_that_cannot_be_one_is_refused(operator: Operator, value: str) -> None:
    assert "app secret (from stdin)" in operator.fail(2, "app", "add", APP_ID, stdin=value)
    message = operator.fail(2, "app", "add", APP_ID, REDEEMCTL_APP_SECRET=value)
    assert "app secret (from variable REDEEMCTL_APP_SECRET)" in message


def test_apps_are_added_replaced_listed_and_removed_and_no_secret_is_shown(operator: Operator) -> None:
    outputs = [
        operator.succeed("app", "add", APP_ID, stdin=f"{APP_SECRET}\n"),
        operator.succeed("app", "add", OTHER_APP, REDEEMCTL_APP_SECRET="mistyped-planted"),
        operator.succeed("app", "add", OTHER_APP, "--yes", REDEEMCTL_APP_SECRET=OTHER_SECRET),
        operator.succeed("app", "list"),
    ]
    content = operator.get_secret()
    assert content["apps"] == {APP_ID: APP_SECRET, OTHER_APP: OTHER_SECRET}
    assert [len(key) for key in content["session_keys"]] == [64]
    assert "nothing to change" in operator.succeed("app", "add", APP_ID, REDEEMCTL_APP_SECRET=APP_SECRET)
    assert outputs[3].splitlines()[0] == "app_id\tsecret\tmerchants"
    for secret in (APP_SECRET, OTHER_SECRET, "mistyped-planted", content["session_keys"][0]):
        assert all(secret not in output for output in outputs)
    assert [app["app_id"] for app in operator.read_json("app", "list")] == [APP_ID, OTHER_APP]
    operator.succeed("--yes", "app", "remove", OTHER_APP)
    assert "nothing to change" in operator.succeed("--yes", "app", "remove", OTHER_APP)
    assert list(operator.get_secret()["apps"]) == [APP_ID]
    assert "--secret" in operator.fail(2, "app", "add", APP_ID, "--secret", "x")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "named"),
    [
        (("merchant", "add", "abc def", "--app", APP_ID), 2, "'ACCOUNT_ID'"),
        (("merchant", "add", ACCOUNT_ID), 2, "--app"),
        (("merchant", "add", ACCOUNT_ID, "--app", "a b"), 2, "'--app'"),
        (("merchant", "add", ACCOUNT_ID, "--app", "unknown"), 1, "app unknown not found"),
        (("merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--store", "人民广场店"), 2, "'--store'"),
        (("merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--store", "人民广场店=6601"), 2, "'--store'"),
        (("merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--token-id", "a b"), 2, "'--token-id'"),
        (("merchant", "show", "人民广场店"), 2, "'ACCOUNT_ID'"),
        (("merchant", "suspend", "7"), 1, "merchant 7 not found"),
        (("store", "add", "7", "人民广场店", "6601"), 2, "'POI_ID'"),
        (("store", "add", "7", "1", "x", "--latitude", "91", "--longitude", "1"), 2, "'--latitude'"),
        (("store", "remove", "7"), 2, "POI_ID"),
        (("token", "renew", "unknown"), 1, "app unknown not found"),
    ],
)
def test_a_wrong_argument_is_refused_and_named(
    operator: Operator, arguments: tuple[str, ...], exit_code: int, named: str
) -> None:
    assert named in operator.fail(exit_code, *arguments)
    assert operator.read_json("merchant", "list") == []


def test_merchants_and_stores_are_added_changed_and_removed(operator: Operator) -> None:
    operator.succeed("merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--name", "四季小馆", "--token-id", "shared")
    assert operator.succeed("merchant", "list").splitlines() == [
        "account_id\tname\tapp_id\tstores\tactive",
        f"{ACCOUNT_ID}\t四季小馆\t{APP_ID}\tall\tyes",
    ]
    assert f"used by merchants (1: {ACCOUNT_ID})" in operator.fail(1, "--yes", "app", "remove", APP_ID)
    store = ("store", "add", ACCOUNT_ID, POI_ID)
    assert "NAME: store" in operator.fail(2, *store, "--phone", "1")
    position = ("--latitude", "31.2327", "--longitude", "121.4751")
    result = operator.read_json("--yes", *store, "人民广场店", "--address", "西藏中路180号", *position)
    assert result["written"]
    assert [change["field"] for change in result["changes"]] == ["stores", f"store {POI_ID}"]
    assert not operator.read_json(*store, "人民广场店")["written"]
    operator.succeed(*store, "--phone", "021-5555-6601")
    operator.succeed("store", "add", ACCOUNT_ID, "6602", "徐家汇店")
    assert operator.read_json("store", "list", ACCOUNT_ID) == [
        {
            "poi_id": POI_ID,
            "name": "人民广场店",
            "address": "西藏中路180号",
            "phone": "021-5555-6601",
            "latitude": 31.2327,
            "longitude": 121.4751,
        },
        {"poi_id": "6602", "name": "徐家汇店"},
    ]
    assert "longitude" in operator.fail(1, *store, "--latitude", "")
    operator.succeed(*store, "--latitude", "", "--longitude", "", "--address", "", "--phone", "")
    item = operator.account.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": f"MERCHANT#{ACCOUNT_ID}"}})
    assert item["Item"]["stores"]["M"][POI_ID] == {"S": "人民广场店"}, "the form that the released version reads"
    operator.succeed("merchant", "add", ACCOUNT_ID, "--token-id", "", "--life-account-id", "8")
    assert operator.read_json("merchant", "show", ACCOUNT_ID) == {
        "account_id": ACCOUNT_ID,
        "app_id": APP_ID,
        "name": "四季小馆",
        "life_account_id": "8",
        "active": True,
        "stores": [{"poi_id": POI_ID, "name": "人民广场店"}, {"poi_id": "6602", "name": "徐家汇店"}],
    }


def test_a_command_that_removes_something_asks_and_a_dry_run_changes_nothing(operator: Operator) -> None:
    before = operator.read_json("merchant", "show", ACCOUNT_ID)
    for arguments in (
        ("merchant", "suspend", ACCOUNT_ID),
        ("merchant", "remove", ACCOUNT_ID),
        ("store", "remove", ACCOUNT_ID, POI_ID),
        ("store", "remove", ACCOUNT_ID, "--all"),
        ("session-key", "add"),
    ):
        if arguments[0] != "session-key":
            assert "Continue?" in operator.fail(5, *arguments, stdin="n\n")
            assert "--yes" in operator.fail(5, *arguments), "without a terminal"
        assert "dry run" in operator.succeed(*arguments, "--dry-run")
        assert operator.read_json(*arguments, "--dry-run")["written"] is False
    assert operator.read_json("merchant", "show", ACCOUNT_ID) == before
    assert "rotation" not in operator.get_secret()
    operator.succeed("--yes", "store", "remove", ACCOUNT_ID, "6602")
    assert "nothing to change" in operator.succeed("--yes", "store", "remove", ACCOUNT_ID, "6602")
    assert "last store" in operator.fail(1, "--yes", "store", "remove", ACCOUNT_ID, POI_ID)
    operator.succeed("--yes", "merchant", "suspend", ACCOUNT_ID)
    assert operator.read_json("merchant", "show", ACCOUNT_ID)["active"] is False
    operator.succeed("merchant", "resume", ACCOUNT_ID)
    operator.succeed("--yes", "store", "remove", ACCOUNT_ID, "--all")
    assert "all its stores" in operator.succeed("store", "list", ACCOUNT_ID)


def test_a_malformed_row_is_reported_and_can_be_removed(operator: Operator) -> None:
    item = {"pk": {"S": "MERCHANT#odd"}, "app_id": {"N": "1"}}
    operator.account.client("dynamodb").put_item(TableName=TABLE, Item=item)
    listed = operator.run("merchant", "list")
    assert "malformed row: merchant odd: attribute app_id" in listed.stderr
    assert ACCOUNT_ID in listed.stdout
    assert "attribute app_id" in operator.fail(1, "merchant", "show", "odd")
    assert "1" in operator.succeed("app", "list").splitlines()[1]
    operator.succeed("--yes", "merchant", "remove", "odd")
    assert "malformed" not in operator.run("merchant", "list").stderr


def test_tokens_are_renewed_and_shown_as_fingerprints(operator: Operator) -> None:
    operator.succeed("token", "renew", APP_ID)
    [before] = operator.read_json("token", "show")
    assert "Continue?" in operator.fail(5, "token", "renew", APP_ID, stdin="n\n")
    operator.succeed("--yes", "token", "renew", APP_ID)
    [after] = operator.read_json("token", "show")
    assert after["fingerprint"] != before["fingerprint"]
    row = operator.account.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": TOKEN_ROW}})["Item"]
    assert row["access_token"]["S"] not in operator.succeed("token", "show")
    operator.succeed("merchant", "add", ACCOUNT_ID, "--token-id", "shared")
    assert [(t["token_id"], t["renewed_by"]) for t in operator.read_json("token", "show")] == [
        (APP_ID, "this service"),
        ("shared", "another system"),
    ]


def test_a_rotation_has_steps_that_wait_for_their_time_and_lose_no_app(operator: Operator) -> None:
    [old] = operator.get_secret()["session_keys"]
    assert operator.read_json("session-key", "status")["next_step"] == "add"
    assert "nothing to change" in operator.succeed("session-key", "use")
    assert "nothing to change" in operator.succeed("--yes", "session-key", "retire")
    operator.succeed("session-key", "add")
    assert "nothing to change" in operator.succeed("session-key", "add")
    _, new = operator.get_secret()["session_keys"]
    operator.succeed("app", "add", OTHER_APP, REDEEMCTL_APP_SECRET=OTHER_SECRET)
    status = operator.read_json("session-key", "status")
    assert status["next_step"] == "use"
    assert 350 < status["due_in"] <= keys.PROPAGATION_SECONDS
    assert [key["role"] for key in status["keys"]] == ["signs and verifies", "verifies, does not sign yet"]
    assert "in 3" in operator.fail(3, "session-key", "use")
    assert "session-key use" in operator.fail(1, "session-key", "retire")
    operator.succeed("session-key", "use", clock_offset=keys.PROPAGATION_SECONDS)
    assert operator.get_secret()["session_keys"] == [new, old]
    assert "session-key retire" in operator.fail(1, "session-key", "add")
    late = keys.PROPAGATION_SECONDS + 7200 + keys.PROPAGATION_SECONDS
    result = operator.run("--yes", "session-key", "retire", clock_offset=late - 10)
    assert result.exit_code == 3, "10 s before the last session of the old key has surely expired"
    output = operator.succeed("--yes", "session-key", "retire", clock_offset=late)
    content = operator.get_secret()
    assert content["session_keys"] == [new]
    assert content["apps"] == {APP_ID: APP_SECRET, OTHER_APP: OTHER_SECRET}
    assert old not in output
    assert new not in output


def test_a_leaked_key_is_replaced_at_once(operator: Operator) -> None:
    operator.succeed("session-key", "add")
    assert "Continue?" in operator.fail(5, "session-key", "use", "--now", stdin="n\n")
    operator.succeed("--yes", "session-key", "use", "--now")
    operator.succeed("--yes", "session-key", "retire", "--now")
    assert len(operator.get_secret()["session_keys"]) == 1


def test_keys_edited_by_hand_are_as_old_as_the_version(operator: Operator) -> None:
    content = operator.get_secret()
    operator.put_secret(json.dumps({**content, "session_keys": ["k" * 32, *content["session_keys"]]}))
    assert "in 7" in operator.fail(3, "--yes", "session-key", "retire"), "TTL, cache time and margin"
    operator.put_secret(json.dumps({**content, "later": {"kept": 1}}))


def test_two_operators_change_the_secret_at_once_and_nothing_is_lost(operator: Operator) -> None:
    """As processes with the same start, and as threads that read the same version."""
    for number in range(PROCESS_TRIES):
        run_together(*(partial(run_process, operator, f"tt-{letter}{number}") for letter in "ab"))
    client = operator.account.client("secretsmanager")

    def add_app(app_id: str) -> Any:
        store = SecretStore(client, SECRET)

        def make_plan() -> Plan:
            seen = store.read()
            changes = [] if app_id in seen.apps else [Change(app_id, "", "x")]
            return Plan(changes, lambda: store.replace(seen, {"apps": {**seen.apps, app_id: "x"}}))

        return compare_and_set(make_plan)

    for number in range(TRIES):
        run_together(*(partial(add_app, f"tt-{letter}{number}") for letter in "cd"))
    content = operator.get_secret()
    expected = {f"tt-{letter}{number}" for letter in "ab" for number in range(PROCESS_TRIES)}
    expected |= {f"tt-{letter}{number}" for letter in "cd" for number in range(TRIES)}
    assert expected <= content["apps"].keys()
    assert content["later"] == {"kept": 1}


def run_process(operator: Operator, app_id: str) -> None:
    """Add an app and a store, each in a process of its own."""
    environment = {**operator.environment(), "REDEEMCTL_APP_SECRET": "x"}
    command = [sys.executable, "-m", "redeemctl", "--yes", "--project", str(operator.stack.folder)]
    for arguments in (["app", "add", app_id], ["store", "add", ACCOUNT_ID, app_id, "x"]):
        subprocess.run([*command, *arguments], env=environment, capture_output=True, check=True)


def test_of_two_writers_that_read_the_same_version_exactly_one_succeeds(operator: Operator) -> None:
    client = operator.account.client("secretsmanager")
    for number in range(TRIES):
        stores = [SecretStore(client, SECRET) for _ in range(2)]
        seen = stores[0].read()
        marks = [{"mark": f"{number}-{writer}"} for writer in range(2)]
        results = run_together(*map(partial, [store.replace for store in stores], [seen, seen], marks))
        assert [type(result) for result in results if result] == [WriteConflictError]
        winner = results.index(None)
        assert operator.get_secret()["mark"] == f"{number}-{winner}"
    stages = client.describe_secret(SecretId=SECRET)["VersionIdsToStages"].values()
    assert all(LABEL not in labels for labels in stages)


def test_two_operators_who_add_a_session_key_at_once_add_one(operator: Operator) -> None:
    def add_key() -> str:
        command = [sys.executable, "-m", "redeemctl", "--project", str(operator.stack.folder), "session-key", "add"]
        return subprocess.run(command, env=operator.environment(), capture_output=True, text=True, check=True).stdout

    outputs = run_together(*[add_key] * 3)
    assert sum("add: done" in output for output in outputs) == 1
    assert len(operator.get_secret()["session_keys"]) == 2


def test_two_operators_change_a_row_at_once_and_nothing_is_lost(operator: Operator) -> None:
    stores = {store["poi_id"] for store in operator.read_json("store", "list", ACCOUNT_ID)}
    assert {f"tt-{name}{number}" for name in "ab" for number in range(PROCESS_TRIES)} <= stores, (
        "written by processes above"
    )
    table = MerchantTable(operator.account.client("dynamodb"), TABLE)

    def change(edit: Edit) -> Any:
        def make_plan() -> Plan:
            item = table.get(ACCOUNT_ID)
            edited = edit_item(ACCOUNT_ID, item, edit)
            return Plan(list_changes(item, edited), lambda: table.replace(item, edited))

        return compare_and_set(make_plan)

    for number in range(TRIES):
        run_together(
            partial(change, Edit(stores={f"c{number}": {"name": "x"}})),
            partial(change, Edit(stores={f"d{number}": {"name": "x"}})),
            partial(change, Edit({"name": f"name {number}"})),
        )
        assert operator.read_json("merchant", "show", ACCOUNT_ID)["name"] == f"name {number}"
    stores = {store["poi_id"] for store in operator.read_json("store", "list", ACCOUNT_ID)}
    assert {f"{name}{number}" for name in "cd" for number in range(TRIES)} <= stores


def test_a_change_of_another_attribute_is_no_conflict(operator: Operator) -> None:
    table = MerchantTable(operator.account.client("dynamodb"), TABLE)
    seen = table.get(ACCOUNT_ID)
    table.replace(seen, edit_item(ACCOUNT_ID, seen, Edit({"name": "first"})))
    table.replace(seen, edit_item(ACCOUNT_ID, seen, Edit(active=False)))
    with pytest.raises(WriteConflictError):
        table.replace(seen, edit_item(ACCOUNT_ID, seen, Edit({"name": "second"})))
    assert seen is not None
    with pytest.raises(WriteConflictError):
        table.remove(seen)
    shown = operator.read_json("merchant", "show", ACCOUNT_ID)
    assert (shown["name"], shown["active"]) == ("first", False)
    operator.succeed("merchant", "resume", ACCOUNT_ID)


def make_file(path: Path, count: int, name: str = "商家") -> Path:
    """Write a CSV file of merchants with two stores each."""
    lines = ["account_id,app_id,name,poi_id,store_name,address,latitude,longitude"]
    for number in range(count):
        lines.append(f"90000000{number:05d},{APP_ID},{name}{number},1,一店,中山路{number}号,31.2,121.4")
        lines.append(f"90000000{number:05d},,,2,二店,,,")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_an_import_with_an_error_writes_nothing(operator: Operator, tmp_path: Path) -> None:
    file = make_file(tmp_path / "merchants.csv", 3)
    file.write_text(file.read_text(encoding="utf-8").replace("9000000000002", "900 2", 1), encoding="utf-8")
    assert "line 6, account_id" in operator.fail(2, "--yes", "merchant", "import", str(file))
    unknown = make_file(tmp_path / "unknown.csv", 1)
    unknown.write_text(unknown.read_text(encoding="utf-8").replace(APP_ID, "unknown"), encoding="utf-8")
    assert "line 2, app_id: app unknown not found" in operator.fail(2, "--yes", "merchant", "import", str(unknown))
    assert len(operator.read_json("merchant", "list")) == 1


def test_a_thousand_merchants_are_imported_and_a_second_run_changes_nothing(operator: Operator, tmp_path: Path) -> None:
    file = make_file(tmp_path / "merchants.csv", 1000)
    preview = operator.run("merchant", "import", str(file), "--dry-run")
    assert "added: 1000, changed: 0, unchanged: 0, not in file: 1" in preview.stderr
    assert len(operator.read_json("merchant", "list")) == 1
    assert "Continue?" in operator.fail(5, "merchant", "import", str(file), stdin="n\n")
    started = time.monotonic()
    assert "1000 of 1000 merchants written" in operator.succeed("--yes", "merchant", "import", str(file))
    assert time.monotonic() - started < 60
    assert operator.read_json("merchant", "import", str(file))["counts"] == {
        "added": 0,
        "changed": 0,
        "unchanged": 1000,
        "not_in_file": 1,
        "removed": 0,
    }


def test_an_interrupted_import_is_continued_by_the_next_run(operator: Operator, tmp_path: Path) -> None:
    file = make_file(tmp_path / "merchants.csv", 1000, name="新名")
    command = [sys.executable, "-m", "redeemctl", "--yes", "--project", str(operator.stack.folder)]
    process = subprocess.Popen(
        [*command, "merchant", "import", str(file)],
        env=operator.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    table = MerchantTable(operator.account.client("dynamodb"), TABLE)
    while not any(item["name"]["S"].startswith("新名") for item in table.list_all()):
        time.sleep(0.05)
    process.kill()
    process.wait()
    left = operator.read_json("merchant", "import", str(file), "--dry-run")["counts"]["changed"]
    assert left > 0, "the process was interrupted before its end"
    assert operator.read_json("--yes", "merchant", "import", str(file))["written"] == left
    assert operator.read_json("merchant", "import", str(file))["counts"]["unchanged"] == 1000


def test_an_import_does_not_overwrite_what_somebody_else_changes_meanwhile(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_file(tmp_path / "merchants.csv", 3, name="第三")
    table = MerchantTable(operator.account.client("dynamodb"), TABLE)
    original = MerchantTable.list_all

    def list_all(self: MerchantTable) -> list[Any]:
        items = original(self)
        item = table.get("9000000000001")
        table.replace(item, edit_item("9000000000001", item, Edit({"name": "renamed by somebody else"})))
        return items

    monkeypatch.setattr(MerchantTable, "list_all", list_all)
    message = operator.fail(4, "--yes", "merchant", "import", str(file))
    monkeypatch.undo()
    assert "merchant 9000000000001: somebody else has changed name" in message
    names = [operator.read_json("merchant", "show", f"900000000000{n}")["name"] for n in range(3)]
    assert names == ["第三0", "renamed by somebody else", "第三2"]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_an_export_is_an_import_that_changes_nothing(operator: Operator, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"export{suffix}"
    operator.succeed("merchant", "export", str(file))
    counts = operator.read_json("merchant", "import", str(file), "--prune")["counts"]
    assert counts == {"added": 0, "changed": 0, "unchanged": 1001, "not_in_file": 0, "removed": 0}
    assert "is replaced" in operator.fail(5, "merchant", "export", str(file), stdin="n\n")
    stdout = operator.succeed("merchant", "export", *(["--json"] if suffix == ".json" else []))
    assert stdout == file.read_text(encoding="utf-8-sig")


def test_a_table_is_restored_to_a_time_before_a_mistake(operator: Operator, tmp_path: Path) -> None:
    """As docs/operate.md describes it: to another table, whose merchants are then imported."""
    before = operator.succeed("merchant", "export")
    dynamodb = operator.account.client("dynamodb")
    restored, file = f"{TABLE}-restored", tmp_path / "restored.csv"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=TABLE, TargetTableName=restored, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=restored)
    for account_id in [line.split(",")[0] for line in before.splitlines()[1:4]]:
        operator.succeed("--yes", "merchant", "remove", account_id)
    assert operator.succeed("merchant", "export") != before
    operator.succeed("merchant", "export", "--table", restored, str(file))
    operator.succeed("--yes", "merchant", "import", str(file), "--prune")
    assert operator.succeed("merchant", "export") == before
    dynamodb.delete_table(TableName=restored)


def test_prune_removes_what_is_not_in_the_file(operator: Operator, tmp_path: Path) -> None:
    file = make_file(tmp_path / "merchants.csv", 2)
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    assert "removed: 999" in operator.fail(5, "merchant", "import", str(file), "--prune", stdin="n\n")
    operator.succeed("--yes", "merchant", "import", str(file), "--prune")
    first, second = operator.read_json("merchant", "list")
    assert [store["poi_id"] for store in first["stores"]] == ["1", "2"]
    assert [store["poi_id"] for store in second["stores"]] == ["1"]


def test_the_template_can_be_imported(operator: Operator, tmp_path: Path) -> None:
    for suffix in (".csv", ".json"):
        file = tmp_path / f"template{suffix}"
        operator.succeed("merchant", "template", str(file))
        text = file.read_text(encoding="utf-8-sig").replace("tt0123456789abcdef", APP_ID)
        file.write_text(text, encoding="utf-8")
        operator.succeed("--yes", "merchant", "import", str(file))
    assert operator.read_json("merchant", "import", str(file))["counts"]["unchanged"] == 2


def test_every_command_has_a_json_form_and_a_help_text() -> None:
    def commands(group: Any) -> Iterator[Any]:
        for command in group.commands.values():
            if hasattr(command, "commands"):
                yield from commands(command)
            else:
                yield command

    names = {command.name for command in commands(redeemctl)}
    assert {"add", "import", "export", "template", "doctor", "status"} <= names
    for command in commands(redeemctl):
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--stage", "--yes", "--dry-run"} <= options, command.name
        assert command.help, command.name

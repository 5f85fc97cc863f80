"""Every command of `redeemctl` in the emulated AWS, and two operators who change the same data.

The tests of commands need table and secret, but no deployed function. Each begins with one merchant, one app and one
session key.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

from infra.bundle import ROOT
from infra.stage_settings import settings_path
from redeemctl.errors import ConflictError
from redeemctl.merchant_rows import edit_item
from redeemctl.secret import fingerprint
from redeemctl.table import MerchantTable
from sandbox import stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, POI_ID
from sandbox.stack import STAGE
from tests import policies
from tests.harness import TOKEN_PK, age_claim
from tests.operators import SECRET, TABLE, Operator, run_operator

OTHER_APP, OTHER_SECRET = "tt-other", "other-secret-planted"
SHOWN = {"account_id": ACCOUNT_ID, "app_id": APP_ID, "name": "四季小馆", "active": True, "redeeming": True}


@pytest.fixture(scope="module")
def started(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    del archive
    with run_operator(tmp_path_factory.mktemp("project")) as operator:
        stack.create_empty_stack(operator.account, STAGE)
        yield operator


@pytest.fixture
def operator(started: Operator) -> Operator:
    client = started.account.client("dynamodb")
    rows = client.scan(TableName=TABLE)["Items"]
    for row in rows:
        client.delete_item(TableName=TABLE, Key={"pk": row["pk"]})
    merchant = {"pk": f"MERCHANT#{ACCOUNT_ID}", "app_id": APP_ID, "name": "四季小馆"}
    client.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in merchant.items()})
    started.put_secret(json.dumps({"apps": {APP_ID: APP_SECRET}, "session_keys": ["k" * 32]}))
    return started


def test_each_command_says_on_which_stage_account_and_region_it_acts(operator: Operator) -> None:
    line = operator.run("app", "list").stderr.splitlines()[0]
    assert line == f"stage dev, account 000000000000, region us-east-1, endpoint {operator.sandbox.aws.url}"
    assert "stage prod" in operator.fail(1, "--stage", "prod", "merchant", "list")
    assert "stage dev, " in operator.run("merchant", "list", REDEEM_STAGE="").stderr, "where nothing is changed"
    changed = operator.run("app", "list", DOUYIN_OPEN_API="http://127.0.0.1:9").stderr
    assert "DOUYIN_OPEN_API=http://127.0.0.1:9" in changed
    assert ACCOUNT_ID in operator.succeed("merchant", "list", TABLE_NAME="another"), "the table is the stage's"


def test_aws_that_cannot_be_used_is_reported(operator: Operator) -> None:
    closed = f"http://127.0.0.1:{stack.free_port()}"
    assert "AWS cannot be reached" in operator.fail(1, "app", "list", AWS_ENDPOINT_URL=closed)
    assert "no AWS region" in operator.fail(2, "app", "list", AWS_DEFAULT_REGION="")
    settings = settings_path(operator.sandbox.folder, STAGE)
    text = settings.read_text(encoding="utf-8")
    settings.write_text(f'region = "us-east-1"\n{text}', encoding="utf-8")
    operator.succeed("app", "list", AWS_DEFAULT_REGION="")
    settings.write_text(f'account = "111111111111"\n{text}', encoding="utf-8")
    assert "require account 111111111111" in operator.fail(2, "doctor")
    settings.write_text(text, encoding="utf-8")


def test_options_are_accepted_before_and_after_the_subcommand(operator: Operator) -> None:
    for arguments in (
        ("--stage", "nowhere", "app", "list"),
        ("app", "--stage", "nowhere", "list"),
        ("app", "list", "--stage", "nowhere"),
        ("--stage", "dev", "app", "list", "--stage", "nowhere"),
    ):
        message = operator.fail(2, *arguments, REDEEM_STAGE="prod")
        assert "infra/stages/nowhere.toml is missing (stages: cn, dev, prod)" in message
    assert "stage prod" in operator.run("app", "list", REDEEM_STAGE="prod").stderr
    assert "stage dev" in operator.run("app", "list", "--stage", "dev", REDEEM_STAGE="prod").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("app", "add", "tt1"),
        ("app", "remove", APP_ID),
        ("merchant", "add", "1", "--app", APP_ID),
        ("merchant", "suspend", ACCOUNT_ID),
        ("merchant", "resume", ACCOUNT_ID),
        ("merchant", "remove", ACCOUNT_ID),
        ("merchant", "import", __file__),
        ("store", "add", ACCOUNT_ID, "1", "x"),
        ("store", "remove", ACCOUNT_ID, "1"),
        ("token", "renew", APP_ID),
        ("session-key", "rotate"),
        ("acceptance", "--app", APP_ID, "--merchant", ACCOUNT_ID, "--store", "1"),
    ],
)
def test_without_a_stage_a_command_that_changes_something_stops_and_names_the_stages(
    operator: Operator, arguments: tuple[str, ...]
) -> None:
    result = operator.run("--yes", *arguments, stdin="a-secret\n", REDEEM_STAGE="")
    assert result.exit_code == 2
    assert "no stage: set the variable REDEEM_STAGE, or --stage (stages: cn, dev, prod)" in result.stderr
    assert "stage dev, " in operator.run(*arguments, "--stage", "dev", stdin="n\n", REDEEM_STAGE="").stderr


@pytest.mark.parametrize("value", ["", "two planted\n", "密钥planted\n", "planted" * 40])
def test_an_app_secret_that_cannot_be_one_is_refused_and_not_shown(operator: Operator, value: str) -> None:
    message = operator.fail(2, "app", "add", APP_ID, stdin=value)
    assert "app secret (from stdin): must be" in message
    message += operator.fail(2, "app", "add", APP_ID, REDEEMCTL_APP_SECRET=value)
    assert "app secret (from variable REDEEMCTL_APP_SECRET)" in message
    assert "planted" not in message


def test_apps_are_added_replaced_listed_and_removed_and_no_secret_is_shown(operator: Operator) -> None:
    client = operator.account.client("secretsmanager")
    client.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    client.create_secret(Name=SECRET)
    assert "the first app creates it" in operator.fail(1, "session-key", "rotate")
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
    assert outputs[3].splitlines()[0] == "app_id\tkind\ttokens\tsecret_fingerprint\tmerchants"
    for secret in (APP_SECRET, OTHER_SECRET, "mistyped-planted", content["session_keys"][0]):
        assert all(secret not in output for output in outputs)
    assert [app["app_id"] for app in operator.read_json("app", "list")] == [APP_ID, OTHER_APP]
    operator.succeed("--yes", "app", "remove", OTHER_APP)
    assert "nothing to change" in operator.succeed("--yes", "app", "remove", OTHER_APP)
    assert list(operator.get_secret()["apps"]) == [APP_ID]
    assert f"used by 1 merchants, for example {ACCOUNT_ID}" in operator.fail(1, "--yes", "app", "remove", APP_ID)


def test_a_token_reader_reads_the_token_and_its_end_by_name_and_nothing_else(operator: Operator) -> None:
    """With the command of docs/run.md. A request that names no attributes would return all of them."""
    administrator = operator.account.client("dynamodb")
    row = {"pk": {"S": "TOKEN#tt1"}, "access_token": {"S": "t"}, "expires_at": {"N": "1"}, "version": {"N": "2"}}
    administrator.put_item(TableName=TABLE, Item=row)
    credentials = policies.create_user(operator.account.client("iam"), "TokenReaderPolicy", STAGE)
    reader = stack.emulated_account(operator.sandbox.aws.url, credentials).client("dynamodb")

    def read(key: str, **options: Any) -> Any:
        return reader.get_item(TableName=TABLE, Key={"pk": {"S": key}}, ConsistentRead=True, **options).get("Item")

    expected = {name: row[name] for name in ("access_token", "expires_at")}
    assert read("TOKEN#tt1", ProjectionExpression="access_token, expires_at") == expected
    for key, options in (
        ("TOKEN#tt1", {}),
        ("TOKEN#tt1", {"ProjectionExpression": "access_token, version"}),
        (f"MERCHANT#{ACCOUNT_ID}", {"ProjectionExpression": "access_token"}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            read(key, **options)


@pytest.fixture(scope="module")
def writer(started: Operator) -> dict[str, str]:
    """The environment of the system of a service provider, which has the policy `token-writer`."""
    credentials = policies.create_user(started.account.client("iam"), "TokenWriterPolicy", STAGE)
    return {**stack.aws_environment(started.sandbox.aws.url), **credentials}


def test_the_python_of_the_guide_stores_a_token_unless_a_later_one_is_there(
    operator: Operator, writer: dict[str, str]
) -> None:
    client, names = operator.account.client("dynamodb"), dict[str, Any]()
    code = (ROOT / "docs" / "store_token.py").read_text(encoding="utf-8")
    with mock.patch.dict(os.environ, writer):
        exec(code.replace("douyin-redemption-prod", TABLE), names)  # noqa: S102 - that of the guide

    def store(token: str, seconds: float) -> None:
        names["store_token"]("tt1", token, int(time.time() + seconds))

    def read() -> Any:
        return client.get_item(TableName=TABLE, Key={"pk": {"S": "TOKEN#tt1"}})["Item"]

    for token, seconds, stored in (
        ("first", 3600, "first"),
        ("older", 3000, "first"),
        ("repeated", 3600 + 7200, "repeated"),
        ("much older", -1, "repeated"),
    ):
        store(token, seconds)
        assert read()["access_token"]["S"] == stored
    with pytest.raises(ClientError, match="BETWEEN"):
        store("in milliseconds", time.time() * 1000)
    for wrong in ({"N": str(int(time.time() * 1000))}, {"S": "2026-11-27"}):
        client.put_item(TableName=TABLE, Item={**read(), "expires_at": wrong, "version": {"N": "7"}})
        store("correct", 7200)
        assert (read()["access_token"]["S"], read()["version"]["N"]) == ("correct", "7")
        assert abs(int(read()["expires_at"]["N"]) - time.time() - 7200) < 60
        client.put_item(TableName=TABLE, Item={**read(), "access_token": {"S": "again"}})


@pytest.mark.usefixtures("operator")
def test_the_policy_token_writer_allows_to_write_tokens_and_nothing_else(writer: dict[str, str]) -> None:
    client = stack.emulated_account(writer["AWS_ENDPOINT_URL"], writer).client("dynamodb")

    def update(pk: str, **options: Any) -> None:
        values = {":value": {"S": "x"}}
        options = {"UpdateExpression": "SET access_token = :value", "ExpressionAttributeValues": values, **options}
        client.update_item(TableName=TABLE, Key={"pk": {"S": pk}}, **options)

    update("TOKEN#tt1")
    update("TOKEN#tt1", ReturnValues="NONE")
    names = {"#name": "claim"}
    for pk, options in (
        (f"MERCHANT#{ACCOUNT_ID}", {}),
        ("TOKEN#tt1", {"ReturnValues": "ALL_OLD"}),
        ("TOKEN#tt1", {"UpdateExpression": "SET outcome = :value"}),
        ("TOKEN#tt1", {"UpdateExpression": "SET #name = :value", "ExpressionAttributeNames": names}),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            update(pk, **options)
    for call in (client.get_item, client.delete_item):
        with pytest.raises(ClientError, match="not authorized"):
            call(TableName=TABLE, Key={"pk": {"S": "TOKEN#tt1"}})


def test_apps_of_a_service_provider_are_added_at_once_and_their_tokens_are_not_renewed(operator: Operator) -> None:
    before = operator.get_secret()
    names = [f"tt{number}" for number in range(300)]
    output = operator.succeed("app", "add", "--provider", *names, *names[:2])
    assert "app tt299\t-\tof a service provider" in output
    assert operator.get_secret() == {**before, "apps": {APP_ID: APP_SECRET, **dict.fromkeys(names, "")}}
    previous = operator.account.client("secretsmanager").get_secret_value(SecretId=SECRET, VersionStage="AWSPREVIOUS")
    assert json.loads(previous["SecretString"]) == before, "the secret was written once"
    assert "nothing to change" in operator.succeed("app", "add", "--provider", *names)
    kinds = {app["app_id"]: (app["kind"], app["secret_fingerprint"]) for app in operator.read_json("app", "list")}
    assert kinds == {APP_ID: ("own", fingerprint(APP_SECRET)), **dict.fromkeys(names, ("provider", ""))}
    assert "only with --provider" in operator.fail(2, "app", "add", "tt1", "tt2", REDEEMCTL_APP_SECRET=OTHER_SECRET)
    assert "This replaces the secret of tt1." in operator.fail(5, "app", "add", "tt1", REDEEMCTL_APP_SECRET="x")
    assert f"the secret of {APP_ID}." in operator.fail(5, "app", "add", "--provider", "tt1", APP_ID)
    assert "another system mints the tokens" in operator.fail(1, "--dry-run", "token", "renew", "tt1")
    renewed_by = {token["app_id"]: token["renewed_by"] for token in operator.read_json("token", "show")}
    assert renewed_by == {APP_ID: "this service", **dict.fromkeys(names, "another system")}
    operator.succeed("--yes", "app", "remove", "tt2")
    assert "tt2" not in operator.get_secret()["apps"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "named"),
    [
        (("merchant", "add", "abc def", "--app", APP_ID), 2, "'ACCOUNT_ID': 'abc def': must be 1 to 64 characters"),
        (("merchant", "add", ACCOUNT_ID, "--app", "unknown"), 1, "app unknown not found"),
        (("merchant", "add", ACCOUNT_ID, "--app", APP_ID, "--store", "人民广场店"), 2, "--store: write"),
        (("merchant", "suspend", "7"), 1, "merchant 7 not found"),
        (("store", "add", ACCOUNT_ID, "6601", "--phone", "1"), 2, "NAME: store"),
        (("--yes", "store", "add", ACCOUNT_ID, "1", "x", "--latitude", "9"), 2, "stores.1: needs latitude"),
        (("merchant", "export", "no-folder/x.csv"), 2, "no-folder/x.csv: No such file or directory"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_and_named(
    operator: Operator, arguments: tuple[str, ...], exit_code: int, named: str
) -> None:
    assert named in operator.fail(exit_code, *arguments)
    assert operator.read_json("merchant", "list") == [SHOWN]


def test_merchants_and_stores_are_added_changed_and_removed(operator: Operator) -> None:
    operator.succeed("merchant", "add", "7", "--app", APP_ID, "--name", "巷口面馆")
    assert operator.succeed("merchant", "list").splitlines() == [
        "account_id\tname\tapp_id\tstores\tactive\tredeeming",
        f"7\t巷口面馆\t{APP_ID}\tall\tyes\tyes",
        f"{ACCOUNT_ID}\t四季小馆\t{APP_ID}\tall\tyes\tyes",
    ]
    store, position = ("store", "add", "7", POI_ID), ("--latitude", "31.2327", "--longitude", "121.4751")
    result = operator.succeed("--yes", *store, "人民广场店", "--address", "西藏中路180号", *position)
    changed = {f"stores.{POI_ID}.{name}" for name in ("name", "address", "latitude", "longitude")}
    assert {line.split("\t")[0] for line in result.splitlines()[1:-1]} == changed
    assert "nothing to change" in operator.succeed(*store, "人民广场店")
    operator.succeed(*store, "--phone", "021-5555-6601")
    operator.succeed("merchant", "add", "7", "--store", "6602=徐家汇店")
    values = {"name": "人民广场店", "address": "西藏中路180号", "phone": "021-5555-6601"}
    assert operator.read_json("store", "list", "7") == [
        {"poi_id": POI_ID, **values, "latitude": 31.2327, "longitude": 121.4751},
        {"poi_id": "6602", "name": "徐家汇店"},
    ]
    operator.succeed(*store, "--latitude", "", "--longitude", "", "--address", "", "--phone", "")
    item = operator.account.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "MERCHANT#7"}})["Item"]
    assert item["stores"]["M"][POI_ID] == {"S": "人民广场店"}, "the form that the released version reads"
    operator.succeed("merchant", "add", "7", "--life-account-id", "8")
    assert operator.read_json("merchant", "show", "7")["life_account_id"] == "8"
    assert "stores.6602.name\t徐家汇店" in operator.succeed("merchant", "show", "7").splitlines()
    operator.succeed("--yes", "merchant", "remove", "7")
    assert operator.read_json("merchant", "list") == [SHOWN]


def test_redemption_is_switched_off_and_on_and_a_notice_is_set_and_cleared(operator: Operator) -> None:
    change = ("merchant", "add", ACCOUNT_ID)
    assert "offer no redemption. Continue?" in operator.fail(5, *change, "--redeeming", "off", stdin="n\n")
    operator.succeed("--yes", *change, "--redeeming", "off", "--notice", "今晚请到收银台核销")
    expected = {**SHOWN, "redeeming": False, "notice": "今晚请到收银台核销"}
    assert operator.read_json("merchant", "show", ACCOUNT_ID) == expected
    assert operator.read_json("merchant", "list") == [expected]
    assert "yes\tno" in operator.succeed("merchant", "list")
    assert "200 characters" in operator.fail(2, *change, "--notice", "x" * 201)
    operator.succeed(*change, "--redeeming", "on", "--notice", "")
    assert operator.read_json("merchant", "show", ACCOUNT_ID) == SHOWN


def test_a_command_that_removes_something_asks_and_a_dry_run_changes_nothing(operator: Operator) -> None:
    assert "all its stores" in operator.succeed("store", "list", ACCOUNT_ID)
    assert "then only in the given ones" in operator.fail(5, "store", "add", ACCOUNT_ID, POI_ID, "人民广场店")
    operator.succeed(
        "--yes", "merchant", "add", ACCOUNT_ID, "--store", f"{POI_ID}=人民广场店", "--store", "6602=徐家汇店"
    )
    before = operator.read_json("merchant", "show", ACCOUNT_ID)
    for arguments in (
        ("merchant", "suspend", ACCOUNT_ID),
        ("merchant", "remove", ACCOUNT_ID),
        ("store", "remove", ACCOUNT_ID, POI_ID),
        ("session-key", "rotate", "--revoke"),
    ):
        assert "Continue?" in operator.fail(5, *arguments, stdin="n\n")
        assert "--yes" in operator.fail(5, *arguments), "without a terminal"
        assert "dry run" in operator.succeed(*arguments, "--dry-run")
    assert operator.read_json("merchant", "show", ACCOUNT_ID) == before
    assert len(operator.get_secret()["session_keys"]) == 1
    operator.succeed("--yes", "store", "remove", ACCOUNT_ID, "6602")
    assert "nothing to change" in operator.succeed("--yes", "store", "remove", ACCOUNT_ID, "6602")
    assert "last store" in operator.fail(1, "--yes", "store", "remove", ACCOUNT_ID, POI_ID)
    operator.succeed("--yes", "merchant", "suspend", ACCOUNT_ID)
    assert operator.read_json("merchant", "show", ACCOUNT_ID)["active"] is False
    operator.succeed("merchant", "resume", ACCOUNT_ID)
    assert operator.read_json("merchant", "show", ACCOUNT_ID)["active"] is True


def test_a_malformed_row_is_reported_and_can_be_removed(operator: Operator, tmp_path: Path) -> None:
    item = {"pk": {"S": "MERCHANT#odd"}, "app_id": {"N": "1"}}
    operator.account.client("dynamodb").put_item(TableName=TABLE, Item=item)
    malformed = "merchant odd: Expected `str`, got `float` - at `$.app_id`"
    listed = operator.run("merchant", "list")
    assert f"malformed: {malformed}" in listed.stderr
    assert ACCOUNT_ID in listed.stdout
    assert "app_id" in operator.succeed("merchant", "show", "odd")
    assert malformed in operator.fail(1, "--json", "merchant", "show", "odd")
    file = tmp_path / "merchants.csv"
    assert "lacks what is malformed" in (said := operator.fail(1, "merchant", "export", str(file)))
    assert malformed in said
    assert ACCOUNT_ID in file.read_text("utf-8-sig"), "the other merchants are there"
    assert "1" in operator.succeed("app", "list").splitlines()[1]
    operator.succeed("--yes", "merchant", "remove", "odd")
    assert "malformed" not in operator.run("merchant", "list").stderr


def test_tokens_are_renewed_and_shown_as_fingerprints(operator: Operator) -> None:
    operator.succeed("token", "renew", APP_ID)
    [before] = operator.read_json("token", "show")
    assert "Continue?" in operator.fail(5, "token", "renew", APP_ID, stdin="n\n")
    assert re.search(r"moments ago; try again in \d+ s", operator.fail(1, "--yes", "token", "renew", APP_ID))
    age_claim(operator.account.client("dynamodb"), TABLE)
    operator.succeed("--yes", "token", "renew", APP_ID)
    [after] = operator.read_json("token", "show")
    assert after["fingerprint"] != before["fingerprint"]
    row = operator.account.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": TOKEN_PK}})["Item"]
    assert row["access_token"]["S"] not in operator.succeed("token", "show")


def test_the_maker_of_the_tokens_is_kept_when_the_secret_is_replaced(operator: Operator) -> None:
    def add(*options: str, secret: str = OTHER_SECRET) -> str:
        return operator.succeed("--yes", "app", "add", APP_ID, *options, REDEEMCTL_APP_SECRET=secret)

    assert "tokens by another system" in add("--tokens", "another-system", secret=APP_SECRET)
    assert "another system mints the tokens" in operator.fail(1, "--yes", "token", "renew", APP_ID)
    add()
    assert operator.get_secret()["external_tokens"] == [APP_ID]
    [app] = operator.read_json("app", "list")
    assert (app["kind"], app["tokens"]) == ("own", "another-system")
    assert ", tokens by another system\t" in add("--tokens", "this-service")
    assert "external_tokens" not in operator.get_secret()
    assert "--provider" in operator.fail(2, "app", "add", "--provider", "--tokens", "this-service", "tt1")
    operator.succeed("app", "add", "--provider", "tt1")
    operator.succeed("--yes", "app", "add", "tt1", REDEEMCTL_APP_SECRET=OTHER_SECRET)
    assert operator.get_secret()["external_tokens"] == ["tt1"], "its service provider goes on"


SIGNS, OLDER = "signs" * 8, "older" * 8


@pytest.mark.parametrize(("arguments", "kept"), [([], [SIGNS, OLDER]), (["--revoke"], [])])
def test_a_rotation_keeps_two_former_keys_and_a_revocation_asks_and_keeps_none(
    operator: Operator, arguments: list[str], kept: list[str]
) -> None:
    content = {"apps": {APP_ID: APP_SECRET}, "session_keys": [SIGNS, OLDER, "oldest" * 8], "later": {"kept": 1}}
    operator.put_secret(json.dumps(content))
    if arguments:
        assert "Continue?" in operator.fail(5, "session-key", "rotate", *arguments, stdin="n\n")
        assert operator.get_secret() == content
    output = operator.succeed("session-key", "rotate", *arguments, *(["--yes"] if arguments else []))
    new = operator.get_secret()["session_keys"][0]
    assert len(new) == 64
    assert operator.get_secret() == {**content, "session_keys": [new, *kept]}
    assert new not in output
    roles = [tuple(line.split("\t")[1:]) for line in output.splitlines()[1:5]]
    former = "verifies" if kept else "-"
    assert roles == [
        ("signs and verifies", former),
        ("verifies", former),
        ("verifies", "-"),
        ("-", "signs and verifies"),
    ]


def test_a_change_of_another_attribute_is_no_conflict(operator: Operator) -> None:
    table = MerchantTable(operator.account.client("dynamodb"), TABLE)
    seen = table.get(ACCOUNT_ID)
    assert seen is not None
    table.write(seen, edit_item(ACCOUNT_ID, seen, {"name": "first"}))
    table.write(seen, edit_item(ACCOUNT_ID, seen, {"active": False}))
    with pytest.raises(ConflictError):
        table.write(seen, edit_item(ACCOUNT_ID, seen, {"name": "second"}))
    with pytest.raises(ConflictError):
        table.write(seen, None)
    assert operator.read_json("merchant", "show", ACCOUNT_ID) == {**SHOWN, "name": "first", "active": False}
    table.write(table.get(ACCOUNT_ID), None)
    with pytest.raises(ConflictError):
        table.write(seen, edit_item(ACCOUNT_ID, seen, {"active": False}))
    assert table.get(ACCOUNT_ID) is None, "a row that was removed meanwhile is not added again"


def make_file(path: Path, count: int, name: str = "商家") -> Path:
    """Write a CSV file of merchants with two stores each."""
    lines = ["account_id,app_id,name,poi_id,store_name,address,latitude,longitude"]
    for number in range(count):
        lines.append(f"90000000{number:05d},{APP_ID},{name}{number},1,一店,中山路{number}号,31.20,121")
        lines.append(f"90000000{number:05d},,,2,二店,,,")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_many_merchants_are_imported_completely_or_not_at_all(operator: Operator, tmp_path: Path) -> None:
    file = make_file(tmp_path / "merchants.csv", 40)
    preview = operator.run("merchant", "import", str(file), "--dry-run")
    assert "9000000000039 stores.1.name\t-\t一店" in preview.stdout
    assert "Changes: 360. Continue?" in operator.fail(5, "merchant", "import", str(file), stdin="n\n")
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}\n8,tt-unknown\n9,tt unknown", encoding="utf-8")
    message = operator.fail(2, "--yes", "merchant", "import", str(file))
    assert "line 82, app_id: app tt-unknown not found" in message
    assert "line 83, app_id: must be" in message
    assert operator.read_json("merchant", "list") == [SHOWN]
    file.write_text(text, encoding="utf-8")
    assert "changes: 360, saved" in operator.succeed("--yes", "merchant", "import", str(file))
    exported = tmp_path / "export.csv"
    assert "was not written" in operator.run("merchant", "export", str(exported), "--dry-run").stderr
    operator.succeed("merchant", "export", str(exported))
    assert "nothing to change" in operator.succeed("merchant", "import", str(exported))
    assert "is replaced" in operator.fail(5, "merchant", "export", str(exported), stdin="n\n")
    assert len(operator.read_json("merchant", "list")) == 41


def test_an_import_does_not_overwrite_what_somebody_else_changes_meanwhile(operator: Operator, tmp_path: Path) -> None:
    operator.succeed("--yes", "merchant", "import", str(make_file(tmp_path / "merchants.csv", 3)))
    file = make_file(tmp_path / "merchants.csv", 3, name="新名")
    table = MerchantTable(operator.account.client("dynamodb"), TABLE)
    original = MerchantTable.list_all

    def list_all(self: MerchantTable) -> list[Any]:
        items = original(self)
        item = table.get("9000000000001")
        table.write(item, edit_item("9000000000001", item, {"name": "renamed by somebody else"}))
        return items

    with mock.patch.object(MerchantTable, "list_all", list_all):
        message = operator.fail(4, "--yes", "merchant", "import", str(file))
    assert "merchant 9000000000001: somebody else has changed this" in message
    assert "Written before: 9000000000000\n" in message
    names = [operator.read_json("merchant", "show", f"900000000000{n}")["name"] for n in range(3)]
    assert names == ["新名0", "renamed by somebody else", "商家2"]
    operator.succeed("--yes", "merchant", "import", str(file))
    assert operator.read_json("merchant", "show", "9000000000002")["name"] == "新名2"


def test_a_table_is_restored_to_a_time_before_a_mistake(operator: Operator, tmp_path: Path) -> None:
    """As docs/run.md describes it: to another table, whose merchants are then imported."""
    operator.succeed("merchant", "add", ACCOUNT_ID, "--notice", "今晚")
    before = operator.read_json("merchant", "list")
    dynamodb = operator.account.client("dynamodb")
    restored, file = f"{TABLE}-restored", tmp_path / "restored.csv"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=TABLE, TargetTableName=restored, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=restored)
    operator.succeed("--yes", "merchant", "remove", ACCOUNT_ID)
    operator.succeed("merchant", "add", "8", "--app", APP_ID)
    administrator = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    operator.succeed("merchant", "export", "--table", restored, str(file), **administrator)
    operator.succeed("--yes", "merchant", "import", str(file))
    operator.succeed("--yes", "merchant", "remove", "8")
    assert operator.read_json("merchant", "list") == before
    dynamodb.delete_table(TableName=restored)


def test_the_steps_of_the_runbook_need_nothing_but_the_operators_policy(operator: Operator) -> None:
    """Besides the rollback. The emulated AWS refuses what the policy does not allow.

    After two wrong edits of the secret, AWSPREVIOUS is wrong too: the version of redeemctl is restored.
    """
    account = stack.emulated_account(operator.sandbox.aws.url, operator.credentials)
    logs, group = account.client("logs"), f"/aws/lambda/{TABLE}"
    query = logs.start_query(logGroupName=group, startTime=0, endTime=1, queryString="fields @message")
    logs.get_query_results(queryId=query["queryId"])
    logs.describe_log_streams(logGroupName=group)
    logs.filter_log_events(logGroupName=group, filterPattern="ERROR")

    secrets = account.client("secretsmanager")
    operator.succeed("--yes", "session-key", "rotate")
    written = operator.get_secret()
    for text in ("{", '{"apps": []}'):
        operator.put_secret(text)
    assert "the secret is not {" in operator.fail(1, "app", "list")
    versions = secrets.list_secret_version_ids(SecretId=SECRET)["Versions"]
    labels = {label: version["VersionId"] for version in versions for label in version["VersionStages"]}
    assert labels["redeemctl"] not in (labels["AWSCURRENT"], labels["AWSPREVIOUS"])
    secrets.update_secret_version_stage(
        SecretId=SECRET, VersionStage="AWSCURRENT",
        RemoveFromVersionId=labels["AWSCURRENT"], MoveToVersionId=labels["redeemctl"],
    )  # fmt: skip
    assert operator.get_secret() == written


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("secretsmanager", "get_secret_value", {"SecretId": "douyin-redemption/prod"}),
        ("dynamodb", "delete_item", {"TableName": "douyin-redemption-prod", "Key": {"pk": {"S": "x"}}}),
        ("dynamodb", "delete_table", {"TableName": TABLE}),
        ("lambda", "delete_function", {"FunctionName": TABLE}),
        ("iam", "delete_role", {"RoleName": f"{TABLE}-api_handler"}),
        ("logs", "delete_log_group", {"logGroupName": f"/aws/lambda/{TABLE}"}),
    ],
)
def test_an_operator_neither_deploys_nor_reaches_another_stage(
    operator: Operator, service: str, call: str, arguments: dict[str, Any]
) -> None:
    client = stack.emulated_account(operator.sandbox.aws.url, operator.credentials).client(service)
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        getattr(client, call)(**arguments)

"""`redeemctl call`: calls of the redemption tool, by a user who has the policy `token-reader`."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result

from redeemctl.calls import CHANGES, NAMES
from redeemctl.cli import redeemctl
from sandbox import stack
from sandbox.faults import TOOL_CALLS
from sandbox.sample_data import ACCOUNT_ID, APP_ID
from tests import policies
from tests.harness import STAGE, TOKEN_ROW, Aws, Platform, in_seconds

QUERY, CHANGE = "query_certificate_info", "update_merchant_path"
BODY = {"account_id": ACCOUNT_ID, "text": "去使用", "number": 7200000000000000001}
UNSURE = "it may have been done"


class Reader:
    """Runs `redeemctl call` as a user who may only read tokens. The app's row has a valid one."""

    def __init__(self, platform: Platform, project: Path) -> None:
        self.platform = platform
        self.charset = "utf-8"
        self.token = platform.mint()
        self._project = project
        self.body = project / "body.json"
        # As Windows saves it.
        self.body.write_text(json.dumps(BODY, ensure_ascii=False), encoding="utf-8-sig")

    def run(self, name: str, *arguments: str) -> Result:
        """Run the command; whatever happens, the token is not printed, and none is minted."""
        command = ["--project", str(self._project), "--stage", STAGE, "call", name]
        command += ["--app-id", APP_ID, "--body", str(self.body), *arguments]
        result = CliRunner(charset=self.charset).invoke(redeemctl, command, catch_exceptions=False)
        assert self.token not in result.output
        assert self.platform.calls("client_token") == []
        return result

    def fail(self, exit_code: int, name: str, *arguments: str) -> str:
        """Run the command; return the error, which has one line."""
        result = self.run(name, *arguments)
        assert result.exit_code == exit_code, result.output
        _, label, line = result.stderr.rpartition("Error: ")
        assert label
        assert line.count("\n") == 1
        return line


@pytest.fixture(scope="module")
def credentials(aws_process: Aws) -> dict[str, str]:
    return policies.create_user(stack.emulated_account(aws_process.url).client("iam"), "TokenReaderPolicy", STAGE)


@pytest.fixture
def reader(
    platform: Platform, aws: Aws, project: Path, credentials: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Reader:
    reader = Reader(platform, project)
    aws.put(TOKEN_ROW, access_token=reader.token, expires_at=in_seconds(7200), version=1)
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    return reader


@pytest.mark.parametrize("name", TOOL_CALLS)
def test_a_call_is_sent_once_with_the_token_of_the_row_and_its_reply_is_printed(reader: Reader, name: str) -> None:
    result = reader.run(name, "--yes")
    reply = json.loads(result.stdout)
    assert (result.exit_code, reply) == (0, {**reply, "err_no": 0, "err_msg": "success", "data": {}})
    [sent] = [record.describe() for record in reader.platform.server.requests]
    assert (sent["method"], sent["path"]) == ("POST", f"/api/apps/trade/v2/toolkit/{name}/")
    assert (sent["headers"]["access-token"], sent["headers"]["content-type"]) == (
        f"…{reader.token[-4:]}",
        "application/json",
    )
    assert sent["body"] == BODY


def test_another_row_is_read_with_token_id(reader: Reader, aws: Aws) -> None:
    aws.put("TOKEN#shared", access_token=reader.token, expires_at=in_seconds(7200))
    aws.put(TOKEN_ROW, access_token="clt.other", expires_at=in_seconds(7200))
    assert reader.run(QUERY, "--token-id", "shared").exit_code == 0
    assert "(token: TOKEN#shared). Continue?" in reader.run(CHANGE, "--token-id", "shared").stderr
    assert "no valid access token in TOKEN#none" in reader.fail(1, QUERY, "--token-id", "none")


@pytest.mark.parametrize("name", TOOL_CALLS)
def test_what_changes_the_pages_asks_and_a_dry_run_sends_nothing(reader: Reader, name: str) -> None:
    assert f"/toolkit/{name}/" in reader.run(name, "--dry-run").stdout
    assert reader.platform.server.calls == []
    if name in CHANGES:
        assert "not confirmed" in reader.fail(5, name)
    else:
        assert reader.run(name).exit_code == 0
    assert len(reader.platform.calls(name)) == (name not in CHANGES)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "code", "code": 2190002}, "redeemctl token renew"),
        ({"kind": "code", "code": 2190008}, "redeemctl token renew"),
        ({"kind": "code", "code": 28001018}, "the capability: docs/go-live.md"),
        ({"kind": "code", "code": 28001007}, "the platform finds the request invalid"),
        ({"kind": "code", "code": 28003017}, "contact the platform to raise the quota"),
        ({"kind": "code", "code": 77}, "unknown platform error 77"),
        ({"kind": "edit", "set_fields": {"err_no": "77"}}, "unknown platform error 77"),
        ({"kind": "body", "body": "<html>"}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "body", "body": "[]"}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "body", "body": "{}"}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "body", "body": '{"code":40001,"msg":"x"}'}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "body", "body": '{"err_code":7}'}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "body", "body": '{"err_no":"x"}'}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "body", "body": '{"err_no":false}'}, f"(HTTP 200): {UNSURE}"),
        ({"kind": "http", "status": 502}, f"(HTTP 502): {UNSURE}"),
        ({"kind": "http", "status": 404}, f"(HTTP 404): {UNSURE}"),
        ({"kind": "reset"}, f"(connection): {UNSURE}"),
    ],
)
def test_a_failed_call_gets_one_line_that_says_what_to_do_and_is_not_repeated(
    reader: Reader, fault: dict[str, Any], expected: str
) -> None:
    for name in (CHANGE, QUERY):
        reader.platform.fail(call=name, **fault)
        line = reader.fail(1, name, "--yes")
        assert expected.partition(UNSURE)[0] in line
        assert (UNSURE in line) == (UNSURE in expected and name in CHANGES)
        assert len(reader.platform.calls(name)) == 1


@pytest.mark.parametrize(
    ("interrupted", "error"), [("chalicelib.douyin.transport.Transport.send", KeyboardInterrupt),
                               ("redeemctl.calls.print_json", OSError(28, "No space left on device"))],
)  # fmt: skip
def test_an_interrupted_call_says_that_it_may_have_been_done(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, interrupted: str, error: Any
) -> None:
    monkeypatch.setattr(interrupted, Mock(side_effect=error))
    assert UNSURE in reader.fail(1, CHANGE, "--yes")


@pytest.mark.parametrize("data", ["text", [1], None])
def test_data_of_any_form_is_no_failure(reader: Reader, data: Any) -> None:
    reader.platform.fail("edit", QUERY, set_fields={"data": data})
    assert json.loads(reader.run(QUERY).stdout)["data"] == data


@pytest.mark.parametrize("charset", ["utf-8", "ascii", "gbk"])
def test_a_reply_is_printed_whole_on_any_terminal_but_without_the_token(reader: Reader, charset: str) -> None:
    reader.charset = charset
    data = {"code": "123456789012", "city_code": 310100, "text": '{"now":1731010012}', "店\ud800": "é\u202e\x9b😀"}
    body = {"err_no": 0, "err_msg": f"ok {reader.token}", reader.token: 1, "data": data}
    reader.platform.fail("body", QUERY, body=json.dumps(body))
    result = reader.run(QUERY)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"err_no": 0, "err_msg": "ok …", "…": 1, "data": data}
    assert "coupon codes" in result.stderr
    assert all(character == "\n" or character.isprintable() for character in result.stdout)


def test_a_reply_that_cannot_be_printed_is_no_traceback(reader: Reader) -> None:
    """It is read, but nested too deeply to be written with indentation."""
    for depth in (900, 100_000):
        reader.platform.fail("body", CHANGE, body='{"err_no":0,"data":' + "[" * depth + "]" * depth + "}", times=1)
        result = reader.run(CHANGE, "--yes")
        assert result.exit_code == 0 or UNSURE in result.stderr


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"access_token": "clt.not a token", "expires_at": in_seconds(7200)},
        {"access_token": "clt.old", "expires_at": in_seconds(-1)},
    ],
)
def test_without_a_valid_token_nothing_is_sent(reader: Reader, aws: Aws, row: dict[str, Any]) -> None:
    aws.put(TOKEN_ROW, **row)
    assert f"no valid access token in {TOKEN_ROW}: redeemctl token renew" in reader.fail(1, QUERY)
    assert reader.platform.server.calls == []


def test_a_user_without_the_right_is_told_where_it_is_described(
    reader: Reader, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"Effect": "Deny", "Action": "dynamodb:*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [nothing]}
    user = policies.create_user_with(stack.emulated_account(aws.url).client("iam"), "nobody", document)
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    assert "docs/deploy.md, Permissions" in reader.fail(1, QUERY)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"7", b"null", b'{"a":', b"\xff\xfe{}", b'{"a":[{"b":1,"b":2}]}', b'{"a":NaN}', b'{"a":1e999}'],
)
def test_a_body_that_is_no_json_object_is_refused(reader: Reader, content: bytes) -> None:
    reader.body.write_bytes(content)
    assert "--body" in reader.fail(2, CHANGE, "--yes")
    assert reader.platform.server.calls == []


def test_a_call_of_another_name_is_refused_and_the_help_shows_each_name(reader: Reader) -> None:
    assert "is not one of" in reader.fail(2, "verify_local_certificates")
    text = CliRunner().invoke(redeemctl, ["call", "--help"], terminal_width=80).output
    assert [name for name in NAMES if f" {name}\n" not in text] == []

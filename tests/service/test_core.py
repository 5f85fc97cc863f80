"""The code of `docs/engineer.md`, with the IAM policy of the page, and of `CONTRIBUTING.md` does what the pages say."""

import contextlib
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import app as application
from chalicelib.api.application import Application
from chalicelib.douyin.transport import Transport
from chalicelib.errors import ServiceError
from infra.bundle import ROOT
from sandbox import gateway, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, ORDER_ID, POI_ID
from tests import policies
from tests.harness import JSON_HEADERS, LIST_MEMBER, Aws, Platform, stop
from tests.scripted_server import ReceivedRequest, ScriptedServer
from tests.unit.fakes import FakeTelemetry, LambdaContext


def read_block(name: str, page: str = "docs/engineer.md") -> str:
    """Return the code block of the page that follows the comment with this name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    [block] = re.findall(rf"<!-- {name} -->\n\n```\w+\n(.*?)```", text, re.DOTALL)
    return str(block)


def execute(code: str, **names: Any) -> dict[str, Any]:
    """Execute code of a page, which knows these names; return all that it knows afterwards."""
    exec(compile(code, "page", "exec"), names)  # noqa: S102 - that is what the tests are for
    return names


@pytest.fixture
def core(aws: Aws, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The page's app, as a user who has the page's policy."""
    del environment
    document = read_block("policy").replace("table/coupons", f"table/{aws.table}")
    document = document.replace("secret:coupons", f"secret:{aws.secret}")
    with contextlib.closing(stack.emulated_account(aws.url).client("iam")) as iam:
        for name, value in policies.create_user_with(iam, "core", json.loads(document)).items():
            monkeypatch.setenv(name, value)
    module = execute(read_block("core") + read_block("call"))
    yield module
    stop(module["components"])


def test_the_core_lists_coupons_and_turns_errors_into_problems(core: dict[str, Any], platform: Platform) -> None:
    def post(code: str) -> gateway.Response:
        body = json.dumps({"app_id": APP_ID, "code": code, "list": LIST_MEMBER})
        event = gateway.build_event("POST", "/coupons", JSON_HEADERS, body)
        return gateway.parse_response(core["app"](event, LambdaContext()))

    listed = post(platform.issue_login_code())
    assert listed.status == 200, listed.text
    assert len(listed.json["list"]["certificates"]) > 1
    event = gateway.build_event("GET", "/coupons", {"Authorization": f"Bearer {listed.json['token']}"})
    event["requestContext"]["resourcePath"] = "/coupons/{account_id}/{poi_id}"
    event["pathParameters"] = {"account_id": ACCOUNT_ID, "poi_id": POI_ID}
    assert gateway.parse_response(core["app"](event, LambdaContext())).json == listed.json["list"]
    refused = post("no code")
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
    order = core["find_order"](APP_ID, ORDER_ID, core["RequestContext"].for_lambda(LambdaContext()))
    assert order.can_use is True
    assert len(platform.calls("client_token")) == 1, "one token for all calls"


def test_the_function_of_the_recipe_forwards_an_alarm_and_fails_if_it_is_not_taken() -> None:
    replies = [b'{"code":0}', b'{"code":19001}']

    def script(_: ReceivedRequest) -> Iterator[bytes]:
        body = replies.pop(0)
        yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    alarm = json.dumps({"NewStateValue": "ALARM", "AlarmName": "tokens", "AlarmDescription": "First: …"})
    event = {"Records": [{"Sns": {"Subject": "", "Message": alarm, "MessageAttributes": {}}}]}
    transport = Transport("test", 1)
    with ScriptedServer(script) as webhook, contextlib.closing(transport.adapter):
        components = SimpleNamespace(transport=transport, alarm_webhook=webhook.url)
        service = Application("test", telemetry := FakeTelemetry())
        names = vars(application) | {"app": service, "components": lambda: components}
        function = execute(read_block("function", "CONTRIBUTING.md"), **names)["forward_alarms"]
        function(event, LambdaContext())
        assert webhook.requests[0].body == {"msg_type": "text", "content": {"text": "ALARM tokens\nFirst: …"}}
        with pytest.raises(ServiceError, match="has not taken the alarm: HTTP 200"):
            function(event, LambdaContext())
    assert [(name, record.outcome.code) for name, record, _ in telemetry.written] == [
        ("forward_alarms", "ok"),
        ("forward_alarms", "internal_error"),
    ]

"""`docs/engineer.md`: the parts that others may take work as the page shows them, with the IAM policy of the page."""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from infra.bundle import ROOT
from sandbox import gateway, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, CUSTOMER, ORDER_ID, POI_ID
from tests import policies
from tests.harness import JSON_HEADERS, WANTED, Aws, Platform
from tests.unit.fakes import LambdaContext

PAGE = (ROOT / "docs" / "engineer.md").read_text(encoding="utf-8")


def read_block(name: str) -> str:
    """Return the code block of the page that follows the comment with this name."""
    [block] = re.findall(rf"<!-- {name} -->\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def close(module: dict[str, Any]) -> None:
    """Close the connections of the page's code."""
    module["transport"]._session.close()


@pytest.fixture
def core(aws: Aws, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The page's app, as a user who has the page's policy."""
    del environment
    document = read_block("policy").replace("table/coupons", f"table/{aws.table}")
    document = document.replace("secret:coupons", f"secret:{aws.secret}")
    with contextlib.closing(stack.emulated_account(aws.url).client("iam")) as iam:
        for name, value in policies.create_user_with(iam, "core", json.loads(document)).items():
            monkeypatch.setenv(name, value)
    module: dict[str, Any] = {}
    exec(compile(read_block("core") + read_block("call"), "docs/engineer.md", "exec"), module)  # noqa: S102 - the code of the page
    yield module
    module["lister"].executor.shutdown()
    close(module)


def test_the_core_lists_coupons_and_turns_errors_into_problems(core: dict[str, Any], platform: Platform) -> None:
    def post(code: str) -> gateway.Response:
        body = json.dumps({"app_id": APP_ID, "code": code, "list": WANTED})
        event = gateway.build_event("POST", "/coupons", JSON_HEADERS, body)
        return gateway.parse_response(core["app"](event, LambdaContext()))

    listed = post(platform.issue_login_code())
    assert listed.status == 200, listed.text
    assert len(listed.json["list"]["certificates"]) > 1
    refused = post("no code")
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
    order = core["find_order"](APP_ID, ORDER_ID, core["RequestContext"].for_lambda(LambdaContext()))
    assert order["can_use"] is True
    assert len(platform.calls("client_token")) == 1, "one token for all calls"


def test_a_list_needs_no_tokens_where_the_platform_adds_them(platform: Platform) -> None:
    module: dict[str, Any] = {}
    exec(compile(read_block("list"), "docs/engineer.md", "exec"), module)  # noqa: S102 - the code of the page
    open_id = platform.data.customers[CUSTOMER].open_ids[APP_ID]
    views = module["list_coupons"](platform.url, open_id, ACCOUNT_ID, POI_ID, platform.mint())
    assert len(views) > 1
    module["executor"].shutdown()
    close(module)

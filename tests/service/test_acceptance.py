"""`redeemctl acceptance` against the mock platform: all green, and what the platform does otherwise."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner

from redeemctl.acceptance.command import UNKNOWN_MERCHANT
from redeemctl.acceptance.shapes import find_shape
from redeemctl.cli import redeemctl
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    CUSTOMER_AS_DOCUMENTED,
    CUSTOMER_WITH_MANY_COUPONS,
    OTHER_POI_ID,
    POI_ID,
)
from tests.harness import SESSION_KEY, STAGE, TOKEN_ROW, Aws, Platform, certificate, in_seconds, order
from tests.sample_reply import build_certificate, build_reply

LIST = "query_user_certificates"
ORDERS = "data.orders[]"
CERTIFICATES = f"{ORDERS}.certificates[]"
ANOTHER_ORDER = {"order_id": "1", "can_use": True, "certificates": [{"certificate_id": "1"}]}
ANOTHER_PAGE = json.dumps({"data": {"error_code": 0, "total": 7, "orders": [ANOTHER_ORDER]}, "extra": {}})


@dataclass
class AcceptanceRun:
    exit_code: int
    output: str
    report: dict[str, Any]
    file: Path

    @property
    def failed(self) -> set[str]:
        return {entry["name"] for entry in self.report["points"] if entry["result"] == "does not hold"}

    @property
    def unseen(self) -> set[str]:
        return {entry["name"] for entry in self.report["points"] if entry["result"] == "not observed"}

    def forms(self, reply: str) -> dict[str, str]:
        """Return the forms of the values in a reply, by field."""
        return {entry["field"]: entry["values"] for entry in self.report["replies"] if entry["reply"] == reply}

    def point(self, name: str) -> tuple[str, str]:
        """Return the result of a point, and what was seen."""
        return next((entry["result"], entry["seen"]) for entry in self.report["points"] if entry["name"] == name)


class Operator:
    """Runs `redeemctl acceptance` for a customer of the mock platform."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder

    def run(
        self, *arguments: str, customer: str | None = CUSTOMER_AS_DOCUMENTED, answers: str = "", yes: bool = True
    ) -> AcceptanceRun:
        code = "" if customer is None else self.platform.issue_login_code(customer)
        command = ["--project", str(self.folder), "--stage", STAGE, "acceptance", "--app", APP_ID]
        command += ["--merchant", ACCOUNT_ID, "--store", POI_ID, "--output", str(self.folder / "out")]
        command += ["--json", "--yes"] if yes else []
        command += ["--login"] if code else []
        stdin = f"{code}\n{answers}" if code else answers
        result = CliRunner().invoke(redeemctl, [*command, *arguments], input=stdin, catch_exceptions=False)
        report = json.loads(result.stdout) if yes and result.stdout.startswith("{") else {}
        return AcceptanceRun(result.exit_code, result.output, report, self.folder / "out" / "report.md")


@pytest.fixture
def operator(platform: Platform, project: Path) -> Operator:
    return Operator(platform, project)


def test_a_platform_as_documented_is_accepted(operator: Operator) -> None:
    outcome = operator.run()
    assert outcome.exit_code == 0, outcome.output
    assert outcome.failed == outcome.unseen == set()
    assert {entry["result"] for entry in outcome.report["steps"]} == {"holds"}
    assert operator.platform.calls("client_token") != []
    assert len(outcome.report["calls"]) == 18
    assert outcome.point("token-accepted")[1].startswith("clt. minted and stored; certificates 7")


def test_an_app_of_a_service_provider_is_accepted_with_the_token_of_its_row(operator: Operator, aws: Aws) -> None:
    aws.put_secret({APP_ID: ""}, [SESSION_KEY])
    assert operator.run().point("token-accepted") == ("not observed", "not observed")
    token = operator.platform.server.platform.issue_provider_token(APP_ID).value
    aws.put(TOKEN_ROW, access_token=token, expires_at=in_seconds(7200))
    outcome = operator.run()
    assert outcome.exit_code == 0, outcome.output
    assert outcome.failed == outcome.unseen == set()
    assert outcome.point("token-accepted")[1].startswith("isvact. from the table; certificates 7")
    assert "refused: error_code=40018 " in outcome.point("invalid-code")[1]
    assert {entry["call"] for entry in operator.platform.server.calls} == {"code2session", LIST, "order_can_use"}
    operator.platform.fail("code", "code2session", code=28001007, place="err_no")
    seen = operator.run(customer=None).point("invalid-code")
    assert seen[0] == "does not hold"
    assert "UpstreamRejectedError: error_code=28001007" in seen[1]
    assert token not in outcome.output + outcome.file.read_text(encoding="utf-8")


def test_the_report_has_every_field_of_each_reply_with_the_form_of_its_values(operator: Operator) -> None:
    outcome = operator.run()
    listed = outcome.forms("list-1")
    documented = build_reply(build_certificate())
    documented["extra"]["sub_description"] = ""
    assert listed.keys() == {path or "(whole)" for path in find_shape(documented)}
    assert listed[f"{CERTIFICATES}.certificate_id"] == "text, digits 19 (7)"
    assert listed[f"{CERTIFICATES}.expire_time"] == "integer, digits 10 (7)"
    assert listed[f"{CERTIFICATES}.sku_info.groupon_type"] == "integer 1 (5); integer 2 (1); integer 3 (1)"
    assert outcome.forms("after-the-end-1")["data.orders"] == "list (1)"
    assert outcome.forms("login-1")["data.openid"].startswith("text, length ")
    assert outcome.forms("unauthorized-merchant-1")["data.error_code"] == "integer, digits 7 (1)"
    replies = {call["reply"] for call in outcome.report["calls"]}
    assert replies == {entry["reply"] for entry in outcome.report["replies"]}


def test_each_call_is_reported_with_time_url_code_and_logid(operator: Operator) -> None:
    outcome = operator.run()
    [call] = [call for call in outcome.report["calls"] if call["reply"] == "unauthorized-merchant-1"]
    assert call["codes"] == "data.error_code 2119005, extra.error_code 2119005"
    assert call["url"].endswith("/api/trade/v2/fulfillment/query_user_certificates/")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", call["time"])
    assert call["logid"] in {entry["logid"] for entry in operator.platform.server.calls}
    markdown = outcome.file.read_text(encoding="utf-8")
    assert f"| data.error_code 2119005, extra.error_code 2119005 | {call['logid']} |" in markdown
    for heading in ("Assumptions", "Calls", "Steps", "Replies"):
        assert f"## {heading}" in markdown


def test_the_effect_of_poi_id_and_the_certificates_of_unusable_orders_are_reported(operator: Operator) -> None:
    outcome = operator.run(customer=CUSTOMER_WITH_MANY_COUPONS)
    seen = {step["name"]: step["seen"] for step in outcome.report["steps"]}
    assert seen["list"].endswith("; 0 orders with can_use false, 0 of them with certificates")
    assert seen["list-store"].endswith("; 40 orders with can_use false, 40 of them with certificates")


REFUSED = {"token-accepted", "invalid-token", "unauthorized-merchant"}


def edit(path: str, value: Any) -> dict[str, Any]:
    return {"kind": "edit", "set_fields": {path: value}}


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ({"kind": "edit", "remove_fields": [f"{CERTIFICATES}.expire_time"]}, {"needed-fields"}),
        (edit(f"{CERTIFICATES}.expire_time", None), {"needed-fields"}),
        (edit(f"{CERTIFICATES}.expire_time", 1_846_000_000_000), {"seconds"}),
        (edit(f"{CERTIFICATES}.amount.pay_amount", "44.99 yuan"), {"readable"}),
        (edit(f"{CERTIFICATES}.lock_info_extra", None), set()),
        (edit(f"{ORDERS}.can_use", 7), {"readable"}),
        (edit("data.total", 1), {"total-certificates"}),
        # A refusal ends the step, not the run.
        ({"kind": "http", "status": 403, "body": "<html>"}, REFUSED),
        ({"kind": "body", "body": "not json"}, REFUSED),
        ({"kind": "code", "code": 2190004}, REFUSED),
        ({"kind": "code", "call": "client_token", "code": 10013}, set()),
        ({"kind": "code", "call": "order_can_use", "code": 2100005}, {"store-selected"}),
        ({"kind": "patch", "call": "order_can_use", "patch": {"can_use": False}}, {"store-selected"}),
        ({"kind": "code", "call": "jscode2session", "code": 40018, "place": "err_no"}, {"login-open-id"}),
        ({"kind": "body", "page": 2, "body": ANOTHER_PAGE}, {"after-the-end", "needed-fields", "pages-complete"}),
    ],
)
def test_what_the_platform_does_otherwise_is_in_the_report(
    operator: Operator, fault: dict[str, Any], failed: set[str]
) -> None:
    operator.platform.fail(**fault)
    outcome = operator.run()
    assert outcome.failed == failed, outcome.report["points"]
    assert outcome.exit_code == bool(outcome.failed | outcome.unseen)


def test_without_a_login_nothing_is_claimed(operator: Operator) -> None:
    outcome = operator.run(customer=None)
    assert outcome.exit_code == 1
    assert outcome.failed == set()
    assert {"login-open-id", "readable", "store-selected"} <= outcome.unseen


def test_steps_with_an_effect_need_a_confirmation(operator: Operator, aws: Aws) -> None:
    output = operator.run(answers="n\nn\n", yes=False).output
    assert "- token: not confirmed" in output
    assert "- login: not confirmed" in output
    assert [call["call"] for call in operator.platform.server.calls] == ["jscode2session"], "with an invalid code"
    assert operator.run(answers="y\ny\n", yes=False).exit_code == 0
    assert aws.row(TOKEN_ROW)["access_token"]["S"] == operator.platform.newest_token()
    operator.platform.fail("edit", LIST, set_fields={"data.total": 1})
    output = operator.run(answers="y\ny\n", yes=False).output
    assert "✓ token: clt. from the table" in output
    assert "✓ login: the platform returned an open_id" in output
    assert "total-certificates\tdoes not hold\ttotal 1, 7 certificates" in output
    assert "not accepted" in output
    assert len(operator.platform.calls("client_token")) == 1


def test_a_dry_run_calls_nothing(operator: Operator) -> None:
    assert "no calls were made" in operator.run("--dry-run").output
    assert operator.platform.server.calls == []


def test_the_root_account_of_the_row_is_sent_but_not_for_another_merchant(operator: Operator, aws: Aws) -> None:
    aws.put(f"MERCHANT#{ACCOUNT_ID}", app_id=APP_ID, life_account_id="another-account")
    operator.run(customer=None)
    sent = [request.describe() for request in operator.platform.server.requests]
    accounts = {
        (request["account_id"], request["headers"].get("rpc-transit-life-account"))
        for request in sent
        if request["call"] == LIST
    }
    assert accounts == {(ACCOUNT_ID, "another-account"), (UNKNOWN_MERCHANT, None)}


def test_a_merchant_of_another_app_is_refused(operator: Operator, aws: Aws) -> None:
    aws.put(f"MERCHANT#{ACCOUNT_ID}", app_id="tt-other")
    outcome = operator.run()
    assert outcome.exit_code == 1
    assert "belongs to app tt-other" in outcome.output
    assert outcome.report == {}


def personal_values(platform: Platform, customer: str) -> set[str]:
    """Return ids, titles and codes of a customer's certificates, and the secrets of a run."""
    secrets = {APP_SECRET, SESSION_KEY, platform.data.customers[customer].open_ids[APP_ID], f"sandbox-union-{customer}"}
    for purchase in platform.data.purchases[customer]:
        secrets.add(purchase.order["order_id"])
        for coupon in purchase.order["certificates"]:
            sku = coupon["sku_info"]
            secrets |= {coupon["certificate_id"], coupon["code"], sku["sku_id"], sku["title"]}
    return secrets


def test_no_secret_is_in_report_or_output(operator: Operator, aws: Aws) -> None:
    expired = "expiredTokenOfTheRow"
    aws.put(TOKEN_ROW, access_token=expired, expires_at=in_seconds(-10))
    # A platform that repeats what it was sent, where nobody expects it.
    open_id = operator.platform.data.customers[CUSTOMER_AS_DOCUMENTED].open_ids[APP_ID]
    echo = {"extra.sub_description": f"user {open_id}", "extra.logid": expired, "data.echo": {open_id: APP_SECRET}}
    operator.platform.fail("edit", set_fields=echo)
    outcome = operator.run()
    secrets = personal_values(operator.platform, CUSTOMER_AS_DOCUMENTED)
    secrets |= {token.value for tokens in operator.platform.server.platform._tokens.values() for token in tokens}
    secrets.add(expired)
    for text in (outcome.output, outcome.file.read_text(encoding="utf-8")):
        assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(
    ("store_filter", "total", "expected"),
    [
        ("none", None, ("holds", "lists all orders, usable or not; total 13 counts without a filter")),
        ("before", None, ("holds", "filters before it cuts pages; total 4 counts after the filter")),
        ("after", None, ("holds", "filters after it cuts pages; total 13 counts before the filter")),
        # The service would miss certificates behind the end that the total implies.
        ("after", 4, ("does not hold", "filters after it cuts pages; total 4 counts after the filter")),
    ],
)
def test_the_way_in_which_the_platform_filters_is_reported(
    operator: Operator, store_filter: Literal["none", "before", "after"], total: int | None, expected: tuple[str, str]
) -> None:
    elsewhere = [order(f"x{n}", certificate(f"x{n}")) | {"stores": [OTHER_POI_ID]} for n in range(9)]
    operator.platform.set_purchases(CUSTOMER, *elsewhere, *(order(str(n), certificate(str(n))) for n in range(4)))
    operator.platform.server.platform.store_filter = store_filter
    operator.platform.fail("patch", patch={} if total is None else {"total": total})
    result, seen = operator.run(customer=CUSTOMER).point("store-filter")
    assert (result, seen.partition("; sizes")[0]) == expected


def test_a_login_code_is_no_argument(operator: Operator) -> None:
    """Other users of the machine can read the arguments of a process."""
    outcome = operator.run("--code", "planted", customer=None)
    assert outcome.exit_code == 2
    assert "No such option" in outcome.output

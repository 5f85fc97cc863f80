"""`redeemctl acceptance` against the mock platform: all green, and each deviation of the platform under its name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest
from click.testing import CliRunner

from chalicelib.douyin import protocol
from infra.bundle import ROOT
from infra.stage_settings import settings_path
from redeemctl.acceptance.command import UNKNOWN_MERCHANT
from redeemctl.acceptance.fields import ENUM, FIELDS
from redeemctl.acceptance.points import POINTS
from redeemctl.acceptance.recording import RecordingTransport
from redeemctl.cli import redeemctl
from sandbox import fixtures
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    APP_SECRET,
    CUSTOMER,
    CUSTOMER_AS_DOCUMENTED,
    CUSTOMER_WITH_MANY_COUPONS,
    OTHER_POI_ID,
    POI_ID,
    parse_purchases,
)
from tests.harness import SESSION_KEY, TOKEN_ROW, certificate, in_seconds, order

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness import Aws, Platform

# redeemctl is not part of the coverage.
pytestmark = pytest.mark.no_cover

LIST = "query_user_certificates"
ORDERS = "data.orders[]"
CERTIFICATES = f"{ORDERS}.certificates[]"
STAGE = "test"
ANOTHER_ORDER = {"order_id": "1", "can_use": True, "certificates": [{"certificate_id": "1"}]}
ANOTHER_PAGE = json.dumps({"data": {"error_code": 0, "total": 7, "orders": [ANOTHER_ORDER]}, "extra": {}})


@dataclass
class Outcome:
    exit_code: int
    output: str
    report: dict[str, Any]
    folder: Path

    @property
    def deviations(self) -> set[tuple[str, str]]:
        kinds = ("not documented", "other type")
        return {(entry["kind"], entry["field"]) for entry in self.report["fields"] if entry["kind"] in kinds}

    @property
    def failed(self) -> set[str]:
        return {entry["name"] for entry in self.report["points"] if entry["result"] == "does not hold"}

    @property
    def unseen(self) -> set[str]:
        return {entry["name"] for entry in self.report["points"] if entry["result"] == "not observed"}

    def notes(self, kind: str) -> dict[str, str]:
        return {entry["field"]: entry["detail"] for entry in self.report["fields"] if entry["kind"] == kind}

    def point(self, name: str) -> tuple[str, str]:
        """Return the result of a point, and what was seen."""
        return next((entry["result"], entry["seen"]) for entry in self.report["points"] if entry["name"] == name)

    def fixture(self, name: str) -> dict[str, Any]:
        return fixtures.load(self.folder / "fixtures" / name)


class Operator:
    """Runs `redeemctl acceptance` for a customer of the mock platform."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder

    def run(
        self, *arguments: str, customer: str | None = CUSTOMER_AS_DOCUMENTED, answers: str = "", yes: bool = True
    ) -> Outcome:
        code = "" if customer is None else self.platform.issue_login_code(customer)
        command = ["--project", str(self.folder), "--stage", STAGE, "acceptance", "--app", APP_ID]
        command += ["--merchant", ACCOUNT_ID, "--store", POI_ID, "--output", str(self.folder / "out")]
        command += ["--json", "--yes"] if yes else []
        command += ["--login"] if code else []
        stdin = f"{code}\n{answers}" if code else answers
        result = CliRunner().invoke(redeemctl, [*command, *arguments], input=stdin, catch_exceptions=False)
        report = json.loads(result.stdout) if yes and result.stdout.startswith("{") else {}
        return Outcome(result.exit_code, result.output, report, self.folder / "out")


@pytest.fixture
def operator(platform: Platform, aws: Aws, environment: dict[str, str], tmp_path: Path) -> Operator:
    names = ("TABLE_NAME", "SECRET_NAME", "DOUYIN_OPEN_API", "DOUYIN_LOGIN_API")
    variables = {name: environment[name] for name in names}
    assert variables["TABLE_NAME"] == aws.table
    (tmp_path / ".chalice").mkdir()
    config = {"stages": {STAGE: {"environment_variables": variables}}}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings_path(tmp_path, STAGE).parent.mkdir(parents=True)
    settings_path(tmp_path, STAGE).touch()
    return Operator(platform, tmp_path)


def test_a_platform_as_documented_is_accepted(operator: Operator) -> None:
    outcome = operator.run()
    assert outcome.exit_code == 0, outcome.output
    assert outcome.deviations == set()
    assert outcome.failed == outcome.unseen == set()
    assert {entry["result"] for entry in outcome.report["steps"]} == {"holds"}
    assert outcome.notes("not seen").keys() == {"data.captcha", "data.desc_url"}
    values = outcome.notes("values")
    assert values.keys() >= {path for path, field in FIELDS[LIST].items() if field == ENUM}
    assert values[f"{CERTIFICATES}.off_peak_discount_detail.off_peak_time.week_day_list[]"].startswith("1 (")
    assert operator.platform.calls("client_token") != []
    assert len(outcome.report["calls"]) == 17


def test_the_terminal_shows_steps_and_assumptions(operator: Operator) -> None:
    operator.platform.fail("edit", LIST, set_fields={"data.total": 1})
    output = operator.run(yes=False, answers="y\ny\n").output
    assert "✓ login: the platform returned an open_id" in output
    assert "total-certificates\tdoes not hold\ttotal 1, 7 certificates" in output
    assert "not accepted" in output


def test_each_call_is_reported_with_time_url_code_and_logid(operator: Operator) -> None:
    outcome = operator.run()
    [call] = [call for call in outcome.report["calls"] if call["step"] == "unauthorized-merchant"]
    assert call["codes"] == "data.error_code 2119005, extra.error_code 2119005"
    assert call["url"].endswith("/api/trade/v2/fulfillment/query_user_certificates/")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", call["time"])
    assert call["logid"] in {entry["logid"] for entry in operator.platform.server.calls}
    markdown = (outcome.folder / "report.md").read_text(encoding="utf-8")
    assert f"| data.error_code 2119005, extra.error_code 2119005 | {call['logid']} |" in markdown
    for heading in ("Assumptions", "Fields", "Calls", "Steps"):
        assert f"## {heading}" in markdown


def test_the_effect_of_poi_id_and_the_certificates_of_unusable_orders_are_reported(operator: Operator) -> None:
    outcome = operator.run(customer=CUSTOMER_WITH_MANY_COUPONS)
    assert outcome.exit_code == 0, outcome.output
    seen = outcome.point("can-use-boolean")[1]
    assert "; list: 0 orders with can_use false, 0 of them with certificates" in seen
    assert "; list-store: 40 orders with can_use false, 40 of them with certificates" in seen
    assert outcome.point("store-filter")[1].startswith("lists all orders, usable or not")


DEVIATIONS: dict[str, tuple[dict[str, Any], tuple[str, str], set[str]]] = {
    "unknown field": (
        {"set_fields": {f"{CERTIFICATES}.refund_status": 1}},
        ("not documented", f"{CERTIFICATES}.refund_status"),
        set(),
    ),
    "missing field": ({"remove_fields": [f"{CERTIFICATES}.expire_time"]}, ("", ""), {"needed-fields"}),
    "text instead of a number": (
        {"set_fields": {f"{CERTIFICATES}.amount.pay_amount": "44.99 yuan"}},
        ("other type", f"{CERTIFICATES}.amount.pay_amount"),
        {"readable"},
    ),
    "digits instead of a number": (
        {"as_text": [f"{CERTIFICATES}.amount.pay_amount"]},
        ("other type", f"{CERTIFICATES}.amount.pay_amount"),
        set(),
    ),
    "milliseconds": (
        {"set_fields": {f"{CERTIFICATES}.expire_time": 1_846_000_000_000}},
        ("", ""),
        {"seconds"},
    ),
    "can_use as a number": (
        {"set_fields": {f"{ORDERS}.can_use": 1}},
        ("other type", f"{ORDERS}.can_use"),
        {"can-use-boolean"},
    ),
    "wrong total": ({"set_fields": {"data.total": 1}}, ("", ""), {"total-certificates"}),
    "null": (
        {"set_fields": {f"{CERTIFICATES}.lock_info_extra": None}},
        ("other type", f"{CERTIFICATES}.lock_info_extra"),
        set(),
    ),
}
"""Name to the edits of the mock's reply, the deviation in the report, and the assumptions that do not hold."""


@pytest.mark.parametrize(("edits", "deviation", "failed"), DEVIATIONS.values(), ids=DEVIATIONS)
def test_a_deviation_of_the_platform_is_reported_under_its_name(
    operator: Operator, edits: dict[str, Any], deviation: tuple[str, str], failed: set[str]
) -> None:
    operator.platform.fail("edit", LIST, **edits)
    outcome = operator.run()
    assert outcome.deviations == ({deviation} if deviation[0] else set())
    assert outcome.failed == failed
    assert outcome.exit_code == (1 if failed else 0), outcome.output


def test_an_order_that_is_cut_across_two_pages_is_reported(operator: Operator) -> None:
    [first, second, *rest] = operator.platform.data.purchases[CUSTOMER_AS_DOCUMENTED]
    both = {**second.order, "certificates": second.order["certificates"] + rest.pop().order["certificates"]}
    entries = [vars(first), {**vars(second), "order": both}, *map(vars, rest)]
    operator.platform.data.purchases[CUSTOMER_AS_DOCUMENTED] = parse_purchases(entries)
    outcome = operator.run()
    assert outcome.exit_code == 0, outcome.output
    assert outcome.point("cut-orders-agree") == ("holds", "1 orders cut, 0 with different can_use")


def test_a_customer_with_unknown_values_is_accepted_with_deviations(operator: Operator) -> None:
    outcome = operator.run(customer=CUSTOMER)
    assert outcome.exit_code == 0, outcome.output
    assert "9 (5)" in outcome.notes("values")[f"{CERTIFICATES}.sku_info.groupon_type"]


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ({"kind": "http", "status": 403, "body": "<html>"}, {"token-accepted"}),
        ({"kind": "body", "body": "not json"}, {"token-accepted"}),
        ({"kind": "code", "code": 2190004}, {"token-accepted", "invalid-token", "unauthorized-merchant"}),
        ({"kind": "code", "call": "client_token", "code": 10013}, set()),
        ({"kind": "code", "call": "order_can_use", "code": 2100005}, {"store-selected"}),
        ({"kind": "patch", "call": "order_can_use", "patch": {"can_use": False}}, {"store-selected"}),
        ({"kind": "code", "call": "jscode2session", "code": 40018, "place": "err_no"}, {"login-open-id"}),
        ({"kind": "body", "page": 2, "body": ANOTHER_PAGE}, {"after-the-end"}),
    ],
)
def test_a_refusal_ends_the_step_not_the_run(operator: Operator, fault: dict[str, Any], failed: set[str]) -> None:
    call = fault.get("call", LIST)
    operator.platform.fail(fault["kind"], call, **{k: v for k, v in fault.items() if k not in ("kind", "call")})
    outcome = operator.run()
    assert outcome.exit_code == 1
    assert failed <= outcome.failed, outcome.output


def test_without_a_login_nothing_is_claimed(operator: Operator) -> None:
    outcome = operator.run(customer=None)
    assert outcome.exit_code == 1
    assert outcome.failed == set()
    assert {"login-open-id", "readable", "store-selected"} <= outcome.unseen


def test_steps_with_an_effect_need_a_confirmation(operator: Operator, aws: Aws) -> None:
    output = operator.run(answers="n\nn\n", yes=False).output
    assert "- token: not confirmed" in output
    assert "- login: not confirmed" in output
    assert operator.platform.server.calls == []
    assert operator.run(answers="y\ny\n", yes=False).exit_code == 0
    assert aws.row(TOKEN_ROW)["access_token"]["S"] == operator.platform.newest_token()
    assert "✓ token: from the table" in operator.run(answers="y\n", yes=False).output
    assert len(operator.platform.calls("client_token")) == 1


def test_a_dry_run_calls_nothing(operator: Operator) -> None:
    assert "no calls were made" in operator.run("--dry-run").output
    assert operator.platform.server.calls == []


def test_the_root_account_of_the_row_is_sent_but_not_for_another_merchant(
    operator: Operator, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = set()
    send = RecordingTransport.send

    def record(self: RecordingTransport, url: str, request: Any, *arguments: Any) -> Any:
        sent.add((json.loads(request.body).get("account_id"), request.headers.get("Rpc-Transit-Life-Account")))
        return send(self, url, request, *arguments)

    monkeypatch.setattr(RecordingTransport, "send", record)
    aws.put(f"MERCHANT#{ACCOUNT_ID}", app_id=APP_ID, life_account_id="another-account")
    operator.run(customer=None)
    assert sent - {(None, None)} == {(ACCOUNT_ID, "another-account"), (UNKNOWN_MERCHANT, None)}


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


def test_no_secret_is_in_report_output_or_fixtures(operator: Operator, aws: Aws) -> None:
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
    files = [path for path in outcome.folder.rglob("*") if path.is_file()]
    assert len(files) > 15
    texts = [outcome.output, *(path.read_text(encoding="utf-8") for path in files)]
    for text in texts:
        assert [secret for secret in secrets if secret in text] == []
    for path in outcome.folder.rglob("fixtures/*"):
        assert ACCOUNT_ID not in path.read_text(encoding="utf-8")


def test_a_fixture_is_served_by_the_mock_platform_and_read_by_the_service(operator: Operator) -> None:
    outcome = operator.run()
    fixture = outcome.fixture("list-1.json")
    page = protocol.parse_certificates(protocol.Response(200, {}, json.dumps(fixture["body"]).encode()))
    assert (page.size, page.hidden, page.malformed) == (7, 0, {})
    entries = fixtures.to_purchases(fixture, ACCOUNT_ID)
    operator.platform.set_purchases("wu", *entries)
    again = operator.run(customer="wu")
    assert again.exit_code == 0, again.output
    assert again.deviations == set()
    refused = outcome.fixture("unauthorized-merchant-1.json")
    assert refused["body"]["data"]["error_code"] == 2119005
    operator.platform.server.fault_plan.clear()
    operator.platform.fail(**fixtures.to_fault(refused, page=1))
    assert "token-accepted" in operator.run().failed


def test_every_point_is_explained_in_the_docs() -> None:
    text = (ROOT / "docs" / "platform.md").read_text(encoding="utf-8")
    section = text.split("\n## What the service relies on\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(point.name for point in POINTS)


@pytest.mark.parametrize(
    ("store_filter", "total", "expected"),
    [
        ("none", None, ("holds", "lists all orders, usable or not")),
        ("before", None, ("holds", "filters before it cuts pages")),
        ("after", None, ("holds", "filters after it cuts pages")),
        # It counts after it filters: the service would miss certificates behind the end that the total implies.
        ("after", 4, ("does not hold", "filters after it cuts pages")),
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
    assert (result, seen.split(";")[0]) == expected


def test_a_login_code_is_no_argument(operator: Operator) -> None:
    """Other users of the machine can read the arguments of a process."""
    outcome = operator.run("--code", "planted", customer=None)
    assert outcome.exit_code == 2
    assert "No such option" in outcome.output

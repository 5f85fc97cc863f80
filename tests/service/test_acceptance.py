"""`redeemctl acceptance` against the mock platform: all green, and what the platform does otherwise."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redeemctl.cli import redeemctl
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, CUSTOMER, CUSTOMER_AS_DOCUMENTED, OTHER_POI_ID, POI_ID
from tests.harness import STAGE, STAGE_SESSION_KEY, TOKEN_PK, Aws, Platform, certificate, in_seconds, order

LIST = "query_user_certificates"
CERTIFICATES = "data.orders[].certificates[]"
ANOTHER_ORDER = {"order_id": "1", "can_use": True, "certificates": [{"certificate_id": "1"}]}
ANOTHER_PAGE = json.dumps({"data": {"error_code": 0, "total": 7, "orders": [ANOTHER_ORDER]}, "extra": {}})


@dataclass
class AcceptanceRun:
    exit_code: int
    output: str
    report: dict[str, Any]

    @property
    def failed(self) -> set[str]:
        return {step["name"] for step in self.report["steps"] if step["result"] != "holds"}


class Operator:
    """Runs `redeemctl acceptance` for a customer of the mock platform."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder

    def run(self, *arguments: str, customer: str | None = CUSTOMER_AS_DOCUMENTED) -> AcceptanceRun:
        code = "" if customer is None else self.platform.issue_login_code(customer)
        command = ["--project", str(self.folder), "--stage", STAGE, "acceptance", "--app", APP_ID]
        command += ["--merchant", ACCOUNT_ID, "--store", POI_ID, *(["--login"] if code else []), *arguments]
        result = CliRunner().invoke(redeemctl, command, input=f"{code}\n", catch_exceptions=False)
        report = json.loads(result.stdout) if result.stdout.startswith("{") else {}
        return AcceptanceRun(result.exit_code, result.output, report)


@pytest.fixture
def operator(platform: Platform, project: Path) -> Operator:
    return Operator(platform, project)


def test_a_platform_as_documented_is_accepted(operator: Operator) -> None:
    outcome = operator.run()
    assert outcome.exit_code == 0, outcome.output
    assert {p for p, text in outcome.report["differences"].items() if text != "not seen"} == {"extra.sub_description"}
    listed = next(call for call in outcome.report["calls"] if f"{CERTIFICATES}.expire_time" in call["reply"])
    assert listed["reply"][f"{CERTIFICATES}.certificate_id"] == {"str with 19 digits": 7}
    assert listed["logid"] in {entry["logid"] for entry in operator.platform.server.calls}
    assert listed["url"].endswith(f"/{LIST}/")


def test_an_app_of_a_service_provider_is_accepted_with_the_token_of_its_row(operator: Operator, aws: Aws) -> None:
    aws.put_secret({APP_ID: ""}, [STAGE_SESSION_KEY])
    assert "token" in operator.run().failed
    token = operator.platform.server.platform.issue_provider_token(APP_ID).value
    aws.put(TOKEN_PK, access_token=token, expires_at=in_seconds(7200))
    assert operator.run().failed == set()
    assert {entry["call"] for entry in operator.platform.server.calls} == {"code2session", LIST}


EVERY_LIST = {"list", "list-store", "small-pages"}


def edit(path: str, value: Any) -> dict[str, Any]:
    return {"kind": "edit", "set_fields": {path: value}}


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ({"kind": "edit", "remove_fields": [f"{CERTIFICATES}.expire_time"]}, {"list", "list-store"}),
        (edit(f"{CERTIFICATES}.sku_info", None), {"list", "list-store"}),
        (edit(f"{CERTIFICATES}.amount.pay_amount", "44.99 yuan"), {"list", "list-store"}),
        (edit(f"{CERTIFICATES}.lock_info_extra", None), set()),
        (edit("data.orders[].can_use", 7), {"list", "list-store"}),
        (edit("data.total", 1), {"list"}),
        ({"kind": "body", "page": 2, "body": ANOTHER_PAGE}, {"small-pages"}),
        # A refusal ends the step, not the run.
        ({"kind": "http", "status": 403, "body": "<html>"}, {*EVERY_LIST, "invalid-token", "unauthorized-merchant"}),
        ({"kind": "code", "call": "jscode2session", "code": 40018, "place": "err_no"}, {"login", *EVERY_LIST}),
    ],
)
def test_what_the_platform_does_otherwise_fails_its_step(
    operator: Operator, fault: dict[str, Any], failed: set[str]
) -> None:
    operator.platform.fail(**fault)
    outcome = operator.run()
    assert outcome.failed == failed, outcome.report["steps"]
    assert outcome.exit_code == bool(failed)


def test_without_a_login_nothing_blocks_claims(operator: Operator) -> None:
    outcome = operator.run(customer=None)
    assert outcome.exit_code == 1
    assert outcome.failed == {"login", *EVERY_LIST}
    assert "list: CommandError: not observed" in outcome.output


def test_a_dry_run_calls_nothing(operator: Operator) -> None:
    assert "no calls were made" in operator.run("--dry-run").output
    assert operator.platform.server.calls == []


def test_a_merchant_of_another_app_is_refused(operator: Operator, aws: Aws) -> None:
    aws.put(f"MERCHANT#{ACCOUNT_ID}", app_id="tt-other")
    outcome = operator.run()
    assert outcome.exit_code == 1
    assert "belongs to app tt-other" in outcome.output


def test_no_secret_and_no_personal_value_is_in_the_output(operator: Operator) -> None:
    platform = operator.platform
    open_id = platform.data.customers[CUSTOMER_AS_DOCUMENTED].open_ids[APP_ID]
    # A platform that repeats what it was sent, where nobody expects it.
    platform.fail("edit", set_fields={"extra.sub_description": f"user {open_id}", "data.echo": {open_id: APP_SECRET}})
    outcome = operator.run()
    secrets = {APP_SECRET, STAGE_SESSION_KEY, open_id}
    secrets |= {token.value for tokens in platform.server.platform._tokens.values() for token in tokens}
    for purchase in platform.data.purchases[CUSTOMER_AS_DOCUMENTED]:
        secrets.add(purchase.order["order_id"])
        for coupon in purchase.order["certificates"]:
            secrets |= {coupon["certificate_id"], coupon["code"], coupon["sku_info"]["title"]}
    assert [secret for secret in secrets if secret in outcome.output] == []


@pytest.mark.parametrize(
    ("total", "failed"),
    [
        (None, set()),
        # The platform cuts pages before it filters, but its total implies an end before the last coupon.
        (4, {"small-pages"}),
    ],
)
def test_a_filter_that_would_hide_coupons_of_a_store_is_found(
    operator: Operator, total: int | None, failed: set[str]
) -> None:
    elsewhere = [order(f"x{n}", certificate(f"x{n}")) | {"stores": [OTHER_POI_ID]} for n in range(9)]
    operator.platform.set_purchases(CUSTOMER, *elsewhere, *(order(str(n), certificate(str(n))) for n in range(4)))
    operator.platform.server.platform.hides_unusable = True
    operator.platform.fail("edit", set_fields={} if total is None else {"data.total": total})
    found = {name for name in operator.run(customer=CUSTOMER).failed if name == "small-pages"}
    assert found == failed


def test_a_login_code_is_no_argument(operator: Operator) -> None:
    """Other users of the machine can read the arguments of a process."""
    assert operator.run("--code", "planted", customer=None).exit_code == 2

"""`redeemctl acceptance` against the mock platform: all green, and what the platform does otherwise."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from redeemctl.cli import redeemctl
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, CUSTOMER, CUSTOMER_AS_DOCUMENTED, OTHER_POI_ID, POI_ID
from tests.harness import STAGE, STAGE_SESSION_KEY, TOKEN_PK, Aws, Platform, in_seconds

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


HERE, ELSEWHERE = [POI_ID], [OTHER_POI_ID]


def small_pages(operator: Operator, *stores: list[str]) -> tuple[bool, str]:
    """Return whether the step holds, and what it saw, for a customer with one coupon for each element of `stores`."""
    orders = [
        {"order_id": str(number), "certificates": [{"certificate_id": str(number)}]} for number in range(len(stores))
    ]
    purchases = [
        {"account_id": ACCOUNT_ID, "stores": where, "order": order} for where, order in zip(stores, orders, strict=True)
    ]
    operator.platform.set_purchases(CUSTOMER, *purchases)
    [step] = [s for s in operator.run(customer=CUSTOMER).report["steps"] if s["name"] == "small-pages"]
    return step["result"] == "holds", step["seen"]


@pytest.mark.parametrize(("cuts_before", "cut"), [(True, "before"), (False, "after")])
@pytest.mark.parametrize(("counts_before", "counted"), [(True, "before"), (False, "after")])
@pytest.mark.parametrize("elsewhere", [1, 9])
def test_small_pages_tell_when_the_platform_filters_and_which_way_loses_coupons(
    operator: Operator, cuts_before: bool, cut: str, counts_before: bool, counted: str, elsewhere: int
) -> None:
    platform = operator.platform.server.platform
    platform.hides_unusable, platform.cuts_before_filter, platform.counts_before_filter = (
        True,
        cuts_before,
        counts_before,
    )
    holds, seen = small_pages(operator, *[ELSEWHERE] * elsewhere, HERE, HERE, HERE)
    assert f"pages are cut {cut} the filter by store, total is counted {counted} it" in seen
    assert holds is not (cuts_before and not counts_before)
    assert ("more than 50 coupons" in seen and "no reason to stop" in seen) is not holds


@pytest.mark.parametrize("stores", [[HERE] * 3, [*[HERE] * 3, *[ELSEWHERE] * 3], [HERE, HERE, ELSEWHERE, HERE]])
@pytest.mark.parametrize("cuts_before", [True, False])
def test_small_pages_that_cannot_tell_name_what_to_buy(
    operator: Operator, cuts_before: bool, stores: list[list[str]]
) -> None:
    platform = operator.platform.server.platform
    platform.hides_unusable, platform.cuts_before_filter, platform.counts_before_filter = True, cuts_before, False
    holds, seen = small_pages(operator, *stores)
    assert holds
    assert "pages are cut before or after the filter" in seen
    assert "buy a coupon that only another store takes, then two of this store" in seen


@pytest.mark.parametrize("bought_first", [True, False])
def test_the_advised_purchases_tell_whether_the_newest_is_listed_first_or_last(
    operator: Operator, bought_first: bool
) -> None:
    platform = operator.platform.server.platform
    platform.hides_unusable, platform.counts_before_filter = True, False
    stores = [HERE, HERE, HERE, ELSEWHERE, HERE, HERE]
    assert "pages are cut before the filter" in small_pages(operator, *stores[:: 1 if bought_first else -1])[1]


def test_a_platform_that_lists_coupons_of_other_stores_as_unusable_loses_none(operator: Operator) -> None:
    assert small_pages(operator, ELSEWHERE, HERE, HERE) == (
        True, "the same 3 certificates; the filter by store removes nothing, it sets can_use to false",
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("total", [0, 9])
def test_the_page_after_a_full_last_one_is_read_for_its_total(operator: Operator, count: int, total: int) -> None:
    operator.platform.fail("edit", page=count // 2 + 1, set_fields={"data.total": total})
    holds, seen = small_pages(operator, *[HERE] * count)
    assert holds
    assert f"the page after the last full one has total {total};" in seen


def test_coupons_that_only_large_pages_have_are_found(operator: Operator) -> None:
    operator.platform.fail("edit", page=2, set_fields={"data.orders": []})
    assert small_pages(operator, HERE, HERE, HERE) == (
        False, "CommandError: 2 certificates in small pages, but 3 in large ones",
    )  # fmt: skip


def test_a_login_code_is_no_argument(operator: Operator) -> None:
    """Other users of the machine can read the arguments of a process."""
    assert operator.run("--code", "planted", customer=None).exit_code == 2

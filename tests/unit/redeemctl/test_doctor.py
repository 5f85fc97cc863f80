"""The judgments of `redeemctl doctor`: tables of what was read and the outcome."""

import json
from typing import Any

import pytest
import requests
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
)

from chalicelib import errors
from chalicelib.api.problems import problem_for_error
from chalicelib.aws import Item
from chalicelib.errors import UpstreamCodes
from chalicelib.merchants import Merchant
from chalicelib.tokens.rows import TokenRow
from infra import smoke
from infra.bundle import Build
from redeemctl import doctor
from redeemctl.doctor import FAILED, OK, UNKNOWN, WARNING, Finding
from tests.unit.fakes import NOW, PROBLEM_TYPES


def find(check_id: str, what: str, outcome: str, text: str = "x", logid: str = "") -> Finding:
    return Finding(check_id, what, outcome, text, "" if outcome is OK else "do", logid)


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [
        ([OK], "all 1 checks passed"),
        ([OK, WARNING], "passed: 1, warnings: 1"),
        ([OK, UNKNOWN], "passed: 1, could not be checked: 1"),
        ([FAILED, UNKNOWN], "failed: 1, could not be checked: 1"),
    ],
)
def test_only_a_complete_check_is_called_passed(outcomes: list[str], text: str) -> None:
    assert doctor.summarize(find("a", "", outcome) for outcome in outcomes) == text


def test_findings_that_say_the_same_of_different_resources_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    many = [find("c", str(number), FAILED, "bad", "LOG") for number in range(12)]
    doctor._print([find("c", "x", OK), many[0], find("c", "y", FAILED, "worse"), *many[1:]])
    first, *_ = (line for line in capsys.readouterr().out.splitlines() if line.startswith("✗ c (12)"))
    assert first.startswith("✗ c (12) 0 (logid LOG), 1 (logid LOG), 2")
    assert first.endswith("9 (logid LOG) and 2 more (--json lists all)")


def judged(finding: Finding, outcome: str, text: str, advice: str = "") -> None:
    """Check a finding, and that it has advice exactly if something is to be done."""
    assert finding.outcome is outcome
    assert text in finding.text
    assert advice in finding.advice
    assert bool(finding.advice) == (outcome is not OK)


@pytest.mark.parametrize(
    ("arns", "email", "status"),
    [
        ([], "a@b.c", FAILED),
        (["arn:confirmed"], "a@b.c", OK),
        (["PendingConfirmation"], "a@b.c", FAILED),
        (["Deleted"], None, WARNING),
    ],
)
def test_somebody_is_told_of_alarms(arns: list[str], email: str | None, status: str) -> None:
    subscriptions = [{"Endpoint": "a@b.c", "SubscriptionArn": arn} for arn in arns]
    [finding] = doctor.judge_subscriptions("topic", subscriptions, email, "dev")
    assert finding.outcome is status


def response(status: int, body: Any, content_type: str = "application/problem+json") -> requests.Response:
    """Return a response of the endpoint."""
    found = requests.Response()
    found.status_code = status
    found._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    found.headers["Content-Type"] = content_type
    return found


HTML = response(502, "Bad Gateway", "text/html")
LOGIN = smoke.refused_login_probe("tt1")


@pytest.mark.parametrize(
    ("found", "status", "advice"),
    [
        (response(401, {"code": "unauthenticated", "request_id": "1"}), OK, ""),
        (response(503, {"code": "app_misconfigured", "request_id": "1"}), FAILED, "app add"),
        (HTML, FAILED, "make deploy STAGE=dev"),
        (response(401, {"code": "unauthenticated"}), FAILED, "make deploy STAGE=dev"),
        (response(502, {"code": "upstream_rejected", "request_id": "1"}), WARNING, "acceptance --login"),
    ],
)
def test_the_advice_on_a_refused_login_follows_the_problem(found: Any, status: str, advice: str) -> None:
    judged(doctor.judge_response("api.login", "https://x", found, LOGIN, "dev"), status, "", advice)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "ok", "version": "1", "commit": "a1"}, OK),
        ({"status": "ok", "version": "2", "commit": "a1"}, WARNING),
        ({"status": "ok", "version": "1", "commit": "a1+"}, WARNING),
        ({"message": "Forbidden"}, FAILED),
    ],
)
def test_another_version_or_commit_is_a_warning(body: Any, status: str) -> None:
    probe = smoke.health_probe(Build("1", "a1"))
    assert doctor.judge_response("api.health", "https://x", response(200, body), probe, "dev").outcome is status


def upstream(code: int) -> dict[str, Any]:
    return {"upstream": {"error_code": code, "sub_error_code": 0, "logid": "LOG"}}


@pytest.mark.parametrize(
    ("found", "status", "text", "advice"),
    [
        (response(200, {"certificates": []}), OK, "the endpoint returns a list", ""),
        (response(502, {"code": "upstream_rejected", **upstream(2119001)}), OK, "life_account_id is wrong", ""),
        (response(403, {"code": "merchant_not_authorized", **upstream(2119005)}), FAILED, "2119005", "authorize"),
        (response(429, {"code": "rate_limited", **upstream(2119003)}), UNKNOWN, "2119003", "fewer customers"),
        (response(404, {"code": "store_not_found"}), FAILED, "store_not_found", "docs/run.md, By code"),
        (HTML, FAILED, "HTTP 502", "make deploy STAGE=dev"),
    ],
)
def test_a_list_is_in_order_if_it_succeeds_or_the_platform_has_answered(
    found: Any, status: str, text: str, advice: str
) -> None:
    judged(doctor.judge_list("1", found, "dev"), status, text, advice)


@pytest.mark.parametrize(
    ("attributes", "status", "text", "advice"),
    [
        ({"app_id": {"S": "tt2"}}, FAILED, "its app tt2 is not in the secret", "app add tt2"),
        (
            {"app_id": {"N": "1"}},
            FAILED,
            "malformed row: Expected `str`, got `float` - at `$.app_id`",
            "merchant remove",
        ),
        ({"app_id": {"S": "tt1"}, "stores": {"M": {}}}, FAILED, "served in no store", "store add"),
        ({"app_id": {"S": "tt1"}, "active": {"BOOL": False}}, OK, "suspended", ""),
    ],
)
def test_a_row_is_judged_before_its_list_is_requested(attributes: Any, status: str, text: str, advice: str) -> None:
    items: list[Item] = [{"pk": {"S": "MERCHANT#1"}, "app_id": {"S": "tt1"}}, {"pk": {"S": "MERCHANT#2"}, **attributes}]
    merchants, [finding] = doctor.judge_merchants(items, ["tt1"], None)
    assert [merchant.account_id for merchant in merchants] == ["1"]
    assert finding.what == "2"
    judged(finding, status, text, advice)


def merchants(app_id: str, count: int) -> list[Merchant]:
    return [Merchant(f"{app_id}{n}", app_id, None, None, active=True) for n in range(count)]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        (merchants("a", 2), ["a0", "a1"]),
        (merchants("a", 500), [f"a{n}" for n in range(20)]),
        (merchants("a", 500) + merchants("b", 2), ["a0", "b0", *(f"a{n}" for n in range(1, 19))]),
    ],
)
def test_at_most_20_lists_are_requested_of_different_apps_first(rows: list[Merchant], chosen: list[str]) -> None:
    assert [merchant.account_id for merchant in doctor.choose_merchants(rows, None)] == chosen


@pytest.mark.parametrize(
    ("code", "upstream", "reason", "text", "advice"),
    [
        (
            "token_unavailable",
            UpstreamCodes(10003, 0, "LOG"),
            "",
            "app_misconfigured (platform error 10003)",
            "app add",
        ),
        ("rate_limited", UpstreamCodes(10020, 0), "", "10020", "another system"),
        ("merchant_not_authorized", UpstreamCodes(2100004, 11006), "", "2100004/11006", "商家自研服务"),
        ("upstream_unavailable", UpstreamCodes(424242, 0, "LOG"), "", "424242", "support"),
        ("upstream_timeout", UpstreamCodes(0, 0), "timeout", "upstream_timeout (timeout)", "NAT"),
    ],
)
def test_the_advice_fits_the_cause(code: str, upstream: UpstreamCodes, reason: str, text: str, advice: str) -> None:
    found = doctor.judge_failed_call("login", "tt1", code, upstream, reason)
    judged(found, FAILED, text, advice)
    assert found.logid == upstream.logid


def test_every_error_of_the_platform_has_advice() -> None:
    # A check logs in with an invalid code, so a refused one is what it expects.
    raised = {*doctor.PLATFORM_ERRORS.values()} - {errors.LoginRefusedError}
    assert {problem_for_error(error("")).view.code for error in raised} - doctor.ADVICE.keys() == set()
    assert doctor.ADVICE.keys() - PROBLEM_TYPES.keys() == set()


ITEM: Item = {"access_token": {"S": "t"}}


@pytest.mark.parametrize(
    ("row", "is_external", "status", "text"),
    [
        (TokenRow("t", int(NOW) + 1201), False, OK, "expires in 1201 s"),
        (
            TokenRow("t", int(NOW) + 1201, outcome="10013", item=ITEM),
            False,
            FAILED,
            "has failed: app_misconfigured (platform error 10013",
        ),
        (
            TokenRow("t", int(NOW) + 1201, outcome="2100004", item=ITEM),
            False,
            WARNING,
            "has failed: upstream_unavailable (platform error 2100004",
        ),
        (
            TokenRow("t", int(NOW) + 1201, outcome="12001", item=ITEM),
            False,
            WARNING,
            "has failed: rate_limited (platform error 12001",
        ),
        (
            TokenRow("t", int(NOW) + 1201, outcome="timeout", item=ITEM),
            False,
            WARNING,
            "the last renewal has failed (timeout)",
        ),
        (TokenRow("t", int(NOW) + 7000, outcome="10013", item=ITEM), False, OK, "expires in 7000 s"),
        (TokenRow("t", int(NOW) + 1201, outcome="10013"), True, OK, "of another system, valid"),
        (TokenRow("t", int(NOW) + 1200), False, WARNING, "the schedule has not renewed it"),
        (TokenRow("t", int(NOW) + 60), True, OK, "of another system, valid"),
        (TokenRow("t", int(NOW) - 60), True, FAILED, "has expired"),
        (TokenRow("t", int(NOW) - 60), False, FAILED, "has expired"),
        (TokenRow(), True, FAILED, "is missing or malformed"),
    ],
)
def test_a_short_token_is_a_warning_and_one_of_another_system_must_only_be_valid(
    row: TokenRow, is_external: bool, status: str, text: str
) -> None:
    judged(doctor.judge_token("tt1", row, NOW, is_minted_here=not is_external), status, text)


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "DescribeTable")


@pytest.mark.parametrize(
    ("check_id", "error", "text", "advice"),
    [
        ("merchant", aws_error("ResourceNotFoundException"), "it does not exist", "Lost or changed by hand"),
        ("secret", aws_error("InvalidRequestException"), "to be deleted", "Lost or changed by hand"),
        ("alarms.subscription", aws_error("NotFound"), "it does not exist", "run make deploy STAGE=dev"),
        # Without the table, nothing is said about what it holds.
        ("login", aws_error("ResourceNotFoundException"), "the table does not exist", "the check merchant"),
        ("token", aws_error("ResourceNotFoundException"), "the table does not exist", "the check merchant"),
        ("merchant", ClientError({"Error": {"Code": "UnknownOperationException"}}, "Scan"),
         "(UnknownOperationException) when calling the Scan", "this region may not have it"),
        ("merchant", aws_error("AccessDeniedException"), "no permission for DescribeTable",
         "policy douyin-redemption-dev-operator to your role (docs/run.md, Who may do what); if it is"),
        ("token", errors.StorageUnavailableError("AccessDeniedException"), "no permission for a token's row", ""),
        ("token", errors.StorageUnavailableError("ConnectTimeoutError"), "AWS cannot be reached", "AWS_ENDPOINT_URL"),
        ("merchant", aws_error("ExpiredToken"), "no longer valid (ExpiredToken)", "AWS_PROFILE"),
        ("merchant", aws_error("InternalServerError"), "AWS: An error occurred (InternalServerError)", "later"),
        ("merchant", NoCredentialsError(), "AWS credentials are missing", "AWS_PROFILE"),
        ("merchant", SSOTokenLoadError(profile_name="x", error_msg="x"), "AWS credentials are missing", "AWS_PROFILE"),
        ("merchant", ProfileNotFound(profile="x"), "AWS cannot be used: The config profile (x)", "AWS_PROFILE"),
        ("merchant", EndpointConnectionError(endpoint_url="x"), "AWS cannot be reached", "AWS_ENDPOINT_URL"),
    ],
)  # fmt: skip
def test_a_missing_resource_fails_and_another_error_of_aws_says_why_nothing_was_checked(
    check_id: str, error: Exception, text: str, advice: str
) -> None:
    outcome = FAILED if text in ("it does not exist", "to be deleted") else UNKNOWN
    judged(doctor.judge_error(check_id, "x", error, "dev"), outcome, text, advice)

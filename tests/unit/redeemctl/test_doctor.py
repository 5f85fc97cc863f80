"""The judgments of `redeemctl doctor`: tables of what was read and the outcome."""

import json
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from chalicelib import errors
from chalicelib.douyin import codes
from chalicelib.douyin.codes import CodeRow
from chalicelib.errors import Evidence
from chalicelib.merchants import Merchant
from chalicelib.tokens.rows import TokenRow
from infra import smoke
from infra.bundle import Build
from redeemctl.doctor import platform, resources
from redeemctl.doctor.findings import Finding, Status, exit_code, failed, group, not_checked, ok, summarize, warning
from redeemctl.secret import SecretVersion
from tests.unit.fakes import PROBLEM_TYPES

NOW = 1_800_000_000.0
OK, WARNING, FAILED, UNKNOWN = Status.OK, Status.WARNING, Status.FAILED, Status.NOT_CHECKED
ONE_OK = ok("a", "x", "fine")
ONE_WARNING = warning("b", "", "soon", "do")
ONE_FAILED = failed("c", "1", "bad", "do", "LOG1")
ONE_UNKNOWN = not_checked("d", "", "denied", "attach")


@pytest.mark.parametrize(
    ("findings", "code", "text"),
    [
        ([ONE_OK], 0, "all 1 checks passed"),
        ([ONE_OK, ONE_WARNING], 0, "checked: 2, nothing failed, warnings: 1"),
        ([ONE_OK, ONE_UNKNOWN], 6, "checked: 1, failed: 0, could not be checked: 1"),
        ([ONE_FAILED, ONE_UNKNOWN], 1, "checked: 1, failed: 1, could not be checked: 1"),
    ],
)
def test_only_a_complete_check_is_called_passed(findings: list[Finding], code: int, text: str) -> None:
    assert exit_code(findings) == code
    assert summarize(findings) == text


def test_findings_that_say_the_same_of_different_resources_are_one_group() -> None:
    same = failed("c", "2", "bad", "do", "LOG2")
    other = failed("c", "3", "worse", "do")
    assert group([ONE_FAILED, other, same]) == [[ONE_FAILED, same], [other]]


def test_a_finding_is_json_data_and_has_a_logid_only_from_the_platform() -> None:
    assert ONE_OK.to_json() == {"id": "a", "what": "x", "outcome": "ok", "text": "fine", "advice": ""}
    assert ONE_FAILED.to_json()["logid"] == "LOG1"


def judged(finding: Finding, status: Status, text: str, advice: str = "") -> None:
    """Check a finding, and that it has advice exactly if something is to be done."""
    assert finding.status is status
    assert text in finding.text
    assert advice in finding.advice
    assert bool(finding.advice) == (status is not OK)


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (({"tt1": "s"}, ["k" * 16]), OK, "apps: 1, session keys: 1"),
        (({}, ["k" * 16]), FAILED, "no app"),
        (({"tt1": "s"}, ["short"]), FAILED, "fewer than 16 characters"),
    ],
)
def test_the_secret_has_an_app_and_long_keys(content: Any, status: Status, text: str) -> None:
    version = SecretVersion("1", NOW, *content)
    judged(resources.judge_secret("secret", version), status, text)


@pytest.mark.parametrize(
    ("arns", "email", "status"),
    [
        ([], "a@b.c", FAILED),
        (["arn:confirmed"], "a@b.c", OK),
        (["PendingConfirmation"], "a@b.c", FAILED),
        (["Deleted"], None, WARNING),
    ],
)
def test_somebody_is_told_of_alarms(arns: list[str], email: str | None, status: Status) -> None:
    subscriptions = [{"Endpoint": "a@b.c", "SubscriptionArn": arn} for arn in arns]
    [finding] = resources.judge_subscriptions("topic", subscriptions, email, "dev")
    assert finding.status is status


def response(status: int, body: Any, content_type: str = "application/problem+json") -> requests.Response:
    """Return a response of the endpoint."""
    found = requests.Response()
    found.status_code = status
    found._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    found.headers["Content-Type"] = content_type
    return found


HTML = response(502, "Bad Gateway", "text/html")
LOGIN = smoke.refused_login("tt1")


@pytest.mark.parametrize(
    ("found", "status", "advice"),
    [
        (response(401, {"code": "unauthenticated", "request_id": "1"}), OK, ""),
        (response(503, {"code": "app_misconfigured", "request_id": "1"}), FAILED, "app add"),
        (response(504, {"code": "upstream_timeout", "request_id": "1"}), FAILED, "NAT"),
        (response(500, {"code": "internal_error", "request_id": "1"}), FAILED, "make rollback"),
        (HTML, FAILED, "make deploy STAGE=dev"),
        (response(401, {"code": "unauthenticated"}), FAILED, "make deploy STAGE=dev"),
        (response(502, {"code": "upstream_rejected", "request_id": "1"}), WARNING, "acceptance --login"),
        (response(503, {"code": "token_unavailable", "request_id": "1"}), FAILED, "the check token"),
    ],
)
def test_the_advice_on_a_refused_login_follows_the_problem(found: Any, status: Status, advice: str) -> None:
    judged(resources.judge_response("api.login", "https://x", found, LOGIN, "dev"), status, "", advice)


def upstream(code: int) -> dict[str, Any]:
    return {"upstream": {"error_code": code, "sub_error_code": 0, "logid": "LOG"}}


@pytest.mark.parametrize(
    ("found", "status", "text", "advice"),
    [
        (response(200, {"certificates": []}), OK, "the endpoint returns a list", ""),
        (response(502, {"code": "upstream_rejected", **upstream(2119001)}), OK, "platform error 2119001", ""),
        (response(403, {"code": "merchant_not_authorized", **upstream(2119005)}), FAILED, "2119005", "authorize"),
        (response(503, {"code": "app_not_permitted", **upstream(2190004)}), FAILED, "2190004", "step D5"),
        (response(429, {"code": "rate_limited", **upstream(2119003)}), UNKNOWN, "customers come first", "run doctor"),
        (response(503, {"code": "upstream_unavailable"}), FAILED, "HTTP 503 upstream_unavailable", "NAT"),
        (response(404, {"code": "store_not_found"}), FAILED, "HTTP 404 store_not_found", "docs/run.md"),
        (HTML, FAILED, "HTTP 502", "make deploy STAGE=dev"),
    ],
)
def test_a_list_is_in_order_if_it_succeeds_or_the_platform_has_answered(
    found: Any, status: Status, text: str, advice: str
) -> None:
    judged(resources.judge_list("1", found, "dev"), status, text, advice)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (response(200, {"certificates": []}), ""),
        (response(403, {"code": "merchant_not_authorized", **upstream(2119005)}), ""),
        (response(503, {"code": "upstream_unavailable", **upstream(2100004)}), ""),
        (response(429, {"code": "rate_limited"}), resources.RATE_LIMITED),
        (response(504, {"code": "upstream_timeout"}), resources.NO_ANSWER),
        (response(503, {"code": "token_unavailable"}), resources.NO_ANSWER),
    ],
)
def test_no_more_lists_are_requested_after_a_rate_limit_or_without_an_answer(found: Any, reason: str) -> None:
    assert resources.why_stop(found) == reason


@pytest.mark.parametrize(
    ("attributes", "status", "text", "advice"),
    [
        ({"app_id": {"S": "tt2"}}, FAILED, "its app tt2 is not in the secret", "app add tt2"),
        ({"app_id": {"N": "1"}}, FAILED, "malformed row: attribute app_id is not a string", "merchant remove"),
        ({"app_id": {"S": "tt1"}, "active": {"BOOL": False}}, OK, "suspended", ""),
        ({"app_id": {"S": "tt1"}, "redeeming": {"S": "off"}}, WARNING, "counts as off", "--redeeming on, or off"),
        ({"app_id": {"S": "tt1"}, "redeeming": {"N": "1"}}, WARNING, "counts as on", "--redeeming on, or off"),
    ],
)
def test_a_row_is_judged_before_its_list_is_requested(attributes: Any, status: Status, text: str, advice: str) -> None:
    healthy: Any = {"pk": {"S": "MERCHANT#1"}, "app_id": {"S": "tt1"}}
    found, [finding] = resources.judge_rows([healthy, {"pk": {"S": "MERCHANT#2"}, **attributes}], {"tt1"})
    assert list(found) == ["1", "2"]
    assert finding.what == "2"
    judged(finding, status, text, advice)


def merchants(app_id: str, count: int) -> list[Merchant]:
    return [Merchant(f"{app_id}{n}", app_id, None, None, active=True) for n in range(count)]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        (merchants("a", 2), ["a0", "a1"]),
        (merchants("a", 500), [f"a{n}" for n in range(20)]),
        (merchants("a", 500) + merchants("b", 2), ["a0", "b0", "a1", "b1", *(f"a{n}" for n in range(2, 18))]),
    ],
)
def test_at_most_20_lists_are_requested_of_different_apps_first(rows: list[Merchant], chosen: list[str]) -> None:
    assert [merchant.account_id for merchant in resources.choose_merchants(rows, None)] == chosen


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "ok", "version": "1", "commit": "a1"}, OK),
        ({"status": "ok", "version": "2", "commit": "a1"}, WARNING),
        ({"status": "ok", "version": "1", "commit": "a1+"}, WARNING),
        ({"message": "Forbidden"}, FAILED),
    ],
)
def test_another_version_or_commit_is_a_warning(body: Any, status: Status) -> None:
    probe = smoke.health(Build("1", "a1"))
    assert resources.judge_response("api.health", "https://x", response(200, body), probe, "dev").status is status


def unavailable(code: int) -> errors.RedemptionError:
    return errors.TokenUnavailableError("mint failed", Evidence(code, 0, "LOG"))


@pytest.mark.parametrize(
    ("error", "text", "advice"),
    [
        (unavailable(10003), "10003: the platform refuses app id or app secret", "app add APP_ID (检查"),
        (unavailable(10013), "secret; a new secret is used within five minutes", "app add APP_ID"),
        (unavailable(10020), "rate limited", "another system"),
        (errors.TokenRefusedError("x", evidence=Evidence(2190002, 0)), "refuses the access token", "token renew"),
        (errors.MerchantNotAuthorizedError("x", evidence=Evidence(2100004, 11006)), "2100004/11006: the merchant",
         "商家自研服务"),
        (errors.UpstreamRejectedError("x", evidence=Evidence(2119001, 0)), "invalid", "merchant show"),
        (errors.UpstreamUnavailableError("x", evidence=Evidence(424242, 0)),
         "unknown platform error 424242", "support"),
        (errors.UpstreamTimeoutError("timeout"), "no valid response from https://host", "network"),
        (errors.UpstreamUnavailableError("http_503"), "https://host answers HTTP 503", "wait for the platform"),
        (errors.UpstreamMalformedError("malformed"), "cannot be parsed", "support"),
        (errors.TokenUnavailableError("no new token in time"), "no token could be obtained", "in a minute"),
    ],
)  # fmt: skip
def test_the_advice_fits_the_cause_and_quotes_the_platform(error: Any, text: str, advice: str) -> None:
    found, hint, logid = platform.explain(error, "https://host")
    assert text in found
    assert advice in hint
    assert logid == error.evidence.logid


def test_every_code_of_the_platform_has_a_row_a_meaning_and_advice() -> None:
    tables = [value for value in vars(codes).values() if isinstance(value, tuple) and isinstance(value[0], CodeRow)]
    assert {row.code for table in tables for row in table} == platform.CODE_ROWS.keys()
    # A check logs in with an invalid code, so a refused one is what it expects.
    raised = {row.error for row in platform.CODE_ROWS.values()} - {errors.LoginRefusedError}
    assert raised == platform._MEANINGS.keys()


def test_the_advice_on_problems_names_codes_of_the_service() -> None:
    assert resources._ADVICE.keys() - PROBLEM_TYPES.keys() == set()


@pytest.mark.parametrize(
    ("row", "is_foreign", "status", "text"),
    [
        (TokenRow("t", int(NOW) + 1201), False, OK, "expires in 1201 s"),
        (TokenRow("t", int(NOW) + 1201, outcome="10013"), False, FAILED, "has failed: platform error 10013: the"),
        (TokenRow("t", int(NOW) + 1201, outcome="timeout"), False, WARNING, "the last renewal has failed (timeout)"),
        (TokenRow("t", int(NOW) + 1201, outcome="10013"), True, OK, "of another system, valid"),
        (TokenRow("t", int(NOW) + 1200), False, WARNING, "the schedule has not renewed it"),
        (TokenRow("t", int(NOW) + 60), True, OK, "of another system, valid"),
        (TokenRow("t", int(NOW) - 60), True, FAILED, "has expired"),
        (TokenRow("t", int(NOW) - 60), False, FAILED, "has expired"),
        (TokenRow(), True, FAILED, "is missing or malformed"),
        (TokenRow("t", int(NOW) + 86_400), True, OK, "valid"),
        (TokenRow("t", int(NOW) + 86_401), True, FAILED, "expires in more than a day"),
        (
            TokenRow.from_item({"access_token": {"S": "t"}, "expires_at": {"N": f"{int(NOW) + 60}000"}}),
            True,
            OK,
            "valid",
        ),
    ],
)
def test_a_short_token_is_a_warning_and_one_of_another_system_must_only_be_valid(
    row: TokenRow, is_foreign: bool, status: Status, text: str
) -> None:
    judged(platform.judge_token("tt1", row, NOW, is_foreign=is_foreign), status, text)


def aws_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "DescribeTable")


@pytest.mark.parametrize(
    ("check_id", "error", "text", "advice"),
    [
        ("merchant", aws_error("ResourceNotFoundException"), "it does not exist", "Lost or changed by hand"),
        ("secret", aws_error("InvalidRequestException"), "to be deleted", "Lost or changed by hand"),
        ("alarms.subscription", aws_error("NotFound"), "it does not exist", "run make deploy STAGE=dev"),
    ],
)
def test_a_missing_resource_fails(check_id: str, error: Exception, text: str, advice: str) -> None:
    judged(resources.judge_error(check_id, "x", error, "dev"), FAILED, text, advice)


@pytest.mark.parametrize(
    ("check_id", "error", "text", "advice"),
    [
        # Without the table, nothing is said about what it holds.
        ("login", aws_error("ResourceNotFoundException"), "the table does not exist", "the check merchant"),
        ("token", aws_error("ResourceNotFoundException"), "the table does not exist", "the check merchant"),
        ("merchant", ClientError({"Error": {"Code": "UnknownOperationException"}}, "Scan"),
         "(UnknownOperationException) when calling the Scan", "this region may not have it"),
        ("merchant", aws_error("AccessDeniedException"), "no permission for DescribeTable",
         "policy douyin-redemption-dev-operator to your role (docs/run.md, Who may do what); if it is"),
        ("token", errors.StorageUnavailableError("AccessDeniedException"), "no permission for GetItem", ""),
        ("merchant", aws_error("ExpiredToken"), "AWS refuses the credentials (ExpiredToken)", "AWS_PROFILE"),
        ("merchant", aws_error("InternalServerError"), "AWS: An error occurred (InternalServerError)", "later"),
        ("merchant", NoCredentialsError(), "no AWS credentials", "AWS_PROFILE"),
        ("merchant", EndpointConnectionError(endpoint_url="x"), "AWS cannot be reached", "AWS_ENDPOINT_URL"),
    ],
)  # fmt: skip
def test_another_error_of_aws_says_why_nothing_was_checked(
    check_id: str, error: Exception, text: str, advice: str
) -> None:
    judged(resources.judge_error(check_id, "x", error, "dev"), UNKNOWN, text, advice)

"""The judgments of `redeemctl doctor`. `tests/unit/infra/test_smoke.py` has those of responses."""

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from botocore import exceptions as aws

from chalicelib import errors
from chalicelib.errors import UpstreamCodes
from chalicelib.tokens.rows import TokenRow
from infra import smoke
from infra.smoke import Result
from infra.stage_settings import StageError
from redeemctl import doctor
from redeemctl.doctor import FAILED, OK, UNKNOWN, WARNING, Doctor, Finding
from tests.unit.fakes import NOW


@pytest.mark.parametrize(
    ("outcomes", "text"),
    [
        ([OK], "all 1 checks passed"),
        ([OK, WARNING], "passed: 1, warnings: 1"),
        ([FAILED, UNKNOWN, UNKNOWN], "failed: 1, could not be checked: 2"),
    ],
)
def test_only_a_complete_check_is_called_passed(outcomes: list[str], text: str) -> None:
    assert doctor.summarize(Finding("a", "", outcome, "") for outcome in outcomes) == text


def test_a_finding_is_printed_with_its_resource_its_logid_and_the_advice(capsys: pytest.CaptureFixture[str]) -> None:
    doctor._print(Finding("merchant", "71", FAILED, "refused", "authorize it", "LOG"))
    doctor._print(Finding("merchant", "", OK, "found"))
    assert capsys.readouterr().out == "✗ merchant 71: refused (logid LOG)\n    → authorize it\n✓ merchant: found\n"


def judged(finding: Finding, outcome: str, text: str, advice: str = "") -> None:
    """Check a finding, and that it has advice exactly if something is to be done."""
    assert finding.outcome is outcome
    assert text in finding.text
    assert advice in finding.advice
    assert bool(finding.advice) == (outcome is not OK)


def diagnose(check: str, *arguments: Any, account_id: str | None = None, **stage: Any) -> tuple[list[Finding], Any]:
    """Make a check of a stage; return its findings and its result."""
    findings, run = [], getattr(Doctor(mock.Mock(**stage), mock.Mock(), account_id), check)(*arguments)
    try:
        while True:
            findings.append(next(run))
    except StopIteration as end:
        return findings, end.value


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
    subscriptions = {"Subscriptions": [{"Endpoint": "a@b.c", "SubscriptionArn": arn} for arn in arns]}
    pages = SimpleNamespace(paginate=lambda **_: SimpleNamespace(build_full_result=lambda: subscriptions))
    account = mock.Mock(client=lambda _: SimpleNamespace(get_paginator=lambda _: pages))
    [finding], _ = diagnose("_check_alarms", "topic", aws_account=account, settings=SimpleNamespace(alarm_email=email))
    judged(finding, status, "")


@pytest.mark.parametrize(
    ("check", "result", "status", "text", "advice"),
    [
        ("api.table", Result("", "HTTP 404"), OK, "HTTP 404", ""),
        ("api.health", Result("other_build", "x"), WARNING, "x", "after a rollback"),
        ("api.health", Result("broken", "HTTP 502"), FAILED, "HTTP 502", "make deploy"),
        ("api.health", Result("not_in_dns", "x"), FAILED, "x", "CNAME"),
        ("login", Result("", "HTTP 401"), OK, "the endpoint refuses an invalid code", ""),
        ("login", Result("no_answer", "x"), FAILED, "x", "By code: upstream_unavailable"),
        ("login", Result("app_misconfigured", "x", UpstreamCodes(1, 0, "LOG")), FAILED, "x", "By code: app_misconf"),
        ("login", Result("upstream_rejected", "x"), WARNING, "x", "acceptance --login"),
        ("merchant", Result("", "HTTP 200"), OK, "the endpoint returns a list", ""),
        ("merchant", Result("upstream_rejected", "x"), OK, "x: the user does not exist", ""),
        ("merchant", Result("rate_limited", "x", UpstreamCodes(1, 0, "LOG")), UNKNOWN, "x", "fewer customers"),
        ("merchant", Result("upstream_unavailable", "x", UpstreamCodes(1, 0, "LOG")), FAILED, "x", "support"),
    ],
)
def test_the_outcome_and_the_advice_follow_the_code(
    check: str, result: Result, status: str, text: str, advice: str
) -> None:
    finding = doctor.report(check, "x", result)
    judged(finding, status, text, advice)
    assert finding.logid == result.upstream.logid


@pytest.mark.parametrize(
    ("attributes", "status", "text", "advice"),
    [
        ({"app_id": {"S": "tt2"}}, FAILED, "its app tt2 is not in the secret", "app add tt2"),
        ({"app_id": {"N": "1"}}, FAILED, "malformed row: Expected `str`, got `float` - at `$.app_id`", "merchant rem"),
        ({"app_id": {"S": "tt1"}, "stores": {"M": {}}}, FAILED, "served in no store", "store add"),
        ({"app_id": {"S": "tt1"}, "active": {"BOOL": False}}, OK, "suspended", ""),
    ],
)
def test_a_row_is_judged_before_its_list_is_requested(attributes: Any, status: str, text: str, advice: str) -> None:
    items = [{"pk": {"S": "MERCHANT#1"}, "app_id": {"S": "tt1"}}, {"pk": {"S": "MERCHANT#2"}, **attributes}]
    table = SimpleNamespace(list_all=lambda: items)
    [finding], merchants = diagnose("_check_rows", ["tt1"], merchants=table)
    assert [merchant.account_id for merchant in merchants] == ["1"]
    assert finding.what == "2"
    judged(finding, status, text, advice)
    findings, merchants = diagnose("_check_rows", ["tt1"], account_id="1", merchants=table)
    assert (findings, [merchant.account_id for merchant in merchants]) == ([], ["1"])


@pytest.mark.parametrize("account_id", [None, "9"])
def test_a_table_without_merchants_or_without_the_given_one_fails(account_id: str | None) -> None:
    table = SimpleNamespace(list_all=list)
    [finding], merchants = diagnose("_check_rows", ["tt1"], account_id=account_id, merchants=table)
    judged(finding, FAILED, "there is no row in the table", "merchant add")
    assert (finding.what, merchants) == (account_id or "", [])


@pytest.mark.parametrize(
    ("code", "count", "found"),
    [
        ("", 20, dict.fromkeys(map(str, range(20)), OK)),
        ("", 30, {**dict.fromkeys(map(str, range(20)), OK), "the others": OK}),
        ("token_unavailable", 3, {"0": FAILED, "1": OK, "2": OK}),
        ("no_answer", 3, {"0": FAILED, "the others": UNKNOWN}),
        ("rate_limited", 3, {"0": UNKNOWN, "the others": UNKNOWN}),
        ("rate_limited", 1, {"0": UNKNOWN}),
    ],
)
def test_at_most_20_lists_are_requested_and_none_after_a_rate_limit(
    monkeypatch: pytest.MonkeyPatch, code: str, count: int, found: dict[str, str]
) -> None:
    """The first list ends with `code`, the others are good."""
    results = iter([Result(code, "x")])
    monkeypatch.setattr(smoke, "request", lambda *_: next(results, Result("", "x")))
    findings, _ = diagnose("_send", "merchant", "url", dict.fromkeys(map(str, range(count))))
    assert {finding.what: finding.outcome for finding in findings} == found


def row(seconds: int, outcome: str = "") -> TokenRow:
    return TokenRow("t", int(NOW) + seconds, outcome=outcome, item={"access_token": {"S": "t"}})


@pytest.mark.parametrize(
    ("row", "is_external", "status", "text", "advice"),
    [
        (row(1201), False, OK, "expires in 1201 s", ""),
        (row(1201, "10013"), False, WARNING, "the last renewal has failed: 10013", "Tokens"),
        (row(-1, "timeout"), False, FAILED, "the last renewal has failed: timeout", "Tokens"),
        (row(7000, "10013"), False, OK, "expires in 7000 s", ""),
        (row(1200), False, WARNING, "expires in 1200 s, and the schedule has not renewed it", "Dead schedule"),
        (row(60, "10013"), True, OK, "of another system, valid", ""),
        (row(-60), True, FAILED, "has expired", "Tokens"),
        (row(-60), False, FAILED, "has expired", "Tokens"),
        (TokenRow(), True, FAILED, "is missing or malformed", "Tokens"),
    ],
)
def test_a_short_token_is_a_warning_and_one_of_another_system_must_only_be_valid(
    row: TokenRow, is_external: bool, status: str, text: str, advice: str
) -> None:
    judged(doctor.judge_token("tt1", row, NOW, is_minted_here=not is_external), status, text, advice)


def aws_error(code: str) -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": ""}}, "DescribeTable")


@pytest.mark.parametrize(
    ("error", "status", "text", "advice"),
    [
        (errors.ConfigurationError("the secret is malformed"), FAILED, "the secret is malformed", "A former state"),
        (StageError("this stage has 2 REST APIs\ndelete one"), FAILED, "2 REST APIs", "delete one"),
        (aws_error("ResourceNotFoundException"), FAILED, "it does not exist", "Lost or changed by hand"),
        (aws_error("InvalidRequestException"), FAILED, "to be deleted", "run make deploy STAGE=dev"),
        (aws_error("NotFound"), FAILED, "it does not exist", "run make deploy STAGE=dev"),
        (aws.ClientError({"Error": {"Code": "UnknownOperationException"}}, "Scan"), UNKNOWN,
         "(UnknownOperationException) when calling the Scan", "this region may not have it"),
        (aws_error("AccessDeniedException"), UNKNOWN, "no permission for DescribeTable",
         "policy douyin-redemption-dev-operator to your role (docs/run.md, Who may do what); if it is"),
        (errors.StorageUnavailableError("AccessDeniedException"), UNKNOWN, "no permission for a token's row", ""),
        (errors.StorageUnavailableError("ConnectTimeoutError"), UNKNOWN, "AWS cannot be reached", "AWS_ENDPOINT_URL"),
        (aws_error("ExpiredToken"), UNKNOWN, "no longer valid (ExpiredToken)", "AWS_PROFILE"),
        (aws_error("InternalServerError"), UNKNOWN, "AWS: An error occurred (InternalServerError)", "later"),
        (aws.NoCredentialsError(), UNKNOWN, "AWS credentials are missing", "AWS_PROFILE"),
        (aws.SSOTokenLoadError(profile_name="x", error_msg="x"), UNKNOWN, "AWS credentials are missing", "AWS_PROFILE"),
        (aws.ProfileNotFound(profile="x"), UNKNOWN, "AWS cannot be used: The config profile (x)", "AWS_PROFILE"),
        (aws.EndpointConnectionError(endpoint_url="x"), UNKNOWN, "AWS cannot be reached", "AWS_ENDPOINT_URL"),
    ],
)  # fmt: skip
def test_a_missing_resource_fails_and_another_error_of_aws_says_why_nothing_was_checked(
    error: Exception, status: str, text: str, advice: str
) -> None:
    judged(doctor.judge_error("merchant", "x", error, "dev"), status, text, advice)

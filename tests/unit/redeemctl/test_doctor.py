"""The judgments of `redeemctl doctor`: tables of what was read and the outcome."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from chalicelib import errors
from chalicelib.credentials import Credentials
from chalicelib.errors import Evidence
from chalicelib.merchants import Merchant
from chalicelib.tokens.lease import TokenRow
from infra.bundle import ROOT
from infra.stage_settings import Domain
from redeemctl.doctor import endpoint, monitoring, platform, resources
from redeemctl.doctor.checks import (
    AWS_CHECKS,
    DOMAIN_CHECKS,
    TRACING_CHECKS,
    alarm_names,
    summarize_line,
    take_sample,
)
from redeemctl.doctor.command import system_language
from redeemctl.doctor.findings import (
    NO_TEXT,
    Finding,
    Outcome,
    Text,
    exit_code,
    failed,
    not_checked,
    ok,
    summarize,
    warning,
)
from redeemctl.doctor.monitoring import Series
from redeemctl.secret import SecretVersion

NOW = 1_800_000_000.0
TODAY = datetime.fromtimestamp(NOW, UTC)
ARN = "arn:aws:acm:us-east-1:000000000000:certificate/sample"
ONE_OK = ok("a", "", "fine", "正常")
ONE_WARNING = warning("b", "", Text("soon", "即将"), Text("do", "做"))
ONE_FAILED = failed("c", "", Text("bad", "坏"), Text("do", "做"))
ONE_UNKNOWN = not_checked("d", "", Text("denied", "无权限"))


@pytest.mark.parametrize(
    ("findings", "skipped", "code", "english"),
    [
        ([ONE_OK], 0, 0, "all 1 checks passed"),
        ([ONE_OK, ONE_WARNING], 0, 0, "checked: 2, nothing failed, warnings: 1"),
        ([ONE_OK], 7, 0, "checked: 1, nothing failed, merchants not in the sample: 7"),
        ([ONE_OK, ONE_UNKNOWN], 0, 6, "checked: 1, failed: 0, could not be checked: 1"),
        ([ONE_FAILED, ONE_UNKNOWN], 0, 1, "checked: 1, failed: 1, could not be checked: 1"),
    ],
)
def test_only_a_complete_check_is_called_passed(findings: list[Finding], skipped: int, code: int, english: str) -> None:
    assert exit_code(findings) == code
    assert summarize(findings, skipped).english == english


@pytest.mark.parametrize("name", ["operate.md", "operate.zh-CN.md"])
def test_every_check_is_documented(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    section = text.split("\n## doctor\n")[1].split("\n## ")[0]
    documented = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
    assert documented == {*AWS_CHECKS, *DOMAIN_CHECKS, *TRACING_CHECKS, "settings", "aws.identity", "aws.permissions"}


def test_the_advice_in_json_is_in_the_language_of_the_run() -> None:
    assert ONE_FAILED.to_json("zh") == {
        "id": "c", "what": "", "outcome": "failed", "english": "bad", "chinese": "坏", "advice": "做",
    }  # fmt: skip
    assert ONE_FAILED.to_json("en")["advice"] == "do"


@pytest.mark.parametrize(
    ("environ", "language"),
    [({}, "en"), ({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LANG": "zh_CN", "LC_ALL": "C"}, "en"), ({"LANG": "de"}, "en")],
)
def test_the_language_is_that_of_the_locale(environ: dict[str, str], language: str) -> None:
    assert system_language(environ) == language


@pytest.mark.parametrize(
    ("skew", "outcome"), [(0.0, Outcome.OK), (-30.0, Outcome.OK), (31.0, Outcome.FAILED), (-600.0, Outcome.FAILED)]
)
def test_a_clock_may_differ_by_30_seconds(skew: float, outcome: Outcome) -> None:
    finding = resources.judge_clock(skew)
    assert finding is not None
    assert finding.outcome is outcome
    assert resources.judge_clock(None) is None


TABLE = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "TableStatus": "ACTIVE",
    "DeletionProtectionEnabled": True,
}
BACKUPS = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}}


@pytest.mark.parametrize(
    ("table", "backups", "english"),
    [
        (TABLE, BACKUPS, "as in the template"),
        (None, {}, "does not exist"),
        ({**TABLE, "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}, BACKUPS, "partition key"),
        ({**TABLE, "TableStatus": "CREATING"}, BACKUPS, "CREATING"),
        ({**TABLE, "DeletionProtectionEnabled": False}, BACKUPS, "not enabled: deletion protection"),
        (TABLE, {}, "not enabled: point-in-time recovery"),
    ],
)
def test_the_table_must_be_as_in_the_template(table: Any, backups: Any, english: str) -> None:
    finding = resources.judge_table("table", table, backups, "dev")
    assert english in finding.text.english
    assert (finding.outcome is Outcome.OK) == (english == "as in the template")


@pytest.mark.parametrize(
    ("apps", "keys", "advice"),
    [({"tt1": "s"}, ["k" * 16], ""), ({}, ["k" * 16], "app add"), ({"tt1": "s"}, ["short"], "session-key add")],
)
def test_the_secret_has_an_app_and_long_keys(apps: dict[str, str], keys: list[str], advice: str) -> None:
    version = SecretVersion("1", Credentials(apps, keys), NOW, NOW, {})
    assert advice in resources.judge_secret("secret", version, "dev").advice.english


def test_values_of_variables_are_not_shown() -> None:
    function = {"Configuration": {"State": "Active", "LastUpdateStatus": "Successful", "Environment": {
        "Variables": {"A": "old-value", "B": "same"}}}}  # fmt: skip
    expected = {"state": "Active", "environment": {"A": "new-value", "B": "same", "C": "x"}}
    finding = resources.judge_function("f", function, expected, "dev")
    assert finding.text == Text("variables differ: A, C", "环境变量不一致：A, C")
    pending = {"Configuration": {"State": "Failed", "StateReason": "EFS"}}
    finding = resources.judge_function("f", pending, {"state": "Active"}, "dev")
    assert finding.text.english == "state is Failed, expected Active (EFS)"


@pytest.mark.parametrize(
    ("runtime", "configured", "today", "outcome"),
    [
        ("python3.12", "3.12", date(2026, 11, 25), Outcome.OK),
        ("python3.12", None, date(2026, 11, 25), Outcome.OK),
        ("python3.11", None, date(2026, 12, 31), Outcome.OK),
        ("python3.11", None, date(2027, 1, 2), Outcome.WARNING),
        ("python3.11", None, date(2027, 7, 1), Outcome.FAILED),
        ("python3.11", "3.12", date(2026, 11, 25), Outcome.FAILED),
        ("python3.9", None, date(2026, 11, 25), Outcome.FAILED),
    ],
)
def test_a_runtime_is_the_configured_one_and_supported(
    runtime: str, configured: str | None, today: date, outcome: Outcome
) -> None:
    [finding] = resources.judge_runtimes({"f": runtime}, configured, today, "dev")
    assert finding.outcome is outcome


def test_two_functions_have_the_same_runtime() -> None:
    findings = resources.judge_runtimes({"f": "python3.12", "g": "python3.13"}, None, date(2026, 1, 1), "dev")
    assert [finding.outcome for finding in findings] == [Outcome.OK, Outcome.FAILED]


@pytest.mark.parametrize(
    ("limits", "reserved", "outcome"),
    [
        ({"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}, None, Outcome.OK),
        ({"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}, None, Outcome.WARNING),
        ({"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}, 50, Outcome.WARNING),
    ],
)
def test_a_low_concurrency_is_a_warning(limits: dict[str, int], reserved: int | None, outcome: Outcome) -> None:
    assert resources.judge_concurrency(limits, reserved).outcome is outcome


RULE = {"State": "ENABLED", "ScheduleExpression": "rate(10 minutes)"}
TARGET = {"Arn": "arn:aws:lambda:us-east-1:000000000000:function:douyin-redemption-dev-refresh_tokens"}
POLICY = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Condition": {
    "ArnLike": {"AWS:SourceArn": "arn:aws:events:us-east-1:000000000000:rule/rule"}}}]}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "targets", "policy", "english"),
    [
        (RULE, [TARGET], json.dumps(POLICY), "enabled, rate(10 minutes)"),
        (None, [], "{}", "the rule does not exist"),
        ({**RULE, "State": "DISABLED"}, [TARGET], json.dumps(POLICY), "state is DISABLED, expected ENABLED"),
        ({**RULE, "ScheduleExpression": "rate(1 day)"}, [TARGET], json.dumps(POLICY), "expression is rate(1 day)"),
        (RULE, [], json.dumps(POLICY), "target is None"),
        (RULE, [TARGET], '{"Statement": []}', "EventBridge may not invoke the function"),
    ],
)
def test_a_schedule_is_enabled_and_invokes_its_function(
    rule: Any, targets: list[Any], policy: str, english: str
) -> None:
    assert english in resources.judge_schedule("rule", rule, targets, policy, "dev").text.english


@pytest.mark.parametrize(
    ("status", "days", "outcome"),
    [
        ("ISSUED", 200, Outcome.OK),
        ("ISSUED", 29, Outcome.WARNING),
        ("ISSUED", -1, Outcome.FAILED),
        ("PENDING_VALIDATION", 200, Outcome.FAILED),
        (None, 0, Outcome.FAILED),
    ],
)
def test_a_certificate_is_issued_and_lasts_30_days(status: str | None, days: int, outcome: Outcome) -> None:
    certificate = {"Status": status, "NotAfter": TODAY + timedelta(days=days, hours=1)} if status else None
    assert resources.judge_certificate(ARN, certificate, "api.example.com", TODAY).outcome is outcome


@pytest.mark.parametrize(
    ("found", "mappings", "english"),
    [
        ({"regionalCertificateArn": ARN}, [{"restApiId": "abc"}], "mapped to the API"),
        (None, [], "API Gateway does not know the domain"),
        ({"regionalCertificateArn": "other"}, [{"restApiId": "abc"}], "another certificate"),
        ({"regionalCertificateArn": ARN}, [{"restApiId": "old"}], "not mapped to the API abc"),
        ({"regionalCertificateArn": ARN, "domainNameStatus": "PENDING"}, [{"restApiId": "abc"}], "PENDING"),
    ],
)
def test_a_domain_is_mapped_to_the_api(found: Any, mappings: list[Any], english: str) -> None:
    domain = Domain("api.example.com", ARN)
    assert english in resources.judge_domain(domain, found, mappings, "abc", "dev").text.english


@pytest.mark.parametrize(
    ("group", "outcome"),
    [({"retentionInDays": 30}, Outcome.OK), ({}, Outcome.WARNING), (None, Outcome.FAILED)],
)
def test_a_log_group_exists_and_expires(group: dict[str, Any] | None, outcome: Outcome) -> None:
    groups = [] if group is None else [{"logGroupName": "g", **group}]
    [finding] = resources.judge_log_groups(["g"], groups, "dev")
    assert finding.outcome is outcome


@pytest.mark.parametrize(
    ("points", "outcome"),
    [
        ((), Outcome.OK),
        (((NOW - 60, 0.0),), Outcome.OK),
        (((NOW - 60, 2.0),), Outcome.FAILED),
        (((NOW - 7200, 2.0), (NOW - 60, 0.0)), Outcome.WARNING),
    ],
)
def test_recent_errors_fail_and_older_ones_warn(points: tuple[tuple[float, float], ...], outcome: Outcome) -> None:
    assert monitoring.judge_errors("f", Series(points), NO_TEXT, NOW).outcome is outcome
    assert monitoring.judge_throttles("f", Series(points), NOW).outcome is outcome
    assert monitoring.judge_api_throttles("dev", Series(points), NOW).outcome is outcome


@pytest.mark.parametrize(
    ("today", "outcome"),
    [(date(2026, 8, 1), Outcome.OK), (date(2026, 11, 25), Outcome.WARNING), (date(2028, 1, 1), Outcome.WARNING)],
)
def test_the_end_of_the_tracing_sdk_is_a_warning(today: date, outcome: Outcome) -> None:
    assert resources.judge_tracing_sdk(today, "dev").outcome is outcome


@pytest.mark.parametrize(
    ("points", "deployed_at", "outcome"),
    [
        (((NOW - 600, 1.0),), None, Outcome.OK),
        ((), NOW - 60, Outcome.WARNING),
        ((), NOW - 7200, Outcome.FAILED),
        ((), None, Outcome.FAILED),
        (((NOW - 7200, 1.0),), NOW - 90000, Outcome.FAILED),
    ],
)
def test_the_schedule_ran_in_the_last_25_minutes(
    points: tuple[tuple[float, float], ...], deployed_at: float | None, outcome: Outcome
) -> None:
    assert monitoring.judge_last_run("f", Series(points), deployed_at, NOW, "dev").outcome is outcome


def test_alarms_are_in_ok_complete_and_switched_on() -> None:
    alarms: list[dict[str, Any]] = [
        {"AlarmName": "a", "StateValue": "OK"},
        {"AlarmName": "b", "StateValue": "ALARM", "StateReason": "threshold crossed"},
        {"AlarmName": "c", "StateValue": "INSUFFICIENT_DATA", "ActionsEnabled": False},
    ]
    findings = monitoring.judge_alarms(["a", "b", "d"], alarms, "dev")
    assert [(f.what, f.outcome) for f in findings] == [
        ("b", Outcome.FAILED),
        ("c", Outcome.WARNING),
        ("d", Outcome.FAILED),
    ]
    assert [f.outcome for f in monitoring.judge_alarms(["a"], alarms[:1], "dev")] == [Outcome.OK]
    assert [f.outcome for f in monitoring.judge_alarms(["a"], [], "dev")] == [Outcome.FAILED]


def subscription(endpoint_: str, arn: str = "arn:confirmed") -> dict[str, str]:
    return {"Endpoint": endpoint_, "SubscriptionArn": arn}


@pytest.mark.parametrize(
    ("subscriptions", "email", "outcomes"),
    [
        (None, None, [Outcome.FAILED]),
        ([], None, [Outcome.WARNING]),
        ([], "a@b.c", [Outcome.FAILED]),
        ([subscription("a@b.c")], "a@b.c", [Outcome.OK]),
        ([subscription("a@b.c", "PendingConfirmation")], "a@b.c", [Outcome.FAILED]),
        ([subscription("a@b.c", "Deleted")], None, [Outcome.WARNING]),
    ],
)
def test_somebody_is_told_of_alarms(subscriptions: Any, email: str | None, outcomes: list[Outcome]) -> None:
    findings = monitoring.judge_subscriptions("topic", subscriptions, email, "dev")
    assert [finding.outcome for finding in findings] == outcomes


def test_alarm_names_are_those_of_the_template() -> None:
    names = alarm_names("dev")
    assert names
    assert all(name.startswith("douyin-redemption-dev-") for name in names)


class Response:
    """A response of the endpoint."""

    def __init__(self, status: int, body: Any, content_type: str = "application/problem+json") -> None:
        self.status_code = status
        self.text = body if isinstance(body, str) else json.dumps(body)
        self.headers = {"Content-Type": content_type}

    def json(self) -> Any:
        return json.loads(self.text)


LOGIN = endpoint.refused_login("tt1")


@pytest.mark.parametrize(
    ("response", "outcome", "advice"),
    [
        (Response(401, {"code": "unauthenticated", "request_id": "1"}), Outcome.OK, ""),
        (Response(503, {"code": "app_misconfigured", "request_id": "1"}), Outcome.FAILED, "app add"),
        (Response(503, {"code": "unavailable", "request_id": "1"}), Outcome.FAILED, "table"),
        (Response(504, {"code": "upstream_timeout", "request_id": "1"}), Outcome.FAILED, "NAT"),
        (Response(500, {"code": "internal_error", "request_id": "1"}), Outcome.FAILED, "problems"),
        (Response(502, "Bad Gateway", "text/html"), Outcome.FAILED, "make deploy STAGE=dev"),
        (Response(401, {"code": "unauthenticated"}), Outcome.FAILED, "make deploy STAGE=dev"),
    ],
)
def test_the_advice_on_a_refused_login_follows_the_problem(response: Any, outcome: Outcome, advice: str) -> None:
    finding = endpoint.judge_problem("api.login", "https://x", response, LOGIN, "dev")
    assert finding.outcome is outcome
    assert advice in finding.advice.english


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"status": "ok", "version": "1"}, Outcome.OK),
        ({"status": "ok", "version": "2"}, Outcome.WARNING),
        ({"message": "Forbidden"}, Outcome.FAILED),
    ],
)
def test_another_version_is_a_warning(body: Any, outcome: Outcome) -> None:
    response: Any = Response(200, body, "application/json")
    assert endpoint.judge_health("https://x", response, "1", "dev").outcome is outcome


def unavailable(code: int, sub_code: int = 0) -> errors.RedemptionError:
    return errors.TokenUnavailableError("mint failed", Evidence(code, sub_code, "LOG"))


@pytest.mark.parametrize(
    ("error", "english", "chinese", "advice"),
    [
        (unavailable(10003), "refuses app id or app secret", "client_key不存在", "app add tt1"),
        (unavailable(10013), "refuses app id or app secret", "client_secret", "app add tt1"),
        (unavailable(10020), "rate limited", "500次", "another system"),
        (errors.TokenRefusedError("x", evidence=Evidence(2190002)), "refuses the access token", "无效", "token renew"),
        (
            errors.MerchantNotAuthorizedError("x", evidence=Evidence(2100004, 11006)),
            "2100004/11006",
            "授权关系",
            "authorize",
        ),
        (errors.UpstreamRejectedError("x", evidence=Evidence(2119001)), "invalid", "参数不合法", "merchant show"),
        (errors.UpstreamUnavailableError("x", evidence=Evidence(424242)), "unknown", "未知错误码", "support"),
        (errors.UpstreamTimeoutError("timeout"), "no valid response from https://host", "没有正常响应", "network"),
        (errors.UpstreamMalformedError("malformed"), "cannot be parsed", "无法解析", "support"),
        (errors.TokenUnavailableError("no new token in time"), "no token could be obtained", "无法获取", "in a minute"),
    ],
)
def test_the_advice_fits_the_cause(error: errors.RedemptionError, english: str, chinese: str, advice: str) -> None:
    text, hint = platform.explain(error, "tt1", "https://host")
    assert english in text.english
    assert chinese in text.chinese
    assert advice in hint.english
    assert hint.chinese


@pytest.mark.parametrize(
    ("seconds", "well", "outcome"),
    [
        (7200, True, Outcome.OK),
        (1500, True, Outcome.OK),
        (1100, True, Outcome.WARNING),
        (7200, False, Outcome.OK),
        (1500, False, Outcome.WARNING),
    ],
)
def test_a_short_token_is_a_warning(seconds: int, well: bool, outcome: Outcome) -> None:
    row = TokenRow(access_token="t", expires_at=int(NOW) + seconds)
    assert platform.judge_token("tt1", row, NOW, renewed=False, schedule_is_well=well).outcome is outcome


@pytest.mark.parametrize(
    ("row", "english"),
    [
        (TokenRow("t", int(NOW) + 60), "of another system, expires in 60 s"),
        (TokenRow("t", int(NOW) - 60), "has expired"),
        (TokenRow(), "is missing or malformed"),
    ],
)
def test_a_token_of_another_system_is_only_read(row: TokenRow, english: str) -> None:
    assert english in platform.judge_foreign_token("erp", row, NOW).text.english


@pytest.mark.parametrize(
    ("row", "outcome"), [(TokenRow("t", int(NOW) + 60), Outcome.WARNING), (TokenRow(), Outcome.OK)]
)
def test_a_token_that_no_merchant_uses_should_not_be_renewed(row: TokenRow, outcome: Outcome) -> None:
    assert platform.judge_unused_token("tt1", row).outcome is outcome


def test_a_failed_renewal_tells_how_long_the_present_token_lasts() -> None:
    row = TokenRow("t", int(NOW) + 60)
    finding = platform.judge_failed_renewal("tt1", unavailable(10013), "https://host", row, NOW)
    assert finding.text.english.endswith("; the present token expires in 60 s")


def test_a_sample_is_distributed_evenly() -> None:
    merchants = [Merchant(str(number), "tt1", "tt1", None, None, True) for number in range(10)]
    assert [merchant.account_id for merchant in take_sample(merchants, 4)] == ["0", "2", "5", "7"]
    assert take_sample(merchants, None) is merchants
    assert take_sample(merchants, 10) is merchants


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"level": "ERROR", "error": "KeyError at app.py:1", "message": "request"}', "KeyError at app.py:1"),
        ('{"errorMessage": "Unable to import", "errorType": "x"}', "Unable to import"),
        ("2026 abc Task timed\nout", "2026 abc Task timed out"),
        ("[1]", "[1]"),
    ],
)
def test_a_log_line_is_summarized(line: str, expected: str) -> None:
    assert summarize_line(line) == expected

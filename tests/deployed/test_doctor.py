"""`redeemctl doctor` on a healthy stage, and on stages that are broken in one way each."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from infra.bundle import copy_project
from infra.chalice_state import rule_name
from infra.stage_settings import settings_path
from sandbox import stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests import policies
from tests.aws_proxy import AwsHttpCall, AwsProxy, Refusal, run_aws_proxy
from tests.operators import TABLE, Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

RULE = rule_name(STAGE)
ACCESS_LOG = f"/aws/apigateway/{API_FUNCTION}"
LOG_GROUP = f"/aws/lambda/{API_FUNCTION}"
TOPIC = f"arn:aws:sns:us-east-1:000000000000:{API_FUNCTION}-alarms"
DOMAIN_SETTINGS = """[domain]
name = "api.example.invalid"
certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/sample"
"""
CHECK_IDS = {
    "settings", "aws.identity", "aws.permissions", "clock", "table", "secret", "function", "function.runtime",
    "function.errors", "function.throttles", "quota.concurrency", "api", "api.health", "api.unknown_route", "api.login",
    "api.throttles", "tracing.sdk",
    "schedule", "schedule.last_run", "alarms", "alarms.subscription", "logs", "login", "token", "merchant",
}  # fmt: skip
"""All checks of a stage without a domain."""


class DoctorOperator(Operator):
    """An operator behind a recording proxy; `calls` are the AWS calls of redeemctl."""

    def __init__(self, platform: stack.Process, proxy: AwsProxy, folder: Path) -> None:
        super().__init__(platform, proxy, folder)  # type: ignore[arg-type]  # only the URL is used
        self.proxy = proxy
        self.calls: list[AwsHttpCall] = []

    def run(self, *arguments: str, stdin: str = "", clock_offset: float = 0.0, **variables: str) -> Result:
        before = len(self.proxy.calls)
        result = super().run(*arguments, stdin=stdin, clock_offset=clock_offset, **variables)
        self.calls += self.proxy.calls[before:]
        return result

    def client(self, service: str) -> Any:
        return self.account.client(service)

    def redeploy(self) -> None:
        self.stack.deploy()

    def delete_tokens(self) -> None:
        for item in self.client("dynamodb").scan(TableName=TABLE)["Items"]:
            if item["pk"]["S"].startswith("TOKEN#"):
                self.client("dynamodb").delete_item(TableName=TABLE, Key={"pk": item["pk"]})

    def put_row(self, pk: str, **attributes: Any) -> None:
        self.client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": pk}, **attributes})

    def delete_row(self, pk: str) -> None:
        self.client("dynamodb").delete_item(TableName=TABLE, Key={"pk": {"S": pk}})

    def put_metric(self, name: str, function: str) -> None:
        dimensions = [{"Name": "FunctionName", "Value": function}]
        data = [{"MetricName": name, "Value": 1.0, "Unit": "Count", "Dimensions": dimensions}]
        self.client("cloudwatch").put_metric_data(Namespace="AWS/Lambda", MetricData=data)


@pytest.fixture(scope="module")
def operator(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorOperator]:
    """The tests of this module run in their order; each repairs what it has broken."""
    del archive
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    with (
        stack.run_server("sandbox.server") as platform,
        stack.run_server("sandbox.aws") as aws,
        run_aws_proxy(aws.url) as proxy,
    ):
        stack.set_platform_url(folder, platform.url)
        yield DoctorOperator(platform, proxy, folder)


def test_before_the_deployment_everything_is_missing_and_nothing_is_well(operator: DoctorOperator) -> None:
    """As a process, as the operator runs it."""
    command = [sys.executable, "-m", "redeemctl", "--project", str(operator.stack.folder), "doctor", "--json"]
    process = subprocess.run(command, env=operator.environment(), capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    findings = json.loads(process.stdout)
    assert {finding["id"] for finding in findings} == CHECK_IDS
    failed = {finding["id"]: finding for finding in findings if finding["outcome"] == "failed"}
    assert failed.keys() == {"table", "secret", "function", "api", "schedule", "alarms", "alarms.subscription", "logs"}
    assert all("make deploy STAGE=dev" in finding["advice"] for finding in failed.values())
    well = {finding["id"] for finding in findings if finding["outcome"] == "ok"}
    assert well <= {"aws.identity", "aws.permissions", "clock", "quota.concurrency", "function.errors",
                    "function.throttles", "api.throttles"}  # fmt: skip


def test_a_healthy_stage_passes_every_check(operator: DoctorOperator) -> None:
    operator.redeploy()
    stack.write_sample_data(operator.proxy.url, STAGE)
    findings = operator.diagnose()
    assert {finding["id"] for finding in findings} == CHECK_IDS
    # A new stage: nobody has subscribed, and the schedule has not run yet.
    assert {f["id"]: f["outcome"] for f in findings if f["outcome"] != "ok"} == {
        "alarms.subscription": "warning",
        "schedule.last_run": "warning",
        "tracing.sdk": "warning",
    }
    assert all(f["english"] and f["chinese"] for f in findings)
    assert all(bool(f["advice"]) == (f["outcome"] != "ok") for f in findings)
    operator.client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="oncall@example.com")
    operator.put_metric("Invocations", RENEWAL_FUNCTION)
    assert [finding["id"] for finding in operator.diagnose() if finding["outcome"] != "ok"] == ["tracing.sdk"]
    assert operator.succeed("doctor").splitlines()[-1].endswith("nothing failed, warnings: 1")
    chinese = operator.succeed("doctor", "--language", "zh")
    assert "未发现问题，1 项警告" in chinese.splitlines()[-1]
    assert "as in the template" not in chinese
    assert "与模板一致" in operator.succeed("doctor", LC_ALL="zh_CN.UTF-8")


class Breakage(NamedTuple):
    """How a stage is broken, and what doctor must say: the failed check, its advice; `also` may fail as a result."""

    make: Callable[[DoctorOperator], Any]
    check_id: str
    advice: str
    also: frozenset[str]
    outcome: str


BREAKAGES: dict[str, Breakage] = {}


def breakage(check_id: str, advice: str, *also: str, outcome: str = "failed") -> Callable[[Any], Any]:
    """Register a generator that breaks a stage, yields, and repairs it."""

    def register(make: Any) -> Any:
        BREAKAGES[make.__name__] = Breakage(make, check_id, advice, frozenset(also), outcome)
        return make

    return register


@breakage("function", "make deploy STAGE=dev", "api.health", "api.login", "api.unknown_route", "schedule")
def http_function_deleted(operator: DoctorOperator) -> Iterator[None]:
    operator.client("lambda").delete_function(FunctionName=API_FUNCTION)
    yield
    operator.redeploy()


@breakage("function", "make deploy STAGE=dev", "schedule")
def scheduled_function_deleted(operator: DoctorOperator) -> Iterator[None]:
    operator.client("lambda").delete_function(FunctionName=RENEWAL_FUNCTION)
    yield
    operator.redeploy()


@breakage("api", "make deploy STAGE=dev")
def api_deleted(operator: DoctorOperator) -> Iterator[None]:
    client = operator.client("apigateway")
    [api] = client.get_rest_apis()["items"]
    client.delete_rest_api(restApiId=api["id"])
    yield
    operator.redeploy()


@breakage("api", "make deploy STAGE=dev", "api.health", "api.login", "api.unknown_route")
def api_stage_deleted(operator: DoctorOperator) -> Iterator[None]:
    client = operator.client("apigateway")
    [api] = client.get_rest_apis()["items"]
    client.delete_stage(restApiId=api["id"], stageName="api")
    yield
    operator.redeploy()


@breakage("schedule", "make deploy STAGE=dev")
def schedule_disabled(operator: DoctorOperator) -> Iterator[None]:
    operator.client("events").disable_rule(Name=RULE)
    yield
    operator.client("events").enable_rule(Name=RULE)


@breakage("schedule", "make deploy STAGE=dev")
def schedule_target_removed(operator: DoctorOperator) -> Iterator[None]:
    events = operator.client("events")
    targets = events.list_targets_by_rule(Rule=RULE)["Targets"]
    events.remove_targets(Rule=RULE, Ids=[target["Id"] for target in targets])
    yield
    events.put_targets(Rule=RULE, Targets=targets)


@breakage("schedule", "make deploy STAGE=dev")
def schedule_deleted(operator: DoctorOperator) -> Iterator[None]:
    events = operator.client("events")
    events.remove_targets(Rule=RULE, Ids=[t["Id"] for t in events.list_targets_by_rule(Rule=RULE)["Targets"]])
    events.delete_rule(Name=RULE)
    yield
    operator.redeploy()


@breakage("schedule", "make deploy STAGE=dev")
def schedule_may_not_invoke_the_function(operator: DoctorOperator) -> Iterator[None]:
    client = operator.client("lambda")
    policy = json.loads(client.get_policy(FunctionName=RENEWAL_FUNCTION)["Policy"])
    for statement in policy["Statement"]:
        client.remove_permission(FunctionName=RENEWAL_FUNCTION, StatementId=statement["Sid"])
    yield
    operator.redeploy()


@breakage("table", "switch it on")
def point_in_time_recovery_off(operator: DoctorOperator) -> Iterator[None]:
    update = operator.client("dynamodb").update_continuous_backups
    update(TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False})
    yield
    update(TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})


@breakage("table", "switch it on")
def deletion_protection_off(operator: DoctorOperator) -> Iterator[None]:
    operator.client("dynamodb").update_table(TableName=TABLE, DeletionProtectionEnabled=False)
    yield
    operator.client("dynamodb").update_table(TableName=TABLE, DeletionProtectionEnabled=True)


def with_secret(operator: DoctorOperator, value: str) -> Iterator[None]:
    before = json.dumps(operator.get_secret())
    operator.put_secret(value)
    yield
    operator.put_secret(before)


@breakage("secret", "restore the previous version")
def secret_malformed(operator: DoctorOperator) -> Iterator[None]:
    return with_secret(operator, '{"apps": []}')


@breakage("secret", "redeemctl app add", "merchant")
def secret_without_apps(operator: DoctorOperator) -> Iterator[None]:
    return with_secret(operator, json.dumps({**operator.get_secret(), "apps": {}}))


@breakage("secret", "redeemctl session-key add")
def session_key_too_short(operator: DoctorOperator) -> Iterator[None]:
    return with_secret(operator, json.dumps({**operator.get_secret(), "session_keys": ["short"]}))


@breakage("login", f"redeemctl app add {APP_ID}", "api.login")
def app_secret_wrong(operator: DoctorOperator) -> Iterator[None]:
    value = operator.get_secret()
    return with_secret(operator, json.dumps({**value, "apps": {**value["apps"], APP_ID: "another-secret"}}))


@breakage("merchant", "redeemctl app add ttunknown")
def merchant_of_an_unknown_app(operator: DoctorOperator) -> Iterator[None]:
    operator.put_row("MERCHANT#9", app_id={"S": "ttunknown"})
    yield
    operator.delete_row("MERCHANT#9")


@breakage("merchant", "redeemctl merchant remove odd")
def merchant_row_malformed(operator: DoctorOperator) -> Iterator[None]:
    operator.put_row("MERCHANT#odd", app_id={"N": "1"})
    yield
    operator.delete_row("MERCHANT#odd")


@breakage("token", "let the other system write the row TOKEN#erp")
def token_of_another_system_missing(operator: DoctorOperator) -> Iterator[None]:
    operator.put_row("MERCHANT#9", app_id={"S": APP_ID}, token_id={"S": "erp"})
    yield
    operator.delete_row("MERCHANT#9")


@breakage("token", f"delete the row TOKEN#{APP_ID}", outcome="warning")
def token_handed_over_but_still_renewed(operator: DoctorOperator) -> Iterator[None]:
    table = operator.client("dynamodb")
    rows = {item["pk"]["S"]: item for item in table.scan(TableName=TABLE)["Items"]}
    own_token = rows[f"TOKEN#{APP_ID}"]
    operator.put_row("TOKEN#erp", access_token=own_token["access_token"], expires_at=own_token["expires_at"])
    merchants = [item for item in rows.values() if item.get("app_id") == {"S": APP_ID}]
    for item in merchants:
        table.put_item(TableName=TABLE, Item={**item, "token_id": {"S": "erp"}})
    yield
    for item in merchants:
        table.put_item(TableName=TABLE, Item=item)
    operator.delete_row("TOKEN#erp")


@breakage("token", "redeemctl token renew", outcome="warning")
def token_short_while_the_schedule_is_disabled(operator: DoctorOperator) -> Iterator[None]:
    key, later = {"pk": {"S": f"TOKEN#{APP_ID}"}}, str(int(time.time()) + 40 * 60)
    dynamodb = operator.client("dynamodb")
    item = dynamodb.get_item(TableName=TABLE, Key=key)["Item"]
    dynamodb.put_item(TableName=TABLE, Item={**item, "expires_at": {"N": later}})
    operator.client("events").disable_rule(Name=RULE)
    yield
    operator.client("events").enable_rule(Name=RULE)
    dynamodb.put_item(TableName=TABLE, Item=item)


@breakage("alarms", "docs/operate.md")
def alarm_in_alarm(operator: DoctorOperator) -> Iterator[None]:
    set_state = operator.client("cloudwatch").set_alarm_state
    set_state(AlarmName=f"{API_FUNCTION}-errors", StateValue="ALARM", StateReason="test")
    yield
    set_state(AlarmName=f"{API_FUNCTION}-errors", StateValue="OK", StateReason="test")


@breakage("alarms.subscription", "click the link")
def subscription_not_confirmed(operator: DoctorOperator) -> Iterator[None]:
    sns = operator.client("sns")
    url = f"http://127.0.0.1:{stack.free_port()}/"
    sns.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=url)
    yield
    subscriptions = sns.list_subscriptions()["Subscriptions"]
    [arn] = [subscription["SubscriptionArn"] for subscription in subscriptions if subscription["Endpoint"] == url]
    sns.unsubscribe(SubscriptionArn=arn)


@breakage("function", "make deploy STAGE=dev", "api.health", "api.login")
def environment_variable_wrong(operator: DoctorOperator) -> Iterator[None]:
    client = operator.client("lambda")
    variables = client.get_function_configuration(FunctionName=API_FUNCTION)["Environment"]["Variables"]
    changed = {**variables, "TABLE_NAME": "other"}
    client.update_function_configuration(FunctionName=API_FUNCTION, Environment={"Variables": changed})
    yield
    client.update_function_configuration(FunctionName=API_FUNCTION, Environment={"Variables": variables})


@breakage("function", "make deploy STAGE=dev")
def memory_changed(operator: DoctorOperator) -> Iterator[None]:
    client = operator.client("lambda")
    client.update_function_configuration(FunctionName=RENEWAL_FUNCTION, MemorySize=128)
    yield
    client.update_function_configuration(FunctionName=RENEWAL_FUNCTION, MemorySize=1024)


@breakage("function.runtime", "make deploy STAGE=dev")
def runtime_of_one_function_changed(operator: DoctorOperator) -> Iterator[None]:
    client = operator.client("lambda")
    before = client.get_function_configuration(FunctionName=RENEWAL_FUNCTION)["Runtime"]
    other = "python3.12" if before != "python3.12" else "python3.13"
    client.update_function_configuration(FunctionName=RENEWAL_FUNCTION, Runtime=other)
    yield
    client.update_function_configuration(FunctionName=RENEWAL_FUNCTION, Runtime=before)


@breakage("logs", "make deploy STAGE=dev")
def log_group_deleted(operator: DoctorOperator) -> Iterator[None]:
    logs = operator.client("logs")
    logs.delete_log_group(logGroupName=ACCESS_LOG)
    yield
    logs.create_log_group(logGroupName=ACCESS_LOG)
    logs.put_retention_policy(logGroupName=ACCESS_LOG, retentionInDays=30)


@breakage("logs", "put-retention-policy", outcome="warning")
def log_group_without_retention(operator: DoctorOperator) -> Iterator[None]:
    logs = operator.client("logs")
    logs.delete_retention_policy(logGroupName=LOG_GROUP)
    yield
    logs.put_retention_policy(logGroupName=LOG_GROUP, retentionInDays=30)


def with_fault(operator: DoctorOperator, **fault: Any) -> Iterator[None]:
    operator.set_fault(**fault)
    yield
    operator.set_fault()


@breakage("merchant", "authorize the app")
def merchant_has_not_authorized_the_app(operator: DoctorOperator) -> Iterator[None]:
    # The mock platform does not know this merchant and reports 2119005.
    operator.put_row("MERCHANT#404", app_id={"S": APP_ID})
    yield
    operator.delete_row("MERCHANT#404")


@breakage("merchant", "apply for the capability")
def capability_missing(operator: DoctorOperator) -> Iterator[None]:
    return with_fault(operator, kind="code", call="query_user_certificates", code=2190004)


@breakage("merchant", "raise the quota")
def quota_used_up(operator: DoctorOperator) -> Iterator[None]:
    return with_fault(operator, kind="code", call="query_user_certificates", code=28003017)


@breakage("merchant", "banned")
def app_banned(operator: DoctorOperator) -> Iterator[None]:
    return with_fault(operator, kind="code", call="query_user_certificates", code=28001016)


@breakage("merchant", "support")
def platform_code_unknown(operator: DoctorOperator) -> Iterator[None]:
    return with_fault(operator, kind="code", call="query_user_certificates", code=424242)


@breakage("login", f"redeemctl app add {APP_ID}", "api.login")
def app_id_refused_at_login(operator: DoctorOperator) -> Iterator[None]:
    return with_fault(operator, kind="code", call="jscode2session", code=40015)


@breakage("token", f"redeemctl app add {APP_ID}")
def mint_refused(operator: DoctorOperator) -> Iterator[None]:
    operator.delete_tokens()
    yield from with_fault(operator, kind="code", call="client_token", code=10013)
    operator.delete_tokens()


@breakage("function.errors", "roll back", "alarms")
def invocations_fail(operator: DoctorOperator) -> Iterator[None]:
    """Runs late: the metric stays for an hour."""
    operator.put_metric("Errors", API_FUNCTION)
    logs = operator.client("logs")
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName="test")
    line = json.dumps({"level": "ERROR", "message": "x", "errorType": "Runtime.ImportModuleError",
                       "errorMessage": "Unable to import module 'app'"})  # fmt: skip
    event = {"timestamp": int(time.time() * 1000), "message": line}
    logs.put_log_events(logGroupName=LOG_GROUP, logStreamName="test", logEvents=[event])
    yield


@breakage("function.throttles", "quota", "function.errors", "alarms")
def invocations_throttled(operator: DoctorOperator) -> Iterator[None]:
    operator.put_metric("Throttles", RENEWAL_FUNCTION)
    yield


@pytest.mark.parametrize("name", BREAKAGES)
def test_each_breakage_is_reported_under_its_check_with_advice_that_fits(operator: DoctorOperator, name: str) -> None:
    expected = BREAKAGES[name]
    with contextlib.contextmanager(expected.make)(operator):
        findings = operator.diagnose()
    found = [f for f in findings if f["id"] == expected.check_id and f["outcome"] == expected.outcome]
    assert found, findings
    assert expected.advice in found[0]["advice"]
    failed = {finding["id"] for finding in findings if finding["outcome"] == "failed"}
    assert failed - {expected.check_id} <= expected.also | ({"schedule"} if expected.outcome == "warning" else set())
    assert APP_SECRET not in json.dumps(findings)


def test_after_all_repairs_nothing_but_the_recorded_errors_fails(operator: DoctorOperator) -> None:
    assert {check for check, _ in operator.failed_checks()} - {"alarms"} == {"function.errors", "function.throttles"}
    [finding] = [f for f in operator.diagnose() if (f["id"], f["what"]) == ("function.errors", API_FUNCTION)]
    assert "Unable to import module" in finding["english"]


@pytest.mark.parametrize(
    ("call", "code", "advice"),
    [
        ("jscode2session", 40017, "检查secret"),
        ("query_user_certificates", 2119005, "商家后台发起授权"),
        ("query_user_certificates", 2190004, "申请接口权限"),
        ("query_user_certificates", 28003017, "联系平台处理"),
        ("query_user_certificates", 28001016, "clientKey被"),
    ],
)
def test_the_platforms_own_advice_is_quoted(operator: DoctorOperator, call: str, code: int, advice: str) -> None:
    operator.set_fault(kind="code", call=call, code=code)
    findings = operator.diagnose("--language", "zh")
    operator.set_fault()
    [finding, *_] = [f for f in findings if f["outcome"] == "failed" and f["id"] in ("login", "merchant")]
    assert str(code) in finding["english"]
    assert str(code) in finding["chinese"]
    assert f"排查建议：{advice}" in finding["advice"] or advice in finding["advice"]


def test_a_valid_token_is_shown_and_not_minted(operator: DoctorOperator) -> None:
    operator.diagnose()
    before = operator.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": f"TOKEN#{APP_ID}"}})["Item"]
    operator.diagnose()
    after = operator.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": f"TOKEN#{APP_ID}"}})["Item"]
    assert after == before
    expiring = {**before, "expires_at": {"N": str(int(time.time()) + 300)}}
    operator.client("dynamodb").put_item(TableName=TABLE, Item=expiring)
    [token] = [f for f in operator.diagnose("--dry-run") if f["id"] == "token" and f["what"] == APP_ID]
    assert token["outcome"] == "not_checked"
    [token] = [f for f in operator.diagnose() if f["id"] == "token" and f["what"] == APP_ID]
    assert token["english"].startswith("renewed now")


def test_a_wrong_clock_is_reported(operator: DoctorOperator) -> None:
    # Not through the proxy: it runs in this process and has the same wrong clock.
    failed = operator.failed_checks(clock_offset=600, AWS_ENDPOINT_URL=operator.proxy.aws_url)
    [what] = [what for check, what in failed if check == "clock"]
    assert what[:3] == "+60"
    assert "synchronize" in failed["clock", what]["advice"]


def test_an_unreachable_login_host_is_named(operator: DoctorOperator) -> None:
    closed = f"http://127.0.0.1:{stack.free_port()}"
    finding = operator.failed_checks(DOUYIN_LOGIN_API=closed)["login", APP_ID]
    assert closed in finding["english"]
    assert "network" in finding["advice"]


def test_settings_that_are_wrong_are_reported(operator: DoctorOperator) -> None:
    path = settings_path(operator.stack.folder, STAGE)
    text = path.read_text(encoding="utf-8")
    path.write_text("memory = 1\n", encoding="utf-8")
    assert "memory" in operator.failed_checks()["settings", f"infra/stages/{STAGE}.toml"]["english"]
    path.write_text('account = "111111111111"\n' + text, encoding="utf-8")
    assert "aws.identity" in {check for check, _ in operator.failed_checks()}
    path.write_text("memory_mb = 2048\n" + text, encoding="utf-8")
    [finding] = [f for f in operator.diagnose() if f["id"] == "settings"]
    assert (finding["outcome"], "lambda_memory_size" in finding["english"]) == ("warning", True)
    path.write_text('alarm_email = "nobody@example.com"\n' + text, encoding="utf-8")
    assert "alarms.subscription" in {check for check, _ in operator.failed_checks()}
    path.write_text(text, encoding="utf-8")


def test_a_missing_domain_and_certificate_are_reported(operator: DoctorOperator) -> None:
    path = settings_path(operator.stack.folder, STAGE)
    text = path.read_text(encoding="utf-8")
    path.write_text(DOMAIN_SETTINGS + text, encoding="utf-8")
    failed = operator.failed_checks()
    path.write_text(text, encoding="utf-8")
    assert "make deploy" in failed["domain", "api.example.invalid"]["advice"]
    arn = "arn:aws:acm:us-east-1:000000000000:certificate/sample"
    assert "request a certificate" in failed["certificate", arn]["advice"]
    assert ("api.health", "https://api.example.invalid") in failed


def test_a_second_api_is_reported_with_both_ids(operator: DoctorOperator) -> None:
    client = operator.client("apigateway")
    [api] = client.get_rest_apis()["items"]
    paths = {"/v1/health": {"get": {"x-amazon-apigateway-integration": {
        "type": "aws_proxy", "httpMethod": "POST",
        "uri": f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
               f"arn:aws:lambda:us-east-1:000000000000:function:{API_FUNCTION}/invocations"}}}}  # fmt: skip
    spec = {"swagger": "2.0", "info": {"title": API_FUNCTION, "version": "1"}, "paths": paths}
    other = client.import_rest_api(body=json.dumps(spec).encode())["id"]
    failed = operator.failed_checks()
    client.delete_rest_api(restApiId=other)
    [finding] = [finding for (check, _), finding in failed.items() if check == "api"]
    assert {api["id"], other} == set(finding["what"].split(", "))
    assert "rest_api_id" in finding["advice"]


def refuse_calls(operator: DoctorOperator, *operations: str) -> Callable[[AwsHttpCall], Refusal | None]:
    del operator

    def refuse(call: AwsHttpCall) -> Refusal | None:
        is_refused = call.operation in operations if operations else call.service != "sts"
        return Refusal(400, "AccessDeniedException") if is_refused else None

    return refuse


def test_without_any_permission_nothing_is_called_well(operator: DoctorOperator) -> None:
    operator.proxy.refuse = refuse_calls(operator)
    findings = operator.diagnose()
    human = operator.run("doctor", "--language", "en")
    operator.proxy.refuse = lambda _: None
    outcomes = {finding["id"]: finding["outcome"] for finding in findings}
    assert {check for check, outcome in outcomes.items() if outcome == "ok"} == {"settings", "aws.identity", "clock"}
    assert {outcome for outcome in outcomes.values() if outcome not in ("ok", "warning")} == {"not_checked"}
    [permissions] = [finding for finding in findings if finding["id"] == "aws.permissions"]
    assert "cloudwatch:DescribeAlarms" in permissions["english"]
    assert f"{API_FUNCTION}-operator" in permissions["advice"]
    [table] = [finding for finding in findings if finding["id"] == "table"]
    assert table["english"] == "not checked: permission dynamodb:DescribeTable is missing"
    assert human.exit_code == 6
    assert "could not be checked" in human.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("operation", "check_id"),
    [
        ("DescribeTable", "table"),
        ("GetSecretValue", "secret"),
        ("GetFunction", "function"),
        ("GetMetricData", "function.errors"),
        ("GetAccountSettings", "quota.concurrency"),
        ("GetRestApis", "api"),
        ("DescribeRule", "schedule"),
        ("DescribeAlarms", "alarms"),
        ("ListSubscriptionsByTopic", "alarms.subscription"),
        ("DescribeLogGroups", "logs"),
        ("Scan", "merchant"),
        ("GetItem", "token"),
    ],
)
def test_a_denied_call_is_not_checked(operator: DoctorOperator, operation: str, check_id: str) -> None:
    operator.proxy.refuse = refuse_calls(operator, operation)
    findings = operator.diagnose()
    operator.proxy.refuse = lambda _: None
    found = [finding for finding in findings if finding["id"] == check_id]
    assert {finding["outcome"] for finding in found} == {"not_checked"}
    assert all("permission" in finding["english"] for finding in found)


def test_expired_credentials_are_named(operator: DoctorOperator) -> None:
    operator.proxy.refuse = lambda _: Refusal(403, "ExpiredToken")
    findings = {finding["id"]: finding for finding in operator.diagnose()}
    operator.proxy.refuse = lambda _: None
    assert "ExpiredToken" in findings["aws.identity"]["english"]
    assert "log in to AWS" in findings["aws.identity"]["advice"]
    assert findings["merchant"]["outcome"] == "not_checked"


def test_an_unreachable_aws_is_reported_within_15_seconds(operator: DoctorOperator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for url in (f"http://127.0.0.1:{stack.free_port()}", f"http://127.0.0.1:{silent.getsockname()[1]}"):
            started = time.monotonic()
            findings = {finding["id"]: finding for finding in operator.diagnose(AWS_ENDPOINT_URL=url)}
            assert time.monotonic() - started < 15
            assert findings["aws.identity"]["outcome"] == "failed"
            assert "cannot be reached" in findings["aws.identity"]["english"]
            assert "AWS_ENDPOINT_URL" in findings["aws.identity"]["advice"]
            assert {f["outcome"] for check, f in findings.items() if check not in ("settings", "aws.identity")} == {
                "not_checked"
            }
            assert findings.keys() == CHECK_IDS - {"tracing.sdk"}


def test_a_silent_service_delays_the_others_only_once(operator: DoctorOperator) -> None:
    """CloudWatch accepts connections and never answers."""
    stopped = threading.Event()

    def refuse(call: AwsHttpCall) -> Refusal | None:
        if call.service == "monitoring":
            stopped.wait(20)
            return Refusal(503, "ServiceUnavailable")
        return None

    operator.proxy.refuse = refuse
    started = time.monotonic()
    findings = operator.diagnose()
    seconds = time.monotonic() - started
    stopped.set()
    operator.proxy.refuse = lambda _: None
    assert seconds < 25
    not_checked = {finding["id"] for finding in findings if finding["outcome"] == "not_checked"}
    assert not_checked == {"function.errors", "function.throttles", "api.throttles", "schedule.last_run", "alarms"}


def test_500_merchants_are_queried_in_parallel_or_by_sample(operator: DoctorOperator) -> None:
    ids = [f"77{number:05d}" for number in range(500)]
    dynamodb = operator.client("dynamodb")
    for start in range(0, len(ids), 25):
        rows = [{"pk": {"S": f"MERCHANT#{i}"}, "app_id": {"S": APP_ID}} for i in ids[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": row}} for row in rows]})
    data = {"error_code": 0, "description": "", "orders": [], "total": 0}
    body = json.dumps({"data": data, "extra": {"error_code": 0, "sub_error_code": 0, "logid": "x"}})
    operator.set_fault(kind="body", call="query_user_certificates", body=body)
    started = time.monotonic()
    findings = operator.diagnose()
    seconds = time.monotonic() - started
    merchants = [finding for finding in findings if finding["id"] == "merchant"]
    assert {finding["outcome"] for finding in merchants} == {"ok"}
    assert len(merchants) >= 500
    assert seconds < 20
    sampled = [finding for finding in operator.diagnose("--sample", "20") if finding["id"] == "merchant"]
    assert len(sampled) == 20
    last_line = operator.run("doctor", "--sample", "20", "--language", "en").stdout.splitlines()[-1]
    assert f"merchants not in the sample: {len(merchants) - 20}" in last_line
    operator.set_fault(kind="reset", call="query_user_certificates")
    started = time.monotonic()
    outcomes = [finding["outcome"] for finding in operator.diagnose() if finding["id"] == "merchant"]
    assert set(outcomes) == {"failed", "not_checked"}
    assert outcomes.count("failed") < 50
    assert time.monotonic() - started < 60
    operator.set_fault()
    human = operator.run("doctor", "--language", "en").stdout
    assert "merchant (500)" in human, "equal findings are printed together"
    for start in range(0, len(ids), 25):
        keys = [{"pk": {"S": f"MERCHANT#{i}"}} for i in ids[start : start + 25]]
        dynamodb.batch_write_item(RequestItems={TABLE: [{"DeleteRequest": {"Key": key}} for key in keys]})


def test_the_operators_policy_allows_all_calls(operator: DoctorOperator) -> None:
    for arguments in (
        ("app", "list"),
        ("merchant", "list"),
        ("merchant", "add", "100", "--app", APP_ID),
        ("--yes", "store", "add", "100", "6601", "one"),
        ("store", "list", "100"),
        ("merchant", "export"),
        ("--yes", "merchant", "remove", "100"),
        ("merchant", "show", ACCOUNT_ID),
        ("token", "show"),
        ("--yes", "token", "renew", APP_ID),
        ("session-key", "status"),
        ("session-key", "add"),
    ):
        operator.succeed(*arguments)
    document = policies.read_managed_policy("OperatorPolicy", STAGE, "000000000000", "us-east-1")
    needed = {policies.required_permission(call, "000000000000", "us-east-1") for call in operator.calls}
    needed.discard(policies.Permission("sts:GetCallerIdentity", "arn:aws:sts:us-east-1:000000000000:"))
    missing = {permission for permission in needed if not policies.permits(document, permission)}
    assert missing == set()
    assert len({permission.action for permission in needed}) > 20

"""Run the checks: read what they need, and let the `judge_*` functions judge it. docs/operate.md lists the ids."""

from __future__ import annotations

import functools
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests
from botocore.exceptions import ClientError

from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.protocol import CertificatesQuery, Selection
from chalicelib.errors import (
    ConfigurationError,
    RedemptionError,
    StorageUnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from chalicelib.merchants import Merchant, parse_merchant
from chalicelib.tokens.provider import EARLY_SECONDS
from infra import smoke
from infra.account import Account
from infra.chalice_config import API_STAGE, render
from infra.chalice_state import choose_rest_api, find_rest_apis, function_names, rule_name
from infra.cloudformation import access_log_group, read_template, stack_name
from infra.stage_settings import APP_NAME, StageError, StageSettings, read_stage_settings
from redeemctl.doctor import endpoint, monitoring, platform, resources
from redeemctl.doctor.findings import NO_TEXT, Finding, Outcome, Text, deploy, failed, not_checked, ok
from redeemctl.doctor.monitoring import Series
from redeemctl.doctor.reading import AwsReader, UnreadableError, run_all
from redeemctl.rows import account_id_of
from redeemctl.secret import SecretStore
from redeemctl.stage import PARALLEL_QUERIES
from redeemctl.table import MerchantTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from infra.stage_settings import Domain
    from redeemctl.rows import Item
    from redeemctl.secret import SecretVersion
    from redeemctl.stage import Stage

PLATFORM_SECONDS = 10.0
"""Limit for one call of the platform or of a token's row, retries included."""

HTTP_SECONDS = 12.0
"""Limit for a response of the endpoint: the service answers within 10 s."""

PARALLEL_GROUPS = 6
MAX_SILENT_CALLS = 2 * PARALLEL_QUERIES
"""After this many calls in succession without a response, the platform counts as unreachable."""

MAX_LOG_PAGES = 3
MAX_LINE_LENGTH = 200

AWS_CHECKS = ("clock", "table", "secret", "function", "function.runtime", "function.errors", "function.throttles",
              "quota.concurrency", "api", "api.health", "api.unknown_route", "api.login", "api.throttles", "schedule",
              "schedule.last_run", "alarms", "alarms.subscription", "logs", "login", "token", "merchant")  # fmt: skip
"""The checks that need AWS."""

DOMAIN_CHECKS = ("domain", "certificate")

TRACING_CHECKS = ("tracing.sdk",)
"""Checks of stages with tracing."""

NO_SECRET = Text("the secret is not readable or malformed", "无法读取密钥或密钥格式错误")


@dataclass
class Checks:
    """The checks of one run.

    `endpoint_url` is the URL of an emulated AWS. `overrides` are variables that the functions have besides the
    configured ones. `sample` limits the number of merchants that are queried; None for all. With `dry_run` no token is
    renewed. `skipped` is the number of merchants that the sample left out.
    """

    stage: Stage
    project: Path
    endpoint_url: str | None
    overrides: Mapping[str, str] = field(default_factory=dict)
    sample: int | None = None
    dry_run: bool = False
    show_progress: Callable[[Iterable[Finding], int], Iterable[Finding]] = lambda findings, _: findings
    skipped: int = 0
    settings: StageSettings = field(default_factory=StageSettings)
    _settings_are_valid: bool = True
    _schedule_is_well: bool = True

    def __post_init__(self) -> None:
        self.name = self.stage.name
        self.reader = AwsReader(self.stage.session, f"{stack_name(self.name)}-operator")
        region = self.stage.session.region_name
        self.account = Account(self.reader.client, {}, region, self.endpoint_url)
        self.functions = function_names(self.name)

    def run(self) -> Iterator[Finding]:
        """Run all checks. A check whose prerequisite is missing is reported as not checked."""
        settings_finding = self._check_settings()
        yield settings_finding
        try:
            identity = self.reader.read_identity()
        except UnreadableError as error:
            yield failed("aws.identity", "AWS", error.reason, error.advice)
            clock = resources.judge_clock(self.reader.skew)
            yield from [clock] if clock else []
            reason = Text("AWS cannot be used", "无法使用 AWS")
            for check_id in ("aws.permissions", *AWS_CHECKS, *(DOMAIN_CHECKS if self.settings.domain else ())):
                if clock is None or check_id != "clock":
                    yield not_checked(check_id, "", reason, Text("see aws.identity", "查看 aws.identity"))
            return
        yield self._judge_identity(identity)
        clock = resources.judge_clock(self.reader.skew)
        yield clock or not_checked("clock", "AWS", Text("no time in the response", "响应中没有时间"))
        secret_findings, secret = self._check_secret()
        groups: list[Callable[[], list[Finding]]] = [
            self._check_table,
            lambda: secret_findings,
            self._check_functions,
            lambda: self._check_api(secret),
            self._check_schedule,
            self._check_alarms,
            lambda: self._check_subscriptions(identity["Account"]),
            self._check_logs,
        ]
        for findings in run_all(groups, PARALLEL_GROUPS):
            yield from findings
        yield from self._check_platform(secret)
        yield self._judge_permissions()

    def _check_settings(self) -> Finding:
        name = f"infra/stages/{self.name}.toml"
        try:
            self.settings = read_stage_settings(self.project, self.name)
        except StageError as error:
            self._settings_are_valid = False
            text = Text(f"invalid settings: {error}", f"配置有误：{error}")
            return failed("settings", name, text, Text(f"correct {name}", f"修正 {name}"))
        rendered = json.loads(render({self.name: self.settings})["config.json"])["stages"][self.name]
        return resources.judge_settings(self._read_config()["stages"][self.name], rendered, self.name)

    def _read_config(self) -> Any:
        return json.loads((self.project / ".chalice" / "config.json").read_text(encoding="utf-8"))

    def _judge_identity(self, identity: Mapping[str, Any]) -> Finding:
        account, region = identity["Account"], self.account.region
        what = f"account {account}, region {region}"
        for name, expected, actual in (
            ("account", self.settings.account, account),
            ("region", self.settings.region, region),
        ):
            if expected is not None and expected != actual:
                text = Text(f"the settings require {name} {expected}", f"阶段配置要求 {name} 为 {expected}")
                advice = Text("use the credentials and region of this stage", "使用该阶段的凭证和区域")
                return failed("aws.identity", what, text, advice)
        return ok("aws.identity", what, f"signed in as {identity['Arn']}", f"当前身份 {identity['Arn']}")

    def _judge_permissions(self) -> Finding:
        denied = sorted(self.reader.denied)
        if not denied:
            return ok("aws.permissions", "AWS", "all calls of these checks are allowed", "检查所需的调用均有权限")
        names = ", ".join(denied)
        reason = Text(f"permissions are missing: {names}", f"缺少权限：{names}")
        policy = self.reader.policy
        advice = Text(f"attach the policy {policy} to your role", f"为当前角色附加策略 {policy}")
        return not_checked("aws.permissions", "AWS", reason, advice)

    def _check_table(self) -> list[Finding]:
        name = self.stage.settings.table_name
        with _reported("table", name) as findings:
            described = self.reader.read("dynamodb", "describe_table", TableName=name)
            backups: Any = {}
            if described is not None:
                backups = self.reader.read("dynamodb", "describe_continuous_backups", TableName=name) or {}
            findings.append(
                resources.judge_table(
                    name,
                    described and described["Table"],
                    backups.get("ContinuousBackupsDescription", {}),
                    self.name,
                )
            )
        return findings

    def _check_secret(self) -> tuple[list[Finding], SecretVersion | None]:
        """Return the finding and the secret's current version, None if it is not usable."""
        name = self.stage.settings.secret_name
        version = None
        with _reported("secret", name) as findings:
            store = SecretStore(self.reader.client("secretsmanager"), name)
            try:
                with self.reader.reading("secretsmanager"):
                    version = _read_if_exists(store)
            except ConfigurationError:
                findings.append(resources.malformed_secret(name))
            else:
                findings.append(resources.judge_secret(name, version, self.name))
        return findings, version

    def _check_functions(self) -> list[Finding]:
        config = self._read_config()
        runtimes: dict[str, str] = {}
        states: list[Finding] = []
        reserved: int | None = None
        for name, function_name in self.functions.items():
            with _reported("function", function_name) as findings:
                function = self.reader.read("lambda", "get_function", FunctionName=function_name)
                expected = smoke.expected_configuration(config, self.name, name)
                expected["environment"] = {**expected["environment"], **self.overrides}
                findings.append(resources.judge_function(function_name, function, expected, self.name))
                if function is not None:
                    runtimes[function_name] = function["Configuration"]["Runtime"]
                    if name == "api_handler":
                        reserved = function.get("Concurrency", {}).get("ReservedConcurrentExecutions")
            states += findings
        today = datetime.now(UTC).date()
        states += resources.judge_runtimes(runtimes, self.settings.python, today, self.name)
        states += [_no_function("function.runtime", name) for name in self.functions.values() if name not in runtimes]
        if self.settings.tracing:
            states.append(resources.judge_tracing_sdk(today, self.name))
        return [*states, *self._check_invocations(), *self._check_concurrency(reserved), *self._check_api_throttles()]

    def _check_invocations(self) -> list[Finding]:
        findings: list[Finding] = []
        for name in self.functions.values():
            with _reported("function.errors", name) as found:
                errors = self._read_metric("Errors", name)
                line = self._read_last_error(name, errors.last) if errors.last is not None else NO_TEXT
                found.append(monitoring.judge_errors(name, errors, line, time.time()))
            findings += found
            with _reported("function.throttles", name) as found:
                found.append(monitoring.judge_throttles(name, self._read_metric("Throttles", name), time.time()))
            findings += found
        return findings

    def _check_api_throttles(self) -> list[Finding]:
        with _reported("api.throttles", self.name) as found:
            dimensions = {"service": APP_NAME, "stage": self.name}
            throttles = self._read_series("DouyinRedemption", "ApiThrottled", dimensions)
            found.append(monitoring.judge_api_throttles(self.name, throttles, time.time()))
        return found

    def _check_concurrency(self, reserved: int | None) -> list[Finding]:
        with _reported("quota.concurrency", "Lambda") as findings:
            limits = self.reader.read("lambda", "get_account_settings")["AccountLimit"]
            findings.append(resources.judge_concurrency(limits, reserved))
        return findings

    def _read_metric(self, metric: str, function: str) -> Series:
        return self._read_series("AWS/Lambda", metric, {"FunctionName": function})

    def _read_series(self, namespace: str, metric: str, dimensions: Mapping[str, str]) -> Series:
        pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        query = {
            "Id": "result",
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": pairs},
                "Period": 300,
                "Stat": "Sum",
            },
        }
        # CloudWatch keeps a 5 minutes' sum at the beginning of its interval.
        now = datetime.fromtimestamp(time.time(), UTC)
        start = now - timedelta(hours=monitoring.METRIC_HOURS)
        end = now + timedelta(minutes=5)
        results = self.reader.read_all("cloudwatch", "get_metric_data", "MetricDataResults", MetricDataQueries=[query],
                                       StartTime=start, EndTime=end)  # fmt: skip
        points = [(at.timestamp(), value) for result in results
                  for at, value in zip(result["Timestamps"], result["Values"], strict=True)]  # fmt: skip
        return Series(tuple(sorted(points)))

    def _read_last_error(self, function: str, since: float) -> Text:
        """Return the newest error in the function's log since a time, or why it is not readable."""
        try:
            lines: list[str] = []
            token: dict[str, str] = {}
            for _ in range(MAX_LOG_PAGES):
                page = self.reader.read(
                    "logs",
                    "filter_log_events",
                    logGroupName=f"/aws/lambda/{function}",
                    startTime=int(since * 1000),
                    filterPattern='?ERROR ?"Task timed out" ?errorMessage',
                    **token,
                )
                if page is None:
                    break
                lines += [event["message"] for event in page["events"]]
                if "nextToken" not in page:
                    break
                token = {"nextToken": page["nextToken"]}
        except UnreadableError as error:
            return Text(f"log not checked: {error.reason.english}", f"未检查日志：{error.reason.chinese}")
        line = summarize_line(lines[-1]) if lines else ""
        return Text(line, line)

    def _check_api(self, secret: SecretVersion | None) -> list[Finding]:
        findings: list[Finding] = []
        api_id = None
        with _reported("api", self.functions["api_handler"]) as found:
            api_id = self._find_api(found)
        findings += found
        domain = self.settings.domain
        urls = []
        if domain is None or domain.default_endpoint:
            urls += [self.account.api_url(api_id, API_STAGE)] if api_id else [""]
        if not self._settings_are_valid:
            reason = Text("the settings are invalid", "阶段配置有误")
            advice = Text("see the check settings", "查看 settings 的检查结果")
            findings += [not_checked(check_id, "", reason, advice) for check_id in DOMAIN_CHECKS]
        if domain is not None:
            findings += self._check_domain(domain, api_id or "")
            urls.append(f"https://{domain.name}")
        for url in urls:
            findings += self._check_endpoint(url, secret)
        return findings

    def _find_api(self, findings: list[Finding]) -> str | None:
        """Return the id of the stage's API; append the finding."""
        with self.reader.reading("apigateway"):
            apis = find_rest_apis(self.reader.client("apigateway"), self.name)
        try:
            api_id = choose_rest_api(apis, self.name, self.settings)
        except StageError as error:
            findings.append(resources.unclear_api(apis, error, self.name))
            return None
        if api_id is None:
            findings.append(resources.missing_api(self.name))
            return None
        api_stage = self.reader.read("apigateway", "get_stage", restApiId=api_id, stageName=API_STAGE)
        if api_stage is None:
            text = Text(f"the API has no stage {API_STAGE}", f"API 没有阶段 {API_STAGE}")
            findings.append(failed("api", api_id, text, deploy(self.name)))
        elif not str(api_stage.get("accessLogSettings", {}).get("destinationArn", "")).endswith(
            access_log_group(self.name)
        ):
            text = Text("the access log is not configured", "未配置访问日志")
            findings.append(failed("api", api_id, text, deploy(self.name)))
        else:
            findings.append(ok("api", api_id, "it invokes the function", "调用该阶段的函数"))
        return api_id

    def _check_domain(self, domain: Domain, api_id: str) -> list[Finding]:
        findings: list[Finding] = []
        with _reported("domain", domain.name) as found:
            described = self.reader.read("apigateway", "get_domain_name", domainName=domain.name)
            mappings: list[Any] = []
            if described is not None:
                mappings = self.reader.read_all("apigateway", "get_base_path_mappings", "items", domainName=domain.name)
            found.append(resources.judge_domain(domain, described, mappings, api_id, self.name))
        findings += found
        arn = domain.certificate_arn
        with _reported("certificate", arn) as found:
            response = self.reader.read("acm", "describe_certificate", CertificateArn=arn)
            now = datetime.fromtimestamp(time.time(), UTC)
            found.append(resources.judge_certificate(arn, response and response["Certificate"], domain.name, now))
        return findings + found

    def _check_endpoint(self, url: str, secret: SecretVersion | None) -> list[Finding]:
        checks = ("api.health", "api.unknown_route", "api.login")
        if not url:
            reason = Text("the API's URL is unknown", "不知道 API 的地址")
            return [
                not_checked(check, "", reason, Text("see the check api", "查看 api 的检查结果")) for check in checks
            ]
        version = smoke.read_version(self.project)
        app_id = next(iter(secret.apps), None) if secret else None
        login = endpoint.refused_login(app_id or endpoint.INVALID_ID)
        findings = []
        for check_id, request in (("api.unknown_route", smoke.UNKNOWN_ROUTE), ("api.login", login)):
            if check_id == "api.login" and app_id is None:
                reason = Text("no app to log in to is known", "没有可用于登录的小程序")
                findings.append(
                    not_checked(check_id, url, reason, Text("see the check secret", "查看 secret 的检查结果"))
                )
                continue
            try:
                response = smoke.send_request(request.method, f"{url}{request.path}", request.body, HTTP_SECONDS)
            except requests.RequestException as error:
                findings.append(endpoint.no_response(check_id, url, error))
            else:
                findings.append(endpoint.judge_problem(check_id, url, response, request, self.name))
        try:
            response = smoke.send_request("GET", f"{url}{smoke.HEALTH_PATH}", seconds=HTTP_SECONDS)
        except requests.RequestException as error:
            return [endpoint.no_response("api.health", url, error), *findings]
        return [endpoint.judge_health(url, response, version, self.name), *findings]

    def _check_schedule(self) -> list[Finding]:
        name, function = rule_name(self.name), self.functions["refresh_tokens"]
        findings: list[Finding] = []
        with _reported("schedule", name) as found:
            rule = self.reader.read("events", "describe_rule", Name=name)
            targets = self.reader.read("events", "list_targets_by_rule", Rule=name) if rule is not None else None
            policy = self.reader.read("lambda", "get_policy", FunctionName=function)
            found.append(
                resources.judge_schedule(
                    name, rule, (targets or {}).get("Targets", []), policy["Policy"] if policy else "{}", self.name
                )
            )
        findings += found
        with _reported("schedule.last_run", function) as found:
            response = self.reader.read("lambda", "get_function", FunctionName=function)
            if response is None:
                found.append(_no_function("schedule.last_run", function))
            else:
                changed = datetime.strptime(response["Configuration"]["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z")
                invocations = self._read_metric("Invocations", function)
                found.append(
                    monitoring.judge_last_run(function, invocations, changed.timestamp(), time.time(), self.name)
                )
        findings += found
        self._schedule_is_well = all(finding.outcome is not Outcome.FAILED for finding in findings)
        return findings

    def _check_alarms(self) -> list[Finding]:
        prefix = f"{stack_name(self.name)}-"
        with _reported("alarms", f"{prefix}*") as findings:
            with self.reader.reading("cloudwatch"):
                pages = self.reader.client("cloudwatch").get_paginator("describe_alarms").paginate(
                    AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
                )  # fmt: skip
                alarms = [a for page in pages for key in ("MetricAlarms", "CompositeAlarms") for a in page.get(key, [])]
            findings.extend(monitoring.judge_alarms(alarm_names(self.name), alarms, self.name))
        return findings

    def _check_subscriptions(self, account_id: str) -> list[Finding]:
        topic = f"{stack_name(self.name)}-alarms"
        arn = f"arn:{self.account.partition}:sns:{self.account.region}:{account_id}:{topic}"
        with _reported("alarms.subscription", topic) as findings:
            response = self.reader.read("sns", "list_subscriptions_by_topic", TopicArn=arn)
            subscriptions = None if response is None else response["Subscriptions"]
            email = self.settings.alarm_email
            findings.extend(monitoring.judge_subscriptions(topic, subscriptions, email, self.name))
        return findings

    def _check_logs(self) -> list[Finding]:
        names = [*(f"/aws/lambda/{name}" for name in self.functions.values()), access_log_group(self.name)]
        with _reported("logs", ", ".join(names)) as findings:
            groups = [
                group
                for prefix in (names[-1], f"/aws/lambda/{stack_name(self.name)}")
                for group in self.reader.read_all("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
            ]
            findings.extend(resources.judge_log_groups(names, groups, self.name))
        return findings

    def _check_platform(self, secret: SecretVersion | None) -> Iterator[Finding]:
        apps = {} if secret is None else secret.apps
        for app_id, app_secret in apps.items():
            yield self._check_login(app_id, app_secret)
        if not apps:
            advice = Text("see the check secret", "查看 secret 的检查结果")
            reason = NO_SECRET if secret is None else Text("there is no app", "没有小程序")
            for check_id in ("login", "token"):
                yield not_checked(check_id, "", reason, advice)
        merchants: list[Merchant] = []
        row_findings = self._judge_rows(merchants, apps, secret)
        tokens: dict[str, str] = {}
        for app_id, app_secret in apps.items():
            token_ids = {merchant.token_id for merchant in merchants if merchant.app_id == app_id}
            is_used = not token_ids or app_id in token_ids
            yield self._check_token(app_id, app_secret, tokens, is_used=is_used)
        yield from row_findings
        for token_id in sorted({merchant.token_id for merchant in merchants} - apps.keys()):
            yield self._check_foreign_token(token_id, tokens)
        yield from self._check_queries(merchants, tokens)

    def _judge_rows(
        self, merchants: list[Merchant], apps: Mapping[str, str], secret: SecretVersion | None
    ) -> list[Finding]:
        """Judge the merchants' rows. The merchants that can be queried are added to `merchants`."""
        try:
            items = self._read_merchants()
        except UnreadableError as error:
            return [not_checked("merchant", "", error.reason, error.advice)]
        if not items:
            text = Text("there are no merchants", "尚未添加商家")
            return [failed("merchant", "", text, Text("run redeemctl merchant add", "执行 redeemctl merchant add"))]
        return [finding for item in items if (finding := _judge_row(item, merchants, apps, secret))]

    def _read_merchants(self) -> list[Item]:
        with self.reader.reading("dynamodb"):
            try:
                return MerchantTable(self.reader.client("dynamodb"), self.stage.settings.table_name).list_all()
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                raise UnreadableError(
                    Text("there is no table", "没有表"), Text("see the check table", "查看 table 的检查结果")
                ) from None

    def _check_login(self, app_id: str, app_secret: str) -> Finding:
        host = self.stage.settings.login_api
        try:
            self.stage.douyin.login(app_id, app_secret, endpoint.INVALID_ID, _new_context())
        except UpstreamError as error:
            return platform.judge_login(app_id, error, host)
        return platform.judge_login(app_id, None, host)

    def _check_token(self, app_id: str, app_secret: str, tokens: dict[str, str], *, is_used: bool) -> Finding:
        """Show an app's token; renew it only if it is used, and missing or about to expire. Add it to `tokens`."""
        store, host = self.stage.tokens, self.stage.settings.open_api
        try:
            before = row = store.read_row(app_id, _new_context())
            if not is_used:
                return platform.judge_unused_token(app_id, row)
            renewed = False
            is_expiring = row.access_token is None or row.expires_at - EARLY_SECONDS <= time.time()
            if is_expiring and self.dry_run:
                _keep_token(row.access_token if row.expires_at > time.time() else None, app_id, tokens)
                reason = Text("it has to be renewed, which --dry-run prevents", "需要续期，但 --dry-run 不允许续期")
                return not_checked(
                    "token", app_id, reason, Text("run doctor without --dry-run", "去掉 --dry-run 再执行")
                )
            if is_expiring:
                try:
                    # Both renew under the service's own lease.
                    if not store.renew_if_expiring(app_id, app_secret, _new_context()):
                        store.get_token(app_id, app_secret, _new_context())
                except StorageUnavailableError:
                    raise
                except RedemptionError as error:
                    _keep_token(row.access_token if row.expires_at > time.time() else None, app_id, tokens)
                    return platform.judge_failed_renewal(app_id, error, host, row, time.time())
                row = store.read_row(app_id, _new_context())
                renewed = row.access_token != before.access_token
        except StorageUnavailableError as error:
            return self._unreadable_token(app_id, error)
        _keep_token(row.access_token, app_id, tokens)
        return platform.judge_token(app_id, row, time.time(), renewed=renewed, schedule_is_well=self._schedule_is_well)

    def _check_foreign_token(self, token_id: str, tokens: dict[str, str]) -> Finding:
        try:
            row = self.stage.tokens.read_row(token_id, _new_context())
        except StorageUnavailableError as error:
            return self._unreadable_token(token_id, error)
        finding = platform.judge_foreign_token(token_id, row, time.time())
        if finding.outcome is Outcome.OK:
            _keep_token(row.access_token, token_id, tokens)
        return finding

    def _unreadable_token(self, token_id: str, error: StorageUnavailableError) -> Finding:
        if str(error) == "AccessDeniedException":
            denied = self.reader.deny("dynamodb:GetItem")
            return not_checked("token", token_id, denied.reason, denied.advice)
        reason = Text(f"the table is not readable ({error})", f"无法读取表（{error}）")
        return not_checked("token", token_id, reason, Text("see the check table", "查看 table 的检查结果"))

    def _check_queries(self, merchants: list[Merchant], tokens: Mapping[str, str]) -> Iterable[Finding]:
        """Query the merchants in parallel, or an evenly distributed sample of them."""
        chosen = take_sample(merchants, self.sample)
        self.skipped = len(merchants) - len(chosen)
        silence = _Silence()
        tasks = [functools.partial(self._check_query, merchant, tokens, silence) for merchant in chosen]
        return self.show_progress(run_all(tasks, PARALLEL_QUERIES), len(tasks))

    def _check_query(self, merchant: Merchant, tokens: Mapping[str, str], silence: _Silence) -> Finding:
        account_id, host = merchant.account_id, self.stage.settings.open_api
        token = tokens.get(merchant.token_id)
        if token is None:
            return platform.no_token(account_id, merchant.token_id)
        if silence.is_long():
            reason = Text(f"{host} does not respond", f"{host} 没有响应")
            return not_checked("merchant", account_id, reason, Text("run doctor again later", "稍后重新执行 doctor"))
        query = CertificatesQuery(Selection(account_id), endpoint.INVALID_ID, merchant.life_account_id)
        error: RedemptionError | None = None
        try:
            self.stage.douyin.query_user_certificates(query, 1, token, _new_context())
        except UpstreamError as upstream_error:
            error = upstream_error
        silence.note(error)
        return platform.judge_query(account_id, error, merchant.app_id, host)


class _Silence:
    """Counts the calls in succession that got no response. Used by several threads."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def note(self, error: RedemptionError | None) -> None:
        is_silent = isinstance(error, UpstreamUnavailableError | UpstreamTimeoutError) and error.evidence is None
        with self._lock:
            self._count = self._count + 1 if is_silent else 0

    def is_long(self) -> bool:
        with self._lock:
            return self._count >= MAX_SILENT_CALLS


class _reported:  # noqa: N801 - used as a function
    """Collects the findings of a check. A read that fails becomes a finding, "not checked"."""

    def __init__(self, check_id: str, what: str) -> None:
        self._check_id = check_id
        self._what = what
        self._findings: list[Finding] = []

    def __enter__(self) -> list[Finding]:
        return self._findings

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if not isinstance(error, UnreadableError):
            return False
        self._findings.append(not_checked(self._check_id, self._what, error.reason, error.advice))
        return True


def take_sample(merchants: list[Merchant], size: int | None) -> list[Merchant]:
    """Return `size` merchants, evenly distributed; all of them if `size` is None."""
    if size is None or size >= len(merchants):
        return merchants
    return [merchants[index * len(merchants) // size] for index in range(size)]


def alarm_names(stage: str) -> list[str]:
    """Return the names of the template's alarms that every stage has."""
    resources_ = read_template()["Resources"].values()
    alarms = [r for r in resources_ if r["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")]
    return [a["Properties"]["AlarmName"]["Fn::Sub"].replace("${Stage}", stage) for a in alarms if "Condition" not in a]


def summarize_line(line: str) -> str:
    """Return the error in a log line, shortened."""
    try:
        content = json.loads(line)
        text = str(content.get("error") or content.get("errorMessage") or content.get("message"))
    except (ValueError, AttributeError):
        text = line
    return " ".join(text.split())[:MAX_LINE_LENGTH]


def _judge_row(
    item: Item, merchants: list[Merchant], apps: Mapping[str, str], secret: SecretVersion | None
) -> Finding | None:
    """Judge a merchant's row. A merchant that can be queried is added to `merchants`, and None is returned."""
    account_id = account_id_of(item)
    try:
        merchant = parse_merchant(account_id, item)
    except ConfigurationError as error:
        return platform.malformed_row(account_id, error)
    if not merchant.active:
        return ok("merchant", account_id, "suspended, not queried", "已停用，未查询")
    if secret is None:
        return not_checked("merchant", account_id, NO_SECRET, Text("see the check secret", "查看 secret 的检查结果"))
    if merchant.app_id not in apps:
        return platform.unknown_app(account_id, merchant.app_id)
    merchants.append(merchant)
    return None


def _keep_token(token: str | None, token_id: str, tokens: dict[str, str]) -> None:
    if token:
        tokens[token_id] = token


def _read_if_exists(store: SecretStore) -> SecretVersion | None:
    try:
        return store.read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def _no_function(check_id: str, name: str) -> Finding:
    reason = Text("the function was not read", "未读到函数")
    return not_checked(check_id, name, reason, Text("see the check function", "查看 function 的检查结果"))


def _new_context() -> RequestContext:
    return RequestContext(Deadline(PLATFORM_SECONDS))

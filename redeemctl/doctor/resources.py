"""Judge the resources of a stage as AWS describes them: table, secret, functions, schedule, domain, log groups."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from infra import smoke
from infra.chalice_state import function_names
from redeemctl.doctor.findings import Finding, Text, deploy, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.chalice_state import RestApi
    from infra.stage_settings import Domain
    from redeemctl.secret import SecretVersion

MIN_KEY_LENGTH = 16
MAX_CLOCK_SKEW_SECONDS = 30.0

END_OF_SUPPORT = {
    "python3.11": date(2027, 6, 30),
    "python3.12": date(2028, 10, 31),
    "python3.13": date(2029, 6, 30),
}
"""Deprecation dates of the runtimes that the service supports:
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html"""

TRACING_SDK_END = date(2027, 2, 25)
"""End of support of the X-Ray SDK, which Powertools' Tracer uses:
https://docs.aws.amazon.com/xray/latest/devguide/xray-daemon-eos.html"""

SUPPORT_WARNING_DAYS = 180
CERTIFICATE_WARNING_DAYS = 30
MIN_CONCURRENCY = 100
"""A new account may have a limit of 10. A request takes up to 10 s."""


def judge_clock(skew: float | None) -> Finding | None:
    """Judge the difference of this machine's clock from AWS's; None if it is unknown."""
    if skew is None:
        return None
    if abs(skew) <= MAX_CLOCK_SKEW_SECONDS:
        return ok("clock", f"{skew:+.0f} s", "in sync with AWS", "与 AWS 一致")
    return failed(
        "clock",
        f"{skew:+.0f} s",
        Text(
            "the clock of this machine differs from AWS; leases and token expiry depend on it",
            "本机时间与 AWS 不一致，租约和 token 的有效期都依赖它",
        ),
        Text("synchronize the clock of this machine", "同步本机的系统时间"),
    )


def judge_settings(configured: Mapping[str, Any], rendered: Mapping[str, Any], stage: str) -> Finding:
    """Judge whether .chalice/config.json is what the stage's settings file says."""
    name = f"infra/stages/{stage}.toml"
    if configured == rendered:
        return ok("settings", name, "valid", "有效")
    names = ", ".join(sorted(key for key in configured.keys() | rendered.keys()
                             if configured.get(key) != rendered.get(key)))  # fmt: skip
    return warning(
        "settings",
        name,
        Text(f".chalice/config.json is older: {names} differ", f".chalice/config.json 与之不一致：{names}"),
        deploy(stage),
    )


def judge_table(name: str, table: Any, backups: Mapping[str, Any], stage: str) -> Finding:
    """Judge the table; `table` is None if it does not exist, `backups` is the description of its backups."""
    if table is None:
        return failed("table", name, Text("the table does not exist", "表不存在"), deploy(stage))
    if [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] != [("pk", "HASH")]:
        text = Text("the partition key is not pk: this is another table", "分区键不是 pk，这不是本服务的表")
        advice = Text("check account, region and TABLE_NAME", "检查账号、区域和 TABLE_NAME")
        return failed("table", name, text, advice)
    if table.get("TableStatus") not in ("ACTIVE", "UPDATING"):
        status = table.get("TableStatus")
        text = Text(f"the table is in {status}", f"表的状态为 {status}")
        return failed("table", name, text, Text("wait, then run doctor again", "稍候重新执行 doctor"))
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    is_enabled = {
        ("point-in-time recovery", "时间点恢复"): recovery == "ENABLED",
        ("deletion protection", "删除保护"): table.get("DeletionProtectionEnabled", False),
    }
    disabled = [names for names, enabled in is_enabled.items() if not enabled]
    if disabled:
        english = ", ".join(names[0] for names in disabled)
        chinese = "、".join(names[1] for names in disabled)
        # A stack changes only what differs between two templates: what was switched off by hand stays off.
        advice = Text(
            "switch it on in the DynamoDB console; make deploy does not detect changes made by hand",
            "在 DynamoDB 控制台中开启；make deploy 不会发现手工修改",
        )
        return failed("table", name, Text(f"not enabled: {english}", f"未开启：{chinese}"), advice)
    return ok("table", name, "as in the template", "与模板一致")


def judge_secret(name: str, version: SecretVersion | None, stage: str) -> Finding:
    """Judge the secret's content; None if the secret does not exist."""
    if version is None:
        return failed("secret", name, Text("the secret does not exist", "密钥不存在"), deploy(stage))
    if not version.apps:
        return failed(
            "secret",
            name,
            Text("it contains no app", "密钥中没有小程序"),
            Text("run redeemctl app add <app_id>", "执行 redeemctl app add <app_id>"),
        )
    if any(len(key) < MIN_KEY_LENGTH for key in version.session_keys):
        return failed(
            "secret",
            name,
            Text(f"a session key has less than {MIN_KEY_LENGTH} characters", f"有会话密钥不足 {MIN_KEY_LENGTH} 个字符"),
            Text("rotate the session keys: redeemctl session-key add", "轮换会话密钥：redeemctl session-key add"),
        )
    apps, keys = len(version.apps), len(version.session_keys)
    return ok("secret", name, f"apps: {apps}, session keys: {keys}", f"小程序 {apps} 个，会话密钥 {keys} 把")


def malformed_secret(name: str) -> Finding:
    """Return the finding that the secret is malformed. Its content is not shown."""
    shape = '{"apps": {"<app_id>": "<app_secret>"}, "session_keys": ["<key>"]}'
    return failed(
        "secret",
        name,
        Text(f"malformed; expected {shape}", f"格式错误，应为 {shape}"),
        Text(
            "restore the previous version: aws secretsmanager update-secret-version-stage (docs/operate.md)",
            "恢复上一个版本：aws secretsmanager update-secret-version-stage（见 docs/operate.zh-CN.md）",
        ),
    )


def judge_function(name: str, function: Any, expected: Mapping[str, Any], stage: str) -> Finding:
    """Judge a function's state and configuration; `function` is the response of GetFunction, or None.

    Values of environment variables are not shown.
    """
    if function is None:
        return failed("function", name, Text("the function does not exist", "函数不存在"), deploy(stage))
    actual = smoke.actual_configuration(function)
    reason = function["Configuration"].get("StateReason") or function["Configuration"].get("LastUpdateStatusReason")
    english, chinese = [], []
    for difference in smoke.compare(actual, expected):
        if difference.name == "environment":
            names = _different_names(difference.actual or {}, difference.expected)
            english.append(f"variables differ: {names}")
            chinese.append(f"环境变量不一致：{names}")
        else:
            english.append(f"{difference.name} is {difference.actual}, expected {difference.expected}")
            chinese.append(f"{difference.name} 为 {difference.actual}，应为 {difference.expected}")
    if english:
        detail = (f" ({reason})", f"（{reason}）") if reason else ("", "")
        return failed(
            "function", name, Text("; ".join(english) + detail[0], "；".join(chinese) + detail[1]), deploy(stage)
        )
    return ok("function", name, "active, configured as in .chalice/config.json", "正常，与 .chalice/config.json 一致")


def _different_names(actual: Mapping[str, str], expected: Mapping[str, str]) -> str:
    return ", ".join(sorted(name for name in actual.keys() | expected.keys() if actual.get(name) != expected.get(name)))


def judge_runtimes(runtimes: Mapping[str, str], configured: str | None, today: date, stage: str) -> list[Finding]:
    """Judge the functions' runtimes, by function name. `configured` is the Python version of the settings, if any.

    The bundle contains compiled packages for one version of Python.
    """
    expected = f"python{configured}" if configured else next(iter(runtimes.values()), "")
    return [_judge_runtime(name, runtime, expected, today, stage) for name, runtime in runtimes.items()]


def _judge_runtime(name: str, runtime: str, expected: str, today: date, stage: str) -> Finding:
    if runtime != expected:
        text = Text(f"the runtime is {runtime}, expected {expected}", f"运行时为 {runtime}，应为 {expected}")
        return failed("function.runtime", name, text, deploy(stage))
    end = END_OF_SUPPORT.get(runtime)
    if end is None:
        supported = ", ".join(END_OF_SUPPORT)
        text = Text(f"{runtime} is not supported by this service", f"本服务不支持 {runtime}")
        advice = Text(
            f"set `python` in infra/stages/{stage}.toml to one of {supported} and deploy",
            f"把 infra/stages/{stage}.toml 中的 python 改为 {supported} 之一，并重新部署",
        )
        return failed("function.runtime", name, text, advice)
    days = (end - today).days
    advice = Text(
        f"set a newer `python` in infra/stages/{stage}.toml and deploy (docs/deploy.md)",
        f"在 infra/stages/{stage}.toml 中设置更新的 python 版本并重新部署（见 docs/deploy.zh-CN.md）",
    )
    if days < 0:
        text = Text(f"AWS ended the support of {runtime} on {end}", f"AWS 已于 {end} 停止支持 {runtime}")
        return failed("function.runtime", name, text, advice)
    if days < SUPPORT_WARNING_DAYS:
        text = Text(f"AWS ends the support of {runtime} on {end}", f"AWS 将于 {end} 停止支持 {runtime}")
        return warning("function.runtime", name, text, advice)
    return ok("function.runtime", name, f"{runtime}, supported until {end}", f"{runtime}，支持到 {end}")


def judge_tracing_sdk(today: date, stage: str) -> Finding:
    """Judge the support of the SDK that writes the traces. Requests do not depend on it."""
    if (TRACING_SDK_END - today).days >= SUPPORT_WARNING_DAYS:
        return ok("tracing.sdk", "X-Ray SDK", f"supported until {TRACING_SDK_END}", f"支持到 {TRACING_SDK_END}")
    text = Text(
        f"AWS ends the support of the X-Ray SDK on {TRACING_SDK_END}; requests do not depend on it",
        f"AWS 将于 {TRACING_SDK_END} 停止支持 X-Ray SDK；请求的处理不依赖它",
    )
    advice = Text(
        f"upgrade this service when a version without it exists, or set `tracing = false` in infra/stages/{stage}.toml",
        f"有不使用它的版本后升级本服务，或在 infra/stages/{stage}.toml 中设置 tracing = false",
    )
    return warning("tracing.sdk", "X-Ray SDK", text, advice)


def judge_concurrency(limits: Mapping[str, Any], reserved: int | None) -> Finding:
    """Judge how many requests can run at once; `limits` is AccountLimit, `reserved` the HTTP function's setting."""
    total = int(limits.get("ConcurrentExecutions", 0))
    available = reserved if reserved is not None else int(limits.get("UnreservedConcurrentExecutions", total))
    if available < MIN_CONCURRENCY:
        return warning(
            "quota.concurrency",
            "Lambda",
            Text(
                f"at most {available} requests at once (account limit {total}); more are refused with 429",
                f"最多同时处理 {available} 个请求（账号上限 {total}），超出部分会被拒绝（429）",
            ),
            Text(
                'request a higher quota "Concurrent executions" in Service Quotas',
                "在 Service Quotas 中申请提高 Concurrent executions 配额",
            ),
        )
    return ok("quota.concurrency", "Lambda", f"{available} requests at once", f"可同时处理 {available} 个请求")


def judge_schedule(name: str, rule: Any, targets: Iterable[Any], policy: str, stage: str) -> Finding:
    """Judge the schedule of the token renewal.

    `rule` is the response of DescribeRule, or None; `policy` the resource policy of the function, "{}" if it has
    none.
    """
    if rule is None:
        return failed("schedule", name, Text("the rule does not exist", "规则不存在"), deploy(stage))
    english, chinese = [], []
    for difference in smoke.compare(smoke.actual_schedule(rule, targets, stage), smoke.expected_schedule(stage)):
        english.append(f"{difference.name} is {difference.actual}, expected {difference.expected}")
        chinese.append(f"{difference.name} 为 {difference.actual}，应为 {difference.expected}")
    if not _may_invoke(policy, name):
        english.append("EventBridge may not invoke the function")
        chinese.append("EventBridge 没有调用函数的权限")
    if english:
        return failed("schedule", name, Text("; ".join(english), "；".join(chinese)), deploy(stage))
    return ok("schedule", name, f"enabled, {smoke.SCHEDULE}", f"已启用，{smoke.SCHEDULE}")


def _may_invoke(policy: str, rule: str) -> bool:
    statements = json.loads(policy).get("Statement", [])
    return any(
        statement.get("Effect") == "Allow"
        and statement.get("Principal", {}).get("Service") == "events.amazonaws.com"
        and rule in json.dumps(statement.get("Condition", {"any": rule}))
        for statement in statements
    )


def missing_api(stage: str) -> Finding:
    """Return the finding that the stage has no REST API."""
    function = function_names(stage)["api_handler"]
    text = Text(f"no REST API invokes the function {function}", f"没有调用函数 {function} 的 REST API")
    return failed("api", function, text, deploy(stage))


def unclear_api(apis: list[RestApi], error: Exception, stage: str) -> Finding:
    """Return the finding that it is not clear which REST API is the stage's."""
    ids = ", ".join(api.id for api in apis) or "-"
    text = Text(str(error).partition("\n")[0], f"无法确定使用哪个 REST API（现有：{ids}）")
    return failed(
        "api",
        ids,
        text,
        Text(
            f"write `rest_api_id` of the one that customers use to infra/stages/{stage}.toml, delete the others",
            f"把顾客使用的 API 的 rest_api_id 写入 infra/stages/{stage}.toml，并删除其余的 API",
        ),
    )


def judge_domain(domain: Domain, found: Any, mappings: Iterable[Any], api_id: str, stage: str) -> Finding:
    """Judge the custom domain; `found` is the response of GetDomainName, or None."""
    if found is None:
        text = Text("API Gateway does not know the domain", "API Gateway 中没有此域名")
        return failed("domain", domain.name, text, deploy(stage))
    status = found.get("domainNameStatus", "AVAILABLE")
    english, chinese = [], []
    if status != "AVAILABLE":
        english.append(f"its status is {status}")
        chinese.append(f"状态为 {status}")
    if found.get("regionalCertificateArn") != domain.certificate_arn:
        english.append("it has another certificate than the settings")
        chinese.append("证书与配置不一致")
    if not any(mapping.get("restApiId") == api_id for mapping in mappings):
        english.append(f"it is not mapped to the API {api_id}")
        chinese.append(f"未映射到 API {api_id}")
    if english:
        return failed("domain", domain.name, Text("; ".join(english), "；".join(chinese)), deploy(stage))
    target = found.get("regionalDomainName", "")
    return ok("domain", domain.name, f"mapped to the API, DNS target {target}", f"已映射到 API，DNS 目标为 {target}")


def judge_certificate(arn: str, certificate: Any, domain: str, now: datetime) -> Finding:
    """Judge the domain's certificate; `certificate` is ACM's description, or None."""
    if certificate is None:
        text = Text("ACM does not know this certificate", "ACM 中没有此证书")
        advice = Text(
            f"request a certificate for {domain} and set `certificate_arn`",
            f"为 {domain} 申请证书，并设置 certificate_arn",
        )
        return failed("certificate", arn, text, advice)
    if certificate.get("Status") != "ISSUED":
        status = certificate.get("Status")
        text = Text(f"its status is {status}", f"状态为 {status}")
        advice = Text(
            "validate it in ACM (DNS record), or request another", "在 ACM 中完成验证（DNS 记录），或重新申请"
        )
        return failed("certificate", arn, text, advice)
    end = certificate["NotAfter"].astimezone(UTC)
    days = (end - now).days
    if days < CERTIFICATE_WARNING_DAYS:
        text = Text(f"it expires on {end:%Y-%m-%d} ({days} days)", f"将于 {end:%Y-%m-%d} 到期（剩余 {days} 天）")
        # ACM renews its own certificates 60 days before their end, as long as the validation record exists.
        advice = Text(
            "check the DNS validation record in ACM, or import a new certificate",
            "检查 ACM 的 DNS 验证记录，或导入新证书",
        )
        return (failed if end <= now else warning)("certificate", arn, text, advice)
    return ok("certificate", arn, f"valid until {end:%Y-%m-%d}", f"有效期至 {end:%Y-%m-%d}")


def judge_log_groups(names: Iterable[str], groups: Iterable[Mapping[str, Any]], stage: str) -> list[Finding]:
    """Judge the log groups that the stage needs."""
    found = {group["logGroupName"]: group for group in groups}
    return [_judge_log_group(name, found.get(name), stage) for name in names]


def _judge_log_group(name: str, group: Mapping[str, Any] | None, stage: str) -> Finding:
    if group is None:
        return failed("logs", name, Text("the log group does not exist", "日志组不存在"), deploy(stage))
    days = group.get("retentionInDays")
    if days is None:
        text = Text("log lines are kept forever", "日志永久保留")
        advice = Text(
            f"aws logs put-retention-policy --log-group-name {name} --retention-in-days 30",
            f"执行 aws logs put-retention-policy --log-group-name {name} --retention-in-days 30",
        )
        return warning("logs", name, text, advice)
    return ok("logs", name, f"kept for {days} days", f"保留 {days} 天")

"""Judge metrics, alarms and the subscriptions of their topic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redeemctl.doctor.findings import Finding, Text, deploy, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


RECENT_SECONDS = 3600.0
"""What happened within this time is a failed check; what happened earlier is a warning."""

SCHEDULE_SECONDS = 25 * 60.0
"""The schedule runs every 10 minutes; the metric arrives some minutes late."""

METRIC_HOURS = 24


@dataclass(frozen=True)
class Series:
    """A metric of the last METRIC_HOURS: pairs of epoch seconds and sum, the oldest first."""

    points: tuple[tuple[float, float], ...] = ()

    def total(self, since: float) -> int:
        """Return the sum of the points since a time."""
        return round(sum(value for at, value in self.points if at >= since))

    @property
    def last(self) -> float | None:
        """The time of the newest point that is not zero, or None."""
        return max((at for at, value in self.points if value > 0), default=None)


def judge_errors(name: str, errors: Series, last_line: Text, now: float) -> Finding:
    """Judge the failed invocations of a function. `last_line` is its newest error in the log, or empty."""
    text = _describe_count(errors, now, "failed invocations", "次执行失败")
    advice = Text(
        f"read the log group /aws/lambda/{name}; if it began with a deployment, roll back (docs/deploy.md)",
        f"查看日志组 /aws/lambda/{name}；如果在部署之后开始出现，请回滚（见 docs/deploy.zh-CN.md）",
    )
    if last_line.english:
        text = Text(f"{text.english}: {last_line.english}", f"{text.chinese}：{last_line.chinese}")
    return _judge_count("function.errors", name, errors, now, text, advice)


def judge_throttles(name: str, throttles: Series, now: float) -> Finding:
    """Judge the invocations of a function that Lambda refused."""
    text = _describe_count(throttles, now, "throttled invocations", "次调用被限流")
    advice = Text(
        "check quota.concurrency; request a higher quota, or set `reserved_concurrency`",
        "查看 quota.concurrency；申请提高配额，或设置 reserved_concurrency",
    )
    return _judge_count("function.throttles", name, throttles, now, text, advice)


def judge_api_throttles(name: str, throttles: Series, now: float) -> Finding:
    """Judge the requests that API Gateway refused with 429."""
    text = _describe_count(
        throttles, now, "requests refused with 429 by API Gateway", "次请求被 API Gateway 以 429 拒绝"
    )
    advice = Text(
        'run the saved query "api throttled"; raise [limits] in the stage\'s settings',
        "运行日志查询“api throttled”；调高阶段配置中的 [limits]",
    )
    return _judge_count("api.throttles", name, throttles, now, text, advice)


def _describe_count(series: Series, now: float, what: str, chinese: str) -> Text:
    if series.last is None:
        return Text(f"no {what} in {METRIC_HOURS} hours", f"{METRIC_HOURS} 小时内没有出现")
    recent, total = series.total(now - RECENT_SECONDS), series.total(0)
    return Text(
        f"{what}: {recent} in the last hour, {total} in {METRIC_HOURS} hours, the last at {_utc(series.last)}",
        f"最近一小时 {recent} {chinese}，{METRIC_HOURS} 小时内共 {total} 次，最近一次在 {_utc(series.last)}",
    )


def _judge_count(check_id: str, name: str, series: Series, now: float, text: Text, advice: Text) -> Finding:  # noqa: PLR0917
    if series.last is None:
        return ok(check_id, name, *text)
    return (failed if series.total(now - RECENT_SECONDS) else warning)(check_id, name, text, advice)


def judge_last_run(name: str, invocations: Series, deployed_at: float | None, now: float, stage: str) -> Finding:
    """Judge when the schedule has last run. `deployed_at` is when its function was last changed, if known."""
    last = invocations.last
    if last is not None and now - last <= SCHEDULE_SECONDS:
        return ok("schedule.last_run", name, f"ran at {_utc(last)}", f"最近一次在 {_utc(last)}")
    again = Text("run doctor again in 25 minutes", "25 分钟后重新执行 doctor")
    if deployed_at is not None and 0 <= now - deployed_at <= SCHEDULE_SECONDS:
        minutes = int((now - deployed_at) / 60)
        text = Text(
            f"unknown: no run yet since the deployment {minutes} minutes ago", f"未知：{minutes} 分钟前部署后尚未执行"
        )
        return warning("schedule.last_run", name, text, again)
    if last is None:
        text = Text(f"it has not run in {METRIC_HOURS} hours", f"{METRIC_HOURS} 小时内没有执行")
    else:
        text = Text(f"it has not run since {_utc(last)}", f"{_utc(last)} 之后没有执行")
    return failed("schedule.last_run", name, text, deploy(stage))


def judge_alarms(expected: Iterable[str], alarms: Iterable[Mapping[str, Any]], stage: str) -> list[Finding]:
    """Judge the alarms: none is missing, in ALARM, or switched off."""
    found = {alarm["AlarmName"]: alarm for alarm in alarms}
    if not found:
        return [failed("alarms", "", Text("the alarms do not exist", "没有任何告警"), deploy(stage))]
    findings = [_judge_alarm(alarm) for alarm in found.values()]
    missing = sorted(set(expected) - found.keys())
    findings += [
        failed("alarms", name, Text("the alarm does not exist", "告警不存在"), deploy(stage)) for name in missing
    ]
    problems = [finding for finding in findings if finding is not None]
    if problems:
        return problems
    count = len(found)
    return [ok("alarms", f"{count}", f"{count} alarms, none in ALARM", f"{count} 个告警，均未触发")]


def _judge_alarm(alarm: Mapping[str, Any]) -> Finding | None:
    name = alarm["AlarmName"]
    runbook = Text("see the runbook of this alarm in docs/operate.md", "见 docs/operate.zh-CN.md 中该告警的说明")
    if alarm.get("StateValue") == "ALARM":
        reason = alarm.get("StateReason", "")
        return failed("alarms", name, Text(f"in ALARM: {reason}", f"已触发：{reason}"), runbook)
    if alarm.get("ActionsEnabled", True) is False:
        text = Text("its actions are disabled: it sends no notifications", "已停用通知，触发时不会通知任何人")
        advice = Text(
            f"aws cloudwatch enable-alarm-actions --alarm-names {name}",
            f"执行 aws cloudwatch enable-alarm-actions --alarm-names {name}",
        )
        return warning("alarms", name, text, advice)
    return None


def judge_subscriptions(topic: str, subscriptions: list[Any] | None, email: str | None, stage: str) -> list[Finding]:
    """Judge who receives the notifications of alarms; `subscriptions` is None if the topic does not exist.

    `email` is the setting `alarm_email`.
    """
    check_id = "alarms.subscription"
    if subscriptions is None:
        return [failed(check_id, topic, Text("the topic does not exist", "主题不存在"), deploy(stage))]
    subscriptions = [s for s in subscriptions if s["SubscriptionArn"] != "Deleted"]
    endpoints = {subscription["Endpoint"] for subscription in subscriptions}
    findings = []
    if email and email not in endpoints:
        text = Text("the address of `alarm_email` is not subscribed", "alarm_email 中的地址没有订阅")
        findings.append(failed(check_id, topic, text, deploy(stage)))
    elif not subscriptions:
        text = Text(
            "nobody receives notifications of alarms: the topic has no subscription", "主题没有订阅，告警不会通知任何人"
        )
        advice = Text(
            f"set `alarm_email` in infra/stages/{stage}.toml and deploy, or subscribe your own system",
            f"在 infra/stages/{stage}.toml 中设置 alarm_email 并部署，或自行订阅",
        )
        findings.append(warning(check_id, topic, text, advice))
    for subscription in subscriptions:
        if subscription["SubscriptionArn"] == "PendingConfirmation":
            text = Text("the subscription is not confirmed: no alarm arrives there", "订阅尚未确认，收不到告警")
            advice = Text(
                "click the link in AWS's message; if it is older than two days, subscribe again",
                "点击 AWS 邮件中的确认链接；超过两天则需重新订阅",
            )
            findings.append(failed(check_id, subscription["Endpoint"], text, advice))
        else:
            findings.append(ok(check_id, subscription["Endpoint"], "confirmed", "已确认"))
    return findings


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")

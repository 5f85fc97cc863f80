"""Judge the resources of a stage as AWS describes them, and the responses of its public endpoint."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infra import smoke
from redeemctl.doctor.findings import Finding, deploy, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import requests

    from infra.comparison import Difference
    from infra.stage_settings import StageSettings
    from redeemctl.secret import SecretVersion

MIN_KEY_LENGTH = 16
CERTIFICATE_WARNING_DAYS = 30
SCHEDULE_SECONDS = 25 * 60.0
"""The schedule runs every 10 minutes; the metric arrives some minutes late."""

INVALID_ID = "redeemctl-doctor"
"""Sent as login code and as open_id. Neither exists on the platform."""

_ADVICE = {
    "app_misconfigured": "compare app id and secret with the platform's console: redeemctl app add APP_ID",
    "unavailable": "the function cannot use table or secret: see the checks table, secret and function",
    "rate_limited": "wait; raise `limits` of the stage's settings if it lasts",
    "upstream_unavailable": "does the check login pass? then check the function's network (NAT gateway)",
    "upstream_timeout": "does the check login pass? then check the function's network (NAT gateway)",
    "internal_error": "run the saved query `problems`, and read the function's log",
}
"""What to do, by the code of a problem."""


def judge_settings(configured: Mapping[str, Any], rendered: Mapping[str, Any], stage: str) -> Finding:
    """Judge whether .chalice/config.json is what the stage's settings file says."""
    name = f"infra/stages/{stage}.toml"
    if configured == rendered:
        return ok("settings", name, "valid")
    names = sorted(key for key in configured.keys() | rendered.keys() if configured.get(key) != rendered.get(key))
    return warning("settings", name, f".chalice/config.json is older: {', '.join(names)} differ", deploy(stage))


def judge_identity(identity: Mapping[str, Any], region: str, settings: StageSettings) -> Finding:
    """Judge whether the credentials are those that the settings require."""
    what = f"account {identity['Account']}, region {region}"
    for name, expected, actual in (
        ("account", settings.account, identity["Account"]),
        ("region", settings.region, region),
    ):
        if expected not in (None, actual):
            text = f"the settings require {name} {expected}"
            return failed("aws.identity", what, text, "use the credentials and region of this stage")
    return ok("aws.identity", what, f"signed in as {identity['Arn']}")


def judge_table(name: str, table: Any, backups: Mapping[str, Any], stage: str) -> Finding:
    """Judge the table; `table` is None if it does not exist, `backups` is the description of its backups."""
    if table is None:
        return failed(
            "table", name, "the table does not exist", f"{deploy(stage)}; if it was lost, that says how to restore it"
        )
    if [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] != [("pk", "HASH")]:
        text = "the partition key is not pk: this is another table"
        return failed("table", name, text, "check account, region and TABLE_NAME")
    if table.get("TableStatus") not in ("ACTIVE", "UPDATING"):
        return failed("table", name, f"the table is in {table.get('TableStatus')}", "wait, then run doctor again")
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    is_enabled = {
        "point-in-time recovery": recovery == "ENABLED",
        "deletion protection": table.get("DeletionProtectionEnabled", False),
    }
    if disabled := [protection for protection, enabled in is_enabled.items() if not enabled]:
        # A stack changes only what differs between two templates: what was switched off by hand stays off.
        advice = "switch it on in the DynamoDB console; make deploy does not detect changes made by hand"
        return failed("table", name, f"not enabled: {', '.join(disabled)}", advice)
    return ok("table", name, "as in the template")


def judge_secret(name: str, version: SecretVersion | None, stage: str) -> Finding:
    """Judge the secret's content; None if the secret does not exist."""
    if version is None:
        return failed(
            "secret", name, "the secret does not exist", f"{deploy(stage)}; if it was lost, that says how to restore it"
        )
    if not version.apps:
        return failed("secret", name, "it contains no app", "run redeemctl app add APP_ID")
    if any(len(key) < MIN_KEY_LENGTH for key in version.session_keys):
        text = f"a session key has less than {MIN_KEY_LENGTH} characters"
        return failed("secret", name, text, "rotate the session keys: redeemctl session-key add")
    return ok("secret", name, f"apps: {len(version.apps)}, session keys: {len(version.session_keys)}")


def judge_malformed_secret(name: str) -> Finding:
    """Return the finding that the secret is malformed. Its content is not shown."""
    text = 'malformed; expected {"apps": {"APP_ID": "APP_SECRET"}, "session_keys": ["KEY"]}'
    advice = "restore the previous version: aws secretsmanager update-secret-version-stage (docs/operate.md)"
    return failed("secret", name, text, advice)


def judge_differences(
    check_id: str, what: str, differences: Iterable[Difference], advice: str, text: str
) -> list[Finding]:
    """Judge what is deployed by its differences from the settings; `text` says that there are none."""
    found = [failed(check_id, d.resource.removeprefix(f"{check_id} "), d.text, advice) for d in differences]
    return found or [ok(check_id, what, text)]


def judge_certificate(arn: str, certificate: Any, domain: str, now: datetime) -> Finding:
    """Judge the domain's certificate; `certificate` is ACM's description, or None.

    ACM renews its own certificates 60 days before their end, as long as the validation record exists, and no imported
    ones.
    """
    if certificate is None:
        advice = f"request a certificate for {domain} and set `certificate_arn`"
        return failed("certificate", arn, "ACM does not know this certificate", advice)
    if certificate.get("Status") != "ISSUED":
        advice = "validate it in ACM (DNS record), or request another"
        return failed("certificate", arn, f"its status is {certificate.get('Status')}", advice)
    end = certificate["NotAfter"].astimezone(UTC)
    days = (end - now).days
    if days >= CERTIFICATE_WARNING_DAYS:
        return ok("certificate", arn, f"valid until {end:%Y-%m-%d}")
    advice = "import a new certificate" if certificate.get("Type") == "IMPORTED" else "check its DNS record in ACM"
    text = f"it expires on {end:%Y-%m-%d} ({days} days)"
    return (failed if end <= now else warning)("certificate", arn, text, advice)


def judge_last_run(name: str, last: float | None, deployed_at: float, now: float, stage: str) -> Finding:
    """Judge when the schedule has last run; `deployed_at` is when its function was last changed. In epoch seconds."""
    check_id = "schedule.last_run"
    if last is not None and now - last <= SCHEDULE_SECONDS:
        return ok(check_id, name, f"ran at {_utc(last)}")
    if 0 <= now - deployed_at <= SCHEDULE_SECONDS:
        minutes = int((now - deployed_at) / 60)
        text = f"unknown: no run yet since the deployment {minutes} minutes ago"
        return warning(check_id, name, text, "run doctor again in 25 minutes")
    text = "it has not run in 24 hours" if last is None else f"it has not run since {_utc(last)}"
    return failed(check_id, name, text, deploy(stage))


def judge_alarms(expected: Iterable[str], alarms: Iterable[Mapping[str, Any]], stage: str) -> list[Finding]:
    """Judge the alarms: none is missing, in ALARM, or switched off."""
    found = {alarm["AlarmName"]: alarm for alarm in alarms}
    findings = [failed("alarms", n, "the alarm does not exist", deploy(stage)) for n in expected if n not in found]
    for name, alarm in found.items():
        if alarm.get("StateValue") == "ALARM":
            text = f"in ALARM: {alarm.get('StateReason', '')}"
            findings.append(failed("alarms", name, text, "see the runbook of this alarm in docs/operate.md"))
        elif alarm.get("ActionsEnabled", True) is False:
            text = "its actions are disabled: it sends no notifications"
            findings.append(warning("alarms", name, text, "aws cloudwatch enable-alarm-actions --alarm-names NAME"))
    return findings or [ok("alarms", str(len(found)), "none in ALARM")]


def judge_subscriptions(
    topic: str, subscriptions: Sequence[Any] | None, email: str | None, stage: str
) -> list[Finding]:
    """Judge who receives the notifications of alarms; `subscriptions` is None if the topic does not exist.

    `email` is the setting `alarm_email`.
    """
    check_id = "alarms.subscription"
    if subscriptions is None:
        return [failed(check_id, topic, "the topic does not exist", deploy(stage))]
    states = {s["Endpoint"]: s["SubscriptionArn"] for s in subscriptions if s["SubscriptionArn"] != "Deleted"}
    findings = []
    if email and email not in states:
        findings.append(failed(check_id, topic, "the address of `alarm_email` is not subscribed", deploy(stage)))
    elif not states:
        advice = f"set `alarm_email` in infra/stages/{stage}.toml and deploy, or subscribe your own system"
        findings.append(warning(check_id, topic, "nobody receives notifications of alarms", advice))
    for endpoint, arn in states.items():
        if arn == "PendingConfirmation":
            advice = "click the link in AWS's message; if it is older than two days, subscribe again"
            text = "the subscription is not confirmed: no alarm arrives there"
            findings.append(failed(check_id, endpoint, text, advice))
        else:
            findings.append(ok(check_id, endpoint, "confirmed"))
    return findings


def refused_login(app_id: str) -> smoke.Probe:
    """Return a login with an invalid code. It passes through the function, the secret and the platform."""
    login = {"app_id": app_id, "code": INVALID_ID}
    return smoke.Probe("POST", "/v1/sessions", login, 401, {"code": "unauthenticated"})


def judge_response(check_id: str, url: str, response: requests.Response, probe: smoke.Probe, stage: str) -> Finding:
    """Judge a response of the endpoint. Another version or commit than this clone's is only a warning."""
    difference = smoke.compare_response(response, probe)
    if difference is None:
        return ok(check_id, url, probe.response)
    body = smoke.read_object(response)
    if body.get("status") == "ok":
        return warning(check_id, url, difference.text, "use a clone of the deployed commit, or deploy this one")
    return failed(check_id, url, difference.text, _ADVICE.get(str(body.get("code")), deploy(stage)))


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")

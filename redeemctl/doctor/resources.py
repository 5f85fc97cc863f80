"""Judge the resources of a stage as AWS describes them, and the responses of its public endpoint."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import msgspec
import requests

from chalicelib.aws import Item
from chalicelib.errors import ConfigurationError, Evidence
from chalicelib.merchants import Merchant, parse_merchant
from infra import smoke
from redeemctl.aws_errors import explain, is_missing
from redeemctl.doctor import platform
from redeemctl.doctor.findings import Finding, Status, deploy, failed, not_checked, ok, warning
from redeemctl.rows import account_id_of, describe_switch
from redeemctl.secret import SecretVersion

MIN_KEY_LENGTH = 16
MAX_ASKED_MERCHANTS = 20
"""Merchants whose lists are requested: enough to find what fails for all, and few calls of the platform."""

LIST_PAUSE_SECONDS = 0.5
"""Pause between two lists, which leaves the rate limits to customers."""

MAX_ASKED_APPS = 20
"""Apps of service providers to which a login is tried."""

LOG_IN_ONCE = "log in on a phone, or run redeemctl acceptance --login: this shows whether customers can log in"

RATE_LIMITED = "a rate limit is reached, and customers come first"
NO_ANSWER = "the platform did not answer before"
OTHERS = "the others"

_NETWORK = (
    "run the saved query `problems`. http_5xx, or no valid response in login, too: wait for the platform. Else check "
    "the functions' network (NAT gateway)"
)
_ADVICE = {
    "app_misconfigured": "if login is ✓: wait, functions use a changed secret within five minutes; else app add",
    "unavailable": "the function cannot use table or secret: see the checks secret and merchant, then deploy",
    "rate_limited": "wait; raise `limits` of the stage's settings if it lasts",
    "upstream_unavailable": _NETWORK,
    "upstream_timeout": _NETWORK,
    "token_unavailable": f"see the check token; if it is ✓, {_NETWORK}",
    "internal_error": "right after a deployment: make rollback; else run the saved query `problems`",
}
"""What to do, by the code of a problem."""


def judge_error(check_id: str, what: str, error: Exception, stage: str) -> Finding:
    """Return the finding that the resource is missing, or that the check could not be made and why."""
    if not is_missing(error):
        return not_checked(check_id, what, *explain(error, stage))
    if check_id in ("login", "token"):
        return not_checked(check_id, what, "the table does not exist", "see the check merchant")
    advice = f'{deploy(stage)}; if it was lost: docs/run.md, "Lost or changed by hand"'
    return failed(check_id, what, "it does not exist, or is to be deleted", advice)


def judge_secret(name: str, version: SecretVersion) -> Finding:
    """Judge the secret's content."""
    if not version.apps:
        return failed("secret", name, "it contains no app", "run redeemctl app add APP_ID")
    if any(len(key) < MIN_KEY_LENGTH for key in version.session_keys):
        text = f"a session key has fewer than {MIN_KEY_LENGTH} characters"
        return failed("secret", name, text, "replace them: redeemctl session-key rotate --revoke")
    return ok("secret", name, f"apps: {len(version.apps)}, session keys: {len(version.session_keys)}")


def judge_subscriptions(topic: str, subscriptions: Iterable[Any], email: str | None, stage: str) -> list[Finding]:
    """Judge who receives the notifications of alarms; `email` is the setting `alarm_email`."""
    check_id = "alarms.subscription"
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
            findings.append(failed(check_id, endpoint, "not confirmed: no alarm arrives there", advice))
        else:
            findings.append(ok(check_id, endpoint, "confirmed"))
    return findings


def judge_rows(items: Sequence[Item], apps: Collection[str]) -> tuple[dict[str, Merchant | None], list[Finding]]:
    """Return the merchants by account_id, None for a malformed row, and the findings."""
    findings = [] if items else [failed("merchant", "", "there are no merchants", "run redeemctl merchant add")]
    merchants = dict[str, Merchant | None]()
    for item in items:
        account_id = account_id_of(item)
        merchants[account_id] = None
        try:
            merchants[account_id] = merchant = parse_merchant(account_id, item)
        except ConfigurationError as error:
            text = f"malformed row: {str(error).removeprefix(f'merchant {account_id}: ')}"
            advice = "correct it in the DynamoDB console, or redeemctl merchant remove ACCOUNT_ID and add it again"
            findings.append(failed("merchant", account_id, text, advice))
            continue
        if switch := describe_switch(item):
            advice = "write it again: redeemctl merchant add ACCOUNT_ID --redeeming on, or off"
            findings.append(warning("merchant", account_id, f"redeeming is {switch}", advice))
        if not merchant.active:
            findings.append(ok("merchant", account_id, "suspended, not queried"))
        elif (app_id := merchant.app_id) not in apps:
            text = f"its app {app_id} is not in the secret: customers cannot log in"
            advice = f"redeemctl app add {app_id}, or correct it: redeemctl merchant add ACCOUNT_ID --app APP_ID"
            findings.append(failed("merchant", account_id, text, advice))
    return merchants, findings


def choose_merchants(merchants: Sequence[Merchant], account_id: str | None) -> list[Merchant]:
    """Return the merchant with this id; without one, MAX_ASKED_MERCHANTS of them, of different apps first."""
    if account_id is not None:
        return [merchant for merchant in merchants if merchant.account_id == account_id]
    of_apps = defaultdict[str, list[Merchant]](list)
    for merchant in merchants:
        of_apps[merchant.app_id].append(merchant)
    return [merchant for turn in zip_longest(*of_apps.values()) for merchant in turn if merchant][:MAX_ASKED_MERCHANTS]


def judge_list(account_id: str, response: requests.Response, stage: str) -> Finding:
    """Judge the list of a merchant for a user that does not exist."""
    if response.status_code == 200:
        return ok("merchant", account_id, "the endpoint returns a list")
    problem = smoke.read_object(response)
    code = problem.get("code")
    if code == "rate_limited":
        return not_checked("merchant", account_id, RATE_LIMITED, "run doctor again when fewer customers are there")
    if upstream := problem.get("upstream"):
        evidence = msgspec.convert(upstream, Evidence)
        text, advice = platform.explain_evidence(evidence)
        if code == "upstream_rejected":
            return ok("merchant", account_id, f"{text}; this may be because the user does not exist")
        return failed("merchant", account_id, text, advice, evidence.logid)
    default = f"look up {code} in docs/run.md, By code" if code else deploy(stage)
    text = f"HTTP {response.status_code} {code or ''}".rstrip()
    return failed("merchant", account_id, text, _ADVICE.get(str(code), default))


def count_lists(findings: Iterable[Finding], total: int) -> list[Finding]:
    """Add to each list that works how many of the `total` merchants were tried, if not all."""
    found = list(findings)
    tried = len([finding for finding in found if finding.what != OTHERS])
    scope = f"; tried {tried} of {total}: --merchant ACCOUNT_ID tries one" if tried < total else ""
    return [replace(f, text=f.text + scope) if f.status is Status.OK else f for f in found]


def why_stop(response: requests.Response) -> str:
    """Return why no other list is to be requested after this response, or "".

    NO_ANSWER: the function has got none from the platform.
    """
    if smoke.read_object(response).get("code") == "rate_limited":
        return RATE_LIMITED
    return NO_ANSWER if smoke.judge(response) in smoke.UNREACHED else ""


def judge_response(check_id: str, url: str, response: requests.Response, probe: smoke.Probe, stage: str) -> Finding:
    """Judge a response of the endpoint. Another version or commit than this clone's is only a warning."""
    difference = smoke.compare_response(response, probe)
    if not difference:
        return ok(check_id, url, probe.response)
    body = smoke.read_object(response)
    if body.get("status") == "ok":
        advice = "after a rollback: nothing to do; else use a clone of the deployed commit, or deploy this one"
        return warning(check_id, url, difference, advice)
    if body.get("code") == "upstream_rejected":
        return warning(check_id, url, difference, LOG_IN_ONCE)
    return failed(check_id, url, difference, _ADVICE.get(str(body.get("code")), deploy(stage)))

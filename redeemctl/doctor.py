"""`redeemctl doctor`: check a stage end to end, with the requests of the smoke test."""

import functools
import sys
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import msgspec
import requests

from chalicelib import errors
from chalicelib.api.problems import problem_for_error
from chalicelib.aws import Item
from chalicelib.douyin import codes
from chalicelib.errors import NO_CODES, UpstreamCodes
from chalicelib.merchants import Merchant, parse_merchant
from chalicelib.sessions import PROBE_CODE
from chalicelib.tokens.renewal import needs_renewal
from chalicelib.tokens.rows import TokenRow
from infra import bundle, smoke
from infra.account import check_account
from infra.chalice_config import API_STAGE
from infra.chalice_state import find_rest_api
from infra.cloudformation import shared_name
from infra.stage_settings import StageError
from redeemctl import aws_errors
from redeemctl.aws_errors import AWS_ERRORS
from redeemctl.command_line import ID, CommandLine, pass_command_line
from redeemctl.merchant_rows import account_id_of
from redeemctl.output import print_json, print_line, print_note
from redeemctl.secret import SecretVersion, read_secret_version
from redeemctl.stage import Stage

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "not_checked"
"""A warning needs attention, but nothing is wrong yet. UNKNOWN: the check could not be made."""

MARKS = {OK: "✓", WARNING: "!", FAILED: "✗", UNKNOWN: "?"}

MAX_SHOWN = 10
"""The number of resources that are named if several have the same result."""

MAX_PROBES = 20
"""The maximum number of merchants whose lists are requested, and of service providers' apps whose login is tried. This
is enough to find a fault that all of them have, and causes few calls of the platform."""

LIST_PAUSE_SECONDS = 0.5
"""Pause between two lists. It leaves most of the rate limits to customers."""

MISSED_RUN_SECONDS = 20 * 60
"""The schedule renews a token 30 minutes before its expiry, so a shorter lifetime than this means that it has missed a
run."""

PLATFORM_ERRORS = {**codes.MINT_ERRORS, **codes.LOGIN_ERRORS, **codes.SUB_CODE_ERRORS}

_SUPPORT = "send the logid to the platform's support"
_WAIT = "wait for the platform; with `[network]` in the settings, check the NAT gateway, too"
_WAIT_OR_NETWORK = "wait for the platform; if api.login is ✓, check network and DNS of this machine"
_LOG_IN = "log in on a phone, or run redeemctl acceptance --login: this shows whether customers can log in"
ADVICE = {
    "app_misconfigured": "compare app id and app secret with the platform's console, then redeemctl app add APP_ID; "
    "after a change of the secret, wait five minutes",
    "app_not_permitted": "the capability: miniprogram/docs/go-live.zh-CN.md, step D5; banned: call the BD",
    "internal_error": "right after a deployment: make rollback; else run the saved query `problems`",
    "merchant_not_authorized": "the merchant authorizes the app (step D6), then its provider accepts; for an own app, "
    "check the binding 商家自研服务",
    "quota_exhausted": "ask the platform for a higher quota",
    "rate_limited": "run doctor again when fewer customers are there; if it lasts, look for another system that calls "
    "the platform for this app, or raise `[limits]`",
    "token_unavailable": "see the check token; if it is ✓, redeemctl token renew APP_ID, and run doctor again. Refused "
    "again later: another system mints its tokens",
    "unavailable": "the function cannot use table or secret: see the checks secret and merchant, then deploy",
    "upstream_malformed": _SUPPORT,
    "upstream_rejected": "check account_id and life_account_id: redeemctl merchant show ACCOUNT_ID",
    "upstream_timeout": _WAIT,
    "upstream_unavailable": _WAIT,
}
"""What to do, by the code of a problem. docs/run.md has the other codes."""


class Finding(NamedTuple):
    """The result of one check of one resource.

    `text` and `advice` do not name the resource, so that findings can be grouped.
    """

    #: The check, for example `api.login`.
    id: str
    #: What was checked: a resource, or "".
    what: str
    outcome: str
    text: str
    advice: str = ""
    logid: str = ""


T = TypeVar("T")
Check = Generator[Finding, None, T]
"""A check yields its findings, and returns what later checks need."""


class Doctor:
    """The checks of one run. They only read, but a list may make the service renew a token.

    With `account_id`, only the list of this merchant is requested.
    """

    def __init__(self, stage: Stage, project: Path, account_id: str | None = None) -> None:
        self._stage = stage
        self._project = project
        self._only_account_id = account_id

    def run(self) -> Iterator[Finding]:
        """Run all checks. If the settings require another account or region, no other check is made."""
        stage, settings, aws_account = self._stage, self._stage.settings, self._stage.aws_account
        try:
            check_account(aws_account, settings)
        except (StageError, *AWS_ERRORS) as error:
            reason, advice = aws_errors.explain(error, stage.name)
            yield Finding("settings", stage.name, FAILED, f"nothing else was checked: {reason}", advice)
            return
        yield Finding("settings", f"account {aws_account.id}, region {aws_account.region}", OK, "valid")
        topic = f"{shared_name(stage.name)}-alarms"
        secret_version = yield from self._attempt("secret", stage.service_settings.secret_name, self._check_secret())
        default_url = yield from self._attempt("api", "API", self._check_api())
        yield from self._attempt("alarms.subscription", topic, self._check_alarms(topic, settings.alarm_email))
        urls = [f"https://{settings.domain.name}"] if settings.domain else []
        urls += [default_url] if default_url else []
        for url in urls:
            yield from self._check_endpoint(url, secret_version.apps if secret_version else {})
        if secret_version and secret_version.apps:
            yield from self.check_apps_and_merchants(secret_version, urls)
        else:
            yield Finding("merchant", "", UNKNOWN, "no app is known", "see the check secret")

    def _attempt(self, check_id: str, what: str, check: Check[T]) -> Check[T | None]:
        """Make a check. If AWS reports an error, the finding describes the error."""
        try:
            return (yield from check)
        except AWS_ERRORS as error:
            yield judge_error(check_id, what, error, self._stage.name)
            return None

    def _check_secret(self) -> Check[SecretVersion | None]:
        name = self._stage.service_settings.secret_name
        try:
            secret_version = read_secret_version(self._stage)
        except errors.ConfigurationError as error:
            yield Finding("secret", name, FAILED, str(error), 'restore a former version: docs/run.md, "A former state"')
            return None
        if secret_version.apps:
            yield Finding("secret", name, OK, f"apps: {len(secret_version.apps)}")
        else:
            yield Finding("secret", name, FAILED, "it contains no app", "run redeemctl app add APP_ID")
        return secret_version

    def _check_api(self) -> Check[str | None]:
        """Return the URL of the default endpoint."""
        aws_account, stage_name = self._stage.aws_account, self._stage.name
        try:
            api_id = find_rest_api(aws_account.client("apigateway"), stage_name)
        except StageError as error:
            text, _, advice = str(error).partition("\n")
            yield Finding("api", "API", FAILED, text, advice)
            return None
        if api_id is None:
            yield Finding("api", "API", FAILED, "missing", _deploy_advice(stage_name))
            return None
        yield Finding("api", api_id, OK, "found")
        return aws_account.api_url(api_id, API_STAGE)

    def _check_alarms(self, topic: str, email: str | None) -> Check[None]:
        aws_account = self._stage.aws_account
        arn = f"arn:{aws_account.partition}:sns:{aws_account.region}:{aws_account.id}:{topic}"
        pages = aws_account.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        subscriptions = pages.build_full_result().get("Subscriptions", ())
        yield from judge_subscriptions(topic, subscriptions, email, self._stage.name)

    def _check_endpoint(self, url: str, apps: Mapping[str, str]) -> Iterator[Finding]:
        version = bundle.parse_version((self._project / "chalicelib" / "__init__.py").read_text(encoding="utf-8"))
        probes = {"api.health": smoke.health_probe(bundle.Build(version, bundle.read_git_commit(self._project)))}
        if apps:
            # Prefer an own app: the token of a service provider's app may have expired.
            probes["api.login"] = smoke.refused_login_probe(min(apps, key=lambda app_id: not apps[app_id]))
        for check_id, probe in probes.items():
            try:
                response = smoke.send(url, probe)
            except requests.RequestException as error:
                advice = "check DNS and network of this machine, and the domain's DNS record and certificate"
                yield Finding(check_id, url, FAILED, f"no response ({type(error).__name__})", advice)
            else:
                yield judge_response(check_id, url, response, probe, self._stage.name)

    def check_apps_and_merchants(self, secret_version: SecretVersion, urls: Sequence[str]) -> Iterator[Finding]:
        """Check logins and merchants, request lists from the last of the endpoint's URLs, then check the tokens.

        The tokens come last, because a list makes the service renew a token that has expired.
        """
        apps = secret_version.apps
        unprobed = [app_id for app_id in apps if not apps[app_id]][MAX_PROBES:]
        for app_id in [app_id for app_id in apps if app_id not in unprobed]:
            yield from self._attempt("login", app_id, self._check_login(app_id, apps[app_id]))
        table_name = self._stage.service_settings.table_name
        merchants = yield from self._attempt("merchant", table_name, self._check_merchants(apps))
        if merchants is None:
            return
        if urls:
            yield from self._check_lists(urls[-1], secret_version.session_keys, merchants)
        for app_id in sorted(apps):
            yield from self._attempt("token", app_id, self._check_token(app_id, secret_version.mints_tokens_of(app_id)))

    def _check_login(self, app_id: str, app_secret: str) -> Check[None]:
        """Log in with an invalid code. If app id and secret (or token) are valid, the platform refuses the code."""
        try:
            self._stage.exchange_code(app_id, app_secret, PROBE_CODE)
        except errors.LoginRefusedError:
            text = f"the platform accepts app id and {'secret' if app_secret else 'token'}"
            yield Finding("login", app_id, OK, text)
        except errors.TokenUnavailableError as error:
            if error.upstream.has_code:
                yield judge_failed_call("login", app_id, "token_unavailable", error.upstream)
            else:
                yield Finding("login", app_id, UNKNOWN, "its token is not available", "see the check token")
        except errors.UpstreamRejectedError as error:
            yield Finding("login", app_id, WARNING, f"the platform refuses code or app id ({error.reason})", _LOG_IN)
        except errors.UpstreamError as error:
            code = problem_for_error(error).view.code
            finding = judge_failed_call("login", app_id, code, error.upstream, error.reason)
            yield finding._replace(advice=_WAIT_OR_NETWORK) if finding.advice == _WAIT else finding
        else:
            advice = "check [environment] in the settings"
            yield Finding("login", app_id, FAILED, "an invalid code was accepted", advice)

    def _check_merchants(self, apps: Collection[str]) -> Check[list[Merchant]]:
        """Return the merchants whose lists can be requested."""
        merchants, findings = judge_merchants(self._stage.merchants.list_all(), apps, self._only_account_id)
        yield from findings
        return merchants

    def _check_lists(self, url: str, session_keys: Sequence[str], merchants: list[Merchant]) -> Iterator[Finding]:
        """Ask the endpoint for the list of each merchant's first store, until one is rate limited or gets no answer."""
        chosen = choose_merchants(merchants, self._only_account_id)
        is_all = self._only_account_id is not None or len(chosen) == len(merchants)
        scope = "" if is_all else f"; tried {len(chosen)} of {len(merchants)}: --merchant ACCOUNT_ID tries one"
        no_token = set[str]()
        for merchant in chosen:
            if merchant.app_id in no_token:
                text, advice = "not tried: its app has no token", "see the check token"
                yield Finding("merchant", merchant.account_id, UNKNOWN, text, advice)
                continue
            try:
                response = smoke.send(url, smoke.list_probe(merchant, session_keys))
            except requests.RequestException as error:
                text = f"no response ({type(error).__name__})"
                yield Finding("merchant", merchant.account_id, FAILED, text, "see the check api.health")
                return
            finding = judge_list(merchant.account_id, response, self._stage.name)
            yield finding._replace(text=finding.text + scope) if finding.outcome == OK else finding
            fault = smoke.find_fault(response)
            if fault == smoke.NO_TOKEN:
                no_token.add(merchant.app_id)
            if finding.outcome == UNKNOWN or fault == smoke.NO_ANSWER:
                if merchant is not chosen[-1]:
                    text, advice = "not tried after this answer", "run doctor again later"
                    yield Finding("merchant", "the others", UNKNOWN, text, advice)
                return
            time.sleep(LIST_PAUSE_SECONDS)

    def _check_token(self, app_id: str, is_minted_here: bool) -> Check[None]:
        row = self._stage.components.tokens.read_row(app_id, self._stage.new_context())
        yield judge_token(app_id, row, time.time(), is_minted_here=is_minted_here)


def judge_error(check_id: str, what: str, error: Exception, stage_name: str) -> Finding:
    """Return the finding for an error of AWS: the resource is missing, or the check could not be made."""
    if not aws_errors.is_missing(error):
        reason, advice = aws_errors.explain(error, stage_name)
        return Finding(check_id, what, UNKNOWN, reason, advice)
    if check_id in ("login", "token"):
        return Finding(check_id, what, UNKNOWN, "the table does not exist", "see the check merchant")
    advice = f'{_deploy_advice(stage_name)}; if it was lost: docs/run.md, "Lost or changed by hand"'
    return Finding(check_id, what, FAILED, "it does not exist, or is to be deleted", advice)


def judge_subscriptions(topic: str, subscriptions: Iterable[Any], email: str | None, stage_name: str) -> Check[None]:
    """Judge who receives the notifications of alarms; `email` is the setting `alarm_email`."""
    states = {s["Endpoint"]: s["SubscriptionArn"] for s in subscriptions if s["SubscriptionArn"] != "Deleted"}
    make_finding = functools.partial(Finding, "alarms.subscription")
    if email and email not in states:
        yield make_finding(topic, FAILED, "the address of `alarm_email` is not subscribed", _deploy_advice(stage_name))
    elif not states:
        advice = f"set `alarm_email` in infra/stages/{stage_name}.toml and deploy, or subscribe your own system"
        yield make_finding(topic, WARNING, "nobody receives notifications of alarms", advice)
    for endpoint, arn in states.items():
        if arn == "PendingConfirmation":
            advice = "click the link in AWS's message; if it is older than two days, subscribe again"
            yield make_finding(endpoint, FAILED, "not confirmed: no alarm arrives there", advice)
        else:
            yield make_finding(endpoint, OK, "confirmed")


def judge_merchants(items: list[Item], apps: Collection[str], only: str | None) -> tuple[list[Merchant], list[Finding]]:
    """Return the merchants whose lists can be requested, and the findings about the other rows.

    If `only` is the id of a merchant, it must be in the table.
    """
    merchants, findings = list[Merchant](), list[Finding]()
    if not items:
        findings.append(Finding("merchant", "", FAILED, "there are no merchants", "run redeemctl merchant add"))
    for item in items:
        account_id = account_id_of(item)
        try:
            merchant = parse_merchant(account_id, item)
        except errors.ConfigurationError as error:
            text = f"malformed row: {str(error).removeprefix(f'merchant {account_id}: ')}"
            advice = (
                "redeemctl merchant add fixes app_id, merchant resume fixes active; else merchant remove, then add it"
            )
            findings.append(Finding("merchant", account_id, FAILED, text, advice))
            continue
        if not merchant.active:
            findings.append(Finding("merchant", account_id, OK, "suspended, not queried"))
        elif merchant.stores == {}:
            text = "its store list is empty, so it is served in no store"
            findings.append(Finding("merchant", account_id, FAILED, text, "redeemctl store add ACCOUNT_ID POI_ID"))
        elif merchant.app_id not in apps:
            text = f"its app {merchant.app_id} is not in the secret: customers cannot log in"
            advice = f"redeemctl app add {merchant.app_id}, or redeemctl merchant add ACCOUNT_ID --app APP_ID"
            findings.append(Finding("merchant", account_id, FAILED, text, advice))
        else:
            merchants.append(merchant)
    if only not in {None, *map(account_id_of, items)}:
        findings.append(Finding("merchant", only or "", FAILED, "not in the table", "see redeemctl merchant list"))
    return merchants, findings


def choose_merchants(merchants: Sequence[Merchant], account_id: str | None) -> list[Merchant]:
    """Return the merchant with this id; without one, MAX_PROBES of them, one of each app first."""
    if account_id is not None:
        return [merchant for merchant in merchants if merchant.account_id == account_id]
    firsts = [*{merchant.app_id: merchant for merchant in reversed(merchants)}.values()][::-1]
    return [*firsts, *(merchant for merchant in merchants if merchant not in firsts)][:MAX_PROBES]


def judge_response(
    check_id: str, url: str, response: requests.Response, probe: smoke.Probe, stage_name: str
) -> Finding:
    """Judge a response of the endpoint. Another version or commit than this clone's is only a warning."""
    difference = smoke.compare_response(response, probe)
    body = smoke.read_object(response)
    if not difference:
        return Finding(check_id, url, OK, probe.expected_text)
    if body.get("status") == "ok":
        advice = "after a rollback: nothing to do; else use a clone of the deployed commit, or deploy this one"
        return Finding(check_id, url, WARNING, difference, advice)
    if body.get("code") == "upstream_rejected":
        return Finding(check_id, url, WARNING, difference, _LOG_IN)
    return Finding(check_id, url, FAILED, difference, ADVICE.get(str(body.get("code")), _deploy_advice(stage_name)))


def judge_list(account_id: str, response: requests.Response, stage_name: str) -> Finding:
    """Judge the response to the list of a merchant for a user that does not exist."""
    problem = smoke.read_object(response)
    code = str(problem.get("code", ""))
    try:
        upstream = msgspec.convert(problem.get("upstream", NO_CODES), UpstreamCodes, from_attributes=True)
    except msgspec.ValidationError:
        # The response is not from this service, so it has no codes of the platform.
        upstream = NO_CODES
    if response.status_code == 200:
        return Finding("merchant", account_id, OK, "the endpoint returns a list")
    if not code:
        return Finding("merchant", account_id, FAILED, f"HTTP {response.status_code}", _deploy_advice(stage_name))
    finding = judge_failed_call("merchant", account_id, code, upstream)
    if code == "upstream_rejected" and upstream.has_code:
        text = (
            f"{finding.text}: the user does not exist. If customers get it, too: account_id or life_account_id is wrong"
        )
        return finding._replace(outcome=OK, text=text, advice="")
    return finding._replace(outcome=UNKNOWN) if code == "rate_limited" else finding


def judge_failed_call(check_id: str, what: str, code: str, upstream: UpstreamCodes, reason: str = "") -> Finding:
    """Return the finding of a failed call. `code` is the problem's; without a platform's code, `reason` is shown."""
    error_type = _find_error_type(upstream)
    if error_type is not None:
        # TokenUnavailableError carries the platform's codes of the mint. They say which error it was; `code` does not.
        code = problem_for_error(error_type("")).view.code
    number = f"{upstream.error_code}" + (f"/{upstream.sub_error_code}" if upstream.sub_error_code else "")
    cause = f"platform error {number}" if upstream.has_code else reason
    advice = ADVICE.get(code, f"look up {code} in docs/run.md, By code")
    if upstream.has_code and error_type is None:
        advice = f"unknown error: {_SUPPORT}"
    return Finding(check_id, what, FAILED, f"{code} ({cause})" if cause else code, advice, upstream.logid)


def _find_error_type(upstream: UpstreamCodes) -> codes.ErrorType | None:
    """Return the error that the platform's codes mean, or None if they are unknown."""
    decision = codes.decide_error(PLATFORM_ERRORS, [upstream.error_code], upstream.sub_error_code)
    return None if decision is None else decision[1]


def judge_token(app_id: str, row: TokenRow, now: float, *, is_minted_here: bool) -> Finding:
    """Judge an app's token. `is_minted_here` is true if this service mints it, not another system."""
    make_finding, seconds = functools.partial(Finding, "token", app_id), row.expires_at - int(now)
    # An older failure does not count if the token is not expiring: somebody has written a valid token since.
    has_failed = bool(row.mint_failure) and is_minted_here and (needs_renewal(row, now) or row.blocks_claims(now))
    if has_failed and row.mint_failure.isdigit():
        upstream = UpstreamCodes(int(row.mint_failure), 0)
        finding = judge_failed_call("token", app_id, "token_unavailable", upstream)
        error_type = _find_error_type(upstream)
        is_transient = error_type is not None and error_type.is_transient
        outcome = WARNING if is_transient and row.is_valid(now) else FAILED
        return finding._replace(outcome=outcome, text=f"the last renewal has failed: {finding.text}")
    if has_failed:
        outcome = WARNING if row.is_valid(now) else FAILED
        return make_finding(outcome, f"the last renewal has failed ({row.mint_failure})", "run doctor in ten minutes")
    if is_minted_here and row.access_token and 0 < seconds <= MISSED_RUN_SECONDS:
        advice = "see the log of refresh_tokens; then redeemctl token renew APP_ID"
        return make_finding(WARNING, f"expires in {seconds} s, and the schedule has not renewed it", advice)
    if row.access_token and seconds > 0:
        return make_finding(OK, f"expires in {seconds} s" if is_minted_here else "of another system, valid")
    advice = "redeemctl token renew APP_ID shows the reason"
    if not is_minted_here:
        advice = "let that system write the row TOKEN#<app_id>. If the merchant has left: merchant remove, app remove"
    return make_finding(FAILED, f"the token {'has expired' if row.access_token else 'is missing or malformed'}", advice)


@click.command()
@click.option("--merchant", metavar="ACCOUNT_ID", type=ID, help="Ask for the list of this merchant, and of no other.")
@pass_command_line
def doctor(cli: CommandLine, *, merchant: str | None) -> None:
    """Check a stage end to end.

    Reads AWS, the table and the secret, and sends requests to the public endpoint, among them for lists of at most 20
    merchants as a user that does not exist. Logs in to the platform with an invalid code. Changes nothing itself; a
    list lets the service renew a token that has expired.
    `redeemctl --help` lists the exit codes.
    """
    findings: list[Finding] = []
    with cli.open_stage(read_only=True, prints_target=False) as stage:
        print_note(f"stage {stage.name}, region {stage.aws_account.region}")
        for _, group in groupby(Doctor(stage, cli.project, merchant).run(), key=lambda finding: finding.id):
            same_check = list(group)
            findings += same_check
            if not cli.as_json:
                _print(same_check)
    if cli.as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_line(summarize(findings))
    outcomes = {finding.outcome for finding in findings}
    sys.exit(1 if FAILED in outcomes else 6 if UNKNOWN in outcomes else 0)


def _print(findings: list[Finding]) -> None:
    """Print the findings of one check. If several resources have the same result, it is printed once."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for finding in findings:
        name = f"{finding.what} (logid {finding.logid})" if finding.logid else finding.what
        groups.setdefault((f"{MARKS[finding.outcome]} {finding.id}", finding.text, finding.advice), []).append(name)
    for (head, text, advice), names in groups.items():
        count = f" ({len(names)})" if len(names) > 1 else ""
        more = f" and {len(names) - MAX_SHOWN} more (--json lists all)" if len(names) > MAX_SHOWN else ""
        print_line(f"{head}{count} {', '.join(names[:MAX_SHOWN])}{more}".rstrip())
        print_line(f"    {text}")
        if advice:
            print_line(f"    → {advice}")


def summarize(findings: Iterable[Finding]) -> str:
    """Return the last line of the output. It says that all checks passed only if every outcome is OK."""
    counts = Counter(finding.outcome for finding in findings)
    if counts.total() == counts[OK]:
        return f"all {counts.total()} checks passed"
    names = {OK: "passed", FAILED: "failed", UNKNOWN: "could not be checked", WARNING: "warnings"}
    return ", ".join(f"{name}: {counts[outcome]}" for outcome, name in names.items() if counts[outcome])


def _deploy_advice(stage_name: str) -> str:
    return f"run make deploy STAGE={stage_name}"

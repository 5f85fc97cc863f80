"""`redeemctl doctor`: check a stage end to end. `infra.smoke` has the probes of the endpoint, and judges responses."""

import functools
import sys
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from chalicelib import errors
from chalicelib.api.problems import problem_for_error
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

MAX_PROBES = 20
"""The maximum number of merchants whose lists are requested, and of service providers' apps whose login is tried. This
is enough to find a fault that all of them have, and causes few calls of the platform."""

MISSED_RUN_SECONDS = 20 * 60
"""The schedule renews a token 30 minutes before its expiry, so a shorter lifetime than this means that it has missed a
run."""

OUTCOMES = {"": OK, "other_build": WARNING, "upstream_rejected": WARNING, "rate_limited": UNKNOWN}
"""The outcome by the code of a result. Any other code means FAILED."""

ADVICE = {
    "no_answer": "if only login has this: check network and DNS of this machine; else docs/run.md, By code",
    "no_response": "check the network of this machine, and the domain's certificate",
    "not_in_dns": "check DNS on this machine, and the domain's CNAME record",
    "other_build": "after a rollback: nothing to do; else use a clone of the deployed commit, or deploy this one",
    "rate_limited": "run doctor again when fewer customers are there; if it lasts: docs/run.md, By code",
    "token_unavailable": "see the check token; if it is ✓: docs/run.md, Refused token",
    "unknown_error": "send the logid to the platform's support",
    "upstream_rejected": "log in on a phone, or run redeemctl acceptance --login: this shows whether customers can",
}
"""What doctor alone knows, by the code of a result. For any other code, docs/run.md says what to do."""

FINAL_CODES = ("rate_limited", "no_answer", "no_response", "not_in_dns")
"""After a list with one of these codes, no other list is requested."""


class Finding(NamedTuple):
    """The result of one check of one resource."""

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


@dataclass
class Doctor:
    """The checks of one run. They only read, but a list may make the service renew a token.

    With `account_id`, only the list of this merchant is requested.
    """

    stage: Stage
    project: Path
    account_id: str | None = None

    def run(self) -> Iterator[Finding]:
        """Run all checks. If the settings require another account or region, no other check is made."""
        stage, settings, aws_account = self.stage, self.stage.settings, self.stage.aws_account
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
        yield from self._attempt("alarms.subscription", topic, self._check_alarms(topic))
        urls = [f"https://{settings.domain.name}"] if settings.domain else []
        urls += [default_url] if default_url else []
        for url in urls:
            yield from self._check_endpoint(url, secret_version.apps if secret_version else {})
        if secret_version and secret_version.apps:
            yield from self.check_apps_and_merchants(secret_version, urls)
        else:
            yield Finding("merchant", "", UNKNOWN, "no app is known", "see the check secret")

    def _attempt(self, check_id: str, what: str, check: Check[T]) -> Check[T | None]:
        """Make a check. If it raises an error, the finding describes the error."""
        try:
            return (yield from check)
        except (StageError, errors.ConfigurationError, *AWS_ERRORS) as error:
            yield judge_error(check_id, what, error, self.stage.name)
            return None

    def _check_secret(self) -> Check[SecretVersion]:
        name, secret_version = self.stage.service_settings.secret_name, read_secret_version(self.stage)
        if secret_version.apps:
            yield Finding("secret", name, OK, f"apps: {len(secret_version.apps)}")
        else:
            yield Finding("secret", name, FAILED, "it contains no app", "run redeemctl app add APP_ID")
        return secret_version

    def _check_api(self) -> Check[str | None]:
        """Return the URL of the default endpoint."""
        aws_account, stage_name = self.stage.aws_account, self.stage.name
        api_id = find_rest_api(aws_account.client("apigateway"), stage_name)
        if api_id is None:
            yield Finding("api", "API", FAILED, "missing", _deploy_advice(stage_name))
            return None
        yield Finding("api", api_id, OK, "found")
        return aws_account.api_url(api_id, API_STAGE)

    def _check_alarms(self, topic: str) -> Check[None]:
        """Check who receives the notifications of alarms."""
        aws_account, email = self.stage.aws_account, self.stage.settings.alarm_email
        arn = f"arn:{aws_account.partition}:sns:{aws_account.region}:{aws_account.id}:{topic}"
        pages = aws_account.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        subscriptions = pages.build_full_result().get("Subscriptions", ())
        states = {s["Endpoint"]: s["SubscriptionArn"] for s in subscriptions if s["SubscriptionArn"] != "Deleted"}
        make_finding = functools.partial(Finding, "alarms.subscription")
        if email and email not in states:
            command = f"aws sns subscribe --topic-arn {arn} --protocol email --notification-endpoint {email}"
            yield make_finding(topic, FAILED, "the address of `alarm_email` is not subscribed", command)
        elif not states:
            advice = (
                f"set `alarm_email` in infra/stages/{self.stage.name}.toml and deploy, or subscribe your own system"
            )
            yield make_finding(topic, WARNING, "nobody receives notifications of alarms", advice)
        for endpoint, arn in states.items():
            if arn == "PendingConfirmation":
                advice = "click the link in AWS's message; if it is older than two days, subscribe again"
                yield make_finding(endpoint, FAILED, "not confirmed: no alarm arrives there", advice)
            else:
                yield make_finding(endpoint, OK, "confirmed")

    def _check_endpoint(self, url: str, apps: Mapping[str, str]) -> Iterator[Finding]:
        version = bundle.parse_version((self.project / "chalicelib" / "__init__.py").read_text(encoding="utf-8"))
        build = bundle.Build(version, bundle.read_git_commit(self.project))
        probes = {"api.health": smoke.health_probe(build), "api.route": smoke.UNKNOWN_ROUTE_PROBE}
        probes["api.table"] = smoke.UNKNOWN_MERCHANT_PROBE
        if apps:
            probes["api.secret"] = smoke.FORGED_SESSION_PROBE
            # Prefer an own app: the token of a service provider's app may have expired.
            probes["api.login"] = smoke.refused_login_probe(min(apps, key=lambda app_id: not apps[app_id]))
        for check_id, probe in probes.items():
            yield report(check_id, url, smoke.request(url, probe), self.stage.name)

    def check_apps_and_merchants(self, secret_version: SecretVersion, urls: Sequence[str]) -> Iterator[Finding]:
        """Check the merchants, request lists from the last of the endpoint's URLs, then check logins and tokens.

        The tokens come last, because a list makes the service renew a token that has expired.
        """
        apps, table_name = secret_version.apps, self.stage.service_settings.table_name
        merchants = yield from self._attempt("merchant", table_name, self._check_rows(apps))
        if merchants is None:
            return
        if urls:
            yield from self._check_lists(urls[-1], secret_version.session_keys, merchants)
        unprobed = [app_id for app_id in apps if not apps[app_id]][MAX_PROBES:]
        for app_id in [app_id for app_id in apps if app_id not in unprobed]:
            yield from self._attempt("login", app_id, self._check_login(app_id, apps[app_id]))
        for app_id in sorted(apps):
            yield from self._attempt("token", app_id, self._check_token(app_id, secret_version.mints_tokens_of(app_id)))

    def _check_rows(self, apps: Collection[str]) -> Check[list[Merchant]]:
        """Return the merchants whose lists can be requested."""
        items, merchants = self.stage.merchants.list_all(), list[Merchant]()
        if not items:
            yield Finding("merchant", "", FAILED, "there are no merchants", "run redeemctl merchant add")
        if self.account_id not in {None, *map(account_id_of, items)}:
            yield Finding("merchant", str(self.account_id), FAILED, "not in the table", "redeemctl merchant list")
        for item in items:
            account_id = account_id_of(item)
            make_finding = functools.partial(Finding, "merchant", account_id)
            try:
                merchant = parse_merchant(account_id, item)
            except errors.ConfigurationError as error:
                text = f"malformed row: {str(error).removeprefix(f'merchant {account_id}: ')}"
                advice = "redeemctl merchant add fixes app_id, merchant resume active; else merchant remove, then add"
                yield make_finding(FAILED, text, advice)
                continue
            if not merchant.active:
                yield make_finding(OK, "suspended, not queried")
            elif merchant.stores == {}:
                text = "its store list is empty, so it is served in no store"
                yield make_finding(FAILED, text, "redeemctl store add ACCOUNT_ID POI_ID")
            elif merchant.app_id not in apps:
                text = f"its app {merchant.app_id} is not in the secret: customers cannot log in"
                advice = f"redeemctl app add {merchant.app_id}, or redeemctl merchant add ACCOUNT_ID --app APP_ID"
                yield make_finding(FAILED, text, advice)
            else:
                merchants.append(merchant)
        return merchants

    def _check_login(self, app_id: str, app_secret: str) -> Check[None]:
        """Log in with an invalid code. If app id and secret (or token) are valid, the platform refuses the code."""
        try:
            self.stage.exchange_code(app_id, app_secret, PROBE_CODE)
        except errors.LoginRefusedError:
            text = f"the platform accepts app id and {'secret' if app_secret else 'token'}"
            yield Finding("login", app_id, OK, text)
        except errors.StorageUnavailableError:
            raise
        except errors.ServiceError as error:
            result = smoke.judge_problem(problem_for_error(error).view.code, error.upstream, error.reason)
            yield report("login", app_id, result, self.stage.name)
        else:
            advice = "check [environment] in the settings"
            yield Finding("login", app_id, FAILED, "an invalid code was accepted", advice)

    def _check_lists(self, url: str, session_keys: Sequence[str], merchants: list[Merchant]) -> Iterator[Finding]:
        """Ask the endpoint for the list of each merchant's first store, until one is rate limited or gets no answer."""
        chosen, scope = [m for m in merchants if self.account_id in (None, m.account_id)][:MAX_PROBES], ""
        if self.account_id is None and len(chosen) < len(merchants):
            scope = f"; tried {len(chosen)} of {len(merchants)}: --merchant ACCOUNT_ID tries one"
        for merchant in chosen:
            result = smoke.request(url, smoke.list_probe(merchant, session_keys))
            finding = report("merchant", merchant.account_id, result, self.stage.name)
            text = finding.text if result.code else "the endpoint returns a list"
            yield finding._replace(text=text + scope if finding.outcome == OK else text)
            if result.code in FINAL_CODES:
                if merchant is not chosen[-1]:
                    text, advice = "not tried after this answer", "run doctor again later"
                    yield Finding("merchant", "the others", UNKNOWN, text, advice)
                return

    def _check_token(self, app_id: str, is_minted_here: bool) -> Check[None]:
        row = self.stage.components.tokens.read_row(app_id, self.stage.new_context())
        yield judge_token(app_id, row, time.time(), is_minted_here=is_minted_here)


def judge_error(check_id: str, what: str, error: Exception, stage_name: str) -> Finding:
    """Return the finding for an error: a resource is missing or wrong, or the check could not be made."""
    if isinstance(error, errors.ConfigurationError):
        return Finding(check_id, what, FAILED, str(error), 'restore a former version: docs/run.md, "A former state"')
    outcome = FAILED if isinstance(error, StageError) or aws_errors.is_missing(error) else UNKNOWN
    return Finding(check_id, what, outcome, *aws_errors.explain(error, stage_name))


def report(check_id: str, what: str, result: smoke.Result, stage_name: str) -> Finding:
    """Return the finding of a probe: the outcome for the operator, and what to do."""
    code, text, advice = result.code, result.text, ADVICE.get(result.code, f"docs/run.md, By code: {result.code}")
    if code in ("broken", "not_found"):
        advice = _deploy_advice(stage_name)
    if code == "upstream_rejected" and check_id == "merchant":
        text += ": the user does not exist. If customers get it, too: account_id or life_account_id is wrong"
        code = advice = ""
    return Finding(check_id, what, OUTCOMES.get(code, FAILED), text, advice if code else "", result.upstream.logid)


def judge_token(app_id: str, row: TokenRow, now: float, *, is_minted_here: bool) -> Finding:
    """Judge an app's token. `is_minted_here` is true if this service mints it, not another system."""
    make_finding, reason = functools.partial(Finding, "token", app_id), row.mint_failure
    # An older failure does not count if the token is not expiring: somebody has written a valid token since.
    if reason and is_minted_here and (needs_renewal(row, now) or row.blocks_claims(now)):
        upstream = UpstreamCodes(int(reason), 0) if reason.isdigit() else NO_CODES
        result = smoke.judge_problem("token_unavailable", upstream, reason)
        is_transient = result.code in ("rate_limited", "upstream_unavailable", "token_unavailable")
        outcome = WARNING if is_transient and row.is_valid(now) else FAILED
        return make_finding(outcome, f"the last renewal has failed: {result.text}", "docs/run.md, Tokens")
    if not row.is_valid(now):
        text = "the token has expired" if row.access_token else "the token is missing or malformed"
        return make_finding(FAILED, text, "docs/run.md, Tokens")
    seconds = row.expires_at - int(now)
    if is_minted_here and seconds <= MISSED_RUN_SECONDS:
        text = f"expires in {seconds} s, and the schedule has not renewed it"
        return make_finding(WARNING, text, "docs/run.md, Dead schedule")
    return make_finding(OK, f"expires in {seconds} s" if is_minted_here else "of another system, valid")


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
        for finding in Doctor(stage, cli.project, merchant).run():
            findings.append(finding)
            if not cli.as_json:
                _print(finding)
    if cli.as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_line(summarize(findings))
    outcomes = {finding.outcome for finding in findings}
    sys.exit(1 if FAILED in outcomes else 6 if UNKNOWN in outcomes else 0)


def _print(finding: Finding) -> None:
    resource = f" {finding.what}" if finding.what else ""
    logid = f" (logid {finding.logid})" if finding.logid else ""
    print_line(f"{MARKS[finding.outcome]} {finding.id}{resource}: {finding.text}{logid}")
    if finding.advice:
        print_line(f"    → {finding.advice}")


def summarize(findings: Iterable[Finding]) -> str:
    """Return the last line of the output. It says that all checks passed only if every outcome is OK."""
    counts = Counter(finding.outcome for finding in findings)
    if counts.total() == counts[OK]:
        return f"all {counts.total()} checks passed"
    names = {OK: "passed", FAILED: "failed", UNKNOWN: "could not be checked", WARNING: "warnings"}
    return ", ".join(f"{name}: {counts[outcome]}" for outcome, name in names.items() if counts[outcome])


def _deploy_advice(stage_name: str) -> str:
    return f"run make deploy STAGE={stage_name}"

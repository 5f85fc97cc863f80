"""`redeemctl doctor`: check a stage end to end. `infra.smoke` has the probes of the endpoint, and judges responses."""

import functools
import sys
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from chalicelib import errors
from chalicelib.merchants import Merchant
from chalicelib.tokens.renewal import needs_renewal
from chalicelib.tokens.rows import TokenRow
from infra import bundle, smoke
from infra.chalice_config import API_STAGE
from infra.chalice_state import find_rest_api
from infra.cloudformation import shared_name
from infra.stage_settings import StageError
from redeemctl import aws_errors
from redeemctl.aws_errors import AWS_ERRORS
from redeemctl.command_line import ID, CommandLine, pass_command_line
from redeemctl.merchant_rows import account_id_of
from redeemctl.output import print_json, print_line
from redeemctl.secret import SecretVersion, read_secret_version
from redeemctl.stage import Stage

OK, WARNING, FAILED, UNKNOWN = "ok", "warning", "failed", "not_checked"
"""A warning needs attention, but nothing is wrong yet. UNKNOWN: the check could not be made."""

MARKS = {OK: "✓", WARNING: "!", FAILED: "✗", UNKNOWN: "?"}

MAX_PROBES = 20
"""The maximum number of lists, and of logins, that are tried. This is enough to find a fault that all merchants or apps
have, and causes few calls of the platform."""

MISSED_RUN_SECONDS = 20 * 60
"""The schedule renews a token 30 minutes before its expiry, so a shorter lifetime than this means that it has missed a
run."""

OUTCOMES = {"other_build": WARNING, "upstream_rejected": WARNING, "rate_limited": UNKNOWN}
"""The outcome by the code of a result. Any other code means FAILED."""

ADVICE = {
    "broken": "run make deploy (docs/run.md, Deploy again what runs)",
    "no_answer": "docs/run.md, By code: upstream_unavailable",
    "no_response": "check the network of this machine, and the domain's certificate",
    "not_found": "run make deploy (docs/run.md, Deploy again what runs)",
    "not_in_dns": "check DNS on this machine, and the domain's CNAME record",
    "other_build": "after a rollback: nothing to do; else use a clone of the deployed commit, or deploy this one",
    "rate_limited": "run doctor again when fewer customers are there; if it lasts: docs/run.md, By code",
    "token_unavailable": "see the check token; if it is ✓: docs/run.md, Refused token",
    "upstream_rejected": "log in on a phone, or run redeemctl acceptance --login: this shows whether customers can",
    "upstream_unavailable": "wait for Douyin; if it lasts, send the logid to its support",
}
"""What doctor alone knows, by the code of a result. For any other code, docs/run.md says what to do."""

SUCCESSES = {"login": "the endpoint refuses an invalid code", "merchant": "the endpoint returns a list"}
"""What the expected response means, by check. For any other check, the expected response itself is shown."""

FINAL_CODES = ("rate_limited", "no_answer", "no_response", "not_in_dns")
"""After a list or login with one of these codes, no other one is tried."""


class Finding(NamedTuple):
    """The result of one check of one resource."""

    #: The check, for example `api.table`.
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

    With `account_id`, only this merchant and its app are checked.
    """

    stage: Stage
    project: Path
    account_id: str | None = None

    def run(self) -> Iterator[Finding]:
        """Run all checks."""
        stage, domain = self.stage, self.stage.settings.domain
        secret_name, topic = stage.service_settings.secret_name, f"{shared_name(stage.name)}-alarms"
        secret_version = yield from self._attempt("secret", secret_name, self._check_secret())
        default_url = yield from self._attempt("api", "API", self._check_api())
        yield from self._attempt("alarms.subscription", topic, self._check_alarms(topic))
        has_app = bool(secret_version and secret_version.apps)
        version = bundle.parse_version((self.project / "chalicelib" / "__init__.py").read_text(encoding="utf-8"))
        probes = smoke.endpoint_probes(bundle.Build(version, bundle.read_git_commit(self.project)), has_app=has_app)
        urls = [*([f"https://{domain.name}"] if domain else []), *([default_url] if default_url else [])]
        for url in urls:
            for check_id, probe in probes.items():
                yield report(check_id, url, smoke.request(url, probe))
        if secret_version and has_app:
            yield from self._check_apps_and_merchants(secret_version, urls[-1] if urls else "")

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
            yield Finding("api", "API", FAILED, "missing", f"run make deploy STAGE={stage_name}")
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

    def _check_apps_and_merchants(self, secret_version: SecretVersion, url: str) -> Iterator[Finding]:
        """Check the rows, request logins and lists from the endpoint, then check the tokens.

        The tokens come last, because a list makes the service renew a token that has expired.
        """
        apps, table_name = secret_version.apps, self.stage.service_settings.table_name
        merchants = yield from self._attempt("merchant", table_name, self._check_rows(apps))
        if merchants is None:
            return
        checked = {merchant.app_id for merchant in merchants} if self.account_id else apps.keys()
        # The token of a service provider's app may have expired, so own apps come first.
        app_ids = sorted(checked, key=lambda app_id: not apps[app_id])
        if url:
            yield from self._send("login", url, {app_id: smoke.refused_login_probe(app_id) for app_id in app_ids})
            lists = {m.account_id: smoke.list_probe(m, secret_version.session_keys) for m in merchants}
            yield from self._send("merchant", url, lists)
        for app_id in app_ids:
            yield from self._attempt("token", app_id, self._check_token(app_id, secret_version.mints_tokens_of(app_id)))

    def _check_rows(self, apps: Collection[str]) -> Check[list[Merchant]]:
        """Return the merchants whose lists can be requested."""
        rows, merchants = self.stage.merchants.list_all(), list[Merchant]()
        items = [item for item in rows if self.account_id in (None, account_id_of(item))]
        if not items:
            advice = "redeemctl merchant list shows the merchants, merchant add adds one"
            yield Finding("merchant", self.account_id or "", FAILED, "there is no row in the table", advice)
        for item in items:
            merchant, text, advice = smoke.read_merchant(item, apps)
            if merchant:
                merchants.append(merchant)
            else:
                yield Finding("merchant", account_id_of(item), FAILED if advice else OK, text, advice)
        return merchants

    def _send(self, check_id: str, url: str, probes: Mapping[str, smoke.Probe]) -> Iterator[Finding]:
        """Send at most MAX_PROBES probes, by app or merchant, until one is rate limited or gets no answer."""
        code = ""
        for number, (what, probe) in enumerate(probes.items()):
            if number == MAX_PROBES or code in FINAL_CODES:
                outcome, advice = (UNKNOWN, "run doctor again later") if code in FINAL_CODES else (OK, "")
                yield Finding(check_id, "the others", outcome, "not tried; --merchant ACCOUNT_ID checks one", advice)
                return
            result = smoke.request(url, probe)
            code = result.code
            yield report(check_id, what, result)

    def _check_token(self, app_id: str, is_minted_here: bool) -> Check[None]:
        row = self.stage.components.tokens.read_row(app_id, self.stage.new_context())
        yield judge_token(app_id, row, time.time(), is_minted_here=is_minted_here)


def judge_error(check_id: str, what: str, error: Exception, stage_name: str) -> Finding:
    """Return the finding for an error: a resource is missing or wrong, or the check could not be made."""
    if isinstance(error, errors.ConfigurationError):
        return Finding(check_id, what, FAILED, str(error), 'restore a former version: docs/run.md, "A former state"')
    outcome = FAILED if isinstance(error, StageError) or aws_errors.is_missing(error) else UNKNOWN
    return Finding(check_id, what, outcome, *aws_errors.explain(error, stage_name))


def report(check_id: str, what: str, result: smoke.Result) -> Finding:
    """Return the finding of a probe: the outcome for the operator, and what to do."""
    code, text, logid = result.code, result.text, result.upstream.logid
    if not code:
        return Finding(check_id, what, OK, SUCCESSES.get(check_id, text))
    if code == "upstream_rejected" and check_id == "merchant":
        text += ": the user does not exist. If customers get it, too: account_id or life_account_id is wrong"
        return Finding(check_id, what, OK, text, logid=logid)
    advice = ADVICE.get(code, f"docs/run.md, By code: {code}")
    return Finding(check_id, what, OUTCOMES.get(code, FAILED), text, advice, logid)


def judge_token(app_id: str, row: TokenRow, now: float, *, is_minted_here: bool) -> Finding:
    """Judge an app's token. `is_minted_here` is true if this service mints it, not another system."""
    make_finding, reason = functools.partial(Finding, "token", app_id), row.mint_failure
    # An older failure does not count if the token is not expiring: somebody has written a valid token since.
    if reason and is_minted_here and needs_renewal(row, now):
        outcome = WARNING if row.is_valid(now) else FAILED
        return make_finding(outcome, f"the last renewal has failed: {reason}", "docs/run.md, Tokens")
    if not row.is_valid(now):
        text = "the token has expired" if row.access_token else "the token is missing or malformed"
        return make_finding(FAILED, text, "docs/run.md, Tokens")
    seconds = row.expires_at - int(now)
    if is_minted_here and seconds <= MISSED_RUN_SECONDS:
        text = f"expires in {seconds} s, and the schedule has not renewed it"
        return make_finding(WARNING, text, "docs/run.md, Dead schedule")
    return make_finding(OK, f"expires in {seconds} s" if is_minted_here else "of another system, valid")


@click.command()
@click.option("--merchant", metavar="ACCOUNT_ID", type=ID, help="Check this merchant and its app, and no other.")
@pass_command_line
def doctor(cli: CommandLine, *, merchant: str | None) -> None:
    """Check a stage end to end.

    Reads AWS, the table and the secret, and sends requests to the public endpoint, among them for lists of at most 20
    merchants as a user that does not exist, and for logins with an invalid code. Changes nothing itself; a list lets
    the service renew a token that has expired.
    `redeemctl --help` lists the exit codes.
    """
    findings: list[Finding] = []
    with cli.open_stage(read_only=True) as stage:
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

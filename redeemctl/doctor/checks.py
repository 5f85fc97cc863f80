"""Run the checks: read what they need, and let the `judge_*` functions judge it. docs/operate.md lists the ids."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from chalicelib import errors
from chalicelib.merchants import Merchant
from chalicelib.sessions import PROBE_CODE
from infra import bundle, smoke
from infra.account import Account, check_account
from infra.chalice_config import API_STAGE, render
from infra.chalice_state import find_rest_api
from infra.cloudformation import stack_name
from infra.stage_settings import StageError, StageSettings, read_stage_settings
from redeemctl.aws_errors import AWS_ERRORS, explain
from redeemctl.doctor import platform, resources
from redeemctl.doctor.findings import Finding, deploy, failed, not_checked, ok, warning
from redeemctl.secret import SecretVersion, read_secret_version
from redeemctl.stage import PARALLEL_QUERIES, Stage

SEE_SECRET = "see the check secret"  # noqa: S105 - a text


@dataclass
class Checks:
    """The checks of one run. With `dry_run` no token is renewed. With `merchant`, only its list is requested."""

    stage: Stage
    project: Path
    dry_run: bool = False
    merchant: str | None = None

    @property
    def name(self) -> str:
        """The name of the stage."""
        return self.stage.name

    def run(self) -> Iterator[Finding]:
        """Run all checks. Without valid settings, or the credentials that they require, no other check is made."""
        file = f"infra/stages/{self.name}.toml"
        try:
            settings = read_stage_settings(self.project, self.name)
        except StageError as error:
            yield failed("settings", file, f"invalid, so nothing else was checked: {error}", f"correct {file}")
            return
        rendered = json.loads(render({self.name: settings})["config.json"])["stages"][self.name]
        config = json.loads((self.project / ".chalice" / "config.json").read_text(encoding="utf-8"))
        yield resources.judge_settings(config["stages"][self.name], rendered, self.name)
        account = self.stage.account
        try:
            check_account(account, settings)
        except (*AWS_ERRORS, StageError) as error:
            reason, advice = explain(error, self.name)
            yield failed("aws.identity", "AWS", f"nothing else was checked: {reason}", advice)
            return
        yield ok("aws.identity", f"account {account.id}, region {account.region}", "signed in")
        yield from self._check_stage(account, settings)

    def _check_stage(self, account: Account, settings: StageSettings) -> Iterator[Finding]:
        secret_name = self.stage.settings.secret_name
        secret, finding = self._check_secret(secret_name)
        yield finding
        api_id, finding = self._find_api(account, settings)
        yield finding
        domain = settings.domain
        urls = [] if domain is None else [f"https://{domain.name}"]
        if api_id is not None and (domain is None or domain.default_endpoint):
            urls.append(account.api_url(api_id, API_STAGE))
        topic = f"{stack_name(self.name)}-alarms"
        subscriptions = self._check_subscriptions(account, topic, settings.alarm_email)
        checks: list[Iterator[Finding]] = [
            # An own app before one of a service provider, whose token may have expired.
            self._check_endpoints(urls, min(secret.apps, key=lambda app_id: not secret.apps[app_id], default=None)),
            self._attempt("alarms.subscription", topic, subscriptions),
        ]
        with ThreadPoolExecutor(len(checks)) as executor:
            for findings in executor.map(list[Finding], checks):
                yield from findings
        if secret.apps:
            yield from self.check_platform(secret, urls)
        else:
            yield from _skip(("login", "token", "merchant"), "no app is known", SEE_SECRET)

    def _attempt(self, check_id: str, what: str, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Yield the findings of a check, and that of an error of AWS that ends it."""
        try:
            yield from findings
        except AWS_ERRORS as error:
            yield self._judge_error(check_id, what, error)

    def _judge_error(self, check_id: str, what: str, error: Exception) -> Finding:
        return resources.judge_error(check_id, what, error, self.name)

    def _check_secret(self, name: str) -> tuple[SecretVersion, Finding]:
        """Return the secret with its finding; an empty one if it cannot be read."""
        try:
            version = read_secret_version(self.stage)
        except errors.ConfigurationError:
            # The content is not shown: it may hold secrets.
            text = 'malformed; expected {"apps": {"APP_ID": "APP_SECRET"}, "session_keys": ["KEY"]}'
            advice = 'restore a former version: docs/operate.md, "Back up and restore"'
            return SecretVersion(), failed("secret", name, text, advice)
        except AWS_ERRORS as error:
            return SecretVersion(), self._judge_error("secret", name, error)
        return version, resources.judge_secret(name, version)

    def _check_endpoints(self, urls: list[str], app_id: str | None) -> Iterator[Finding]:
        """Send requests to the URLs that the settings enable."""
        for url in urls:
            yield from self._check_endpoint(url, app_id)
        if not urls:
            ids = ("api.health", "api.unknown_route", "api.login")
            yield from _skip(ids, "the API's URL is unknown", "see the check api")

    def _find_api(self, account: Account, settings: StageSettings) -> tuple[str | None, Finding]:
        """Return the id of the stage's API, or None if it is unknown, with the finding."""
        try:
            api_id = find_rest_api(account.client("apigateway"), self.name, settings)
        except StageError as error:
            text, _, advice = str(error).partition("\n")
            return None, failed("api", "API", text, advice or f"correct infra/stages/{self.name}.toml")
        except AWS_ERRORS as error:
            return None, self._judge_error("api", "API", error)
        return api_id, ok("api", api_id, "found") if api_id else failed("api", "API", "missing", deploy(self.name))

    def _check_endpoint(self, url: str, app_id: str | None) -> Iterator[Finding]:
        version = bundle.parse_version((self.project / "chalicelib" / "__init__.py").read_text(encoding="utf-8"))
        clone = bundle.Build(version, bundle.read_commit(self.project))
        probes = {"api.health": smoke.health(clone), "api.unknown_route": smoke.UNKNOWN_ROUTE}
        if app_id is None:
            yield not_checked("api.login", url, "no app is known", SEE_SECRET)
        else:
            probes["api.login"] = smoke.refused_login(app_id)
        for check_id, probe in probes.items():
            try:
                response = smoke.send(url, probe)
            except requests.RequestException as error:
                advice = "check DNS and network of this machine, and the domain's DNS record and certificate"
                yield failed(check_id, url, f"no response ({type(error).__name__})", advice)
            else:
                yield resources.judge_response(check_id, url, response, probe, self.name)

    def _check_subscriptions(self, account: Account, topic: str, email: str | None) -> Iterator[Finding]:
        arn = f"arn:{account.partition}:sns:{account.region}:{account.id}:{topic}"
        pages = self.stage.account.client("sns").get_paginator("list_subscriptions_by_topic")
        found = pages.paginate(TopicArn=arn).build_full_result().get("Subscriptions", ())
        yield from resources.judge_subscriptions(topic, found, email, self.name)

    def check_platform(self, secret: SecretVersion, urls: list[str]) -> Iterator[Finding]:
        """Check logins, tokens and merchants, and request lists from the last of the endpoint's URLs."""
        apps = secret.apps
        provided = [app_id for app_id, app_secret in apps.items() if not app_secret]
        yield from self._check_logins(apps, provided)
        rows: Mapping[str, Merchant | None] = {}
        try:
            items = self.stage.merchants.list_all()
        except AWS_ERRORS as error:
            yield self._judge_error("merchant", self.stage.settings.table_name, error)
        else:
            rows, findings = resources.judge_rows(items, apps)
            yield from findings
            if self.merchant not in {None, *rows}:
                yield failed("merchant", self.merchant or "", "it is not in the table", "see redeemctl merchant list")
        merchants = [found for found in rows.values() if found and found.active and found.app_id in apps]
        used = {merchant.token_id for merchant in merchants}
        apps_without_merchants = apps.keys() - {merchant.app_id for merchant in merchants}
        tokens = {}
        for token_id in sorted(used.union(apps_without_merchants, provided)):
            tokens[token_id], finding = self._check_token(token_id, apps.get(token_id, ""))
            yield finding
        if not urls:
            yield from _skip(["merchant"], "the API's URL is unknown", "see the check api")
            return
        usable = [merchant for merchant in merchants if tokens[merchant.token_id]]
        for merchant in [merchant for merchant in merchants if not tokens[merchant.token_id]]:
            reason = f"the token {merchant.token_id} is not available"
            yield not_checked("merchant", merchant.account_id, reason, "see the check token")
        asked = resources.choose_merchants(usable, self.merchant)
        yield from self._check_lists(asked, urls[-1], secret)
        if count := len(usable) - len(asked):
            yield ok("merchant", f"{count} others", "valid row; no list was requested without --merchant")

    def _check_logins(self, apps: Mapping[str, str], provided: Sequence[str]) -> Iterator[Finding]:
        """Log in to the own apps, and to some of those that are `provided` by service providers."""
        asked = [app_id for app_id in apps if app_id not in provided[resources.MAX_ASKED_APPS :]]
        logins = (self._attempt("login", app_id, self._check_login(app_id, apps[app_id])) for app_id in asked)
        with ThreadPoolExecutor(PARALLEL_QUERIES) as executor:
            for findings in executor.map(list[Finding], logins):
                yield from findings
        if count := len(apps) - len(asked):
            yield ok("login", f"{count} others", "of service providers; no login was tried")

    def _check_login(self, app_id: str, app_secret: str) -> Iterator[Finding]:
        """Log in with an invalid code: with a valid app id and secret, or token, the platform refuses the code."""
        stage, context = self.stage, self.stage.new_context()
        host = stage.settings.login_api if app_secret else stage.settings.open_api
        try:
            if app_secret:
                stage.douyin.login(app_id, app_secret, PROBE_CODE, context)
            else:
                token = stage.tokens.get(app_id, context)
                stage.douyin.login_with_token(app_id, token, PROBE_CODE, context)
        except errors.LoginRefusedError:
            yield ok("login", app_id, f"{host} accepts app id and {'secret' if app_secret else 'token'}")
        except errors.TokenUnavailableError:
            yield not_checked("login", app_id, "its token is not available", "see the check token")
        except errors.UpstreamRejectedError as error:
            yield warning("login", app_id, f"{host} refuses code or app id ({error.reason})", resources.LOG_IN_ONCE)
        except errors.UpstreamError as error:
            yield failed("login", app_id, *platform.explain(error, host))
        else:
            yield failed("login", app_id, "the platform accepted an invalid login code", f"is {host} the platform?")

    def _check_token(self, token_id: str, app_secret: str) -> tuple[bool, Finding]:
        """Return whether a token is valid, with the finding. `app_secret` is "" if another system renews it."""
        try:
            return self._renew_token(token_id, app_secret)
        except AWS_ERRORS as error:
            return False, self._judge_error("token", token_id, error)

    def _renew_token(self, token_id: str, app_secret: str) -> tuple[bool, Finding]:
        """Renew a token only if it is missing or has expired."""
        store, now = self.stage.tokens, time.time()
        row = store.read_row(token_id, self.stage.new_context())
        is_valid = row.is_valid(now)
        if not app_secret or is_valid:
            return is_valid, platform.judge_token(token_id, row, now, is_foreign=not app_secret)
        if self.dry_run:
            reason = "it has to be renewed, which --dry-run prevents"
            return False, not_checked("token", token_id, reason, "run doctor without --dry-run")
        try:
            # Under the service's own lease: a token that an instance has just minted is used.
            store.renew(token_id, row.access_token, self.stage.new_context())
        except errors.TokenUnavailableError as error:
            cause: errors.RedemptionError = error
            # Each attempt, also for a customer, begins another pause. In a pause only the row has the cause.
            if not error.evidence.has_code:
                reason = store.read_row(token_id, self.stage.new_context()).failure
                cause = errors.UpstreamError(reason) if reason else error
            host = self.stage.settings.open_api
            return False, failed("token", token_id, *platform.explain(cause, host))
        return True, ok("token", token_id, "renewed now")

    def _check_lists(self, asked: Sequence[Merchant], url: str, secret: SecretVersion) -> Iterator[Finding]:
        """Ask the endpoint for the list of each merchant's first store, until one is rate limited or gets no answer."""
        for number, merchant in enumerate(asked, 1):
            account_id = merchant.account_id
            try:
                response = smoke.send(url, smoke.certificates(merchant, secret.session_keys))
            except requests.RequestException as error:
                reason = resources.NO_ANSWER
                text = f"no response ({type(error).__name__})"
                yield failed("merchant", account_id, text, "see the check api.health")
            else:
                reason = resources.why_stop(response)
                yield resources.judge_list(account_id, response, self.name)
            if rest := len(asked) - number:
                if reason:
                    yield not_checked("merchant", f"{rest} others", reason, "run doctor again later")
                    return
                time.sleep(resources.LIST_PAUSE_SECONDS)


def _skip(check_ids: Iterable[str], reason: str, advice: str) -> Iterator[Finding]:
    return (not_checked(check_id, "", reason, advice) for check_id in check_ids)

"""Run the checks: read what they need, and let the `judge_*` functions judge it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from chalicelib import errors
from chalicelib.douyin.endpoints import CODE2SESSION, JSCODE2SESSION, login_body, provider_login_body
from chalicelib.merchants import Merchant
from chalicelib.sessions import PROBE_CODE
from infra import bundle, smoke
from infra.account import Account, check_account
from infra.chalice_config import API_STAGE
from infra.chalice_state import find_rest_api
from infra.cloudformation import stack_name
from infra.stage_settings import StageError, StageSettings, read_stage_settings
from redeemctl.aws_errors import AWS_ERRORS, explain
from redeemctl.doctor import platform, resources
from redeemctl.doctor.findings import Finding, deploy, failed, not_checked, ok, warning
from redeemctl.secret import SecretVersion, read_secret_version
from redeemctl.stage import Stage


@dataclass
class Checks:
    """The checks of one run. They change nothing. With `merchant`, only its list is requested."""

    stage: Stage
    project: Path
    merchant: str | None = None

    def run(self) -> Iterator[Finding]:
        """Run all checks. Without valid settings, or the credentials that they require, no other check is made."""
        account = self.stage.account
        try:
            settings = read_stage_settings(self.project, self.stage.name)
            check_account(account, settings)
        except StageError as error:
            yield failed(
                "settings", self.stage.name, f"nothing else was checked: {error}", "correct settings or credentials"
            )
            return
        except AWS_ERRORS as error:
            reason, advice = explain(error, self.stage.name)
            yield failed("settings", "AWS", f"nothing else was checked: {reason}", advice)
            return
        yield ok("settings", f"account {account.id}, region {account.region}", "valid")
        secret, finding = self._check_secret(self.stage.settings.secret_name)
        yield finding
        urls, finding = self._find_urls(account, settings)
        yield finding
        yield from self._check_subscriptions(account, settings.alarm_email)
        for url in urls:
            yield from self._check_endpoint(url, secret)
        if secret.apps:
            yield from self.check_platform(secret, urls)
        else:
            yield not_checked("merchant", "", "no app is known", "see the check secret")

    def _judge_error(self, check_id: str, what: str, error: Exception) -> Finding:
        return resources.judge_error(check_id, what, error, self.stage.name)

    def _check_secret(self, name: str) -> tuple[SecretVersion, Finding]:
        """Return the secret with its finding; an empty one if it cannot be read."""
        try:
            version = read_secret_version(self.stage)
        except errors.ConfigurationError:
            # The content is not shown: it may hold secrets.
            text = 'malformed; expected {"apps": {"APP_ID": "APP_SECRET"}, "session_keys": ["KEY"]}'
            advice = 'restore a former version: docs/run.md, "A former state"'
            return SecretVersion(), failed("secret", name, text, advice)
        except AWS_ERRORS as error:
            return SecretVersion(), self._judge_error("secret", name, error)
        return version, resources.judge_secret(name, version)

    def _find_urls(self, account: Account, settings: StageSettings) -> tuple[list[str], Finding]:
        """Return the base URLs that the settings enable, the default endpoint last, and the finding about the API."""
        domain = settings.domain
        urls = [] if domain is None else [f"https://{domain.name}"]
        try:
            api_id = find_rest_api(account.client("apigateway"), self.stage.name)
        except StageError as error:
            text, _, advice = str(error).partition("\n")
            return urls, failed("api", "API", text, advice or f"correct infra/stages/{self.stage.name}.toml")
        except AWS_ERRORS as error:
            return urls, self._judge_error("api", "API", error)
        if api_id is None:
            return urls, failed("api", "API", "missing", deploy(self.stage.name))
        if domain is None or domain.default_endpoint:
            urls.append(account.api_url(api_id, API_STAGE))
        return urls, ok("api", api_id, "found")

    def _check_endpoint(self, url: str, secret: SecretVersion) -> Iterator[Finding]:
        version = bundle.parse_version((self.project / "chalicelib" / "__init__.py").read_text(encoding="utf-8"))
        probes = {"api.health": smoke.health(bundle.Build(version, bundle.read_git_commit(self.project)))}
        if secret.apps:
            # An own app before one of a service provider, whose token may have expired.
            probes["api.login"] = smoke.refused_login(min(secret.apps, key=lambda app_id: not secret.apps[app_id]))
        for check_id, probe in probes.items():
            try:
                response = smoke.send(url, probe)
            except requests.RequestException as error:
                advice = "check DNS and network of this machine, and the domain's DNS record and certificate"
                yield failed(check_id, url, f"no response ({type(error).__name__})", advice)
            else:
                yield resources.judge_response(check_id, url, response, probe, self.stage.name)

    def _check_subscriptions(self, account: Account, email: str | None) -> Iterator[Finding]:
        topic = f"{stack_name(self.stage.name)}-alarms"
        arn = f"arn:{account.partition}:sns:{account.region}:{account.id}:{topic}"
        pages = account.client("sns").get_paginator("list_subscriptions_by_topic")
        try:
            found = pages.paginate(TopicArn=arn).build_full_result().get("Subscriptions", ())
        except AWS_ERRORS as error:
            yield self._judge_error("alarms.subscription", topic, error)
        else:
            yield from resources.judge_subscriptions(topic, found, email, self.stage.name)

    def check_platform(self, secret: SecretVersion, urls: Sequence[str]) -> Iterator[Finding]:
        """Check logins and merchants, request lists from the last of the endpoint's URLs, then check the tokens.

        In this order: a list lets the service renew a token that has expired.
        """
        apps = secret.apps
        provided = [app_id for app_id, app_secret in apps.items() if not app_secret]
        for app_id in [app_id for app_id in apps if app_id not in provided[resources.MAX_ASKED_APPS :]]:
            yield self._check_login(app_id, apps[app_id])
        try:
            rows, findings = resources.judge_rows(self.stage.merchants.list_all(), apps)
        except AWS_ERRORS as error:
            yield self._judge_error("merchant", self.stage.settings.table_name, error)
            return
        yield from findings
        if self.merchant not in {None, *rows}:
            yield failed("merchant", self.merchant or "", "it is not in the table", "see redeemctl merchant list")
        merchants = [found for found in rows.values() if found and found.active and found.app_id in apps]
        if urls:
            chosen = resources.choose_merchants(merchants, self.merchant)
            total = len(chosen if self.merchant else merchants)
            yield from resources.count_lists(self._check_lists(chosen, urls[-1], secret), total)
        apps_without_merchants = apps.keys() - {merchant.app_id for merchant in merchants}
        for app_id in sorted({merchant.app_id for merchant in merchants} | apps_without_merchants):
            yield self._check_token(app_id, secret)

    def _check_login(self, app_id: str, app_secret: str) -> Finding:
        """Log in with an invalid code: with a valid app id and secret, or token, the platform refuses the code."""
        stage, context = self.stage, self.stage.new_context()
        host = stage.settings.login_api if app_secret else stage.settings.open_api
        try:
            if app_secret:
                stage.components.douyin.send(JSCODE2SESSION, login_body(app_id, app_secret, PROBE_CODE), context)
            else:
                headers = {"access-token": stage.components.tokens.get(app_id, context)}
                body = provider_login_body(app_id, PROBE_CODE)
                stage.components.douyin.send(CODE2SESSION, body, context, headers)
        except errors.LoginRefusedError:
            return ok("login", app_id, f"{host} accepts app id and {'secret' if app_secret else 'token'}")
        except errors.TokenUnavailableError:
            return not_checked("login", app_id, "its token is not available", "see the check token")
        except errors.UpstreamRejectedError as error:
            return warning("login", app_id, f"{host} refuses code or app id ({error.reason})", resources.LOG_IN_ONCE)
        except errors.UpstreamError as error:
            return failed("login", app_id, *platform.explain(error, host))
        except AWS_ERRORS as error:
            return self._judge_error("login", app_id, error)
        return failed("login", app_id, "the platform accepted an invalid login code", f"is {host} the platform?")

    def _check_token(self, app_id: str, secret: SecretVersion) -> Finding:
        try:
            row = self.stage.components.tokens.read_row(app_id, self.stage.new_context())
        except AWS_ERRORS as error:
            return self._judge_error("token", app_id, error)
        is_foreign = not secret.apps.get(app_id) or app_id in secret.external_tokens
        return platform.judge_token(app_id, row, time.time(), is_foreign=is_foreign)

    def _check_lists(self, asked: Iterable[Merchant], url: str, secret: SecretVersion) -> Iterator[Finding]:
        """Ask the endpoint for the list of each merchant's first store, until one is rate limited or gets no answer."""
        for merchant in asked:
            try:
                response = smoke.send(url, smoke.certificates(merchant, secret.session_keys))
            except requests.RequestException as error:
                text = f"no response ({type(error).__name__})"
                yield failed("merchant", merchant.account_id, text, "see the check api.health")
                return
            yield resources.judge_list(merchant.account_id, response, self.stage.name)
            if reason := resources.why_stop(response):
                yield not_checked("merchant", resources.OTHERS, reason, "run doctor again later")
                return
            time.sleep(resources.LIST_PAUSE_SECONDS)

"""Run the checks: read what they need, and let the `judge_*` functions judge it. docs/operate.md lists the ids."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from botocore.exceptions import ClientError

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
from infra import bundle, comparison, smoke
from infra.account import Account
from infra.chalice_config import API_STAGE, render
from infra.chalice_state import choose_rest_api, find_rest_apis, function_names, rule_name
from infra.cloudformation import none_if_not_found, read_template, stack_name
from infra.stage_settings import StageError, StageSettings, read_stage_settings
from redeemctl.doctor import platform, resources
from redeemctl.doctor.findings import Finding, Outcome, deploy, failed, not_checked, ok
from redeemctl.doctor.reading import AwsReader, UnreadableError, read_all
from redeemctl.rows import account_id_of
from redeemctl.secret import read_secret
from redeemctl.stage import PARALLEL_QUERIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from infra.stage_settings import Domain
    from redeemctl.rows import Item
    from redeemctl.secret import SecretVersion
    from redeemctl.stage import Stage

T = TypeVar("T")

PLATFORM_SECONDS = 10.0
"""Limit for one call of the platform or of a token's row, retries included."""

PARALLEL_GROUPS = 6
IDS = ("settings", "aws.identity", "table", "secret", "function", "api", "api.health", "api.unknown_route", "api.login",
       "schedule", "schedule.last_run", "alarms", "alarms.subscription", "login", "token", "merchant")  # fmt: skip
DOMAIN_IDS = ("domain", "certificate")
"""The checks of a stage with a domain, besides `IDS`."""

NO_SECRET = "the secret is not readable or malformed"  # noqa: S105 - a text
SEE_SECRET = "see the check secret"  # noqa: S105 - a text


@dataclass
class Checks:
    """The checks of one run. `endpoint_url` is the URL of an emulated AWS. With `dry_run` no token is renewed."""

    stage: Stage
    project: Path
    endpoint_url: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        self.name = self.stage.name
        self.reader = AwsReader(self.stage, f"{stack_name(self.name)}-operator")

    def run(self) -> Iterator[Finding]:
        """Run all checks. A check whose prerequisite is missing is reported as not checked."""
        file = f"infra/stages/{self.name}.toml"
        try:
            settings = read_stage_settings(self.project, self.name)
        except StageError as error:
            yield failed("settings", file, f"invalid settings: {error}", f"correct {file}")
            yield from _skip(IDS[1:], "the settings are invalid", "see the check settings")
            return
        rendered = json.loads(render({self.name: settings})["config.json"])["stages"][self.name]
        config = json.loads((self.project / ".chalice" / "config.json").read_text(encoding="utf-8"))
        yield resources.judge_settings(config["stages"][self.name], rendered, self.name)
        try:
            identity = self.reader.read_identity()
        except UnreadableError as error:
            yield failed("aws.identity", "AWS", error.reason, error.advice)
            ids = (*IDS[2:], *(DOMAIN_IDS if settings.domain else ()))
            yield from _skip(ids, "AWS cannot be used", "see the check aws.identity")
            return
        yield resources.judge_identity(identity, self.stage.session.region_name, settings)
        yield from self._check_stage(settings, identity["Account"])
        if self.reader.denied:
            names = ", ".join(sorted(self.reader.denied))
            advice = f"attach the policy {self.reader.policy} to your role"
            yield not_checked("aws.identity", "permissions", f"permissions are missing: {names}", advice)

    def _check_stage(self, settings: StageSettings, account_id: str) -> Iterator[Finding]:
        region = self.stage.session.region_name
        account = Account(self.stage.client, {}, region, self.endpoint_url)
        target = comparison.Target(account, self.project, self.name, settings, overrides=self.stage.overrides)
        secret_findings, secret = self._check_secret()
        arn = f"arn:{account.partition}:sns:{region}:{account_id}:{stack_name(self.name)}-alarms"
        groups: list[Callable[[], list[Finding]]] = [
            self._check_table,
            lambda: secret_findings,
            lambda: self._check_functions(target),
            lambda: self._check_api(target, secret),
            lambda: self._check_schedule(target),
            lambda: self._check_alarms(target),
            lambda: self._check_subscriptions(arn, settings.alarm_email),
        ]
        for findings in run_all(groups, PARALLEL_GROUPS):
            yield from findings
        yield from self._check_platform(secret)

    def _attempt(self, check_id: str, what: str, judge: Callable[[], Iterable[Finding]]) -> list[Finding]:
        """Return the findings of a check. A read that fails becomes a finding, "not checked"."""
        try:
            with self.reader.reading():
                return list(judge())
        except UnreadableError as error:
            return [not_checked(check_id, what, error.reason, error.advice)]

    def _check_table(self) -> list[Finding]:
        name, client = self.stage.settings.table_name, self.stage.client("dynamodb")

        def judge() -> Iterator[Finding]:
            found = none_if_not_found(client.describe_table, TableName=name)
            backups = {} if found is None else client.describe_continuous_backups(TableName=name)
            description = backups.get("ContinuousBackupsDescription", {})
            yield resources.judge_table(name, found and found["Table"], description, self.name)

        return self._attempt("table", name, judge)

    def _check_secret(self) -> tuple[list[Finding], SecretVersion | None]:
        """Return the finding and the secret's current version, None if it is not usable."""
        name = self.stage.settings.secret_name
        versions: list[SecretVersion | None] = []

        def judge() -> Iterator[Finding]:
            try:
                versions.append(none_if_not_found(lambda: read_secret(self.stage)))
            except ConfigurationError:
                yield resources.judge_malformed_secret(name)
            except ClientError as error:
                # A secret that is scheduled for deletion: `make deploy` says how to restore it.
                if error.response["Error"]["Code"] != "InvalidRequestException":
                    raise
                yield resources.judge_secret(name, None, self.name)
            else:
                yield resources.judge_secret(name, versions[0], self.name)

        return self._attempt("secret", name, judge), next(iter(versions), None)

    def _check_functions(self, target: comparison.Target) -> list[Finding]:
        names = ", ".join(function_names(self.name).values())
        return [
            *self._compare("function", names, target, "functions", "active, configured as in .chalice/config.json"),
            *self._compare("function", "roles", target, "roles", "policies as in .chalice"),
        ]

    def _compare(self, check_id: str, what: str, target: comparison.Target, kind: str, text: str) -> list[Finding]:
        """Judge what is deployed of one kind by its differences from the settings; `text` says that there are none."""
        compare = comparison.COMPARISONS[kind]
        return self._attempt(
            check_id,
            what,
            lambda: resources.judge_differences(check_id, what, compare(target), deploy(self.name), text),
        )

    def _check_api(self, target: comparison.Target, secret: SecretVersion | None) -> list[Finding]:
        found: list[str] = []
        findings = self._attempt("api", function_names(self.name)["api_handler"], lambda: self._find_api(target, found))
        domain, urls = target.settings.domain, []
        api_id = next(iter(found), None)
        target = dataclasses.replace(target, api_id=api_id)
        if api_id is not None:
            findings += self._compare("api", api_id, target, "API", "limits and access log as in the settings")
        if domain is None or domain.default_endpoint:
            urls.append(target.account.api_url(api_id, API_STAGE) if api_id else "")
        if domain is not None:
            findings += self._compare("domain", domain.name, target, "domain", "mapped to the API")
            findings += self._attempt("certificate", domain.certificate_arn, lambda: self._judge_certificate(domain))
            urls.append(f"https://{domain.name}")
        return [*findings, *(finding for url in urls for finding in self._check_endpoint(url, secret))]

    def _find_api(self, target: comparison.Target, found: list[str]) -> Iterator[Finding]:
        """Add the id of the stage's API to `found`, or yield the finding that it is missing or not clear."""
        function = function_names(self.name)["api_handler"]
        apis = find_rest_apis(self.stage.client("apigateway"), self.name)
        try:
            api_id = choose_rest_api(apis, self.name, target.settings)
        except StageError as error:
            ids = ", ".join(api.id for api in apis) or "-"
            file = f"infra/stages/{self.name}.toml"
            advice = f"write `rest_api_id` of the one that customers use to {file}, delete the others"
            yield failed("api", ids, str(error).partition("\n")[0], advice)
            return
        if api_id is None:
            yield failed("api", function, "no REST API invokes the function", deploy(self.name))
        else:
            found.append(api_id)

    def _judge_certificate(self, domain: Domain) -> Iterator[Finding]:
        client, arn = self.stage.client("acm"), domain.certificate_arn
        found = none_if_not_found(client.describe_certificate, CertificateArn=arn)
        yield resources.judge_certificate(arn, found and found["Certificate"], domain.name, _now())

    def _check_endpoint(self, url: str, secret: SecretVersion | None) -> Iterator[Finding]:
        if not url:
            ids = ("api.health", "api.unknown_route", "api.login")
            yield from _skip(ids, "the API's URL is unknown", "see the check api")
            return
        version = bundle.parse_version((self.project / "chalicelib" / "__init__.py").read_text(encoding="utf-8"))
        clone = bundle.Build(version, bundle.read_commit(self.project))
        probes = {"api.health": smoke.health(clone), "api.unknown_route": smoke.UNKNOWN_ROUTE}
        app_id = next(iter(secret.apps), None) if secret else None
        if app_id is None:
            yield not_checked("api.login", url, "no app to log in to is known", SEE_SECRET)
        else:
            probes["api.login"] = resources.refused_login(app_id)
        for check_id, probe in probes.items():
            try:
                response = smoke.send(url, probe)
            except requests.RequestException as error:
                advice = "check DNS and network of this machine, and the domain's DNS record"
                yield failed(check_id, url, f"no response ({type(error).__name__})", advice)
            else:
                yield resources.judge_response(check_id, url, response, probe, self.name)

    def _check_schedule(self, target: comparison.Target) -> list[Finding]:
        function = function_names(self.name)["refresh_tokens"]

        def judge_last_run() -> Iterator[Finding]:
            client = self.stage.client("lambda")
            found = none_if_not_found(client.get_function_configuration, FunctionName=function)
            if found is None:
                yield not_checked("schedule.last_run", function, "there is no function", "see the check function")
                return
            changed = datetime.strptime(found["LastModified"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
            last = self._read_last_invocation(function)
            yield resources.judge_last_run(function, last, changed, _now().timestamp(), self.name)

        return [
            *self._compare("schedule", rule_name(self.name), target, "schedule", f"enabled, {comparison.SCHEDULE}"),
            *self._attempt("schedule.last_run", function, judge_last_run),
        ]

    def _read_last_invocation(self, function: str) -> float | None:
        """Return when a function was last invoked, in epoch seconds, if that was in the last 24 hours."""
        dimensions = [{"Name": "FunctionName", "Value": function}]
        metric = {"Namespace": "AWS/Lambda", "MetricName": "Invocations", "Dimensions": dimensions}
        query = {"Id": "result", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "Sum"}}
        # CloudWatch keeps a 5 minutes' sum at the beginning of its interval.
        results = read_all(
            self.stage.client("cloudwatch"),
            "get_metric_data",
            "MetricDataResults",
            MetricDataQueries=[query],
            StartTime=_now() - timedelta(hours=24),
            EndTime=_now() + timedelta(minutes=5),
        )
        points = (zip(result["Timestamps"], result["Values"], strict=True) for result in results)
        return max((at.timestamp() for result in points for at, value in result if value > 0), default=None)

    def _check_alarms(self, target: comparison.Target) -> list[Finding]:
        prefix = f"{stack_name(self.name)}-"
        client = self.stage.client("cloudwatch")

        def judge() -> list[Finding]:
            pages = client.get_paginator("describe_alarms").paginate(
                AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
            alarms = [a for page in pages for key in ("MetricAlarms", "CompositeAlarms") for a in page.get(key, [])]
            return resources.judge_alarms(alarm_names(self.name), alarms, self.name)

        return [
            *self._attempt("alarms", f"{prefix}*", judge),
            *self._compare("alarms", "metric filters", target, "metric filters", "as in the template"),
        ]

    def _check_subscriptions(self, arn: str, email: str | None) -> list[Finding]:
        topic, client = arn.rpartition(":")[2], self.stage.client("sns")

        def judge() -> list[Finding]:
            found = none_if_not_found(
                lambda: read_all(client, "list_subscriptions_by_topic", "Subscriptions", TopicArn=arn)
            )
            return resources.judge_subscriptions(topic, found, email, self.name)

        return self._attempt("alarms.subscription", topic, judge)

    def _check_platform(self, secret: SecretVersion | None) -> Iterator[Finding]:
        apps = {} if secret is None else secret.apps
        for app_id, app_secret in apps.items():
            yield self._check_login(app_id, app_secret)
        if not apps:
            yield from _skip(("login", "token"), NO_SECRET if secret is None else "there is no app", SEE_SECRET)
        merchants: list[Merchant] = []
        rows = self._attempt("merchant", "", lambda: self._judge_rows(merchants, apps, secret))
        tokens: dict[str, str] = {}
        for app_id, app_secret in apps.items():
            token_ids = {merchant.token_id for merchant in merchants if merchant.app_id == app_id}
            is_used = not token_ids or app_id in token_ids
            yield self._check_token(app_id, app_secret, tokens, is_used=is_used)
        for token_id in sorted({merchant.token_id for merchant in merchants} - apps.keys()):
            yield self._check_foreign_token(token_id, tokens)
        yield from rows
        yield from self._check_queries(merchants, tokens)

    def _judge_rows(
        self, merchants: list[Merchant], apps: Mapping[str, str], secret: SecretVersion | None
    ) -> Iterator[Finding]:
        """Judge the merchants' rows. The merchants that can be queried are added to `merchants`."""
        items: list[Item] | None = none_if_not_found(self.stage.merchants.list_all)
        if items is None:
            yield not_checked("merchant", "", "there is no table", "see the check table")
        elif not items:
            yield failed("merchant", "", "there are no merchants", "run redeemctl merchant add")
        for item in items or ():
            account_id = account_id_of(item)
            try:
                merchant = parse_merchant(account_id, item)
            except ConfigurationError as error:
                yield platform.judge_malformed_row(account_id, error)
                continue
            if not merchant.active:
                yield ok("merchant", account_id, "suspended, not queried")
            elif secret is None:
                yield not_checked("merchant", account_id, NO_SECRET, SEE_SECRET)
            elif merchant.app_id not in apps:
                yield platform.judge_unknown_app(account_id, merchant.app_id)
            else:
                merchants.append(merchant)

    def _check_login(self, app_id: str, app_secret: str) -> Finding:
        host, context = self.stage.settings.login_api, self.stage.new_context(PLATFORM_SECONDS)
        try:
            self.stage.douyin.login(app_id, app_secret, resources.INVALID_ID, context)
        except UpstreamError as error:
            return platform.judge_login(app_id, error, host)
        return platform.judge_login(app_id, None, host)

    def _check_token(self, app_id: str, app_secret: str, tokens: dict[str, str], *, is_used: bool) -> Finding:
        """Judge an app's token; renew it only if it is used, and missing or about to expire. Add it to `tokens`."""
        store, host = self.stage.tokens, self.stage.settings.open_api

        def read() -> Any:
            return store.read_row(app_id, self.stage.new_context(PLATFORM_SECONDS))

        try:
            before = row = read()
            if not is_used:
                return platform.judge_unused_token(app_id, row)
            if row.access_token and row.expires_at > time.time():
                tokens[app_id] = row.access_token
            if row.access_token is None or row.expires_at - EARLY_SECONDS <= time.time():
                if self.dry_run:
                    reason = "it has to be renewed, which --dry-run prevents"
                    return not_checked("token", app_id, reason, "run doctor without --dry-run")
                context = self.stage.new_context(PLATFORM_SECONDS)
                try:
                    # Both renew under the service's own lease.
                    if not store.renew_if_expiring(app_id, app_secret, context):
                        store.get_token(app_id, app_secret, context)
                except StorageUnavailableError:
                    raise
                except RedemptionError as error:
                    return platform.judge_failed_renewal(app_id, error, host, row, time.time())
                row = read()
                tokens[app_id] = row.access_token
        except StorageUnavailableError as error:
            return self._unreadable_token(app_id, error)
        return platform.judge_token(app_id, row, time.time(), renewed=row.access_token != before.access_token)

    def _check_foreign_token(self, token_id: str, tokens: dict[str, str]) -> Finding:
        try:
            row = self.stage.tokens.read_row(token_id, self.stage.new_context(PLATFORM_SECONDS))
        except StorageUnavailableError as error:
            return self._unreadable_token(token_id, error)
        finding = platform.judge_foreign_token(token_id, row, time.time())
        if finding.outcome is Outcome.OK and row.access_token:
            tokens[token_id] = row.access_token
        return finding

    def _unreadable_token(self, token_id: str, error: StorageUnavailableError) -> Finding:
        if str(error) == "AccessDeniedException":
            denied = self.reader.deny("dynamodb:GetItem")
            return not_checked("token", token_id, denied.reason, denied.advice)
        return not_checked("token", token_id, f"the table is not readable ({error})", "see the check table")

    def _check_queries(self, merchants: Sequence[Merchant], tokens: Mapping[str, str]) -> Iterator[Finding]:
        """Query each merchant in parallel, but not while the platform does not respond to the first one."""
        queries = []
        for merchant in merchants:
            token = tokens.get(merchant.token_id)
            if token is None:
                reason = f"the token {merchant.token_id} is not available"
                yield not_checked("merchant", merchant.account_id, reason, "see the check token")
            else:
                queries.append((merchant, token))
        if not queries:
            return
        host = self.stage.settings.open_api
        first = self._query(*queries[0])
        yield platform.judge_query(queries[0][0].account_id, first, host)
        if isinstance(first, UpstreamUnavailableError | UpstreamTimeoutError) and first.evidence is None:
            for merchant, _ in queries[1:]:
                reason = f"{host} does not respond"
                yield not_checked("merchant", merchant.account_id, reason, "run doctor again later")
            return
        tasks = [functools.partial(self._query, merchant, token) for merchant, token in queries[1:]]
        for (merchant, _), error in zip(queries[1:], run_all(tasks, PARALLEL_QUERIES), strict=True):
            yield platform.judge_query(merchant.account_id, error, host)

    def _query(self, merchant: Merchant, token: str) -> UpstreamError | None:
        """Query a merchant with an open_id that no user has; return the error."""
        query = CertificatesQuery(Selection(merchant.account_id), resources.INVALID_ID, merchant.life_account_id)
        try:
            self.stage.douyin.query_user_certificates(query, 1, token, self.stage.new_context(PLATFORM_SECONDS))
        except UpstreamError as error:
            return error
        return None


def run_all(tasks: Sequence[Callable[[], T]], threads: int) -> Iterator[T]:
    """Run tasks in parallel; yield their results in the order of the tasks."""
    with ThreadPoolExecutor(threads) as executor:
        yield from executor.map(lambda task: task(), tasks)


def alarm_names(stage: str) -> list[str]:
    """Return the names of the template's alarms that every stage has."""
    found = read_template()["Resources"].values()
    alarms = [r for r in found if r["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")]
    return [a["Properties"]["AlarmName"]["Fn::Sub"].replace("${Stage}", stage) for a in alarms if "Condition" not in a]


def _skip(check_ids: Iterable[str], reason: str, advice: str) -> Iterator[Finding]:
    return (not_checked(check_id, "", reason, advice) for check_id in check_ids)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)

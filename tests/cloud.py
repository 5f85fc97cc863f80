"""Drives `make deploy` and `make destroy` from several clones, against an emulated AWS whose calls are recorded."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from infra import deploy, smoke
from infra.account import AwsAccount
from infra.destroy import destroy
from sandbox import stack
from sandbox.stack import STAGE
from tests.aws_proxy import AwsProxy, run_aws_proxy

DOMAIN = "api.example.com"
DOMAIN_SETTINGS = f"""[domain]
name = "{DOMAIN}"
certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/sample"
"""
PASSED = "smoke test: passed"
READING = ("Get", "List", "Describe")


class Cloud:
    """An emulated AWS account behind a recording proxy, and the clones from which it is deployed."""

    def __init__(self, platform: stack.Process, proxy: AwsProxy, folder: Path) -> None:
        self.platform = platform
        self.proxy = proxy
        self.client = stack.emulated_account(proxy.aws_url).client
        """Creates clients of the tests' own, whose calls are not recorded."""
        self._folder = folder
        self._clones = 0

    @functools.cached_property
    def account(self) -> AwsAccount:
        """The account as an administrator sees it."""
        return stack.emulated_account(self.proxy.url)

    def clone(self, settings: str = "") -> Path:
        """Return a new clone of the project, which has never deployed anything."""
        self._clones += 1
        folder = self._folder / f"clone{self._clones}"
        folder.mkdir()
        stack.copy_project(folder)
        stack.write_stage_settings(folder, self.platform.url, settings)
        return folder

    def deploy(self, clone: Path, **options: Any) -> list[str]:
        """Run `make deploy` in a clone; return what it prints."""
        report: list[str] = []
        options = {"build_bundle": stack.reuse_bundle, **options}
        self.url = deploy.deploy(self.account, clone, STAGE, report.append, **options)
        return report

    def ensure_deployed(self) -> None:
        """Deploy the stage with the default settings if it is not deployed."""
        if not self.api_ids():
            self.deploy(self.clone())
            stack.write_sample_data(self.proxy.aws_url, STAGE)

    def destroy(self, clone: Path) -> list[str]:
        """Run `make destroy` in a clone; return what it prints."""
        report: list[str] = []
        destroy(self.account, clone, STAGE, report.append, None)
        return report

    def api_ids(self) -> list[str]:
        return [api["id"] for api in self.client("apigateway").get_rest_apis()["items"]]

    def remaining(self) -> dict[str, list[str]]:
        """Return what the account has, by kind, without what is empty."""
        client = self.client
        found = {
            "functions": [f["FunctionName"] for f in client("lambda").list_functions()["Functions"]],
            "APIs": self.api_ids(),
            "rules": [rule["Name"] for rule in client("events").list_rules()["Rules"]],
            "roles": [role["RoleName"] for role in client("iam").list_roles()["Roles"]],
            "policies": [policy["PolicyName"] for policy in client("iam").list_policies(Scope="Local")["Policies"]],
            "log groups": [group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]],
            "alarms": [alarm["AlarmName"] for alarm in client("cloudwatch").describe_alarms()["MetricAlarms"]],
            "topics": [topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]],
            "domains": [domain["domainName"] for domain in client("apigateway").get_domain_names().get("items", [])],
            "tables": client("dynamodb").list_tables()["TableNames"],
            "secrets": [secret["Name"] for secret in client("secretsmanager").list_secrets()["SecretList"]],
        }
        return {kind: names for kind, names in found.items() if names}


@contextlib.contextmanager
def run_cloud(folder: Path) -> Iterator[Cloud]:
    """Run an empty account."""
    with (
        stack.run_server("sandbox.server") as platform,
        stack.run_server("sandbox.aws") as aws,
        run_aws_proxy(aws.url) as proxy,
        mock.patch.object(smoke, "REPEAT_SECONDS", 0.0),
    ):
        yield Cloud(platform, proxy, folder)

"""The AWS account and region that a deployment uses."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.stage_settings import StageError, StageSettings, read_stage_settings


@dataclass(frozen=True)
class AwsAccount:
    """An AWS account in one region.

    `client` returns the client of a service. `environment` gives a child process the same account.
    `endpoint_url` is the URL of an emulated AWS, or None.
    """

    client: Callable[..., Any]
    environment: Mapping[str, str]
    region: str
    endpoint_url: str | None = None

    @functools.cached_property
    def id(self) -> str:
        """The account's 12 digits."""
        return str(self.client("sts").get_caller_identity()["Account"])

    @property
    def partition(self) -> str:
        """The partition of ARNs in this region."""
        return "aws-cn" if self.region.startswith("cn-") else "aws"

    def api_url(self, api_id: str, api_stage: str) -> str:
        """Return the default endpoint of a REST API, without a slash at its end."""
        if self.endpoint_url is not None:
            # The URL format of ministack and LocalStack.
            return f"{self.endpoint_url}/_aws/execute-api/{api_id}/{api_stage}"
        suffix = "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"
        return f"https://{api_id}.execute-api.{self.region}.{suffix}/{api_stage}"


def open_account(project: Path, stage: str, config: Config | None = None) -> AwsAccount:
    """Return the account and region of the environment. If it has no region, the stage's settings give the region.

    Raises StageError if neither has a region.
    """
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL") or None
    session = boto3.Session()
    region = session.region_name or read_stage_settings(project, stage).region
    if region is None:
        raise StageError(f"no AWS region: set AWS_DEFAULT_REGION, or `region` in infra/stages/{stage}.toml")
    client: Any = functools.partial(session.client, region_name=region, config=config)
    return AwsAccount(functools.cache(client), {**os.environ, "AWS_DEFAULT_REGION": region}, region, endpoint_url)


def check_target(account: AwsAccount, project: Path, stage: str, print_line: Callable[[str], None]) -> StageSettings:
    """Print the stage, account and region on which a command acts; return the stage's settings.

    Raises StageError if the settings name another account or region.
    """
    settings = read_stage_settings(project, stage)
    endpoint = f", endpoint {account.endpoint_url}" if account.endpoint_url else ""
    print_line(f"stage {stage}, account {account.id}, region {account.region}{endpoint}")
    values = {"account": (settings.account, account.id), "region": (settings.region, account.region)}
    for what, (expected, actual) in values.items():
        if expected is not None and expected != actual:
            raise StageError(f"the stage's settings require {what} {expected}, but this is {what} {actual}")
    return settings

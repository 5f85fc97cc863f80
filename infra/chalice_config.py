"""Chalice's configuration, generated from the stages' settings: `.chalice/config.json` and the IAM policies.

The files are committed, so that `chalice deploy` alone works in a fresh clone. `python -m infra.chalice_config` writes
them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.bundle import ROOT
from infra.stage_settings import APP_NAME, StageError, StageSettings, fixed_variables, list_stages, read_stage_settings

API_STAGE = "api"
"""The stage of each API in API Gateway; it is part of the default endpoint's URL."""

API_TIMEOUT_SECONDS = 15
REFRESH_TIMEOUT_SECONDS = 60


def render(stages: Mapping[str, StageSettings]) -> dict[str, str]:
    """Return the content of each file in `.chalice/`, by file name."""
    files: dict[str, Any] = {"config.json": _render_config(stages)}
    for stage, settings in stages.items():
        files[f"policy-{stage}.json"] = _render_policy(stage, settings)
    return {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}


def write(project: Path) -> list[str]:
    """Write the files in `.chalice/` that differ from the settings; return their names."""
    folder = project / ".chalice"
    stages = {stage: read_stage_settings(project, stage) for stage in list_stages(project)}
    changed = []
    for name, content in render(stages).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            changed.append(name)
    return changed


def _render_config(stages: Mapping[str, StageSettings]) -> dict[str, Any]:
    return {
        "version": "2.0",
        "app_name": APP_NAME,
        "autogen_policy": False,
        "manage_iam_role": True,
        "api_gateway_endpoint_type": "REGIONAL",
        "api_gateway_stage": API_STAGE,
        "minimum_compression_size": 1024,
        "lambda_timeout": API_TIMEOUT_SECONDS,
        "log_retention_in_days": 30,
        "stages": {stage: _render_stage(stage, settings) for stage, settings in stages.items()},
    }


def _render_environment(stage: str, settings: StageSettings) -> dict[str, str]:
    """Return the variables of a stage's functions."""
    tracing = {} if settings.tracing else {"POWERTOOLS_TRACE_DISABLED": "true"}
    return fixed_variables(stage) | tracing | settings.environment


def _render_stage(stage: str, settings: StageSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "iam_policy_file": f"policy-{stage}.json",
        "lambda_memory_size": settings.memory_mb,
        "xray": settings.tracing,
    }
    if settings.network is not None:
        config["subnet_ids"] = list(settings.network.subnet_ids)
        config["security_group_ids"] = list(settings.network.security_group_ids)
    config["environment_variables"] = _render_environment(stage, settings)
    config["lambda_functions"] = {"refresh_tokens": {"lambda_timeout": REFRESH_TIMEOUT_SECONDS}}
    return config


def _render_policy(stage: str, settings: StageSettings) -> dict[str, Any]:
    """Return the IAM policy that each function gets."""
    log_groups = [f"arn:*:logs:*:*:log-group:/aws/lambda/{APP_NAME}-{stage}{suffix}:*" for suffix in ("", "-*")]
    # IAM checks a secret that does not exist against its ARN without the random suffix.
    secret = [f"arn:*:secretsmanager:*:*:secret:{APP_NAME}/{stage}{ending}" for ending in ("", "-??????")]
    statements = [
        _table_statement("Read", stage, ["dynamodb:GetItem"], ["MERCHANT#*", "TOKEN#*"]),
        _table_statement("RenewTokens", stage, ["dynamodb:UpdateItem"], ["TOKEN#*"]),
        _statement("Secret", ["secretsmanager:GetSecretValue"], *secret),
        _statement("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], *log_groups),
    ]
    if settings.tracing:
        statements.append(_statement("Traces", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"))
    if settings.network is not None:
        # The actions of AWSLambdaVPCAccessExecutionRole; they cannot be limited to a resource.
        interfaces = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface")
        addresses = ("DescribeSubnets", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses")
        statements.append(_statement("Network", [f"ec2:{action}" for action in (*interfaces, *addresses)], "*"))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(sid: str, actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _table_statement(sid: str, stage: str, actions: list[str], keys: list[str]) -> dict[str, Any]:
    statement = _statement(sid, actions, f"arn:*:dynamodb:*:*:table/{APP_NAME}-{stage}")
    # ForAllValues also allows a call without keys. But the calls of these actions always have a key.
    return statement | {"Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}}


if __name__ == "__main__":
    try:
        for name in write(ROOT):
            print(f".chalice/{name} updated")
    except StageError as error:
        raise SystemExit(str(error)) from None

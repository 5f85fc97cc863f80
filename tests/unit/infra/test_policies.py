"""IAM policies of functions, deployer, operator, token reader and token writer: linted by parliament."""

import json
import subprocess
import sys
from typing import Any

import pytest

from infra.chalice_config import render
from infra.cloudformation import read_template
from infra.stage_settings import Network, StageSettings
from tests.policies import Permission, permits, read_managed_policy

MANAGED_POLICIES = [
    name for name, resource in read_template()["Resources"].items() if resource["Type"] == "AWS::IAM::ManagedPolicy"
]
MAX_CHARACTERS = 6144
"""IAM's limit for a managed policy, without white space."""

# parliament knows no exception by statement. These actions have no resource, or need one of any name.
IGNORED = {"RESOURCE_STAR"}
UNKNOWN_TO_THE_LINTER = {"Unknown action cloudformation:DescribeEvents"}
"""Newer than parliament's data. botocore's model of CloudFormation has the operation."""

LINT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import parliament
for policy in json.load(sys.stdin):
    findings = parliament.analyze_policy_string(json.dumps(policy)).findings
    print(json.dumps([[f.issue, str(f.detail)] for f in findings]))
"""


def find_issues(*policies: dict[str, Any]) -> list[list[list[str]]]:
    """Lint policies in another process, because parliament does not close its files."""
    run = subprocess.run(
        [sys.executable, "-c", LINT], input=json.dumps(policies), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_no_policy_has_a_finding() -> None:
    settings = StageSettings(network=Network(("subnet-1",), ("sg-1",)))
    documents = {name: json.loads(text) for name, text in render({"dev": settings}).items() if "policy" in name}
    documents |= {name: read_managed_policy(name, "dev", "123456789012", "us-east-1") for name in MANAGED_POLICIES}
    assert len(documents) == 6
    found = dict(zip(documents, find_issues(*documents.values()), strict=True))
    assert {
        name: [f for f in findings if f[0] not in IGNORED and f[1] not in UNKNOWN_TO_THE_LINTER]
        for name, findings in found.items()
    } == {name: [] for name in documents}


@pytest.mark.parametrize("name", MANAGED_POLICIES)
def test_a_managed_policy_fits_iams_limit(name: str) -> None:
    document = read_managed_policy(name, "a" * 16, "123456789012", "cn-northwest-1")
    assert len(json.dumps(document, separators=(",", ":"))) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    ("who", "action", "resource", "permitted"),
    [
        ("Deployer", "lambda:GetFunction", "function:douyin-redemption-dev:3", True),
        ("Deployer", "lambda:DeleteFunction", "function:douyin-redemption-dev-refresh_tokens:3", True),
        ("Deployer", "lambda:DeleteFunction", "function:douyin-redemption-dev2:3", False),
        ("Deployer", "lambda:UpdateFunctionCode", "function:douyin-redemption-prod", False),
        ("Deployer", "logs:PutRetentionPolicy", "log-group:/aws/lambda/douyin-redemption-dev", True),
        ("Deployer", "logs:PutRetentionPolicy", "log-group:/aws/lambda/douyin-redemption-dev-api_handler:*", True),
        ("Deployer", "logs:DeleteLogGroup", "log-group:/aws/lambda/douyin-redemption-dev2:*", False),
        ("Deployer", "secretsmanager:GetSecretValue", "secret:douyin-redemption/dev-abcdef", True),
        ("Deployer", "secretsmanager:GetSecretValue", "secret:douyin-redemption/prod-abcdef", False),
        ("Deployer", "dynamodb:Scan", "table/douyin-redemption-dev", True),
        ("Deployer", "secretsmanager:CreateSecret", "secret:douyin-redemption/dev", True),
        ("Deployer", "secretsmanager:DescribeSecret", "secret:douyin-redemption/prod", False),
        ("Deployer", "cloudwatch:DescribeAlarms", "alarm:*", True),
        ("Deployer", "lambda:InvokeFunction", "function:douyin-redemption-dev", False),
        ("Deployer", "dynamodb:GetItem", "table/douyin-redemption-dev", False),
        ("Operator", "logs:StartQuery", "log-group:/aws/lambda/douyin-redemption-dev:*", True),
        ("Operator", "logs:StartQuery", "log-group:/aws/lambda/douyin-redemption-dev2", False),
        ("Operator", "logs:FilterLogEvents", "log-group:/aws/lambda/douyin-redemption-dev-refresh_tokens:*", True),
        ("Operator", "logs:StartQuery", "log-group:/aws/apigateway/douyin-redemption-dev", True),
        ("Operator", "logs:StartQuery", "log-group:/aws/apigateway/douyin-redemption-dev2:*", False),
        ("Operator", "secretsmanager:GetSecretValue", "secret:douyin-redemption/prod-abcdef", False),
        ("Operator", "secretsmanager:GetSecretValue", "secret:douyin-redemption/dev", True),
        ("Operator", "lambda:UpdateFunctionCode", "function:douyin-redemption-dev", True),
        ("Operator", "lambda:GetFunction", "function:douyin-redemption-dev-refresh_tokens:3", True),
        ("Operator", "lambda:CreateFunction", "function:douyin-redemption-dev", False),
        ("Operator", "iam:PassRole", "role/douyin-redemption-dev-api_handler", False),
        ("Operator", "iam:PutRolePolicy", "role/douyin-redemption-dev-api_handler", False),
        ("Operator", "cloudwatch:DescribeAlarms", "alarm:*", True),
        ("Operator", "cloudwatch:EnableAlarmActions", "alarm:douyin-redemption-dev-errors", True),
        ("Operator", "cloudwatch:EnableAlarmActions", "alarm:other", False),
        ("Operator", "cloudwatch:GetDashboard", "dashboard/douyin-redemption-dev", True),
        ("TokenReader", "dynamodb:UpdateItem", "table/douyin-redemption-dev", False),
        ("TokenReader", "dynamodb:GetItem", "table/douyin-redemption-prod", False),
        ("TokenWriter", "dynamodb:UpdateItem", "table/douyin-redemption-dev", True),
        ("TokenWriter", "dynamodb:UpdateItem", "table/douyin-redemption-prod", False),
        ("TokenWriter", "dynamodb:GetItem", "table/douyin-redemption-dev", False),
        ("TokenWriter", "dynamodb:PutItem", "table/douyin-redemption-dev", False),
    ],
)
def test_a_policy_permits_what_is_needed_and_nothing_else(
    who: str, action: str, resource: str, permitted: bool
) -> None:
    document = read_managed_policy(f"{who}Policy", "dev", "123456789012", "us-east-1")
    service = action.split(":", maxsplit=1)[0]
    is_global = service == "iam" or resource.startswith("dashboard/")
    arn = f"arn:aws:{service}:{'' if is_global else 'us-east-1'}:123456789012:{resource}"
    assert permits(document, Permission(action, arn)) == permitted

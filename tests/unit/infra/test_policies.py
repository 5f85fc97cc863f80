"""IAM policies of functions, operator, token reader and token writer: linted by parliament."""

import importlib
import json

import pytest

from infra.chalice_config import render
from infra.sdkdata import OPERATIONS
from infra.stage_settings import Network, StageSettings
from tests.policies import read_managed_policy
from tests.template import read_template

MANAGED_POLICIES = [
    name for name, resource in read_template()["Resources"].items() if resource["Type"] == "AWS::IAM::ManagedPolicy"
]
MAX_CHARACTERS = 6144
"""IAM's limit for a managed policy, without white space."""

# parliament knows no exception by statement. These actions have no resource, or need one of any name.
IGNORED = {"RESOURCE_STAR"}


@pytest.mark.filterwarnings("ignore")  # parliament uses a deprecated module, and does not close its files
def test_no_policy_has_a_finding() -> None:
    lint = importlib.import_module("parliament").analyze_policy_string
    settings = StageSettings(network=Network(("subnet-1",), ("sg-1",)))
    documents = {name: json.loads(text) for name, text in render({"dev": settings}).items() if "policy" in name}
    documents |= {name: read_managed_policy(name, "dev", "123456789012", "us-east-1") for name in MANAGED_POLICIES}
    assert len(documents) == 4
    findings = [
        (name, f.issue, str(f.detail)) for name in documents for f in lint(json.dumps(documents[name])).findings
    ]
    assert [f for f in findings if f[1] not in IGNORED] == []


CALLS = {f"{service}:{name}" for service, names in OPERATIONS.items() for name in names}
"""The actions of the AWS calls of the functions: their clients know no other operation."""

# Lambda itself uses these with the function's role: it writes the logs, and its daemon sends the traces.
LAMBDA_ACTIONS = {
    "logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
}  # fmt: skip


def test_a_function_may_call_what_its_clients_can_call_for_the_stages_resources() -> None:
    """In both partitions. That it needs each right shows `tests/deployed`, where the emulated AWS checks the calls."""
    statements = json.loads(render({"dev": StageSettings()})["policy-dev.json"])["Statement"]
    assert {action for statement in statements for action in statement["Action"]} == CALLS | LAMBDA_ACTIONS
    # X-Ray's actions do not support resources.
    resources = {resource for s in statements for resource in s["Resource"] if s["Sid"] != "Traces"}
    assert resources == {
        "arn:*:dynamodb:*:*:table/douyin-redemption-dev",
        "arn:*:secretsmanager:*:*:secret:douyin-redemption/dev",
        "arn:*:secretsmanager:*:*:secret:douyin-redemption/dev-??????",
        "arn:*:logs:*:*:log-group:/aws/lambda/douyin-redemption-dev:*",
        "arn:*:logs:*:*:log-group:/aws/lambda/douyin-redemption-dev-*:*",
    }
    keys = {a: s["Condition"]["ForAllValues:StringLike"] for s in statements if "Condition" in s for a in s["Action"]}
    assert keys == {
        "dynamodb:GetItem": {"dynamodb:LeadingKeys": ["MERCHANT#*", "TOKEN#*"]},
        "dynamodb:UpdateItem": {"dynamodb:LeadingKeys": ["TOKEN#*"]},
    }


@pytest.mark.parametrize("name", MANAGED_POLICIES)
def test_a_managed_policy_fits_iams_limit(name: str) -> None:
    document = read_managed_policy(name, "a" * 16, "123456789012", "cn-northwest-1")
    assert len(json.dumps(document, separators=(",", ":"))) <= MAX_CHARACTERS

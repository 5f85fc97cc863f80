"""The IAM policies of functions, deployer and operator, and the AWS calls that were made, which they must allow."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

from infra.bundle import ROOT
from tests.template import read_resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.aws_proxy import AwsHttpCall

STAGE = "prod"
"""The policy files of all stages differ only in names: infra/chalice_config.py writes them."""

FUNCTIONS = {"api_handler": "", "refresh_tokens": "-refresh"}
"""Function name to the suffix of its policy files."""


class AwsCall(NamedTuple):
    """An AWS call of the app: from which function, which action (as IAM names it), on which item."""

    function: str
    action: str
    key: str


current_function = "api_handler"
"""The function that runs now; `harness.run_refresh_tokens` changes it."""

aws_calls: list[AwsCall] = []
"""Every AWS call that the app made in this process so far."""

refused_calls: list[AwsCall] = []
"""Those of the present test that no policy statement allows. The fixture `observed_clients` fails the test."""


def read_statements(function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's policy file."""
    path = ROOT / ".chalice" / f"policy-{STAGE}{FUNCTIONS[function]}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["Statement"])


def leading_keys(statement: dict[str, Any]) -> list[str]:
    """Return the key patterns that a statement is limited to."""
    keys: dict[str, list[str]] = statement.get("Condition", {}).get("ForAllValues:StringLike", {})
    return keys.get("dynamodb:LeadingKeys", [])


def is_allowed(statement: dict[str, Any], call: AwsCall) -> bool:
    """Return whether a statement allows a call."""
    patterns = leading_keys(statement) or ["*"]
    return call.action in statement["Action"] and any(fnmatch.fnmatchcase(call.key, key) for key in patterns)


def observe(create_clients: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Return a factory of the same clients that records every call, and separately the ones that IAM would refuse."""
    statements = {name: read_statements(name) for name in FUNCTIONS}

    def create(*arguments: Any) -> tuple[Any, ...]:
        clients = create_clients(*arguments)
        for client in clients:
            client.meta.events.register("before-parameter-build", record)
        return clients

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        function = current_function
        key = params.get("Key", {}).get("pk", {}).get("S", "")
        call = AwsCall(function, f"{model.service_model.signing_name}:{model.name}", key)
        aws_calls.append(call)
        if not any(is_allowed(statement, call) for statement in statements[function]):
            refused_calls.append(call)

    return create


class Permission(NamedTuple):
    """What IAM checks for a call: the action and, if the call names it, the resource's ARN."""

    action: str
    resource: str


def read_managed_policy(logical_id: str, stage: str, account_id: str, region: str) -> dict[str, Any]:
    """Return the document of a managed policy of the template."""
    document: dict[str, Any] = read_resources(stage, account_id, region)[logical_id]["Properties"]["PolicyDocument"]
    return document


def permits(document: dict[str, Any], permission: Permission) -> bool:
    """Return whether a policy document allows a permission. Conditions are taken as fulfilled."""
    return any(
        permission.action in _as_list(statement["Action"])
        and any(fnmatch.fnmatchcase(permission.resource, pattern) for pattern in _as_list(statement["Resource"]))
        for statement in document["Statement"]
    )


def find_missing_permissions(logical_id: str, stage: str, calls: Iterable[AwsHttpCall]) -> set[Permission]:
    """Return what calls in the emulated AWS need and a managed policy does not allow."""
    account_id, region = "000000000000", "us-east-1"
    document = read_managed_policy(logical_id, stage, account_id, region)
    # Every identity may call STS's GetCallerIdentity.
    needed = {_required_permission(call, account_id, region) for call in calls if call.service != "sts"}
    return {permission for permission in needed if not permits(document, permission)}


def _required_permission(call: AwsHttpCall, account_id: str, region: str) -> Permission:
    """Return the permission that a call needs, as AWS's service authorization reference names it."""
    prefix = _IAM_PREFIXES.get(call.service, call.service)
    arn = f"arn:aws:{prefix}:{region}:{account_id}"
    if call.service == "apigateway":
        return Permission(f"apigateway:{call.method}", f"arn:aws:apigateway:{region}::{call.path}")
    action = f"{prefix}:{call.operation}"
    if call.service == "monitoring":
        # The body is CBOR, in which texts stand as they are.
        match = re.search(r"douyin-redemption-[a-z0-9]+-[a-z-]+", call.body)
        return Permission(action, f"{arn}:alarm:{match[0] if match else ''}")
    if call.service == "lambda":
        match = re.search(r"/functions/(?:arn:[^/]*:function:)?([\w-]+)|:function:([\w-]+)", call.path)
        name = (match[1] or match[2]) if match else _parameter(call, "FunctionName")
        return Permission(action, f"{arn}:function:{name}")
    kind, *parameters = _RESOURCES.get(call.service, ("",))
    name = next((found for parameter in parameters if (found := _parameter(call, parameter))), "")
    if call.service == "iam":
        arn = f"arn:aws:iam::{account_id}"
    # Each name is completed as AWS does it: a stack's with its id, a secret's with six letters.
    suffix = {"cloudformation": "/id", "secretsmanager": "-abcdef", "logs": ":*"}.get(call.service, "")
    resource = name if name.startswith("arn:") else f"{arn}:{kind}{name}{suffix}"
    return Permission(action, resource.removesuffix(":*") if call.service == "logs" else resource)


_IAM_PREFIXES = {"monitoring": "cloudwatch"}
_RESOURCES = {
    "cloudformation": ("stack/", "StackName"),
    "dynamodb": ("table/", "TableName"),
    "secretsmanager": ("secret:", "SecretId", "Name"),
    "iam": ("role/", "RoleName", "PolicyArn"),
    "events": ("rule/", "Rule", "Name"),
    "logs": ("log-group:", "logGroupName", "resourceArn"),
    "sns": ("", "TopicArn"),
}
"""ARN part and the request's parameters that contain the resource's name, by service."""


def _parameter(call: AwsHttpCall, name: str) -> str:
    """Return a parameter of a request in JSON or in the query protocol."""
    if call.body.startswith("{"):
        # The body of a call with a large archive is cut off.
        match = re.search(rf'"{name}"\s*:\s*"([^"]*)"', call.body)
        return match[1] if match else ""
    return parse_qs(call.body).get(name, [""])[0]


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value

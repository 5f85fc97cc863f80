"""The IAM policies of functions, deployer and operator: what they allow, and users that have one of them.

The emulated AWS enforces the policies of a user.
"""

import fnmatch
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from infra.bundle import ROOT
from tests.template import read_resources

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
        any(fnmatch.fnmatchcase(permission.action, pattern) for pattern in _as_list(statement["Action"]))
        and any(fnmatch.fnmatchcase(permission.resource, pattern) for pattern in _as_list(statement["Resource"]))
        for statement in document["Statement"]
    )


def create_user(iam: Any, logical_id: str, stage: str) -> dict[str, str]:
    """Create a user that has one managed policy of the template; return its credentials as environment variables.

    The policy is a copy, because a first deployment needs one before the stack exists.
    """
    return create_user_with(iam, logical_id, read_managed_policy(logical_id, stage, "000000000000", "us-east-1"))


def create_user_with(iam: Any, name: str, document: dict[str, Any]) -> dict[str, str]:
    """Create a user that has one policy, with this document; return its credentials as environment variables."""
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="copy", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value

"""The managed IAM policies of the template: what they allow, and users that have one of them.

The emulated AWS enforces the policies of a user.
"""

import fnmatch
import json
from typing import Any, NamedTuple

from tests.template import read_resources


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

"""The managed IAM policies of the template: what they allow, and users that have one of them.

The emulated AWS enforces the policies of a user.
"""

import json
from typing import Any

from tests.template import read_resources


def read_managed_policy(logical_id: str, stage: str, account_id: str, region: str) -> dict[str, Any]:
    """Return the document of a managed policy of the template."""
    document: dict[str, Any] = read_resources(stage, account_id, region)[logical_id]["Properties"]["PolicyDocument"]
    return document


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

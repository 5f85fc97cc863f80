"""Store an access token of a service provider's app, as the provider's system does with the policy `token-writer`.

A token that expires later is kept, unless its expiry is more than a day ahead, which is an error.
"""

import time
from contextlib import suppress

import boto3

table = boto3.resource("dynamodb").Table("douyin-redemption-prod")


def store_token(app_id: str, access_token: str, expires_at: int) -> None:
    """Store a token. `expires_at` is in epoch seconds."""
    with suppress(table.meta.client.exceptions.ConditionalCheckFailedException):
        table.update_item(
            Key={"pk": f"TOKEN#{app_id}"},
            UpdateExpression="SET access_token = :token, expires_at = :end",
            ConditionExpression="NOT expires_at BETWEEN :end AND :limit",
            ExpressionAttributeValues={":token": access_token, ":end": expires_at, ":limit": int(time.time()) + 86400},
        )

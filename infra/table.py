"""The rows of a stage's table."""

from collections.abc import Iterator
from typing import Any

from chalicelib.aws import Item


def scan_items(client: Any, table: str, prefix: str) -> Iterator[Item]:
    """Yield the items whose key has this prefix."""
    has_prefix = {"FilterExpression": "begins_with(pk, :p)", "ExpressionAttributeValues": {":p": {"S": prefix}}}
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True, **has_prefix)
    return (item for page in pages for item in page["Items"])

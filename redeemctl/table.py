"""The merchants' rows in DynamoDB. Every write is conditional on the attributes that it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.merchants import MERCHANT_PREFIX, merchant_key
from redeemctl.errors import ConflictError
from redeemctl.rows import changed_attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from redeemctl.rows import Item


class MerchantTable:
    """Reads and writes the rows of merchants. The client may be used by several threads."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, account_id: str) -> Item | None:
        """Return a merchant's row, or None."""
        key: Item = {"pk": {"S": merchant_key(account_id)}}
        item: Item | None = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True).get("Item")
        return item

    def list_all(self) -> list[Item]:
        """Return the rows of all merchants, sorted by account_id."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._name,
            ConsistentRead=True,
            FilterExpression="begins_with(pk, :merchant)",
            ExpressionAttributeValues={":merchant": {"S": MERCHANT_PREFIX}},
        )
        items: list[Item] = [item for page in pages for item in page["Items"]]
        return sorted(items, key=lambda item: item["pk"]["S"])

    def replace(self, seen: Item | None, item: Item) -> None:
        """Write the attributes that differ from the row as it was read (None: there was none).

        Raises ConflictError if one of these attributes has changed since, or the row was added or removed.
        """
        changed = changed_attributes(seen, item)
        expression = _Expression()
        exists = "attribute_not_exists(pk)" if seen is None else "attribute_exists(pk)"
        conditions = [exists, *(expression.equals(name, (seen or {}).get(name)) for name in changed)]
        sets = [f"{expression.name(n)} = {expression.value(v)}" for n, v in changed.items() if v is not None]
        removes = [expression.name(name) for name, value in changed.items() if value is None]
        update = f"SET {', '.join(sets)}" if sets else ""
        update += f" REMOVE {', '.join(removes)}" if removes else ""
        with_conflicts(
            self._client.update_item,
            TableName=self._name,
            Key={"pk": item["pk"]},
            UpdateExpression=update.strip(),
            ConditionExpression=" AND ".join(conditions),
            **expression.parameters(),
        )

    def remove(self, seen: Item) -> None:
        """Remove a row; raises ConflictError if it has changed since it was read."""
        expression = _Expression()
        conditions = [expression.equals(name, value) for name, value in seen.items() if name != "pk"]
        with_conflicts(
            self._client.delete_item,
            TableName=self._name,
            Key={"pk": seen["pk"]},
            ConditionExpression=" AND ".join(["attribute_exists(pk)", *conditions]),
            **expression.parameters(),
        )


class _Expression:
    """Placeholders for the names and values in the expressions of one call."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder of an attribute."""
        placeholder = f"#n{len(self._names)}"
        self._names[placeholder] = attribute
        return placeholder

    def value(self, value: Any) -> str:
        """Return the placeholder of a value."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = value
        return placeholder

    def equals(self, attribute: str, value: Any) -> str:
        """Return the condition that an attribute has a value; None: that there is none."""
        name = self.name(attribute)
        return f"attribute_not_exists({name})" if value is None else f"{name} = {self.value(value)}"

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the call; DynamoDB refuses empty ones."""
        names: dict[str, Any] = {"ExpressionAttributeNames": self._names} if self._names else {}
        return names | ({"ExpressionAttributeValues": self._values} if self._values else {})


def with_conflicts(call: Any, **parameters: Any) -> None:
    """Make a conditional write; a false condition raises ConflictError."""
    try:
        call(**parameters)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            raise ConflictError from None
        raise

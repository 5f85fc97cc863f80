"""The merchants' rows in DynamoDB. Every write is conditional on the attributes that it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder
from botocore.exceptions import ClientError

from chalicelib.merchants import MERCHANT_PREFIX, merchant_key
from redeemctl.errors import ConflictError
from redeemctl.rows import changed_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        placeholders = {name: f"u{number}" for number, name in enumerate(changed)}
        sets = [f"#{u} = :{u}" for name, u in placeholders.items() if changed[name] is not None]
        removes = [f"#{u}" for name, u in placeholders.items() if changed[name] is None]
        parts = (f"{verb} {', '.join(part)}" for verb, part in (("SET", sets), ("REMOVE", removes)) if part)
        self._write(
            self._client.update_item,
            item,
            _condition(seen, changed),
            {f"#{u}": name for name, u in placeholders.items()},
            {f":{u}": changed[name] for name, u in placeholders.items() if changed[name] is not None},
            UpdateExpression=" ".join(parts),
        )

    def remove(self, seen: Item) -> None:
        """Remove a row; raises ConflictError if it has changed since it was read."""
        self._write(self._client.delete_item, seen, _condition(seen, [name for name in seen if name != "pk"]), {}, {})

    def _write(
        self, call: Any, item: Item, condition: Any, names: dict[str, str], values: dict[str, Any], **parameters: Any
    ) -> None:
        """Make a conditional write; a false condition raises ConflictError."""
        expression, condition_names, condition_values = ConditionExpressionBuilder().build_expression(condition)
        if values or condition_values:
            # DynamoDB refuses an empty one.
            parameters["ExpressionAttributeValues"] = values | condition_values
        try:
            call(
                TableName=self._name,
                Key={"pk": item["pk"]},
                ConditionExpression=expression,
                ExpressionAttributeNames=names | condition_names,
                **parameters,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ConflictError from None
            raise


def _condition(seen: Item | None, names: Iterable[str]) -> ConditionBase:
    """Return the condition that a row exists or not, and that these attributes are as they were read."""
    condition: ConditionBase = Attr("pk").not_exists() if seen is None else Attr("pk").exists()
    for name in names:
        value = (seen or {}).get(name)
        condition &= Attr(name).not_exists() if value is None else Attr(name).eq(value)
    return condition

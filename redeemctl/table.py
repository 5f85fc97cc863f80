"""The merchants' rows in DynamoDB. Every write is conditional on the attributes that it changes."""

from collections.abc import Iterable
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder
from botocore.exceptions import ClientError

from chalicelib.aws import Item
from chalicelib.merchants import MERCHANT_PREFIX, merchant_pk
from infra.table import scan_items
from redeemctl.errors import CHANGED_MEANWHILE, ConflictError
from redeemctl.merchant_rows import changed_attributes


class MerchantTable:
    """Reads and writes the rows of merchants."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, account_id: str) -> Item | None:
        """Return a merchant's row, or None."""
        key: Item = {"pk": {"S": merchant_pk(account_id)}}
        item: Item | None = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True).get("Item")
        return item

    def list_all(self) -> list[Item]:
        """Return the rows of all merchants, sorted by account_id."""
        return sorted(scan_items(self._client, self._name, MERCHANT_PREFIX), key=lambda item: item["pk"]["S"])

    def write(self, seen: Item | None, edited: Item | None) -> None:
        """Change a row that was read as `seen` to `edited`. None means that there is no row.

        Only attributes that differ are written. Raises ConflictError if one of them has changed since, or the row was
        added or removed.
        """
        changed = changed_attributes(seen, edited)
        condition, names, values = ConditionExpressionBuilder().build_expression(_condition(seen, changed))
        updates: dict[str, list[str]] = {}
        for number, (name, value) in enumerate(changed.items() if edited is not None else ()):
            names[f"#u{number}"] = name
            if value is None:
                updates.setdefault("REMOVE", []).append(f"#u{number}")
            else:
                values[f":u{number}"] = value
                updates.setdefault("SET", []).append(f"#u{number} = :u{number}")
        parameters: dict[str, Any] = {
            "TableName": self._name,
            "Key": {"pk": (edited or seen or {})["pk"]},
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            # DynamoDB refuses an empty map.
            **({"ExpressionAttributeValues": values} if values else {}),
        }
        try:
            if edited is None:
                self._client.delete_item(**parameters)
            else:
                expression = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in updates.items())
                self._client.update_item(**parameters, UpdateExpression=expression)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ConflictError(CHANGED_MEANWHILE) from None
            raise


def _condition(seen: Item | None, names: Iterable[str]) -> ConditionBase:
    """Return the condition that the row still exists (or still does not), and that these attributes are unchanged."""
    condition: ConditionBase = Attr("pk").not_exists() if seen is None else Attr("pk").exists()
    for name in names:
        value = (seen or {}).get(name)
        condition &= Attr(name).not_exists() if value is None else Attr(name).eq(value)
    return condition

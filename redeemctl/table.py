"""The merchants' rows in DynamoDB. Every write is conditional on the attributes that it changes."""

from collections.abc import Iterable
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder
from botocore.exceptions import ClientError

from chalicelib.aws import Item
from chalicelib.merchants import MERCHANT_PREFIX, merchant_key
from infra.table import scan_rows
from redeemctl.errors import CHANGED_MEANWHILE, ConflictError


class MerchantTable:
    """Reads and writes the rows of merchants."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, account_id: str) -> Item | None:
        """Return a merchant's row, or None."""
        key: Item = {"pk": {"S": merchant_key(account_id)}}
        item: Item | None = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True).get("Item")
        return item

    def list_all(self) -> list[Item]:
        """Return the rows of all merchants, sorted by account_id."""
        return sorted(scan_rows(self._client, self._name, MERCHANT_PREFIX), key=lambda item: item["pk"]["S"])

    def write(self, seen: Item | None, edited: Item | None) -> None:
        """Replace a row that was read as `seen` by `edited`; None means that there is no row.

        Raises ConflictError if it was changed, added or removed since.
        """
        names = [name for name in {**(seen or {}), **(edited or {})} if name != "pk"]
        condition, placeholders, values = ConditionExpressionBuilder().build_expression(_condition(seen, names))
        parameters: dict[str, Any] = {
            "TableName": self._name, "ConditionExpression": condition, "ExpressionAttributeNames": placeholders,
            # DynamoDB refuses an empty one.
            **({"ExpressionAttributeValues": values} if values else {}),
        }  # fmt: skip
        try:
            if edited is None:
                self._client.delete_item(**parameters, Key={"pk": (seen or {})["pk"]})
            else:
                self._client.put_item(**parameters, Item=edited)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                raise ConflictError(CHANGED_MEANWHILE) from None
            raise


def _condition(seen: Item | None, names: Iterable[str]) -> ConditionBase:
    """Return the condition that a row exists or not, and that these attributes are as they were read."""
    condition: ConditionBase = Attr("pk").not_exists() if seen is None else Attr("pk").exists()
    for name in names:
        value = (seen or {}).get(name)
        condition &= Attr(name).not_exists() if value is None else Attr(name).eq(value)
    return condition

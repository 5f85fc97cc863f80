"""Fixtures: sanitized replies of the real platform, written by `redeemctl acceptance`.

A fixture is a JSON object: `call`, `status`, and `body`, the platform's reply.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

LIST_CALL = "query_user_certificates"


def load(path: Path) -> dict[str, Any]:
    """Read a fixture."""
    fixture: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return fixture


def to_purchases(fixture: dict[str, Any], account_id: str) -> list[dict[str, Any]]:
    """Return the orders of a list reply as purchases at a merchant: the mock platform then serves them unchanged.

    The orders keep their `can_use`, so they do not depend on the store. Raises ValueError for another kind of reply.
    """
    orders = ((fixture.get("body") or {}).get("data") or {}).get("orders")
    if fixture.get("call") != LIST_CALL or not isinstance(orders, list):
        raise ValueError(f"not a fixture of {LIST_CALL} with orders")
    return [{"account_id": account_id, "order": order} for order in orders]


def to_fault(fixture: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return a fault rule that replies with the fixture's body; `options` are further fields of the rule."""
    body = json.dumps(fixture["body"], ensure_ascii=False)
    if fixture["status"] == 200:
        return {"kind": "body", "call": fixture["call"], "body": body, **options}
    return {"kind": "http", "call": fixture["call"], "status": fixture["status"], "body": body, **options}

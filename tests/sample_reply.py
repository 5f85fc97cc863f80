"""The list of `redeemctl/documented_list.json`: its first certificate has every field of the platform's document.

`tests/unit/test_lenient.py` keeps it in step with `chalicelib/douyin/pages.py`: it fails if the models lack a
shown field. `tests/service/test_acceptance.py` does so with the sample customer who has every field.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

from infra.bundle import ROOT

REPLY: dict[str, Any] = json.loads((ROOT / "redeemctl" / "documented_list.json").read_text(encoding="utf-8"))
ORDER = REPLY["data"]["orders"][0]
CERTIFICATE: dict[str, Any] = ORDER["certificates"][0]

NOT_SHOWN = (
    "amount.merchant_ticket_amount", "amount.payment_discount_amount", "amount.coupon_pay_amount",
    "amount.platform_ticket_amount", "sku_info.account_id", "sku_info.out_id", "sku_info.third_sku_id",
    "sku_info.spu_id", "sku_info.sold_start_time", "sku_info.voucher_info.voucher_type",
    "sku_info.voucher_info.dynamic_par_rule_struct.dynamic_par_rule_item_list",
    "times_card_info.ladder_times_card_info",
)  # fmt: skip
"""The fields that the view does not show. What is in them is not shown either."""


def find_paths(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the dotted path and the value of each field, also of those in the first element of a list."""
    for name, part in value.items():
        path = prefix + name
        yield path, part
        if isinstance(part, dict):
            yield from find_paths(part, f"{path}.")
        elif isinstance(part, list) and isinstance(part[0], dict):
            yield from find_paths(part[0], f"{path}.0.")


PATHS = dict(find_paths(CERTIFICATE))
NOT_SHOWN_PATHS = [path for path in PATHS if path.startswith(NOT_SHOWN)]
SHOWN_PATHS = {path: PATHS[path] for path in PATHS if path not in [*NOT_SHOWN_PATHS, "certificate_id"]}
"""Path of each optional field of a certificate that the view shows, and its value."""

MISSING = object()


def build_certificate(**fields: Any) -> dict[str, Any]:
    """Return a certificate with every field of the document; `fields` replace top-level ones."""
    return copy.deepcopy(CERTIFICATE) | fields


def set_path(value: Any, path: str, new: Any) -> None:
    """Replace the part at a dotted path, or remove it when `new` is MISSING."""
    *parents, last = path.split(".")
    for name in parents:
        value = value[int(name) if isinstance(value, list) else name]
    key: Any = int(last) if isinstance(value, list) else last
    if new is MISSING:
        del value[key]
    else:
        value[key] = new


def build_reply(*certificates: Any, order: Any = MISSING) -> dict[str, Any]:
    """Return a reply with one usable order of these certificates, or with another order."""
    if order is MISSING:
        order = ORDER | {"certificates": list(certificates)}
    reply = copy.deepcopy(REPLY)
    reply["data"].update(orders=[order], total=len(certificates))
    return reply

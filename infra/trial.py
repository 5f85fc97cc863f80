"""Let the app in the working directory serve one login with a list, without a network. Run as a script.

`trial.json` has the request, and what the app gets for it: the secret, the rows of the table, and the replies of the
platform, with an order that has every documented field. Its coupon is listed once as each kind, and once as unusable.
Everything else is the app, from these bytes to its response.
"""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIST_PATH = "/api/trade/v2/fulfillment/query_user_certificates/"
KINDS = ["groupon", "voucher", "times_card", "other"]
"""The kinds of groupon_type 1 to 4."""


def list_every_kind(page: dict[str, Any]) -> None:
    """Replace the one order of a page by one of each kind, and one that cannot be used."""
    orders = page["orders"] = [json.loads(json.dumps(page["orders"][0])) for _ in (*KINDS, "unusable")]
    page["total"] = len(orders)
    for number, order in enumerate(orders, 1):
        order["can_use"] = number <= len(KINDS)
        order["certificates"][0]["certificate_id"] = str(number)
        order["certificates"][0]["sku_info"]["groupon_type"] = number


def main() -> None:
    """Exit with 0, or with the response if it lacks a certificate."""
    # As `chalice deploy` and Lambda find the app.
    sys.path[0] = str(Path.cwd())
    data = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    list_every_kind(data["replies"][LIST_PATH]["data"])
    app: Any = importlib.import_module("app")
    respond: Any = importlib.import_module("chalicelib.douyin.protocol").Response

    def send(_url: str, request: Any, *_limits: Any) -> Any:
        return respond(200, {}, json.dumps(data["replies"][request.path]).encode())

    app.create_clients = lambda _warn: (None, None)
    app.read_secret = lambda *_: json.dumps(data["secret"])
    app.Table = lambda *_: SimpleNamespace(get_item=lambda pk, _context: data["rows"].get(pk, {}))
    app.Transport = lambda _session: SimpleNamespace(send=send, has_idle_connection=lambda *_: True)
    view = json.loads(app.app(data["event"], None)["body"])
    listed = view.get("list", {"certificates": []})
    kinds = [each["kind"] for each in listed["certificates"]]
    if kinds != KINDS or "unusable" not in listed:
        raise SystemExit(f"a login with a list gives {view.get('list_problem') or kinds or view}")


if __name__ == "__main__":
    main()

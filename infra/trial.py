"""Let the app in the working directory serve one login with a list, without a network. Run as a script.

`trial.json` has the request, the secret, the rows of the table, and the replies of the platform. Its list has a coupon
with every documented field, one of each other kind, and an unusable one. The app does the rest, from these bytes to its
response.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

KINDS = ["voucher", "groupon", "times_card", "other"]
"""The kinds of the usable coupons, in the order of their expiry."""


def main() -> None:
    """Exit with 0, or with the response if it lacks a certificate."""
    # As `chalice deploy` and Lambda find the app.
    sys.path[0] = str(Path.cwd())
    data = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    app: Any = importlib.import_module("app")
    respond: Any = importlib.import_module("chalicelib.douyin.protocol").PlatformResponse

    def send(_url: str, request: Any, *_limits: Any) -> Any:
        return respond(200, {}, json.dumps(data["replies"][request.path]).encode())

    dynamodb = SimpleNamespace(get_item=lambda **call: {"Item": data["rows"].get(call["Key"]["pk"]["S"], {})})
    secrets_manager = SimpleNamespace(get_secret_value=lambda **_: {"SecretString": json.dumps(data["secret"])})
    transport = SimpleNamespace(send=send)
    clients = SimpleNamespace(dynamodb=dynamodb, secrets_manager=secrets_manager)
    app.components = lambda: app.Components(app.Settings.from_env(os.environ), clients, transport)
    view = json.loads(app.app(data["event"], None)["body"])
    listed = view.get("list", {"certificates": []})
    kinds = [each["kind"] for each in listed["certificates"]]
    if kinds != KINDS or "unusable" not in listed:
        raise SystemExit(f"a login with a list gives {view.get('list_problem') or kinds or view}")


if __name__ == "__main__":
    main()

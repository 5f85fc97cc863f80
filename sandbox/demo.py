"""`make demo`: everything from nothing to a customer's list; `make serve`: the same, and stay."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from sandbox import world as worlds
from sandbox.aws import REGION
from sandbox.stack import Stack, login_code, preview, running

CUSTOMER = "lin"
MERCHANT = "7296781329369139211"
STORE = "6601"

_CHINA = timezone(timedelta(hours=8))
_KINDS = {"groupon": "团购券", "voucher": "代金券", "times_card": "次卡", "other": "其他"}

console = Console()


def main() -> None:
    """Run the demo, or serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="stay until Ctrl-C")
    arguments = parser.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: sys.exit(0))
    begun = time.monotonic()
    with running(lambda step: console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/dim]  {step} …")) as stack:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/dim]  deployed")
        world = worlds.load()
        show(stack, world)
        if arguments.serve:
            with preview(stack) as miniprogram:
                tell(stack, world, miniprogram.url)
                threading.Event().wait()


def show(stack: Stack, world: worlds.World) -> None:
    """Log the sample customer in and print what they can redeem in a store."""
    merchant = world.merchants[MERCHANT]
    code = login_code(stack.platform.url, merchant.app_id, CUSTOMER)
    session = _call("POST", f"{stack.api_url}/v1/sessions", json={"app_id": merchant.app_id, "code": code})
    url = f"{stack.api_url}/v1/merchants/{MERCHANT}/stores/{STORE}/certificates"
    begun = time.perf_counter()
    view = _call("GET", url, headers={"Authorization": f"Bearer {session['token']}"})
    elapsed = time.perf_counter() - begun
    table = Table(title=f"{world.customers[CUSTOMER].name} · {merchant.stores[STORE]}", title_justify="left")
    for heading in ("券", "类型", "已付", "原价", "有效期至", "备注"):
        table.add_column(heading, justify="right" if heading in ("已付", "原价") else "left", overflow="fold")
    for certificate in view["certificates"]:
        table.add_row(*_row(certificate))
    console.print()
    console.print(table)
    console.print(f"{len(view['certificates'])} certificates in {elapsed * 1000:.0f} ms from\n{url}", soft_wrap=True)


def tell(stack: Stack, world: worlds.World, preview_url: str) -> None:
    """Print what there is to try, as lines that can be pasted into a shell."""
    merchant = world.merchants[MERCHANT]
    console.print("\n[bold]The sandbox is up[/bold] (Ctrl-C ends it)")
    sandbox, api = f"{stack.platform.url}/_sandbox", f"{stack.api_url}/v1"
    ask = f'{{"app_id":"{merchant.app_id}","customer":"{CUSTOMER}"}}'
    busy = '{"kind":"code","call":"query_user_certificates","code":2100004,"times":3}'
    lines = f"""Page      {preview_url}  (the mini-program; open it in a browser)
API       {stack.api_url}
Douyin    {stack.platform.url}
AWS       {stack.aws.url}

# log a customer in ({", ".join(world.customers)})
CODE=$(curl -s {sandbox}/codes -d '{ask}' | sed 's/.*: "\\(.*\\)".*/\\1/')
TOKEN=$(curl -s {api}/sessions -H 'Content-Type: application/json' \\
  -d '{{"app_id":"{merchant.app_id}","code":"'$CODE'"}}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')

# what they can redeem in a store
curl -s -H "Authorization: Bearer $TOKEN" {api}/merchants/{MERCHANT}/stores/{STORE}/certificates

# what the functions logged and measured so far, as CloudWatch has it (--follow goes on)
.venv/bin/python -m sandbox.watch {stack.aws.url}

# the operator's command, pointed at the sandbox
export AWS_ENDPOINT_URL={stack.aws.url} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={REGION}
export DOUYIN_OPEN_API={stack.platform.url} DOUYIN_LOGIN_API={stack.platform.url}
.venv/bin/redeemctl doctor

# let the platform be busy three times, then ask again
curl -s {sandbox}/faults -d '{busy}'
"""
    # Plain print: these lines are to be copied, not wrapped or coloured.
    print(lines, flush=True)


def _call(method: str, url: str, **options: Any) -> dict[str, Any]:
    answer = requests.request(method, url, timeout=30, **options)
    if answer.status_code != 200:
        raise SystemExit(f"{method} {url} answered {answer.status_code}: {answer.text}")
    view: dict[str, Any] = answer.json()
    return view


def _row(certificate: dict[str, Any]) -> tuple[str, ...]:
    expires = certificate.get("expire_time")
    return (
        certificate.get("title", ""),
        _KINDS[certificate["kind"]],
        _yuan(certificate.get("pay_amount")),
        _yuan(certificate.get("market_price")),
        "" if expires is None else datetime.fromtimestamp(expires, _CHINA).strftime("%Y-%m-%d"),
        _remarks(certificate),
    )


def _remarks(certificate: dict[str, Any]) -> str:
    remarks = []
    if times := certificate.get("times"):
        remarks.append(f"剩{times['usable']}/{times['total']}次")
    if voucher := certificate.get("voucher"):
        remarks.append(f"{voucher['description']}（{_yuan(voucher['min_amount'])}–{_yuan(voucher['max_amount'])}）")
    if "lock" in certificate:
        remarks.append("有锁定信息")
    if off_peak := certificate.get("off_peak"):
        hours = "、".join("–".join(span) for span in off_peak.get("hours", []))
        remarks.append(f"错峰 {hours}")
    if certificate.get("is_transfer_asset"):
        remarks.append("转赠")
    return "，".join(remarks)


def _yuan(amount: int | None) -> str:
    return "" if amount is None else f"¥{amount / 100:.2f}"


if __name__ == "__main__":
    main()

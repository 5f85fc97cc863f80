"""Fuzzes the reader of certificate pages: `python -m tests.fuzz [--count 1000000] [--seed 1]`.

Each round changes a full reply of the platform at one to four random places, or changes bytes of it, and checks the
views: nothing raises but UpstreamError, no certificate of an order that is not usable is shown, and every certificate
with readable ids in a usable order is shown.

One of ten rounds writes a reply in another form that means the same (null for an empty list, text for a number, a byte
order mark, …) and requires the same views; or takes away what makes it certain, and requires an error instead of an
empty list.

One of a thousand rounds is about pagination: a list of any length, from a platform that cuts its pages before or after
it filters them by store, with a right, too large, too small or missing total. Following the cursors must show every
certificate of the store. If the total reaches a page, this page may once be a reply that says nothing: it must not
shorten the list.
"""

import argparse
import copy
import json
import math
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from chalicelib.certificates.cursors import Cursor
from chalicelib.certificates.paging import PAGES_PER_RESPONSE, list_pages
from chalicelib.certificates.views import build_views
from chalicelib.context import Deadline
from chalicelib.douyin.models import MAX_ID_LENGTH
from chalicelib.douyin.pages import Page, parse_certificates
from chalicelib.douyin.protocol import PAGE_SIZE, Response
from chalicelib.errors import UpstreamError
from tests.sample_reply import build_certificate, build_reply

TRUE: list[Any] = [True, "true", "True", "TRUE", 1, "1", 1.0]
FALSE: list[Any] = [False, "false", "False", "FALSE", 0, "0", 0.0, None]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**63, -(2**70), 1.5, 1e3, "", "0", "x", "true", "\ud800", "券", "x" * 300,
    [], {}, [None], [1], ["x"], [{}], [[[]]], {"x": None}, {"certificate_id": "stray"},
]  # fmt: skip


def build_list() -> dict[str, Any]:
    """Return a reply with two usable orders and one that is not, each with full and minimal certificates."""
    reply = build_reply()
    reply["data"]["orders"] = [
        {
            "order_id": f"o{number}",
            "can_use": number != 1,
            "certificates": [build_certificate(certificate_id=f"c{number}a"), {"certificate_id": f"c{number}b"}],
        }
        for number in range(3)
    ]
    return reply


def mutate(value: Any, chance: random.Random) -> list[str]:
    """Replace, remove or add one part at a random place, and return the path of the place."""
    path: list[str] = []
    while True:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            break
        key = chance.choice(keys)
        path.append(str(key))
        if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.85:
            value = value[key]
            continue
        if chance.random() < 0.2:
            del value[key]
        else:
            value[key] = copy.deepcopy(chance.choice(VALUES))
        break
    return path


def expect_certificates(reply: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Return the certificate_ids that must be shown, and those that may be shown."""
    allowed: set[str] = set()
    for order in reply["data"].get("orders") or []:
        if not isinstance(order, dict) or not is_id(order.get("order_id")):
            continue
        if order.get("can_use") not in TRUE:
            continue
        certificates = order.get("certificates")
        for certificate in certificates if isinstance(certificates, list) else []:
            if isinstance(certificate, dict) and is_id(certificate.get("certificate_id")):
                allowed.add(to_text(certificate["certificate_id"]))
    # An unpaired surrogate is shown as question marks, one for each of its bytes.
    return {text for text in allowed if text != "\ud800"}, allowed | {"?", "???"}


def is_id(value: Any) -> bool:
    """Return whether a value is a readable id."""
    is_number = (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )
    return (isinstance(value, str) or is_number) and 1 <= len(to_text(value)) <= MAX_ID_LENGTH


def to_text(value: Any) -> str:
    """Return an id as the view shows it."""
    return str(int(value) if isinstance(value, float) else value)


def run_round(chance: random.Random) -> str | None:
    """Run one round; return a description of what is wrong, or None."""
    reply = build_list()
    paths = [mutate(reply, chance) for _ in range(chance.randint(1, 4))]
    body = json.dumps(reply, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.1:
        position = chance.randrange(len(body))
        body = body[:position] + bytes([chance.randrange(256)]) + body[position + chance.randint(0, 3) :]
        paths = []
    try:
        page = parse_certificates(Response(200, {}, body))
    except UpstreamError:
        # Right for a changed envelope. A change inside of an order must not lose the page.
        is_inside = paths and all(path[:2] == ["data", "orders"] and len(path) > 2 for path in paths)
        return f"the page is lost: {paths}" if is_inside else None
    built = build_views([page], time.time())
    msgspec.json.encode(built.views)
    if not paths:
        return None
    shown = {view.certificate_id for view in built.views}
    required, allowed = expect_certificates(reply)
    if required - shown:
        return f"lost: {sorted(required - shown)[:3]} after {paths}"
    if shown - allowed:
        return f"wrongly shown: {sorted(shown - allowed)[:3]} after {paths}"
    return None


IDS = ("order_id", "certificate_id", "sku_id")
CODES = [("data", "error_code"), ("extra", "error_code"), ("extra", "sub_error_code"), (None, "err_no")]


def rewrite(value: Any, chance: random.Random, name: str = "") -> Any:
    """Return another form of a part of a reply that means the same. `name` is the name of the field."""
    if isinstance(value, dict):
        members = [(key, rewrite(part, chance, key)) for key, part in value.items()]
        members += [("unknown", chance.choice([*VALUES, math.nan, math.inf]))] * chance.randint(0, 1)
        chance.shuffle(members)
        return dict(members)
    if isinstance(value, list):
        return [rewrite(element, chance) for element in value] or (None if chance.random() < 0.5 else [])
    if isinstance(value, bool):
        return chance.choice(TRUE if value else FALSE)
    if isinstance(value, int):
        return chance.choice([value, str(value)])
    return chance.choice([value, int(value)]) if name in IDS and value.isdigit() else value


def run_equivalent_round(chance: random.Random) -> str | None:
    """Change a reply without changing its meaning, or so that it means nothing; return what is wrong, or None."""
    reply = build_list()
    data = reply["data"]
    if chance.random() < 0.3:
        data["orders"] = []
    data["total"] = sum(len(order["certificates"]) for order in data["orders"])
    raw = chance.choice(["", "\t", "\n", "\r"])
    for order in data["orders"]:
        order["certificates"][0]["sku_info"]["title"] += raw
    expected = read_views(reply)
    written = rewrite(reply, chance)
    for part, name in CODES:
        chance.choice([dict.pop, dict.get])(written[part] if part else written, name, None)
    if chance.random() < 0.3:
        written["extra"] = chance.choice([None, {}])
    if chance.random() < 0.1:
        del written["extra"]
    if not data["orders"] and chance.random() < 0.5:
        del written["data"]["orders"]
    mark = chance.choice(["", "\ufeff"])
    if read_views(written, mark, raw) != expected:
        return f"another list: {mark!r} {raw!r} {json.dumps(written)}"
    if data["orders"] and chance.random() < 0.5:
        del written["data"]["orders"]
    else:
        part, name = chance.choice(CODES)
        written["extra"] = written.get("extra") or {}
        (written[part] if part else written)[name] = chance.choice(["", "many", 1.5, True, [], {}, "0x0"])
    return None if read_views(written) is None else f"a list: {json.dumps(written)}"


def read_views(reply: dict[str, Any], mark: str = "", raw: str = "") -> bytes | None:
    """Return the views of a page as JSON, with what is malformed, or None when it is an error.

    The reply is written after `mark`, and with the control character `raw` as it is.
    """
    text = mark + json.dumps(reply)
    text = text.replace(json.dumps(raw)[1:-1], raw) if raw else text
    try:
        page = parse_certificates(Response(200, {}, text.encode()))
    except UpstreamError:
        return None
    return msgspec.json.encode(build_views([page], time.time()))


def run_list_round(chance: random.Random) -> str | None:
    """Read a whole list; return a description of what is wrong, or None."""
    cuts_first = chance.random() < 0.5
    ours = [f"c{number}" for number in range(chance.choice([0, 1, 49, 50, 51, chance.randint(0, 700)]))]
    others: list[str] = [""] * chance.randint(0, 900)
    coupons = [*others, *ours] if chance.random() < 0.5 else chance.sample([*others, *ours], len(others) + len(ours))
    listed = coupons if cuts_first else [coupon for coupon in coupons if coupon]
    totals: list[Any] = [len(listed), str(len(listed)), len(listed) + chance.randint(1, 10**6)]
    if not cuts_first:
        # Full pages show that the list continues.
        totals += [None, "many", chance.randint(0, PAGE_SIZE)]
    total = chance.choice(totals)
    # Only a total that is right, or too large, reaches every page.
    silent = {page for page in range(2, 20) if chance.random() < 0.1} if totals.index(total) < 3 else set()

    def fetch(page: int, known_total: int | None) -> Page:
        offset = (page - 1) * PAGE_SIZE
        if page in silent and offset < len(listed):
            silent.remove(page)
            silence: dict[str, Any] = {
                "orders": chance.choice([None, []]),
                "total": chance.choice([None, 0, 1, offset]),
            }
            data = {name: value for name, value in silence.items() if value == [] or chance.random() < 0.5}
            body = json.dumps({"data": data, "err_no": 0}).encode()
            answer = parse_certificates(Response(200, {}, body), offset, known_total)
            # The client requests a doubtful page again.
            return fetch(page, known_total) if answer.is_doubtful else answer
        cut = listed[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        orders = [
            {"order_id": f"o{coupon}", "can_use": True, "certificates": [{"certificate_id": coupon}]}
            for coupon in cut
            if coupon
        ]
        requested.append(page)
        body = msgspec.json.encode({"data": {"total": total, "orders": orders}, "extra": {}})
        return parse_certificates(Response(200, {}, body), offset, known_total)

    requested: list[int] = []
    found: list[str] = []
    repeats = 0
    cursor: Cursor | None = Cursor()
    with ThreadPoolExecutor(PAGES_PER_RESPONSE) as executor:
        while cursor is not None:
            try:
                result = list_pages(cursor, fetch, executor, PAGE_SIZE, Deadline(60.0))
            except UpstreamError:
                # The first page is lost: the customer repeats the request.
                repeats += 1
                continue
            repeats += result.lost_page_error is not None
            found += [view.certificate_id for view in build_views(result.pages, 0.0).views]
            cursor = result.position if result.continues else None
    if sorted(found) != sorted(ours) or (not repeats and len(set(requested)) != len(requested)):
        return f"list: {len(found)} of {len(ours)} after pages {requested}, {cuts_first=} {total=}"
    return None


def run(count: int, seed: int) -> list[str]:
    """Run `count` rounds and return everything that is wrong; an exception of the code under test is raised."""
    chance = random.Random(seed)  # noqa: S311 - reproducible
    problems = [run_round(chance) for _ in range(count)] + [run_list_round(chance) for _ in range(count // 1000)]
    problems += [run_equivalent_round(chance) for _ in range(count // 10)]
    return [problem for problem in problems if problem is not None]


def main() -> None:
    """Run the fuzzer and print a summary; exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    problems = run(arguments.count, arguments.seed)
    print(f"{arguments.count:,} replies, {len(problems)} problems")  # noqa: T201 - a command
    for problem in problems[:10]:
        print(problem)  # noqa: T201 - a command
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()

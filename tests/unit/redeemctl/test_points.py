"""The verdicts of an acceptance run on lists that differ from what the service assumes."""

import json
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.douyin import protocol
from chalicelib.douyin.pages import parse_certificates
from redeemctl.acceptance.points import POINTS
from redeemctl.acceptance.steps import Listing

JUDGES = {point.name: point.judge for point in POINTS}


def pages(*contents: str, size: int = 2) -> Listing:
    """Return a complete list. A letter is a certificate; its order is the lower-case letter, usable if it is that."""
    listing = Listing(size, is_complete=True)
    for content in contents:
        orders = [
            {"order_id": letter.lower(), "can_use": letter.islower(), "certificates": [{"certificate_id": letter}]}
            for letter in content
        ]
        reply = {"data": {"orders": orders, "total": len("".join(contents)), "error_code": 0}, "extra": {}}
        listing.pages.append(parse_certificates(protocol.Response(200, {}, json.dumps(reply).encode())))
    return listing


@pytest.mark.parametrize(
    ("name", "listings", "holds"),
    [
        ("pages-complete", {"list": pages("abcd"), "paging": pages("ab", "cd")}, True),
        ("pages-complete", {"list": pages("abcd"), "paging": pages("ab", "bc", "d")}, False),
        ("pages-complete", {"list": pages("abcd"), "paging": pages("ab", "c")}, False),
        ("pages-complete", {"list": pages("ab"), "paging": pages("ab")}, None),
        ("cut-orders-agree", {"list": pages("ab"), "paging": pages("ab", "bc")}, True),
        ("cut-orders-agree", {"list": pages("ab"), "paging": pages("ab", "Bc")}, False),
        ("time-range-seconds", {"list": pages("ab"), "time-range": pages("ab")}, True),
        ("time-range-seconds", {"list": pages("ab"), "time-range": pages("")}, False),
        ("time-range-seconds", {"list": pages("")}, None),
    ],
)
def test_lists_are_judged(name: str, listings: dict[str, Listing], holds: bool | None) -> None:
    run: Any = SimpleNamespace(listings=defaultdict(Listing, listings))
    assert JUDGES[name](run).holds is holds

"""The rows in `tests/golden`: instances of two versions share them during a deployment or rollback.

`rows-present.json` has each state of a row as this version writes it, `rows-previous.json` as the version before wrote
it. A release that changes the format copies the former to the latter first, unchanged: then these tests require that it
reads the rows of the instances that run beside it. A later version never changes `rows-previous.json` otherwise.
"""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from chalicelib.aws import Item
from chalicelib.errors import AppMisconfiguredError, Evidence, UpstreamUnavailableError
from chalicelib.tokens.lease import Lease, TokenRow
from tests.unit.fakes import NOW, Clock, FakeTable, make_context

KEY = "TOKEN#tta"
TRANSIENT = UpstreamUnavailableError("http_503", retryable=True)
PERMANENT = AppMisconfiguredError("10013", evidence=Evidence(10013, 0))


class Decision(NamedTuple):
    """What an instance that reads a row finds at the time NOW."""

    access_token: str
    expires_in: int
    is_leased: bool = False
    pause: float = 0.0
    """Seconds until a mint is tried again."""


DECISIONS = {
    "no token yet": Decision("", 0),
    "first mint": Decision("", 0, is_leased=True),
    "minted": Decision("clt.new", 7200),
    "mint over an old token": Decision("clt.old", -10, is_leased=True),
    "transient failure": Decision("clt.old", -10, pause=2),
    "permanent failure": Decision("clt.old", -10, pause=30),
    "failure without a token": Decision("", 0, pause=30),
    "written by hand": Decision("clt.by-hand", 7200),
    "permanent failure after a transient one of this version": Decision("clt.old", -10, pause=30),
}


def load(name: str) -> dict[str, Item]:
    """Return the rows of a file by state."""
    rows: dict[str, Item] = json.loads(
        (Path(__file__).parents[2] / "golden" / f"rows-{name}.json").read_text(encoding="utf-8")
    )
    return rows


PRESENT, PREVIOUS = load("present"), load("previous")


@pytest.mark.parametrize(("state", "item"), [*PRESENT.items(), *PREVIOUS.items()])
def test_a_row_of_either_version_is_understood(state: str, item: Item) -> None:
    row = TokenRow.from_item(item)
    expected = DECISIONS[state]
    assert row.access_token == expected.access_token
    assert row.expires_at == (NOW + expected.expires_in if expected.expires_in else 0)
    assert row.is_leased(NOW, 0) == expected.is_leased
    assert row.is_paused(NOW, 0) == (expected.pause > 0)
    assert not row.is_paused(NOW + expected.pause, 0)


def fail(lease: Lease, error: UpstreamUnavailableError | AppMisconfiguredError) -> None:
    lease.acquire()
    lease.release(error)


def mint(lease: Lease) -> None:
    lease.acquire()
    lease.commit("clt.new", int(NOW), int(NOW) + 7200)


OLD = {name: PRESENT["mint over an old token"][name] for name in ("pk", "access_token", "minted_at", "expires_at")}
OLD |= {"version": {"N": "2"}}


@pytest.mark.parametrize(
    ("state", "before", "write"),
    [
        ("first mint", {}, Lease.acquire),
        ("minted", {}, mint),
        ("mint over an old token", OLD, Lease.acquire),
        ("transient failure", OLD, lambda lease: fail(lease, TRANSIENT)),
        ("permanent failure", OLD, lambda lease: fail(lease, PERMANENT)),
        ("failure without a token", {}, lambda lease: fail(lease, PERMANENT)),
    ],
)
def test_this_version_writes_exactly_the_present_rows(
    state: str, before: Item, write: Callable[[Lease], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))
    table = FakeTable(**({KEY: before} if before else {}))
    write(Lease(table, "tta", TokenRow.from_item(before), Clock(), make_context()))
    assert table.items[KEY] == PRESENT[state]

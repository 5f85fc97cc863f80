"""The lease: a changed row is not overwritten, and a failed mint pauses everyone.

`tests/service/test_lease.py` checks that only the holder writes.

Instances of two versions share the rows during a deployment or rollback. `tests/golden/rows-present.json` has each
state of a row as this version writes it, and as 0.12.0 does. A release that changes the format keeps this file under
another name, and reads these rows too.
"""

import json
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from chalicelib import errors
from chalicelib.aws import ConditionFailedError, Item
from chalicelib.tokens.lease import Lease
from chalicelib.tokens.rows import LONG_PAUSE_SECONDS, SHORT_PAUSE_SECONDS, TokenRow
from tests.unit.fakes import NOW, FakeTable, make_context, token_row

KEY = "TOKEN#tta"
BUSY = errors.UpstreamUnavailableError("http_503")
EVIDENCE = errors.Evidence(10013, 0)
MISCONFIGURED = errors.AppMisconfiguredError("10013", evidence=EVIDENCE)


def test_the_fencing_token_counts_on_from_any_number() -> None:
    table = FakeTable(**{KEY: token_row("clt.old", version=2**53)})
    lease = read_lease(table)
    lease.take()
    assert table.items[KEY]["version"] == {"N": str(2**53 + 1)}
    with pytest.raises(ConditionFailedError):
        new_lease(table, token_row("clt.old", version=2**53)).take()


def new_lease(table: FakeTable, item: Item) -> Lease:
    """Return the lease, not yet acquired, of an instance that has read this item."""
    return Lease(table, "tta", TokenRow.from_item(item), lambda: NOW + 1.5, make_context())


def read_lease(table: FakeTable) -> Lease:
    """Return the lease, not yet acquired, of an instance that reads the row now."""
    return new_lease(table, dict(table.items.get(KEY, {})))


@pytest.mark.parametrize(
    ("read", "present"),
    [
        ({}, token_row("clt.by-hand")),
        (token_row("clt.old"), token_row("clt.by-hand")),
        (token_row("clt.old"), token_row(None)),
        (token_row("clt.old"), {}),
        (token_row("clt.old", version=7), token_row("clt.by-hand", version=7)),
        (token_row("clt.old", version=7), token_row("clt.old", version=8)),
        (token_row("clt.old", version=7), {}),
        (token_row("clt.old"), token_row("clt.old", version=1)),
        ({}, token_row(None, version=1)),
    ],
)
def test_a_row_that_has_changed_is_not_leased(read: Item, present: Item) -> None:
    """Neither a change by another instance nor one by hand, without a version, is overwritten."""
    table = FakeTable(**{KEY: read})
    lease = read_lease(table)
    table.items[KEY] = present
    with pytest.raises(ConditionFailedError) as conflict:
        lease.take()
    assert conflict.value.item == present
    assert table.items[KEY] == present


WRITES: dict[str, Callable[[Lease], object]] = {
    "take": Lease.take,
    "commit": lambda lease: lease.commit("clt.new", int(NOW), int(NOW) + 7200),
    "release": lambda lease: lease.release(BUSY),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_conflict_with_the_own_write_is_no_conflict(write: str) -> None:
    tables = [FakeTable(), FakeTable()]
    tables[1].loses_responses = True
    for table in tables:
        lease = read_lease(table)
        lease.owner = "owner"
        lease.take()
        WRITES[write](lease)
    assert tables[0].items == tables[1].items


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("read", "changes"),
    [
        ({}, {"version": {"N": "7"}}),
        ({}, {"version": {"N": "2"}, "lease_owner": {"S": "another"}}),
        ({}, {"access_token": {"S": "clt.by-hand"}}),
        (token_row("clt.old", version=7), {"access_token": {"S": "clt.by-hand"}}),
    ],
)
def test_what_was_written_during_the_mint_is_not_overwritten(read: Item, changes: Item, write: str) -> None:
    """By another instance, or by hand, without a new version."""
    table = FakeTable(**{KEY: read})
    lease = read_lease(table)
    lease.take()
    present = table.items[KEY] = table.items[KEY] | changes
    with nullcontext() if write == "release" else pytest.raises(ConditionFailedError):
        WRITES[write](lease)
    assert table.items[KEY] == present


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (BUSY, SHORT_PAUSE_SECONDS),
        (errors.UpstreamUnavailableError("http_404"), SHORT_PAUSE_SECONDS),
        (errors.UpstreamUnavailableError("28001005", evidence=EVIDENCE), SHORT_PAUSE_SECONDS),
        (MISCONFIGURED, LONG_PAUSE_SECONDS),
        (errors.RateLimitedError("10020", evidence=EVIDENCE), LONG_PAUSE_SECONDS),
        (errors.RateLimitedError("http_429"), LONG_PAUSE_SECONDS),
    ],
)
def test_a_failed_mint_pauses_everyone_for_a_time_that_depends_on_the_error(
    error: errors.UpstreamError, pause: float
) -> None:
    table = FakeTable()
    lease = read_lease(table)
    lease.take()
    lease.release(error)
    row = TokenRow.from_item(table.items[KEY])
    assert (row.failed_at, row.failed_until, row.failure) == (NOW + 1.5, NOW + 1.5 + pause, error.reason)


def test_a_release_into_an_unavailable_table_or_too_late_is_ignored_because_the_lease_expires() -> None:
    table = FakeTable()
    lease = read_lease(table)
    lease.take()
    table.fails_writes = True
    lease.release(BUSY)
    lease.context = make_context(0.0)
    lease.release(BUSY)
    assert TokenRow.from_item(table.items[KEY]).is_leased(NOW)


# What an instance that reads a row at the time NOW finds: the token, the seconds until it expires, whether another one
# has the lease, and the seconds until a mint is tried again.
DECISIONS = {
    "no token yet": ("", 0, False, 0),
    "first mint": ("", 0, True, 0),
    "minted": ("clt.new", 7200, False, 0),
    "mint over an old token": ("clt.old", -10, True, 0),
    "transient failure": ("clt.old", -10, False, 2),
    "permanent failure": ("clt.old", -10, False, 30),
    "failure without a token": ("", 0, False, 30),
    "written by hand": ("clt.by-hand", 7200, False, 0),
}


PRESENT: dict[str, Item] = json.loads(
    (Path(__file__).parents[2] / "golden" / "rows-present.json").read_text(encoding="utf-8")
)
"""Rows by state."""


@pytest.mark.parametrize(("state", "item"), PRESENT.items())
def test_a_row_of_either_version_is_understood(state: str, item: Item) -> None:
    row = TokenRow.from_item(item)
    access_token, expires_in, is_leased, pause = DECISIONS[state]
    assert (row.access_token, row.expires_at) == (access_token, NOW + expires_in if expires_in else 0)
    assert (row.is_leased(NOW), row.is_paused(NOW + pause - 0.1)) == (is_leased, pause > 0)
    assert not row.is_paused(NOW + pause)


OLD = {name: PRESENT["mint over an old token"][name] for name in ("pk", "access_token", "minted_at", "expires_at")}
OLD |= {"version": {"N": "2"}}


def fail_permanently(lease: Lease) -> None:
    lease.release(MISCONFIGURED)


@pytest.mark.parametrize(
    ("state", "before", "finish"),
    [
        ("first mint", {}, None),
        ("minted", {}, WRITES["commit"]),
        ("mint over an old token", OLD, None),
        ("transient failure", OLD, WRITES["release"]),
        ("permanent failure", OLD, fail_permanently),
        ("failure without a token", {}, fail_permanently),
    ],
)
def test_this_version_writes_exactly_the_present_rows(
    state: str, before: Item, finish: Callable[[Lease], object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))
    table = FakeTable(**({KEY: before} if before else {}))
    lease = read_lease(table)
    lease.clock = lambda: NOW
    lease.take()
    if finish is not None:
        finish(lease)
    assert table.items[KEY] == PRESENT[state]

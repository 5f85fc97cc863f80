"""The lease: rows are parsed, it ends by itself, a changed row is not overwritten, and a failed mint pauses everyone.

`tests/service/test_lease.py` checks that only the holder writes.

Instances of two versions share the rows in `tests/golden` during a deployment or rollback. `rows-present.json` has each
state of a row as this version writes it, `rows-previous.json` as the version before wrote it. A release that changes
the format copies the former to the latter first, unchanged: then these tests require that it reads the rows of the
instances that run beside it. A later version never changes `rows-previous.json` otherwise.
"""

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chalicelib import errors
from chalicelib.aws import ConditionFailedError, Item
from chalicelib.tokens.lease import (
    LEASE_SECONDS,
    PERMANENT_PAUSE_SECONDS,
    TRANSIENT_PAUSE_SECONDS,
    Lease,
    TokenRow,
)
from tests.unit.fakes import NOW, Clock, FakeTable, make_context, token_row

KEY = "TOKEN#tta"
MILLISECONDS = int(NOW) * 1000
BUSY = errors.UpstreamUnavailableError("http_503", retryable=True)
EVIDENCE = errors.Evidence(10013, 0)
MISCONFIGURED = errors.AppMisconfiguredError("10013", evidence=EVIDENCE)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, TokenRow()),
        (token_row("clt.1"), TokenRow("clt.1", int(NOW) + 3600)),
        (token_row("", version=7), TokenRow("", int(NOW) + 3600, version=7)),
        (token_row("clt. 1", version=0), TokenRow("", int(NOW) + 3600)),
        ({"access_token": {"S": "clt.1"}}, TokenRow("clt.1", 0)),
        ({"expires_at": {"N": "1800000000.75"}}, TokenRow("", 1800000000)),
        # In milliseconds.
        ({"expires_at": {"N": "1800000000750"}}, TokenRow("", 1800000000)),
        ({"expires_at": {"N": str(10**11)}}, TokenRow("", 10**11)),
        ({"expires_at": {"N": str(10**11 + 1)}}, TokenRow("", 10**8)),
        # Larger than a float can count, and in DynamoDB's other notation.
        ({"version": {"N": str(2**53 + 1)}}, TokenRow(version=2**53 + 1)),
        ({"version": {"N": "9" * 38}}, TokenRow(version=int("9" * 38))),
        ({"version": {"N": "7E+2"}}, TokenRow(version=700)),
        ({"minted_at": {"N": "1800000000"}}, TokenRow(minted_at=1800000000)),
        (
            token_row(None, lease_until=MILLISECONDS + 4500, failed_at=MILLISECONDS, failed_until=MILLISECONDS + 2500)
            | {"lease_owner": {"S": "another"}, "failure": {"S": "http_503"}},
            TokenRow("", int(NOW) + 3600, 0, "another", NOW + 4.5, NOW + 2.5, 2.5, "http_503"),
        ),
        # The pause is that of the failure only if it has a begin.
        (token_row(None, 0, failed_until=MILLISECONDS), TokenRow("", int(NOW), failed_until=NOW)),
        (
            token_row(None, 0, failed_at=MILLISECONDS, failed_until=MILLISECONDS),
            TokenRow("", int(NOW), failed_until=NOW),
        ),
        (
            {
                "access_token": {"N": "7"},
                "expires_at": {"S": "soon"},
                "version": {"S": "7"},
                "failed_until": {"S": "x"},
                "failure": {"N": "7"},
                "minted_at": {"S": "now"},
                "lease_until": {"NULL": True},
                "lease_owner": {"N": "7"},
            },
            TokenRow(),
        ),
    ],
)
def test_a_row_is_parsed_and_a_malformed_attribute_counts_as_missing(item: Item, expected: TokenRow) -> None:
    assert TokenRow.from_item(item) == msgspec.structs.replace(expected, item=item)


@pytest.mark.parametrize(
    ("owner", "lease_until", "unchanged_seconds", "leased"),
    [
        ("another", NOW + LEASE_SECONDS, 3.9, True),
        # The holder is dead: a living one would have changed the row.
        ("another", NOW + LEASE_SECONDS, 4.0, False),
        # The clocks of two instances differ: the end of the lease says little.
        ("another", NOW - 120.0, 0.0, True),
        ("another", NOW + 86400, 3.9, True),
        ("another", NOW + 86400, 4.0, False),
        # It ended long ago, by any clock.
        ("another", NOW - 120.01, 0.0, False),
        ("", NOW + LEASE_SECONDS, 0.0, False),
    ],
)
def test_a_lease_ends_when_its_holder_no_longer_changes_the_row(
    owner: str, lease_until: float, unchanged_seconds: float, leased: bool
) -> None:
    row = TokenRow(lease_owner=owner, lease_until=lease_until)
    assert row.is_leased(NOW, unchanged_seconds) is leased


@pytest.mark.parametrize(
    ("failed_until", "pause_seconds", "unchanged_seconds", "paused"),
    [
        (NOW + 2.0, 2.0, 0.0, True),
        (NOW + 0.01, 2.0, 1.9, True),
        (NOW, 2.0, 0.0, False),
        # Written by a wrong clock: further ahead than the pause, or longer unchanged than the pause.
        (NOW + 2.01, 2.0, 0.0, False),
        (NOW + 30.0, 30.0, 29.9, True),
        (NOW + 30.0, 30.0, 30.0, False),
    ],
)
def test_a_pause_ends_by_either_clock(
    failed_until: float, pause_seconds: float, unchanged_seconds: float, paused: bool
) -> None:
    row = TokenRow(failed_until=failed_until, pause_seconds=pause_seconds)
    assert row.is_paused(NOW, unchanged_seconds) is paused


@pytest.mark.parametrize(
    ("minted_at", "unchanged_seconds", "young"),
    [
        (NOW, 0.0, True),
        (NOW, 9.9, True),
        # This instance knows that it is older, whatever the clocks say.
        (NOW, 10.0, False),
        # The clocks of two instances differ by up to 120 s.
        (NOW - 129, 0.0, True),
        (NOW - 130, 0.0, False),
        (NOW + 129, 0.0, True),
        (NOW + 130, 0.0, False),
        # Written by hand.
        (0, 0.0, False),
    ],
)
def test_a_token_is_young_by_two_clocks(minted_at: float, unchanged_seconds: float, young: bool) -> None:
    assert TokenRow(minted_at=int(minted_at)).is_young(NOW, unchanged_seconds) is young


def test_the_fencing_token_counts_on_from_any_number() -> None:
    table = FakeTable(**{KEY: token_row("clt.old", version=2**53)})
    lease = read_lease(table)
    lease.acquire()
    assert table.items[KEY]["version"] == {"N": str(2**53 + 1)}
    with pytest.raises(ConditionFailedError):
        Lease(table, "tta", TokenRow.from_item(token_row("clt.old", version=2**53)), Clock(), make_context()).acquire()


def read_lease(table: FakeTable, clock: Clock | None = None) -> Lease:
    """Return the lease, not yet acquired, of an instance that reads the row now."""
    context = make_context()
    return Lease(table, "tta", TokenRow.from_item(table.get_item(KEY, context)), clock or Clock(), context)


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
        lease.acquire()
    assert conflict.value.item == present
    assert table.items[KEY] == present


WRITES: dict[str, Callable[[Lease], object]] = {
    "acquire": Lease.acquire,
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
        lease.acquire()
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
    lease.acquire()
    present = table.items[KEY] = table.items[KEY] | changes
    with pytest.raises(ConditionFailedError):
        WRITES[write](lease)
    assert table.items[KEY] == present


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (BUSY, TRANSIENT_PAUSE_SECONDS),
        (errors.UpstreamUnavailableError("http_404"), TRANSIENT_PAUSE_SECONDS),
        (errors.UpstreamUnavailableError("28001005", retryable=True, evidence=EVIDENCE), TRANSIENT_PAUSE_SECONDS),
        (MISCONFIGURED, PERMANENT_PAUSE_SECONDS),
        (errors.RateLimitedError("10020", retryable=True, evidence=EVIDENCE), PERMANENT_PAUSE_SECONDS),
        (errors.RateLimitedError("http_429", retryable=True), PERMANENT_PAUSE_SECONDS),
    ],
)
def test_a_failed_mint_pauses_everyone_for_a_time_that_depends_on_the_error(
    error: errors.UpstreamError, pause: float
) -> None:
    table, clock = FakeTable(), Clock()
    lease = read_lease(table, clock)
    lease.acquire()
    clock.now += 1.5
    lease.release(error)
    row = TokenRow.from_item(table.items[KEY])
    assert (row.failed_until, row.pause_seconds, row.failure) == (NOW + 1.5 + pause, pause, error.reason)


def test_a_release_into_an_unavailable_table_or_too_late_is_ignored_because_the_lease_expires() -> None:
    table, context = FakeTable(), make_context()
    lease = Lease(table, "tta", TokenRow(), Clock(), context)
    lease.acquire()
    table.fails_writes = True
    lease.release(BUSY)
    context.deadline.cancel()
    lease.release(BUSY)
    assert TokenRow.from_item(table.items[KEY]).is_leased(NOW, 0)


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
    "permanent failure after a transient one of this version": ("clt.old", -10, False, 30),
}


def load(name: str) -> dict[str, Item]:
    """Return the rows of a file by state."""
    path = Path(__file__).parents[2] / "golden" / f"rows-{name}.json"
    rows: dict[str, Item] = json.loads(path.read_text(encoding="utf-8"))
    return rows


PRESENT, PREVIOUS = load("present"), load("previous")


@pytest.mark.parametrize(("state", "item"), [*PRESENT.items(), *PREVIOUS.items()])
def test_a_row_of_either_version_is_understood(state: str, item: Item) -> None:
    row = TokenRow.from_item(item)
    access_token, expires_in, is_leased, pause = DECISIONS[state]
    assert (row.access_token, row.expires_at) == (access_token, NOW + expires_in if expires_in else 0)
    assert (row.is_leased(NOW, 0), row.is_paused(NOW, 0)) == (is_leased, pause > 0)
    assert not row.is_paused(NOW + pause, 0)


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
    lease.acquire()
    if finish is not None:
        finish(lease)
    assert table.items[KEY] == PRESENT[state]

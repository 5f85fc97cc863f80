"""The lease: rows are parsed, one of several instances acquires it, and only its holder writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from chalicelib.aws import ConditionFailedError
from chalicelib.errors import (
    AppMisconfiguredError,
    Evidence,
    RateLimitedError,
    StorageUnavailableError,
    UpstreamError,
    UpstreamMalformedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from chalicelib.tokens.lease import (
    DEFAULT_LIFETIME_SECONDS,
    LEASE_SECONDS,
    MAX_CLOCK_DIFFERENCE_SECONDS,
    PERMANENT_PAUSE_SECONDS,
    TRANSIENT_PAUSE_SECONDS,
    Lease,
    TokenRow,
    token_key,
)
from tests.unit.fakes import NOW, Clock, FakeTable, make_context, token_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.aws import Item

KEY = "TOKEN#tta"
MILLISECONDS = int(NOW) * 1000
EXPIRES_AT = int(NOW) + 7200
BUSY = UpstreamUnavailableError("http_503", retryable=True)


def without_item(row: TokenRow) -> TokenRow:
    """Return the row without the content that it was parsed from."""
    return msgspec.structs.replace(row, item={})


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, TokenRow()),
        ({"pk": {"S": KEY}}, TokenRow()),
        (token_row("clt.1"), TokenRow("clt.1", int(NOW) + 3600)),
        (token_row("", version=7), TokenRow(None, int(NOW) + 3600, version=7)),
        (token_row("clt. 1"), TokenRow(None, int(NOW) + 3600)),
        ({"access_token": {"S": "clt.1"}}, TokenRow("clt.1", 0)),
        ({"access_token": {"N": "7"}, "expires_at": {"S": "soon"}}, TokenRow()),
        ({"expires_at": {"N": "1800000000.75"}}, TokenRow(None, 1800000000)),
        (token_row(None, minted_at=int(NOW)), TokenRow(None, int(NOW) + 3600, 3600)),
        (token_row(None, minted_at=0), TokenRow(None, int(NOW) + 3600, DEFAULT_LIFETIME_SECONDS)),
        ({"version": {"N": "0"}}, TokenRow(version=0)),
        ({"version": {"S": "7"}}, TokenRow(version=0)),
        (
            {"lease_owner": {"S": "another"}, "lease_until": {"N": "1800000004500"}},
            TokenRow(lease_owner="another", lease_until=1800000004.5),
        ),
        (
            {
                "failed_at": {"N": "1800000000500"},
                "failed_until": {"N": "1800000002500"},
                "failure": {"S": "http_503"},
            },
            TokenRow(failed_until=1800000002.5, failed_seconds=2.0, failure="http_503"),
        ),
        ({"failed_until": {"N": "1800000002500"}}, TokenRow(failed_until=1800000002.5)),
        (
            {"failed_until": {"N": "1800000002500"}, "failed_at": {"N": "1700000000000"}},
            TokenRow(failed_until=1800000002.5, failed_seconds=PERMANENT_PAUSE_SECONDS),
        ),
        (
            {"failed_until": {"N": "1800000002500"}, "failed_at": {"N": "1800000002500"}},
            TokenRow(failed_until=1800000002.5, failed_seconds=PERMANENT_PAUSE_SECONDS),
        ),
        (
            {
                "failed_until": {"S": "x"},
                "failure": {"N": "7"},
                "lease_until": {"NULL": True},
                "lease_owner": {"N": "7"},
            },
            TokenRow(),
        ),
    ],
)
def test_a_row_is_parsed_and_a_malformed_attribute_counts_as_missing(item: Item, expected: TokenRow) -> None:
    row = TokenRow.from_item(item)
    assert without_item(row) == expected
    assert row.item == item


@pytest.mark.parametrize(
    ("owner", "lease_until", "unchanged_seconds", "leased"),
    [
        ("another", NOW + LEASE_SECONDS, 0.0, True),
        ("another", NOW + LEASE_SECONDS, 3.9, True),
        # The holder is dead: a living one would have changed the row.
        ("another", NOW + LEASE_SECONDS, 4.0, False),
        ("another", NOW + LEASE_SECONDS, 60.0, False),
        # The clocks of two instances differ: the end of the lease says little.
        ("another", NOW - 1, 0.0, True),
        ("another", NOW - MAX_CLOCK_DIFFERENCE_SECONDS, 0.0, True),
        ("another", NOW + 86400, 0.0, True),
        ("another", NOW + 86400, 4.0, False),
        # It ended long ago, by any clock.
        ("another", NOW - MAX_CLOCK_DIFFERENCE_SECONDS - 0.01, 0.0, False),
        ("another", 0.0, 0.0, False),
        ("", NOW + LEASE_SECONDS, 0.0, False),
    ],
)
def test_a_lease_ends_when_its_holder_no_longer_changes_the_row(
    owner: str, lease_until: float, unchanged_seconds: float, leased: bool
) -> None:
    row = TokenRow(lease_owner=owner, lease_until=lease_until)
    assert row.is_leased(NOW, unchanged_seconds) is leased


@pytest.mark.parametrize(
    ("failed_until", "failed_seconds", "unchanged_seconds", "paused"),
    [
        (NOW + 2.0, 2.0, 0.0, True),
        (NOW + 0.01, 2.0, 1.9, True),
        (NOW, 2.0, 0.0, False),
        (NOW - 1.0, 2.0, 0.0, False),
        (0.0, 30.0, 0.0, False),
        # Written by a wrong clock: further ahead than the pause, or longer unchanged than the pause.
        (NOW + 2.01, 2.0, 0.0, False),
        (NOW + 30.0, 30.0, 29.9, True),
        (NOW + 30.0, 30.0, 30.0, False),
        (NOW + 86400, 30.0, 0.0, False),
    ],
)
def test_a_pause_ends_by_either_clock(
    failed_until: float, failed_seconds: float, unchanged_seconds: float, paused: bool
) -> None:
    row = TokenRow(failed_until=failed_until, failed_seconds=failed_seconds)
    assert row.is_paused(NOW, unchanged_seconds) is paused


def test_a_token_has_its_key() -> None:
    assert token_key("tta") == KEY


class Instance:
    """A table, a clock, and leases of several instances on it."""

    def __init__(self, item: Item | None = None) -> None:
        self.clock = Clock()
        self.table = FakeTable(**({} if item is None else {KEY: item}))

    def item(self) -> Item:
        return dict(self.table.items.get(KEY, {}))

    def row(self) -> TokenRow:
        return TokenRow.from_item(self.item())

    def lease(self) -> Lease:
        """Return the lease of an instance that reads the row now."""
        return Lease(self.table, "tta", self.row(), self.clock, make_context())

    def acquired(self) -> Lease:
        lease = self.lease()
        lease.acquire()
        return lease


ROWS: list[Item | None] = [
    None,
    token_row(None),
    token_row("clt.old", -10),
    token_row("clt.old", -10, version=7),
    token_row("clt.old", -10, version=0),
    token_row("clt.old", -10, version=7, lease_until=MILLISECONDS - 1, failed_until=1),
    token_row("", -10),
    token_row("not a token", -10, version=7),
    {"access_token": {"N": "7"}, "version": {"S": "x"}},
    {"access_token": {"NULL": True}, "version": {"N": "7"}},
]


@pytest.mark.parametrize("item", ROWS)
def test_a_lease_is_acquired_and_everything_else_in_the_row_stays(item: Item | None) -> None:
    instance = Instance(item)
    before = instance.row()
    instance.acquired()
    row = instance.row()
    assert row.is_leased(NOW, 0)
    assert row.lease_until == NOW + LEASE_SECONDS
    assert row.version == (before.version or 0) + 1
    changed = ("pk", "version", "lease_owner", "lease_until")
    kept = [{name: value for name, value in found.item.items() if name not in changed} for found in (before, row)]
    assert kept[0] == kept[1]
    assert len(instance.item()["lease_owner"]["S"]) == 32


@pytest.mark.parametrize("item", ROWS)
def test_of_two_instances_that_read_the_same_row_one_acquires_the_lease(item: Item | None) -> None:
    instance = Instance(item)
    first, second = instance.lease(), instance.lease()
    first.acquire()
    present = instance.item()
    with pytest.raises(ConditionFailedError) as conflict:
        second.acquire()
    assert conflict.value.item == present
    assert instance.item() == present


@pytest.mark.parametrize(
    ("read", "present"),
    [
        (None, token_row("clt.by-hand")),
        (token_row(None), token_row("clt.by-hand")),
        (token_row("clt.old"), token_row("clt.by-hand")),
        (token_row("clt.old"), token_row(None)),
        (token_row("clt.old"), None),
        (token_row("clt.old", version=7), token_row("clt.by-hand", version=7)),
        (token_row("clt.old", version=7), token_row("clt.old", version=8)),
        (token_row("clt.old", version=7), token_row("clt.old")),
        (token_row("clt.old", version=7), None),
        (token_row("clt.old"), token_row("clt.old", version=1)),
        (None, token_row(None, version=1)),
    ],
)
def test_a_row_that_has_changed_is_not_leased(read: Item | None, present: Item | None) -> None:
    """Neither a change by another instance nor one by hand, without a version, is overwritten."""
    instance = Instance(read)
    lease = instance.lease()
    instance.table.items = {} if present is None else {KEY: present}
    with pytest.raises(ConditionFailedError) as conflict:
        lease.acquire()
    assert conflict.value.item == (present or {})
    assert instance.table.items == ({} if present is None else {KEY: present})


def test_the_lease_of_a_dead_holder_is_acquired_after_its_end() -> None:
    instance = Instance()
    instance.acquired()
    instance.clock.now += LEASE_SECONDS
    assert not instance.row().is_leased(instance.clock.now, LEASE_SECONDS)
    instance.acquired()
    assert instance.row().version == 2


def test_an_extension_lasts_as_long_as_a_lease() -> None:
    instance = Instance()
    lease = instance.acquired()
    instance.clock.now += 3.0
    lease.extend()
    assert instance.row().lease_until == NOW + 3.0 + LEASE_SECONDS
    assert instance.row().version == 2


@pytest.mark.parametrize("item", ROWS)
def test_a_commit_replaces_the_token_and_ends_the_lease(item: Item | None) -> None:
    instance = Instance(item)
    before = instance.row()
    row = instance.acquired().commit("clt.new", int(NOW), EXPIRES_AT)
    assert without_item(row) == TokenRow("clt.new", EXPIRES_AT, 7200, (before.version or 0) + 2)
    assert row.item == instance.item()
    assert instance.item() == {
        "pk": {"S": KEY},
        "access_token": {"S": "clt.new"},
        "minted_at": {"N": str(int(NOW))},
        "expires_at": {"N": str(EXPIRES_AT)},
        "version": {"N": str(row.version)},
    }


def test_a_commit_after_extensions_succeeds() -> None:
    instance = Instance()
    lease = instance.acquired()
    lease.extend()
    lease.extend()
    assert lease.commit("clt.new", int(NOW), EXPIRES_AT).version == 4


def test_a_commit_removes_an_earlier_failure() -> None:
    instance = Instance(token_row("clt.old", version=7, failed_at=1, failed_until=MILLISECONDS - 1))
    instance.table.items[KEY]["failure"] = {"S": "10013"}
    instance.acquired().commit("clt.new", int(NOW), EXPIRES_AT)
    assert not {"failed_at", "failed_until", "failure"} & set(instance.item())


EVIDENCE = Evidence(10013)


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (BUSY, TRANSIENT_PAUSE_SECONDS),
        (UpstreamTimeoutError("timeout", retryable=True), TRANSIENT_PAUSE_SECONDS),
        (UpstreamTimeoutError("budget"), TRANSIENT_PAUSE_SECONDS),
        (UpstreamMalformedError("malformed", retryable=True), TRANSIENT_PAUSE_SECONDS),
        (UpstreamUnavailableError("http_404"), TRANSIENT_PAUSE_SECONDS),
        (UpstreamUnavailableError("28001005", retryable=True, evidence=EVIDENCE), TRANSIENT_PAUSE_SECONDS),
        (UpstreamUnavailableError("unknown_code", evidence=EVIDENCE), PERMANENT_PAUSE_SECONDS),
        (AppMisconfiguredError("10013", evidence=EVIDENCE), PERMANENT_PAUSE_SECONDS),
        (RateLimitedError("10020", retryable=True, evidence=EVIDENCE), PERMANENT_PAUSE_SECONDS),
        (RateLimitedError("http_429", retryable=True), PERMANENT_PAUSE_SECONDS),
    ],
)
def test_a_failed_mint_pauses_everyone_for_a_time_that_depends_on_the_error(error: UpstreamError, pause: float) -> None:
    instance = Instance(token_row("clt.old", -10, version=7))
    lease = instance.acquired()
    instance.clock.now += 1.5
    lease.release(error)
    assert instance.item() == {
        "pk": {"S": KEY},
        "access_token": {"S": "clt.old"},
        "expires_at": {"N": str(int(NOW) - 10)},
        "version": {"N": "9"},
        "failed_at": {"N": str(int((NOW + 1.5) * 1000))},
        "failed_until": {"N": str(int((NOW + 1.5 + pause) * 1000))},
        "failure": {"S": error.reason},
    }
    row = instance.row()
    assert row.failed_seconds == pause
    assert row.is_paused(instance.clock.now, 0)
    assert not row.is_leased(instance.clock.now, 0)


def test_a_release_into_an_unavailable_table_is_ignored_because_the_lease_expires() -> None:
    instance = Instance()
    lease = instance.acquired()
    instance.table.fails_writes = True
    lease.release(BUSY)
    assert instance.row().is_leased(NOW, 0)


@pytest.mark.parametrize(
    "write", [Lease.acquire, Lease.extend, lambda lease: lease.commit("clt.new", int(NOW), EXPIRES_AT)]
)
def test_an_unavailable_table_is_an_error_of_every_other_write(write: Callable[[Lease], object]) -> None:
    instance = Instance()
    lease = instance.lease()
    instance.table.fails_writes = True
    with pytest.raises(StorageUnavailableError):
        write(lease)


LATE_WRITES: list[Callable[[Lease], object]] = [
    Lease.acquire,
    Lease.extend,
    lambda lease: lease.commit("clt.late", int(NOW), EXPIRES_AT),
    lambda lease: lease.release(BUSY),
]
LATE_IDS = ["acquire", "extend", "commit", "release"]


@pytest.mark.parametrize("write", LATE_WRITES, ids=LATE_IDS)
@pytest.mark.parametrize("has_committed", [False, True])
def test_a_holder_that_was_replaced_cannot_write(write: Callable[[Lease], object], has_committed: bool) -> None:
    instance = Instance(token_row("clt.old", version=7))
    slow = instance.acquired()
    instance.clock.now += LEASE_SECONDS
    other = instance.acquired()
    if has_committed:
        other.commit("clt.other", int(NOW), EXPIRES_AT)
    present = instance.item()
    with pytest.raises(ConditionFailedError) as conflict:
        write(slow)
    assert conflict.value.item == present
    assert instance.item() == present


def test_a_holder_that_was_replaced_does_not_disturb_its_successor() -> None:
    instance = Instance()
    slow = instance.acquired()
    instance.clock.now += LEASE_SECONDS
    other = instance.acquired()
    with pytest.raises(ConditionFailedError):
        slow.commit("clt.late", int(NOW), EXPIRES_AT)
    assert other.commit("clt.other", int(NOW), EXPIRES_AT).access_token == "clt.other"


@pytest.mark.parametrize("write", LATE_WRITES[:2], ids=LATE_IDS[:2])
def test_a_lost_response_of_the_own_write_is_no_conflict(write: Callable[[Lease], object]) -> None:
    """The repetition of a write meets what the first attempt has written."""
    instance = Instance(token_row("clt.old", -10, version=7))
    lease = instance.acquired() if write is Lease.extend else instance.lease()
    instance.table.loses_responses = True
    write(lease)
    assert instance.row().is_leased(NOW, 0)
    instance.table.loses_responses = False
    assert lease.commit("clt.new", int(NOW), EXPIRES_AT).access_token == "clt.new"


def test_a_lost_response_of_a_commit_is_a_conflict_with_the_committed_token() -> None:
    """The commit has removed the owner, so the row is used as that of any other instance."""
    instance = Instance(token_row("clt.old", -10, version=7))
    lease = instance.acquired()
    instance.table.loses_responses = True
    with pytest.raises(ConditionFailedError) as conflict:
        lease.commit("clt.new", int(NOW), EXPIRES_AT)
    assert without_item(TokenRow.from_item(conflict.value.item)) == TokenRow("clt.new", EXPIRES_AT, 7200, 9)


def test_the_own_lease_with_another_version_is_a_conflict() -> None:
    """The owner alone does not show that this very write has succeeded."""
    instance = Instance()
    lease = instance.acquired()
    instance.table.items[KEY]["version"] = {"N": "7"}
    with pytest.raises(ConditionFailedError):
        lease.extend()


def test_the_next_version_of_another_owner_is_a_conflict() -> None:
    instance = Instance()
    lease = instance.acquired()
    instance.table.items[KEY] |= {"version": {"N": "2"}, "lease_owner": {"S": "another"}}
    with pytest.raises(ConditionFailedError):
        lease.extend()

"""Decisions of the token store: cached, read again, minted, waited for, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chalicelib.douyin.protocol import MintedToken
from chalicelib.errors import (
    AppMisconfiguredError,
    Evidence,
    RateLimitedError,
    RedemptionError,
    StorageUnavailableError,
    TokenUnavailableError,
    UpstreamUnavailableError,
)
from chalicelib.tokens.lease import LEASE_SECONDS, Lease, TokenRow
from chalicelib.tokens.provider import MIN_WAIT_SECONDS, MINT_SECONDS, POLL_SECONDS, TokenProvider
from tests.unit.fakes import NOW, Clock, FakeDouyin, FakeTable, make_context, token_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.aws import Item
    from chalicelib.errors import UpstreamError

KEY = "TOKEN#tta"
MILLISECONDS = int(NOW) * 1000
BUSY = UpstreamUnavailableError("http_503", retryable=True)
MISCONFIGURED = AppMisconfiguredError("10013", evidence=Evidence(10013, 0, "20260101L"))


class Instance:
    """A token store with its table, platform and clock. Each poll of the row takes the least time that it may."""

    def __init__(self, item: Item | None = None, seconds: float = 9.0) -> None:
        self.clock = Clock()
        self.table = FakeTable(**({} if item is None else {KEY: item}))
        self.douyin = FakeDouyin()
        self.context = make_context(seconds, self.clock)
        self.store = TokenProvider(
            self.table,
            self.douyin,
            clock=self.clock,
            monotonic=lambda: self.clock.now - 1e9,
            sleep=self.clock.sleep,
            uniform=lambda low, _high: low,
        )

    def get(self, key: str | None = "s") -> str:
        return self.store.get_token("tta", key, self.context)

    def replace(self, refused: str, key: str | None = "s") -> str:
        return self.store.replace_refused("tta", key, refused, self.context)

    def row(self) -> TokenRow:
        return TokenRow.from_item(self.table.items.get(KEY, {}))

    def lease_by_another(self, clock_offset: float = 0.0) -> Lease:
        """Acquire the lease for another instance, whose clock differs by `clock_offset` seconds."""
        lease = Lease(self.table, "tta", self.row(), lambda: self.clock.now + clock_offset, self.context)
        lease.acquire()
        return lease


def commit(lease: Lease) -> None:
    """Store the token of another instance."""
    lease.commit("clt.other", int(NOW), int(NOW) + 7200)


class TestGet:
    @pytest.mark.parametrize("key", ["s", None])
    def test_a_valid_token_in_the_table_is_used(self, key: str | None) -> None:
        instance = Instance(token_row("clt.row", 1))
        assert instance.get(key) == "clt.row"
        assert (instance.douyin.mints, instance.table.writes) == ([], [])

    @pytest.mark.parametrize(
        "item",
        [
            None,
            token_row(None),
            token_row("clt.old", 0),
            token_row("clt.old", -1, version=0),
            token_row("clt.old", -1, version=7),
            {"access_token": {"S": "clt.old"}},
            token_row(""),
            token_row("not a token", version=7),
            {"access_token": {"N": "7"}, "version": {"S": "x"}},
            token_row("clt.old", -1, version=7, lease_until=MILLISECONDS - 1),
            token_row("clt.old", -1, version=7, failed_until=MILLISECONDS) | {"failure": {"S": "10013"}},
        ],
    )
    def test_a_missing_or_expired_token_is_minted_stored_and_cached(self, item: Item | None) -> None:
        instance = Instance(item)
        version = instance.row().version or 0
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        [mint] = instance.douyin.mints
        assert (mint.app_id, mint.app_secret) == ("tta", "s")
        assert mint.seconds == pytest.approx(MINT_SECONDS, abs=0.4)
        assert instance.table.items[KEY] == {
            "pk": {"S": KEY},
            **token_row("clt.1", 7200, version=version + 2, minted_at=int(NOW)),
        }
        assert (len(instance.table.reads), instance.clock.sleeps) == (1, [])

    @pytest.mark.parametrize(
        ("key", "passed", "reads"),
        [("s", 2999, 1), ("s", 3000, 2), (None, 3000, 1), (None, 3539, 1), (None, 3540, 2)],
    )
    def test_a_cached_token_is_read_again_shortly_before_it_expires(
        self, key: str | None, passed: int, reads: int
    ) -> None:
        """Ten minutes before, or one minute when another system renews it."""
        instance = Instance(token_row("clt.row", 3600))
        instance.get(key)
        instance.clock.now += passed
        instance.get(key)
        assert len(instance.table.reads) == reads

    def test_a_token_with_a_short_lifetime_is_minted_once_a_call(self) -> None:
        """The lifetime counts from before the mint."""
        instance = Instance()
        instance.douyin.mint_results = [MintedToken("clt.short", 1)]
        instance.douyin.on_mint = lambda: instance.clock.sleep(2.5)
        assert instance.get() == "clt.short"
        assert len(instance.douyin.mints) == 1
        assert instance.row().expires_at == int(NOW) + 1


class TestUnavailableTable:
    @pytest.mark.parametrize("fault", ["fails_reads", "fails_writes"])
    def test_without_a_token_nothing_is_minted(self, fault: str) -> None:
        instance = Instance()
        setattr(instance.table, fault, True)
        with pytest.raises(StorageUnavailableError):
            instance.get()
        assert instance.douyin.mints == []

    def test_a_cached_token_is_used_until_it_is_refused_or_expires(self) -> None:
        instance = Instance(token_row("clt.row", 50))
        instance.get()
        instance.table.fails_reads = True
        instance.clock.now += 49
        assert instance.get() == "clt.row"
        with pytest.raises(StorageUnavailableError):
            instance.replace("clt.row")
        instance.clock.now += 1
        with pytest.raises(StorageUnavailableError):
            instance.get()

    def test_a_token_that_cannot_be_stored_is_used_by_this_instance(self) -> None:
        instance = Instance()
        instance.douyin.on_mint = lambda: setattr(instance.table, "fails_writes", True)
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert len(instance.douyin.mints) == 1
        assert instance.row().access_token is None

    def test_a_token_whose_commit_lost_its_response_is_used(self) -> None:
        instance = Instance()
        instance.table.loses_responses = True
        assert instance.get() == "clt.1"
        assert len(instance.douyin.mints) == 1
        assert instance.row().version == 2


class TestWait:
    def test_the_token_of_the_instance_that_mints_is_used_even_after_a_failed_read(self) -> None:
        instance = Instance(token_row("clt.old", -1, version=7))
        other = instance.lease_by_another()

        def fail() -> None:
            raise StorageUnavailableError("read failed")

        instance.table.before_read = [lambda: None, fail, lambda: commit(other)]
        assert instance.get() == "clt.other"
        assert instance.douyin.mints == []
        assert instance.clock.sleeps == [POLL_SECONDS[0]] * 2

    @pytest.mark.parametrize("clock_offset", [-100.0, 0.0, 100.0])
    def test_a_dead_instance_is_replaced_whatever_its_clock_was(self, clock_offset: float) -> None:
        instance = Instance()
        instance.lease_by_another(clock_offset)
        assert instance.get() == "clt.1"
        assert sum(instance.clock.sleeps) == pytest.approx(LEASE_SECONDS, abs=2 * POLL_SECONDS[0])

    def test_a_living_holder_is_waited_for_as_long_as_it_extends_its_lease(self) -> None:
        instance = Instance()
        other = instance.lease_by_another()
        nothing: list[Callable[[], object]] = [lambda: None] * round(3.0 / POLL_SECONDS[0])
        instance.table.before_read = [*nothing, other.extend, *nothing, lambda: commit(other)]
        assert instance.get() == "clt.other"
        assert sum(instance.clock.sleeps) > LEASE_SECONDS
        assert instance.douyin.mints == []

    def test_waiting_ends_before_the_deadline(self) -> None:
        instance = Instance(seconds=2.0)
        instance.lease_by_another()
        with pytest.raises(TokenUnavailableError, match="no new token in time"):
            instance.get()
        assert 2.0 - MIN_WAIT_SECONDS <= sum(instance.clock.sleeps) < 2.0
        assert instance.douyin.mints == []

    def test_no_mint_starts_without_time_for_it(self) -> None:
        assert Instance(seconds=0.51).get() == "clt.1"
        instance = Instance(seconds=0.49)
        with pytest.raises(TokenUnavailableError, match="no new token in time"):
            instance.get()
        assert instance.douyin.mints == []

    def test_an_instance_that_loses_the_race_for_the_lease_waits_for_the_winner(self) -> None:
        instance = Instance()
        winner: list[Lease] = []
        instance.table.before_write = [lambda: winner.append(instance.lease_by_another())]
        instance.table.before_read = [lambda: None, lambda: commit(winner[0])]
        assert instance.get() == "clt.other"
        assert instance.douyin.mints == []

    @pytest.mark.parametrize(("seconds", "token"), [(3600, "clt.by-hand"), (-1, "clt.1")])
    def test_a_token_written_by_hand_meanwhile_is_used_unless_it_has_expired(self, seconds: int, token: str) -> None:
        instance = Instance(token_row("clt.old", -1))
        by_hand = token_row("clt.by-hand", seconds)
        instance.table.before_write = [lambda: instance.table.items.update({KEY: by_hand})]
        assert instance.get() == token


class TestFailure:
    @pytest.mark.parametrize(
        ("error", "mints"),
        [
            (MISCONFIGURED, 1),
            (RateLimitedError("10020", retryable=True, evidence=Evidence(10020)), 1),
            (BUSY, 3),
        ],
    )
    def test_a_failed_mint_is_raised_with_its_evidence_and_pauses_everyone(
        self, error: UpstreamError, mints: int
    ) -> None:
        instance = Instance(token_row("clt.old", -1, version=7))
        instance.douyin.mint_results = [error] * 5
        with pytest.raises(TokenUnavailableError, match=f"minting failed: {error}") as raised:
            instance.get()
        assert raised.value.evidence == error.evidence
        with pytest.raises(TokenUnavailableError, match=f"minting failed moments ago: {error.reason}"):
            instance.get()
        assert len(instance.douyin.mints) == mints

    def test_a_token_that_has_not_expired_is_used_after_a_failure(self) -> None:
        item = token_row("clt.row", 10, version=7, failed_until=MILLISECONDS + 29_000)
        assert Instance(item).get() == "clt.row"

    def test_a_transient_error_is_retried_under_an_extended_lease(self) -> None:
        instance = Instance()
        instance.douyin.mint_results = [BUSY, BUSY]
        lease_seconds: list[float] = []

        def slow() -> None:
            lease_seconds.append(instance.row().lease_until - instance.clock.now)
            instance.clock.now += 2.5

        instance.douyin.on_mint = slow
        assert instance.get() == "clt.3"
        assert lease_seconds == [pytest.approx(LEASE_SECONDS, abs=0.01)] * 3
        assert max(instance.clock.sleeps) <= 0.4
        assert instance.row().version == 4

    def test_every_attempt_ends_before_the_lease_does(self) -> None:
        assert MINT_SECONDS < LEASE_SECONDS

    @pytest.mark.parametrize("first", [MintedToken("clt.late", 7200), BUSY, MISCONFIGURED])
    def test_a_slow_holder_waits_for_its_successor(self, first: MintedToken | RedemptionError) -> None:
        """Whether its mint succeeded, is repeated, or failed."""
        instance = Instance()
        successor: list[Lease] = []

        def too_slow() -> None:
            instance.clock.now += LEASE_SECONDS
            successor.append(instance.lease_by_another())

        instance.douyin.on_mint = too_slow
        instance.douyin.mint_results = [first]
        instance.table.before_read = [lambda: None, lambda: commit(successor[0])]
        assert instance.get() == "clt.other"
        assert len(instance.douyin.mints) == 1

    def test_a_call_mints_at_most_once(self) -> None:
        """The holder lost its lease to an instance that died: the next request mints again."""
        instance = Instance()

        def replaced_by_a_dead_instance() -> None:
            instance.clock.now += LEASE_SECONDS
            instance.lease_by_another()

        instance.douyin.on_mint = replaced_by_a_dead_instance
        with pytest.raises(TokenUnavailableError, match="lost the lease"):
            instance.get()
        assert len(instance.douyin.mints) == 1


class TestEarlyRenewal:
    """A request renews a token that works, in case the schedule does not run."""

    def cached(self, remaining: int = 500, lifetime: int = 7200) -> Instance:
        """Return an instance that has cached a token with this remaining lifetime."""
        instance = Instance(token_row("clt.row", remaining, version=7, minted_at=int(NOW) + remaining - lifetime))
        assert instance.get() == "clt.row"
        instance.table.reads.clear()
        return instance

    @pytest.mark.parametrize(
        ("lifetime", "remaining", "is_renewed"),
        [
            (7200, 601, False),
            (7200, 600, True),
            (7200, 61, True),
            (86400, 601, False),
            (86400, 600, True),
            (1200, 101, False),
            (1200, 100, True),
            (600, 61, False),
        ],
    )
    def test_a_token_is_renewed_in_the_last_twelfth_of_its_lifetime(
        self, lifetime: int, remaining: int, is_renewed: bool
    ) -> None:
        instance = self.cached(remaining, lifetime)
        assert [instance.get(), instance.get()] == ["clt.1" if is_renewed else "clt.row"] * 2
        assert len(instance.douyin.mints) == is_renewed
        assert len(instance.table.reads) == is_renewed

    def test_in_the_last_minute_the_row_is_read_by_each_request(self) -> None:
        """It is the row that decides: its token is used while it is valid."""
        instance = self.cached(60)
        assert [instance.get(), instance.get()] == ["clt.row", "clt.row"]
        instance.table.items[KEY] = token_row("clt.newer")
        assert instance.get() == "clt.newer"
        assert len(instance.table.reads) == 3
        assert instance.douyin.mints == []

    @pytest.mark.parametrize(("seconds", "mint_seconds"), [(9.0, 3.0), (4.0, 2.0)])
    def test_half_of_the_time_is_left_to_use_the_present_token(self, seconds: float, mint_seconds: float) -> None:
        instance = self.cached()
        instance.context = make_context(seconds, instance.clock)
        instance.get()
        assert instance.douyin.mints[0].seconds == pytest.approx(mint_seconds, abs=0.4)

    def test_a_newer_token_of_another_instance_is_used(self) -> None:
        instance = self.cached()
        instance.table.items[KEY] = token_row("clt.newer", version=9)
        assert [instance.get(), instance.get()] == ["clt.newer", "clt.newer"]
        assert len(instance.table.reads) == 1
        assert instance.douyin.mints == []

    @pytest.mark.parametrize(("passed", "reads"), [(0.0, 1), (29.9, 1), (30.0, 2)])
    def test_one_instance_looks_twice_a_minute_and_does_not_wait_for_another(self, passed: float, reads: int) -> None:
        instance = self.cached()
        instance.lease_by_another()
        assert instance.get() == "clt.row"
        instance.clock.now += passed
        assert instance.get() == ("clt.row" if reads == 1 else "clt.1")
        assert len(instance.table.reads) == reads
        assert instance.clock.sleeps == []

    @pytest.mark.parametrize(
        ("prepare", "mints"),
        [
            (lambda instance: setattr(instance.douyin, "mint_results", [MISCONFIGURED]), 1),
            (lambda instance: setattr(instance.table, "fails_reads", True), 0),
            (lambda instance: setattr(instance.table, "fails_writes", True), 0),
            (lambda instance: instance.table.before_write.append(instance.lease_by_another), 0),
            (lambda instance: instance.table.before_read.append(instance.table.items.clear), 0),
            (lambda instance: instance.table.items[KEY].update(failed_until={"N": str(MILLISECONDS + 29_000)}), 0),
            (lambda instance: instance.table.items.update({KEY: token_row(None, version=9)}), 0),
            (lambda instance: instance.table.items.update({KEY: token_row("clt.older", 0, version=9)}), 0),
        ],
        ids=["mint", "read", "write", "conflict", "no row", "paused", "no token", "expired"],
    )
    def test_whatever_fails_the_present_token_is_used(self, prepare: Callable[[Instance], object], mints: int) -> None:
        instance = self.cached()
        prepare(instance)
        assert [instance.get(), instance.get()] == ["clt.row", "clt.row"]
        assert len(instance.douyin.mints) == mints

    def test_each_app_has_its_own_token_and_is_looked_at(self) -> None:
        instance = self.cached()
        instance.table.items["TOKEN#ttb"] = token_row("clt.b", 500)
        instance.get()
        assert instance.store.get_token("ttb", "s", instance.context) == "clt.b"
        assert instance.store.get_token("ttb", "s", instance.context) == "clt.2"


class TestOtherSystem:
    @pytest.mark.parametrize(
        "item",
        [None, token_row("clt.theirs", -1), token_row("clt.theirs", -1, version=7, lease_until=MILLISECONDS + 4000)],
    )
    def test_its_row_is_never_written_or_waited_for(self, item: Item | None) -> None:
        instance = Instance(item)
        with pytest.raises(TokenUnavailableError, match="tta is renewed by another system"):
            instance.get(None)
        assert (instance.douyin.mints, instance.table.writes, instance.clock.sleeps) == ([], [], [])

    def test_a_refused_token_of_it_is_replaced_by_its_newer_one_only(self) -> None:
        instance = Instance(token_row("clt.theirs"))
        with pytest.raises(TokenUnavailableError, match="renewed by another system"):
            instance.replace("clt.theirs", None)
        instance.table.items[KEY] = token_row("clt.theirs-2")
        assert instance.replace("clt.theirs", None) == "clt.theirs-2"
        assert instance.table.writes == []


@pytest.mark.parametrize(
    ("item", "token"),
    [
        (token_row("clt.newer"), "clt.newer"),
        (token_row("clt.newer", 0), "clt.1"),
        (token_row("clt.refused"), "clt.1"),
        (None, "clt.1"),
    ],
)
def test_a_refused_token_is_replaced_by_the_newer_one_in_the_row_or_by_a_new_one(item: Item | None, token: str) -> None:
    instance = Instance(token_row("clt.refused"))
    instance.get()
    instance.table.items = {} if item is None else {KEY: item}
    assert instance.replace("clt.refused") == token
    assert instance.get() == token, "it is cached"
    assert len(instance.douyin.mints) == (token == "clt.1")


def test_a_preloaded_token_needs_no_read() -> None:
    instance = Instance(token_row("clt.row"))
    instance.store.preload("tta", instance.context)
    instance.store.preload("tta", instance.context)
    assert instance.get() == "clt.row"
    assert instance.table.reads == [KEY]


@pytest.mark.parametrize(
    ("item", "is_renewed"),
    [
        (token_row("clt.old", -10), True),
        (token_row("clt.old", 1800), True),
        (token_row("clt.old", 1801), False),
        (token_row(None, 100), False),
        (None, False),
    ],
)
def test_the_schedule_renews_a_token_that_expires_within_half_an_hour(item: Item | None, is_renewed: bool) -> None:
    """An app that nobody uses gets no token."""
    instance = Instance(item)
    assert instance.store.renew_if_expiring("tta", "s", instance.context) is is_renewed
    assert instance.row().access_token == ("clt.1" if is_renewed else TokenRow.from_item(item or {}).access_token)


def test_a_row_that_was_replaced_by_hand_is_not_taken_for_an_unchanged_one() -> None:
    """Its version starts again; another instance has just acquired the lease with the same version as long ago."""
    instance = Instance()
    long_ago = TokenRow(version=1, lease_owner="first")
    assert instance.store._unchanged_seconds("tta", long_ago) == 0
    instance.clock.now += 60
    assert instance.store._unchanged_seconds("tta", long_ago) == 60
    assert instance.store._unchanged_seconds("tta", TokenRow(version=1, lease_owner="second")) == 0

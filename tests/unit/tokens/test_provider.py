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
from chalicelib.tokens.lease import (
    LEASE_SECONDS,
    MAX_CLOCK_DIFFERENCE_SECONDS,
    PERMANENT_PAUSE_SECONDS,
    TRANSIENT_PAUSE_SECONDS,
    Lease,
    TokenRow,
)
from chalicelib.tokens.provider import MIN_WAIT_SECONDS, MINT_SECONDS, POLL_SECONDS, TokenProvider
from tests.unit.fakes import NOW, Clock, FakeDouyin, FakeTable, make_context, token_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.aws import Item

KEY = "TOKEN#tta"
MILLISECONDS = int(NOW) * 1000
EVIDENCE = Evidence(10013, 0, "20260101L")
BUSY = UpstreamUnavailableError("http_503", retryable=True)
MISCONFIGURED = AppMisconfiguredError("10013", evidence=EVIDENCE)


class Instance:
    """A token store with its table, platform and clock. Each poll of the row takes the least time that it may."""

    def __init__(self, item: Item | None = None, seconds: float = 9.0) -> None:
        self.clock, self.monotonic = Clock(), Clock(1000.0)
        self.table = FakeTable(**({} if item is None else {KEY: item}))
        self.douyin = FakeDouyin()
        self.context = make_context(seconds, self.clock)
        self.ranges: list[tuple[float, float]] = []
        self.store = self.new_store()

    def new_store(self) -> TokenProvider:
        """Return the store of another instance: it shares all but the cache."""
        return TokenProvider(
            self.table,
            self.douyin,
            clock=self.clock,
            monotonic=self.monotonic,
            sleep=self.sleep,
            uniform=self.shortest_delay,
        )

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.monotonic.now += seconds

    def pass_time(self, seconds: float) -> None:
        """Move both clocks."""
        self.clock.now += seconds
        self.monotonic.now += seconds

    def shortest_delay(self, low: float, high: float) -> float:
        self.ranges.append((low, high))
        return low

    def get(self, key: str | None = "s") -> str:
        return self.store.get_token("tta", key, self.context)

    def replace(self, refused: str, key: str | None = "s") -> str:
        return self.store.replace_refused("tta", key, refused, self.context)

    def renew(self) -> bool:
        return self.store.renew_if_expiring("tta", "s", self.context)

    def row(self) -> TokenRow:
        return TokenRow.from_item(self.table.items.get(KEY, {}))

    def stored(self) -> tuple[str | None, int, int | None]:
        """Return token, expiry (in seconds after NOW) and version of the row."""
        row = self.row()
        return row.access_token, row.expires_at - int(NOW), row.version

    def lease_by_another(self) -> Lease:
        """Acquire the lease for another instance."""
        lease = Lease(self.table, "tta", self.row(), self.clock, self.context)
        lease.acquire()
        return lease


class TestGet:
    @pytest.mark.parametrize("seconds", [1, 61, 3600])
    def test_a_token_in_the_table_is_used_until_it_expires(self, seconds: int) -> None:
        instance = Instance(token_row("clt.row", seconds))
        assert instance.get() == "clt.row"
        assert instance.douyin.mints == []
        assert instance.table.writes == []

    @pytest.mark.parametrize(
        "item",
        [
            None,
            token_row(None),
            token_row("clt.old", 0),
            token_row("clt.old", -1),
            token_row("clt.old", -1, version=7),
            {"access_token": {"S": "clt.old"}},
            token_row(""),
            token_row("not a token", version=7),
            {"access_token": {"N": "7"}, "version": {"S": "x"}},
            token_row("clt.old", -1, version=7, lease_until=MILLISECONDS - 1),
            token_row("clt.old", -1, version=7, failed_until=MILLISECONDS),
        ],
    )
    def test_a_missing_or_expired_token_is_minted_and_stored(self, item: Item | None) -> None:
        instance = Instance(item)
        before = instance.row()
        assert instance.get() == "clt.1"
        [mint] = instance.douyin.mints
        assert (mint.app_id, mint.app_secret) == ("tta", "s")
        assert mint.seconds == pytest.approx(MINT_SECONDS, abs=0.4)
        assert instance.stored() == ("clt.1", 7200, (before.version or 0) + 2)
        assert instance.clock.sleeps == []

    @pytest.mark.parametrize(
        ("key", "passed", "reads"),
        [("s", 0, 1), ("s", 2999, 1), ("s", 3000, 2), (None, 3000, 1), (None, 3539, 1), (None, 3540, 2)],
    )
    def test_a_cached_token_is_read_again_shortly_before_it_expires(
        self, key: str | None, passed: int, reads: int
    ) -> None:
        """Ten minutes before, or one minute when another system renews it."""
        instance = Instance(token_row("clt.row", 3600))
        instance.get(key)
        instance.pass_time(passed)
        instance.get(key)
        assert len(instance.table.reads) == reads

    def test_a_newer_token_in_the_table_is_found_before_the_cached_one_expires(self) -> None:
        instance = Instance(token_row("clt.row", 50))
        instance.get()
        instance.table.items[KEY] = token_row("clt.newer")
        assert instance.get() == "clt.newer"

    def test_a_minted_token_is_cached(self) -> None:
        instance = Instance()
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert len(instance.table.reads) == 1

    def test_tokens_of_two_apps_are_kept_apart(self) -> None:
        instance = Instance(token_row("clt.row"))
        assert instance.get() == "clt.row"
        assert instance.store.get_token("ttb", "s", instance.context) == "clt.1"
        assert instance.get() == "clt.row"

    def test_the_lifetime_counts_from_before_the_mint(self) -> None:
        instance = Instance()
        instance.douyin.on_mint = lambda: instance.clock.sleep(2.5)
        instance.get()
        assert instance.row().expires_at == int(NOW) + 7200

    @pytest.mark.parametrize("lifetime", [1, 30])
    def test_a_token_with_a_short_lifetime_is_minted_once_a_call(self, lifetime: int) -> None:
        instance = Instance()
        instance.douyin.mint_results = [MintedToken("clt.short", lifetime)]
        instance.douyin.on_mint = lambda: instance.clock.sleep(2.0)
        assert instance.get() == "clt.short"
        assert len(instance.douyin.mints) == 1


class TestUnavailableTable:
    def test_nothing_cached_is_an_error(self) -> None:
        instance = Instance()
        instance.table.fails_reads = True
        with pytest.raises(StorageUnavailableError):
            instance.get()

    @pytest.mark.parametrize(("passed", "is_used"), [(0, True), (49, True), (50, False)])
    def test_a_cached_token_is_used_until_it_expires(self, passed: int, is_used: bool) -> None:
        instance = Instance(token_row("clt.row", 50))
        instance.get()
        instance.table.fails_reads = True
        instance.clock.now += passed
        if is_used:
            assert instance.get() == "clt.row"
        else:
            with pytest.raises(StorageUnavailableError):
                instance.get()

    def test_without_a_lease_nothing_is_minted(self) -> None:
        instance = Instance()
        instance.table.fails_writes = True
        with pytest.raises(StorageUnavailableError):
            instance.get()
        assert instance.douyin.mints == []

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
        assert instance.stored() == ("clt.1", 7200, 2)


class TestWait:
    def test_the_token_of_the_instance_that_mints_is_used(self) -> None:
        instance = Instance(token_row("clt.old", -1, version=7))
        other = instance.lease_by_another()
        instance.table.before_read = [
            lambda: None,
            lambda: None,
            lambda: other.commit("clt.other", int(NOW), int(NOW) + 7200),
        ]
        assert instance.get() == "clt.other"
        assert instance.douyin.mints == []
        assert instance.clock.sleeps == [POLL_SECONDS[0]] * 2
        assert instance.ranges == [POLL_SECONDS] * 2

    def test_the_lease_of_a_dead_instance_is_taken_over(self) -> None:
        instance = Instance()
        instance.lease_by_another()
        assert instance.get() == "clt.1"
        assert sum(instance.clock.sleeps) == pytest.approx(LEASE_SECONDS, abs=2 * POLL_SECONDS[0])

    @pytest.mark.parametrize("difference", [-100.0, 100.0])
    def test_the_clock_of_the_dead_instance_does_not_matter(self, difference: float) -> None:
        instance = Instance()
        instance.clock.now += difference
        instance.lease_by_another()
        instance.clock.now -= difference
        assert instance.get() == "clt.1"
        assert sum(instance.clock.sleeps) == pytest.approx(LEASE_SECONDS, abs=2 * POLL_SECONDS[0])

    def test_a_living_holder_is_waited_for_as_long_as_it_extends_its_lease(self) -> None:
        instance = Instance()
        other = instance.lease_by_another()
        polls = round(3.0 / POLL_SECONDS[0])
        nothing: list[Callable[[], object]] = [lambda: None] * polls
        instance.table.before_read = [
            *nothing,
            other.extend,
            *nothing,
            lambda: other.commit("clt.other", int(NOW), int(NOW) + 7200),
        ]
        assert instance.get() == "clt.other"
        assert sum(instance.clock.sleeps) > LEASE_SECONDS
        assert instance.douyin.mints == []

    def test_a_lease_that_ended_long_ago_is_not_waited_for(self) -> None:
        instance = Instance()
        instance.lease_by_another()
        instance.pass_time(LEASE_SECONDS + MAX_CLOCK_DIFFERENCE_SECONDS + 1)
        instance.context = make_context(clock=instance.clock)
        assert instance.get() == "clt.1"
        assert instance.clock.sleeps == []

    def test_waiting_ends_before_the_deadline(self) -> None:
        instance = Instance(seconds=2.0)
        instance.lease_by_another()
        with pytest.raises(TokenUnavailableError, match="no new token in time"):
            instance.get()
        assert 2.0 - MIN_WAIT_SECONDS <= sum(instance.clock.sleeps) < 2.0
        assert instance.douyin.mints == []

    @pytest.mark.parametrize(("seconds", "mints"), [(0.51, 1), (0.49, 0), (-1.0, 0)])
    def test_no_mint_starts_without_time_for_it(self, seconds: float, mints: int) -> None:
        instance = Instance(seconds=seconds)
        if mints:
            assert instance.get() == "clt.1"
            assert instance.douyin.mints[0].seconds == pytest.approx(seconds, abs=0.4)
        else:
            with pytest.raises(TokenUnavailableError, match="no new token in time"):
                instance.get()
        assert len(instance.douyin.mints) == mints

    def test_an_instance_that_loses_the_race_for_the_lease_waits_for_the_winner(self) -> None:
        instance = Instance()
        winner: list[Lease] = []
        instance.table.before_write = [lambda: winner.append(instance.lease_by_another())]
        instance.table.before_read = [lambda: None, lambda: winner[0].commit("clt.winner", int(NOW), int(NOW) + 7200)]
        assert instance.get() == "clt.winner"
        assert instance.douyin.mints == []

    def test_a_token_written_by_hand_meanwhile_is_used(self) -> None:
        instance = Instance(token_row("clt.old", -1))
        instance.table.before_write = [lambda: instance.table.items.update({KEY: token_row("clt.by-hand")})]
        assert instance.get() == "clt.by-hand"
        assert instance.douyin.mints == []
        assert instance.stored() == ("clt.by-hand", 3600, None)

    def test_an_expired_token_written_by_hand_meanwhile_is_replaced(self) -> None:
        instance = Instance(token_row("clt.old", -1))
        instance.table.before_write = [lambda: instance.table.items.update({KEY: token_row("clt.by-hand", -1)})]
        assert instance.get() == "clt.1"


class TestFailure:
    @pytest.mark.parametrize(
        ("failed_until", "is_minted"),
        [
            (MILLISECONDS + 1, False),
            (MILLISECONDS + 29_000, False),
            (MILLISECONDS + 31_000, True),
            (MILLISECONDS, True),
            (MILLISECONDS - 1, True),
        ],
    )
    def test_after_a_failure_nobody_mints_for_a_while(self, failed_until: int, is_minted: bool) -> None:
        item = token_row("clt.old", -1, version=7, failed_until=failed_until) | {"failure": {"S": "10013"}}
        instance = Instance(item)
        if is_minted:
            assert instance.get() == "clt.1"
        else:
            with pytest.raises(TokenUnavailableError, match="minting failed moments ago: 10013"):
                instance.get()
        assert len(instance.douyin.mints) == is_minted

    def test_a_pause_that_a_wrong_clock_wrote_ends_by_the_own_clock(self) -> None:
        instance = Instance(token_row("clt.old", -1, version=7, failed_until=MILLISECONDS + 29_000))
        with pytest.raises(TokenUnavailableError, match="moments ago"):
            instance.get()
        instance.monotonic.now += PERMANENT_PAUSE_SECONDS
        assert instance.get() == "clt.1"

    def test_a_token_that_has_not_expired_is_used_after_a_failure(self) -> None:
        item = token_row("clt.row", 10, version=7, failed_until=MILLISECONDS + 29_000)
        assert Instance(item).get() == "clt.row"

    @pytest.mark.parametrize(
        ("error", "mints", "pause"),
        [
            (MISCONFIGURED, 1, PERMANENT_PAUSE_SECONDS),
            (UpstreamUnavailableError("unknown_code", evidence=Evidence(999)), 1, PERMANENT_PAUSE_SECONDS),
            (RateLimitedError("10020", retryable=True, evidence=Evidence(10020)), 1, PERMANENT_PAUSE_SECONDS),
            (RateLimitedError("http_429", retryable=True), 1, PERMANENT_PAUSE_SECONDS),
            (UpstreamUnavailableError("http_404"), 1, TRANSIENT_PAUSE_SECONDS),
            (BUSY, 3, TRANSIENT_PAUSE_SECONDS),
        ],
    )
    def test_a_failed_mint_is_raised_with_its_evidence_and_pauses_the_others(
        self, error: UpstreamUnavailableError, mints: int, pause: float
    ) -> None:
        instance = Instance(token_row("clt.old", -1, version=7))
        instance.douyin.mint_results = [error] * 5
        with pytest.raises(TokenUnavailableError, match=f"minting failed: {error}") as raised:
            instance.get()
        assert raised.value.evidence == error.evidence
        assert len(instance.douyin.mints) == mints
        row = instance.row()
        assert row.failed_until == pytest.approx(instance.clock.now + pause, abs=0.01)
        assert (row.failure, row.access_token, row.lease_until) == (error.reason, "clt.old", 0.0)
        with pytest.raises(TokenUnavailableError, match="moments ago"):
            instance.new_store().get_token("tta", "s", instance.context)
        assert len(instance.douyin.mints) == mints

    @pytest.mark.parametrize("failures", [1, 2])
    def test_a_transient_error_of_a_mint_is_overcome(self, failures: int) -> None:
        instance = Instance()
        instance.douyin.mint_results = [BUSY] * failures
        assert instance.get() == f"clt.{failures + 1}"
        assert len(instance.clock.sleeps) == failures
        assert max(instance.clock.sleeps) <= 0.4
        assert instance.row().failed_until == 0.0

    def test_the_lease_is_extended_before_each_further_attempt(self) -> None:
        instance = Instance()
        instance.douyin.mint_results = [BUSY]
        ends: list[float] = []

        def slow() -> None:
            ends.append(instance.row().lease_until - instance.clock.now)
            instance.pass_time(2.9)

        instance.douyin.on_mint = slow
        assert instance.get() == "clt.2"
        assert ends == [pytest.approx(LEASE_SECONDS, abs=0.01)] * 2
        assert instance.row().version == 3

    def test_every_attempt_ends_before_the_lease_does(self) -> None:
        assert MINT_SECONDS < LEASE_SECONDS

    def test_a_mint_that_was_lost_to_another_instance_is_not_repeated(self) -> None:
        """The holder was too slow: another instance has acquired the lease and minted."""
        instance = Instance()

        def too_slow() -> None:
            instance.pass_time(LEASE_SECONDS)
            instance.lease_by_another().commit("clt.other", int(NOW), int(NOW) + 7200)

        instance.douyin.on_mint = too_slow
        assert instance.get() == "clt.other"
        assert len(instance.douyin.mints) == 1
        assert instance.row().access_token == "clt.other"

    @pytest.mark.parametrize("first", [MintedToken("clt.late", 7200), BUSY, MISCONFIGURED])
    def test_a_slow_holder_waits_for_its_successor(self, first: MintedToken | RedemptionError) -> None:
        """Whether its mint succeeded, is repeated, or failed."""
        instance = Instance()
        successor: list[Lease] = []

        def too_slow() -> None:
            instance.pass_time(LEASE_SECONDS)
            successor.append(instance.lease_by_another())

        instance.douyin.on_mint = too_slow
        instance.douyin.mint_results = [first]
        instance.table.before_read = [lambda: None, lambda: successor[0].commit("clt.other", int(NOW), int(NOW) + 7200)]
        assert instance.get() == "clt.other"
        assert len(instance.douyin.mints) == 1

    def test_a_call_mints_at_most_once(self) -> None:
        """The holder lost its lease to an instance that died: the next request mints again."""
        instance = Instance()

        def replaced_by_a_dead_instance() -> None:
            instance.pass_time(LEASE_SECONDS)
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
            (2400, 201, False),
            (2400, 200, True),
            (1200, 101, False),
            (1200, 100, True),
            (600, 61, False),
        ],
    )
    def test_a_token_is_renewed_in_the_last_twelfth_of_its_lifetime(
        self, lifetime: int, remaining: int, is_renewed: bool
    ) -> None:
        instance = self.cached(remaining, lifetime)
        assert instance.get() == ("clt.1" if is_renewed else "clt.row")
        assert len(instance.douyin.mints) == is_renewed
        assert len(instance.table.reads) == is_renewed

    @pytest.mark.parametrize("remaining", [60, 30])
    def test_in_the_last_minute_the_row_is_read_by_each_request(self, remaining: int) -> None:
        """It is the row that decides: its token is used while it is valid."""
        instance = self.cached(remaining)
        assert [instance.get(), instance.get()] == ["clt.row", "clt.row"]
        assert len(instance.table.reads) == 2
        assert instance.douyin.mints == []

    def test_the_new_token_is_stored_and_cached(self) -> None:
        instance = self.cached()
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert instance.stored() == ("clt.1", 7200, 9)
        assert instance.row().lifetime == 7200
        assert len(instance.douyin.mints) == 1

    @pytest.mark.parametrize(("seconds", "mint_seconds"), [(9.0, 3.0), (4.0, 2.0), (2.0, 1.0)])
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

    def test_nobody_waits_while_another_instance_mints(self) -> None:
        instance = self.cached()
        instance.lease_by_another()
        assert instance.get() == "clt.row"
        assert instance.clock.sleeps == []
        assert instance.douyin.mints == []

    def test_after_a_failure_nobody_mints_for_a_while(self) -> None:
        instance = self.cached()
        instance.table.items[KEY]["failed_until"] = {"N": str(MILLISECONDS + 29_000)}
        assert instance.get() == "clt.row"
        assert instance.douyin.mints == []

    @pytest.mark.parametrize(("passed", "reads"), [(0.0, 1), (29.9, 1), (30.0, 2)])
    def test_one_instance_looks_twice_a_minute(self, passed: float, reads: int) -> None:
        instance = self.cached()
        instance.lease_by_another()
        instance.get()
        instance.pass_time(passed)
        assert instance.get() == ("clt.row" if reads == 1 else "clt.1")
        assert len(instance.table.reads) == reads

    @pytest.mark.parametrize(
        "prepare",
        [
            lambda instance: setattr(instance.douyin, "mint_results", [MISCONFIGURED]),
            lambda instance: setattr(instance.table, "fails_reads", True),
            lambda instance: setattr(instance.table, "fails_writes", True),
            lambda instance: instance.table.before_write.append(instance.lease_by_another),
            lambda instance: instance.table.before_read.append(instance.table.items.clear),
            lambda instance: instance.table.items.update({KEY: token_row(None, version=9)}),
            lambda instance: instance.table.items.update({KEY: token_row("clt.older", 0, version=9)}),
        ],
        ids=["mint", "read", "write", "conflict", "no row", "no token", "expired"],
    )
    def test_whatever_fails_the_present_token_is_used(self, prepare: Callable[[Instance], object]) -> None:
        instance = self.cached()
        prepare(instance)
        assert [instance.get(), instance.get()] == ["clt.row", "clt.row"]

    def test_a_failed_early_renewal_pauses_the_others(self) -> None:
        instance = self.cached()
        instance.douyin.mint_results = [MISCONFIGURED]
        instance.get()
        assert instance.row().is_paused(instance.clock.now, 0)

    def test_a_new_token_that_cannot_be_stored_is_used_by_this_instance(self) -> None:
        instance = self.cached()
        instance.douyin.on_mint = lambda: setattr(instance.table, "fails_writes", True)
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert len(instance.douyin.mints) == 1

    def test_a_token_of_another_system_is_not_renewed(self) -> None:
        instance = self.cached()
        assert instance.get(None) == "clt.row"
        assert instance.table.reads == []

    def test_each_app_is_looked_at(self) -> None:
        instance = self.cached()
        instance.table.items["TOKEN#ttb"] = token_row("clt.b", 500)
        instance.get()
        assert instance.store.get_token("ttb", "s", instance.context) == "clt.b"
        assert instance.store.get_token("ttb", "s", instance.context) == "clt.2"


class TestOtherSystem:
    def test_its_token_is_used(self) -> None:
        instance = Instance(token_row("clt.theirs"))
        assert instance.get(None) == "clt.theirs"

    @pytest.mark.parametrize(
        "item",
        [None, token_row("clt.theirs", -1), token_row("clt.theirs", -1, version=7, lease_until=MILLISECONDS + 4000)],
    )
    def test_its_row_is_never_written_or_waited_for(self, item: Item | None) -> None:
        instance = Instance(item)
        with pytest.raises(TokenUnavailableError, match="tta is renewed by another system"):
            instance.get(None)
        assert instance.douyin.mints == []
        assert instance.table.writes == []
        assert instance.clock.sleeps == []

    def test_a_refused_token_of_it_is_replaced_by_its_newer_one_only(self) -> None:
        instance = Instance(token_row("clt.theirs"))
        with pytest.raises(TokenUnavailableError, match="renewed by another system"):
            instance.replace("clt.theirs", None)
        instance.table.items[KEY] = token_row("clt.theirs-2")
        assert instance.replace("clt.theirs", None) == "clt.theirs-2"
        assert instance.table.writes == []


class TestReplace:
    def test_a_newer_token_in_the_row_is_used_before_any_is_minted(self) -> None:
        instance = Instance(token_row("clt.refused"))
        instance.get()
        instance.table.items[KEY] = token_row("clt.newer")
        assert instance.replace("clt.refused") == "clt.newer"
        assert instance.get() == "clt.newer", "it is cached"
        assert instance.douyin.mints == []

    @pytest.mark.parametrize("item", [token_row("clt.refused"), token_row("clt.newer", 0), None])
    def test_a_refused_or_expired_token_in_the_row_is_replaced_by_a_new_one(self, item: Item | None) -> None:
        instance = Instance(item)
        assert instance.replace("clt.refused") == "clt.1"
        assert instance.get() == "clt.1"
        assert len(instance.douyin.mints) == 1

    def test_an_unavailable_table_is_an_error_because_the_cached_token_was_refused(self) -> None:
        instance = Instance(token_row("clt.refused"))
        instance.get()
        instance.table.fails_reads = True
        with pytest.raises(StorageUnavailableError):
            instance.replace("clt.refused")

    def test_a_token_that_another_instance_mints_is_waited_for(self) -> None:
        instance = Instance(token_row("clt.refused", version=7))
        other = instance.lease_by_another()
        instance.table.before_read = [lambda: None, lambda: other.commit("clt.other", int(NOW), int(NOW) + 7200)]
        assert instance.replace("clt.refused") == "clt.other"
        assert instance.douyin.mints == []


class TestPreload:
    def test_a_preloaded_token_needs_no_read(self) -> None:
        instance = Instance(token_row("clt.row"))
        instance.store.preload("tta", instance.context)
        assert instance.get() == "clt.row"
        assert instance.table.reads == [KEY]

    @pytest.mark.parametrize("item", [None, token_row(None), token_row("clt.old", -1)])
    def test_nothing_is_minted(self, item: Item | None) -> None:
        instance = Instance(item)
        instance.store.preload("tta", instance.context)
        assert instance.douyin.mints == []
        assert instance.get() == "clt.1"

    def test_an_unavailable_table_is_an_error(self) -> None:
        instance = Instance()
        instance.table.fails_reads = True
        with pytest.raises(StorageUnavailableError):
            instance.store.preload("tta", instance.context)


class TestRenew:
    @pytest.mark.parametrize(
        ("seconds", "is_renewed"), [(-10, True), (1, True), (1799, True), (1800, True), (1801, False), (7200, False)]
    )
    def test_a_token_that_expires_within_half_an_hour_is_renewed(self, seconds: int, is_renewed: bool) -> None:
        instance = Instance(token_row("clt.old", seconds))
        assert instance.renew() is is_renewed
        assert instance.row().access_token == ("clt.1" if is_renewed else "clt.old")
        assert len(instance.douyin.mints) == is_renewed

    @pytest.mark.parametrize("item", [None, token_row(None)])
    def test_an_app_that_nobody_uses_gets_no_token(self, item: Item | None) -> None:
        instance = Instance(item)
        assert instance.renew() is False
        assert instance.douyin.mints == []

    def test_a_cached_token_does_not_hide_the_row(self) -> None:
        instance = Instance(token_row("clt.cached", 7200))
        instance.get()
        instance.table.items[KEY] = token_row("clt.row", 100)
        assert instance.renew() is True

    def test_a_lifetime_below_half_an_hour_is_renewed_once_a_run(self) -> None:
        instance = Instance(token_row("clt.old", 100))
        instance.douyin.mint_results = [MintedToken("clt.short", 600)]
        assert instance.renew() is True
        assert instance.row().access_token == "clt.short"
        assert len(instance.douyin.mints) == 1

    def test_a_renewal_by_another_instance_is_enough(self) -> None:
        instance = Instance(token_row("clt.old", 100, version=7))
        other = instance.lease_by_another()
        instance.table.before_read = [lambda: None, lambda: other.commit("clt.other", int(NOW), int(NOW) + 7200)]
        assert instance.renew() is True
        assert instance.douyin.mints == []

    @pytest.mark.parametrize(
        ("prepare", "error_type"),
        [
            (lambda instance: setattr(instance.douyin, "mint_results", [MISCONFIGURED]), TokenUnavailableError),
            (lambda instance: setattr(instance.table, "fails_reads", True), StorageUnavailableError),
            (lambda instance: setattr(instance.table, "fails_writes", True), StorageUnavailableError),
        ],
        ids=["mint", "read", "write"],
    )
    def test_a_failed_renewal_leaves_the_token_in_use(
        self, prepare: Callable[[Instance], None], error_type: type[RedemptionError]
    ) -> None:
        instance = Instance(token_row("clt.old", 100))
        prepare(instance)
        with pytest.raises(error_type):
            instance.renew()
        instance.table.fails_reads = False
        assert instance.get() == "clt.old"


def test_a_row_that_was_replaced_by_hand_is_not_taken_for_an_unchanged_one() -> None:
    """Its version starts again; another instance has just acquired the lease with the same version as long ago."""
    instance = Instance()
    long_ago = TokenRow(version=1, lease_owner="first")
    assert instance.store._unchanged_seconds("tta", long_ago) == 0
    instance.pass_time(60)
    assert instance.store._unchanged_seconds("tta", long_ago) == 60
    assert instance.store._unchanged_seconds("tta", TokenRow(version=1, lease_owner="second")) == 0

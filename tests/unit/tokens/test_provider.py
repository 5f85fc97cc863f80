"""Decisions of the token provider: cached, read again, minted, waited for, or refused."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.douyin.protocol import MintedToken
from chalicelib.tokens.lease import Lease
from chalicelib.tokens.provider import MIN_MINT_SECONDS, POLL_SECONDS, STORE_SECONDS, TokenProvider, decide
from chalicelib.tokens.rows import LEASE_SECONDS, TokenRow
from tests.unit.fakes import NOW, Clock, FakeDouyin, FakeTable, Mint, make_context, token_row

KEY = "TOKEN#tta"
MILLISECONDS = int(NOW) * 1000
BUSY = errors.UpstreamUnavailableError("http_503")
LOST = errors.UpstreamTimeoutError("timeout")
CUT_OFF = errors.DeadlineExceededError("timeout")
"""The errors of a mint that may have succeeded."""

MISCONFIGURED = errors.AppMisconfiguredError("10013", evidence=errors.Evidence(10013, 0, "20260101L"))


class Tokens:
    """A token provider with its table, platform and clock. Each poll of the row takes the least time that it may."""

    def __init__(self, item: Item | None = None, seconds: float = 9.0) -> None:
        self.clock = Clock()
        self.table = FakeTable(**({} if item is None else {KEY: item}))
        self.douyin = FakeDouyin()
        self.context = make_context(seconds, self.clock)
        self.secret: str | None = "s"
        self.start_instance()

    def start_instance(self) -> None:
        self.store = TokenProvider(
            self.table,
            self.douyin,
            lambda *_: self.secret,
            clock=self.clock,
            sleep=self.clock.sleep,
            uniform=lambda low, _high: low,
        )

    def get(self) -> str:
        return self.store.get("tta", self.context)

    def preload(self) -> None:
        self.store.preload("tta", self.context)

    def replace(self, refused: str) -> str:
        return self.store.renew_refused("tta", refused, self.context)

    def renew(self) -> str:
        return self.store.renew_row("tta", self.row().access_token, self.context).access_token

    def row(self) -> TokenRow:
        return TokenRow.from_item(self.table.items.get(KEY, {}))

    def lease_by_another(self, clock_offset: float = 0.0) -> Lease:
        """Acquire the lease for another instance, whose clock differs by `clock_offset` seconds."""
        lease = Lease(self.table, "tta", self.row(), lambda: self.clock.now + clock_offset, self.context)
        lease.take()
        return lease


def commit(lease: Lease) -> None:
    """Store the token of another instance."""
    lease.commit("clt.other", int(NOW), int(NOW) + 7200)


GOOD, OLD = TokenRow("clt.row", int(NOW) + 1), TokenRow("clt.row", int(NOW))
LEASED: dict[str, Any] = {"lease_owner": "another", "lease_until": NOW + LEASE_SECONDS}
YOUNG = TokenRow("clt.row", int(NOW) + 100, minted_at=int(NOW))
REFUSED = {"old_token": "clt.row", "is_refused": True}
REFUSED_YOUNG = "the platform refuses a token that was minted moments ago"
PAUSED: dict[str, Any] = {"failed_at": NOW, "failed_until": NOW + 30, "failure": "10013"}


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        # A token that has not expired is used, whatever else is in the row and however little time is left.
        (GOOD, {}, "use"),
        (msgspec.structs.replace(GOOD, **LEASED, **PAUSED), {"seconds_left": 0.0}, "use"),
        (GOOD, {"old_token": "clt.other"}, "use"),
        # There is none: the caller mints,
        (TokenRow(), {}, "mint"),
        (TokenRow("", int(NOW) + 1), {}, "mint"),
        (OLD, {}, "mint"),
        (GOOD, {"old_token": "clt.row"}, "mint"),
        # or waits for the instance that does, unless it is dead,
        (TokenRow(**LEASED), {}, "wait"),
        (TokenRow(**LEASED), {"now": NOW + 4}, "mint"),
        # or must do nothing.
        (TokenRow(**PAUSED), {}, "minting failed moments ago: 10013"),
        (TokenRow(**PAUSED, **LEASED), {}, "minting failed moments ago: 10013"),
        (TokenRow(**PAUSED), {"now": NOW + 30}, "mint"),
        (TokenRow(**LEASED), {"seconds_left": 0.99}, "no new token in time"),
        (TokenRow(**LEASED), {"seconds_left": 1.0}, "wait"),
        # The holder's clock may be ahead. Who has no time to mint also waits for one whose clock is behind.
        (TokenRow(**LEASED), {"seconds_left": 4.0, "now": NOW - 2}, "wait"),
        (TokenRow(**LEASED), {"seconds_left": 4.0, "now": NOW + 5.9}, "wait"),
        (TokenRow(**LEASED), {"seconds_left": 4.0, "now": NOW + 6}, "no new token in time"),
        (TokenRow(**LEASED), {"seconds_left": MIN_MINT_SECONDS, "now": NOW + 5.9}, "mint"),
        # A refusal is no reason to replace a young token that has not expired.
        (YOUNG, REFUSED, REFUSED_YOUNG),
        (YOUNG, {"old_token": "clt.row"}, "mint"),
        (YOUNG, {**REFUSED, "now": NOW + 10}, "mint"),
        (msgspec.structs.replace(YOUNG, expires_at=int(NOW)), REFUSED, "mint"),
    ],
)
def test_the_row_and_the_time_decide_what_is_done(row: TokenRow, options: dict[str, Any], expected: str) -> None:
    question = {
        "old_token": "",
        "is_refused": False,
        "now": NOW,
        "seconds_left": 9.0,
        **options,
    }
    try:
        action: str = decide(row, **question)
    except errors.TokenUnavailableError as error:
        action = str(error)
    assert action == expected


class TestGet:
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
            token_row("clt.old", -1, version=7, failed_at=MILLISECONDS - 2000) | {"failure": {"S": "10013"}},
        ],
    )
    def test_a_missing_or_expired_token_is_minted_stored_and_cached(self, item: Item | None) -> None:
        instance = Tokens(item)
        version = instance.row().version
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert instance.douyin.mints == [Mint("tta", "s", LEASE_SECONDS - STORE_SECONDS)]
        assert instance.table.items[KEY] == {
            "pk": {"S": KEY},
            **token_row("clt.1", 7200, version=version + 2, minted_at=int(NOW)),
        }
        assert (len(instance.table.reads), instance.clock.sleeps) == (1, [])

    @pytest.mark.parametrize(
        ("lifetime", "passed", "is_used"),
        [(3600, 239.9, True), (3600, 240, False), (60, 59, True), (60, 60, False)],
    )
    def test_a_cached_token_is_used_for_four_minutes_and_until_it_expires(
        self, lifetime: int, passed: float, is_used: bool
    ) -> None:
        """A token that was replaced ends after five."""
        instance = Tokens(token_row("clt.row", lifetime))
        instance.get()
        instance.table.items[KEY] = token_row("clt.newer", 7200, version=1)
        instance.clock.now += passed
        instance.context = make_context(clock=instance.clock)
        assert [instance.get(), instance.get()] == ["clt.row" if is_used else "clt.newer"] * 2
        assert (len(instance.table.reads), instance.douyin.mints) == (1 if is_used else 2, [])

    def test_a_token_with_a_short_lifetime_is_minted_once_a_call(self) -> None:
        """The lifetime counts from before the mint."""
        instance = Tokens()
        instance.douyin.mint_results = [MintedToken("clt.short", 1)]
        instance.douyin.on_mint = lambda: instance.clock.sleep(2.5)
        assert instance.get() == "clt.short"
        assert len(instance.douyin.mints) == 1
        assert instance.row().expires_at == int(NOW) + 1


class TestFrozenInstance:
    """Lambda may freeze an instance in the middle of a read: the token's age counts from before it."""

    @pytest.mark.parametrize("learn", [Tokens.preload, Tokens.get])
    def test_a_row_that_was_read_long_ago_is_read_again(self, learn: Callable[[Tokens], object]) -> None:
        tokens = Tokens(token_row("clt.row", 7000))
        tokens.context = make_context(9000.0, tokens.clock)
        tokens.table.before_read = [lambda: tokens.clock.sleep(1200)]
        learn(tokens)
        tokens.table.items[KEY] = token_row("clt.newer", 7000, version=1)
        assert tokens.get() == "clt.newer"


class TestUnavailableTable:
    @pytest.mark.parametrize("fault", ["fails_reads", "fails_writes"])
    def test_without_a_token_nothing_is_minted(self, fault: str) -> None:
        instance = Tokens()
        setattr(instance.table, fault, True)
        with pytest.raises(errors.StorageUnavailableError):
            instance.get()
        assert instance.douyin.mints == []

    def test_the_cached_token_is_used_until_it_is_refused_or_expires_and_the_row_read_every_ten_seconds(self) -> None:
        instance = Tokens(token_row("clt.row", 300))
        instance.get()
        instance.table.fails_reads = True
        reads = []
        for passed in (239, 241, 250, 251, 252, 299):
            instance.clock.now = NOW + passed
            instance.context = make_context(clock=instance.clock)
            assert instance.get() == "clt.row"
            reads.append(len(instance.table.reads))
        assert reads == [1, 2, 2, 3, 3, 4]
        with pytest.raises(errors.StorageUnavailableError):
            instance.replace("clt.row")
        instance.clock.now = NOW + 300
        with pytest.raises(errors.StorageUnavailableError):
            instance.get()

    def test_a_token_that_cannot_be_stored_is_used_by_this_instance(self) -> None:
        instance = Tokens()
        instance.douyin.on_mint = lambda: setattr(instance.table, "fails_writes", True)
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert len(instance.douyin.mints) == 1
        assert instance.row().access_token == ""


class TestWait:
    def test_the_token_of_the_instance_that_mints_is_used_even_after_a_failed_read(self) -> None:
        instance = Tokens(token_row("clt.old", -1, version=7))
        other = instance.lease_by_another()

        def fail() -> None:
            raise errors.StorageUnavailableError("read failed")

        instance.table.before_read = [lambda: None, fail, lambda: commit(other)]
        assert instance.get() == "clt.other"
        assert instance.douyin.mints == []
        assert instance.clock.sleeps == [POLL_SECONDS[0]] * 2

    @pytest.mark.parametrize("clock_offset", [-2.0, 0.0, 2.0])
    def test_a_dead_instance_is_renewed_when_its_lease_ends(self, clock_offset: float) -> None:
        instance = Tokens(seconds=11.0)
        instance.lease_by_another(clock_offset)
        assert instance.get() == "clt.1"
        assert sum(instance.clock.sleeps) == pytest.approx(LEASE_SECONDS + clock_offset, abs=2 * POLL_SECONDS[0])

    @pytest.mark.parametrize(("seconds", "token"), [(3600, "clt.by-hand"), (-1, "clt.1")])
    def test_a_token_written_by_hand_meanwhile_is_used_unless_it_has_expired(self, seconds: int, token: str) -> None:
        instance = Tokens(token_row("clt.old", -1))
        by_hand = token_row("clt.by-hand", seconds)
        instance.table.before_write = [lambda: instance.table.items.update({KEY: by_hand})]
        assert instance.get() == token


class TestFailure:
    @pytest.mark.parametrize(
        "error", [MISCONFIGURED, errors.RateLimitedError("10020", evidence=errors.Evidence(10020, 0)), BUSY]
    )
    def test_a_failed_mint_is_raised_with_its_evidence_not_repeated_and_pauses_everyone(
        self, error: errors.UpstreamError
    ) -> None:
        instance = Tokens(token_row("clt.old", -1, version=7))
        instance.douyin.mint_results = [error] * 5
        with pytest.raises(errors.TokenUnavailableError, match=f"minting failed: {error}") as raised:
            instance.get()
        assert raised.value.evidence == error.evidence
        with pytest.raises(errors.TokenUnavailableError, match=f"minting failed moments ago: {error.reason}"):
            instance.get()
        assert len(instance.douyin.mints) == 1

    @pytest.mark.parametrize("seconds", [2.0, 2.5, 2.9])
    def test_beside_a_dead_holder_a_login_fails_and_the_next_one_mints_for_all(self, seconds: float) -> None:
        """Logins with a list have 6 s. After 4 s of waiting, a slow mint would be cut off, and nobody served."""
        fleet = Tokens()
        fleet.lease_by_another()

        def take_long() -> None:
            limit = fleet.douyin.mints[-1].seconds
            fleet.clock.now += min(seconds, limit)
            fleet.douyin.mint_results = [CUT_OFF] if limit < seconds else []

        fleet.douyin.on_mint = take_long
        served = []
        for _ in range(20):
            fleet.start_instance()
            fleet.context = make_context(6.0, fleet.clock)
            try:
                served.append(fleet.get())
            except errors.TokenUnavailableError as error:
                served.append(str(error))
        assert served == ["no new token in time"] + ["clt.1"] * 19

    @pytest.mark.parametrize(("slow_write", "mints"), [(0.4, 1), (1.1, 0)])
    def test_a_mint_starts_if_the_lease_ends_in_time_and_otherwise_stops_nobody(
        self, slow_write: float, mints: int
    ) -> None:
        instance = Tokens(seconds=5.0)
        instance.table.before_write = [lambda: instance.clock.sleep(slow_write)]
        with nullcontext() if mints else pytest.raises(errors.TokenUnavailableError, match="no new token in time"):
            instance.get()
        assert (len(instance.douyin.mints), instance.row().lease_owner, instance.row().failure) == (mints, "", "")

    def test_a_mint_is_given_up_a_second_before_its_lease_ends(self) -> None:
        instance = Tokens()
        instance.table.before_write = [lambda: instance.clock.sleep(0.7)]
        instance.get()
        assert instance.douyin.mints[0].seconds == pytest.approx(LEASE_SECONDS - STORE_SECONDS - 0.7, abs=0.01)

    @pytest.mark.parametrize("seconds", [0.0, MIN_MINT_SECONDS - 0.01])
    def test_without_time_for_a_mint_there_is_no_token(self, seconds: float) -> None:
        instance = Tokens(seconds=seconds)
        with pytest.raises(errors.TokenUnavailableError, match="no new token in time"):
            instance.get()
        assert instance.douyin.mints == []

    def test_a_token_that_cannot_be_stored_in_time_is_used(self) -> None:
        instance = Tokens()
        instance.douyin.on_mint = lambda: instance.clock.sleep(9.0)
        assert instance.get() == "clt.1"

    def test_a_holder_that_was_taken_for_dead_uses_the_token_that_it_has_minted(self) -> None:
        """The clock of the other instance is ahead. The platform accepts the tokens of both."""
        instance = Tokens()

        def lose_the_lease() -> None:
            instance.clock.now += 2.0
            instance.lease_by_another(clock_offset=2.0)

        instance.douyin.on_mint = lose_the_lease
        assert [instance.get(), instance.get()] == ["clt.1", "clt.1"]
        assert (instance.row().access_token, instance.row().lease_owner != "") == ("", True)


class TestOtherSystem:
    @pytest.mark.parametrize("secret", [None, ""])
    @pytest.mark.parametrize(
        "item",
        [None, token_row("clt.theirs", -1), token_row("clt.theirs", -1, version=7, lease_until=MILLISECONDS + 4000)],
    )
    def test_its_row_is_never_written_or_waited_for(self, item: Item | None, secret: str | None) -> None:
        instance = Tokens(item)
        instance.secret = secret
        with pytest.raises(errors.TokenUnavailableError, match="tta has no app secret"):
            instance.get()
        assert (instance.douyin.mints, instance.table.writes, instance.clock.sleeps) == ([], [], [])

    def test_a_refused_token_of_it_is_renewed_by_its_newer_one_only(self) -> None:
        instance = Tokens(token_row("clt.theirs"))
        instance.secret = None
        with pytest.raises(errors.TokenUnavailableError, match="no other system"):
            instance.replace("clt.theirs")
        instance.table.items[KEY] = token_row("clt.theirs-2")
        assert instance.replace("clt.theirs") == "clt.theirs-2"
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
def test_a_refused_token_is_renewed_by_the_newer_one_in_the_row_or_by_a_new_one(item: Item | None, token: str) -> None:
    instance = Tokens(token_row("clt.refused"))
    instance.get()
    instance.table.items = {} if item is None else {KEY: item}
    assert instance.replace("clt.refused") == token
    assert instance.get() == token, "it is cached"
    assert len(instance.douyin.mints) == (token == "clt.1")


YOUNG_ITEM = token_row("clt.young", 7000, version=7, minted_at=int(NOW))


def keep(instance: Tokens) -> None:
    """Let the platform refuse the young token, which is not replaced."""
    with pytest.raises(errors.TokenUnavailableError, match=REFUSED_YOUNG):
        instance.replace("clt.young")


class TestYoungToken:
    """A refusal is no reason to replace it: if all tokens are refused, each request would mint."""

    def test_it_is_not_replaced_and_requests_go_on_sending_it(self) -> None:
        instance = Tokens(YOUNG_ITEM)
        for _ in range(3):
            assert instance.get() == "clt.young"
            keep(instance)
        assert (instance.douyin.mints, instance.table.writes, instance.clock.sleeps) == ([], [], [])

    def test_the_schedule_and_an_operator_replace_it(self) -> None:
        assert Tokens(YOUNG_ITEM).renew() == "clt.1"


def test_a_token_that_was_preloaded_needs_no_read() -> None:
    instance = Tokens(token_row("clt.row"))
    instance.preload()
    assert [instance.get(), instance.get()] == ["clt.row"] * 2
    instance.preload()
    assert instance.table.reads == [KEY]


@pytest.mark.parametrize("error", [LOST, CUT_OFF, BUSY, MISCONFIGURED])
def test_a_working_token_is_renewed_in_one_attempt_and_used_after_a_failure(error: errors.RedemptionError) -> None:
    """A mint that seems to have failed may have succeeded: a second one would invalidate the present token."""
    instance = Tokens(token_row("clt.row", 1000))
    instance.douyin.mint_results = [error] * 3
    with pytest.raises(errors.TokenUnavailableError, match="minting failed"):
        instance.renew()
    assert (len(instance.douyin.mints), instance.get()) == (1, "clt.row")

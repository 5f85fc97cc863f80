"""The token source: cached, read, waited for, claimed, minted and stored. `test_rows` has its decisions."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.douyin.protocol import MintedToken
from chalicelib.tokens.rows import TokenRow
from chalicelib.tokens.source import INVALID_ROW_MAX_AGE, MINT_SECONDS, POLL_SECONDS, WRITE_SECONDS, SharedTokenSource
from tests.unit.fakes import (
    NOW,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    Mint,
    make_context,
    make_credentials_cache,
    token_item,
)

KEY = "TOKEN#tta"
BUSY = errors.UpstreamUnavailableError("http_503")
LOST = errors.UpstreamTimeoutError("timeout")
CUT_OFF = errors.DeadlineExceededError("timeout")
"""The errors of a mint that may have succeeded."""

MISCONFIGURED = errors.AppMisconfiguredError("10013", upstream=errors.UpstreamCodes(10013, 0, "20260101L"))


class Tokens:
    """A token source with its table, platform and clock. Each poll of the row takes the least time that it may."""

    def __init__(self, item: Item | None = None, seconds: float = 9.0) -> None:
        self.clock = Clock()
        self.table = FakeTable(**({} if item is None else {KEY: item}))
        self.douyin = FakeDouyin()
        self.secret = FakeSecret({"tta": "s"})
        self.source = SharedTokenSource(
            self.table,
            self.douyin,
            make_credentials_cache(self.secret, self.clock),
            self.clock,
            self.clock.sleep,
        )
        self.start_request(seconds)

    def start_request(self, seconds: float = 9.0) -> None:
        self.context = make_context(seconds, self.clock)

    def obtain(self) -> str:
        return self.source.obtain("tta", self.context)

    def replace(self, refused_token: str) -> str:
        return self.source.obtain("tta", self.context, refused_token)

    def renew(self) -> TokenRow:
        return self.source.renew("tta", self.source.read_row("tta", self.context), self.context)

    def fail(self, call: Callable[[], object]) -> errors.TokenUnavailableError:
        """Return the error of a call that finds no token."""
        with pytest.raises(errors.TokenUnavailableError) as raised:
            call()
        return raised.value

    def row(self) -> TokenRow:
        return TokenRow.from_item(self.table.items.get(KEY, {}))


def store(tokens: Tokens, **attributes: Any) -> Callable[[], object]:
    """Return a function with which another instance or an operator replaces the row."""
    return lambda: tokens.table.items.update({KEY: token_item(**attributes)})


@pytest.mark.parametrize(
    "item",
    [
        None,
        # With what release 0.14.0 has written.
        token_item("clt.old", 0) | {"version": {"N": "7"}, "lease_until": {"N": "1"}},
        token_item("clt.old", -1, claimed_after=-20, outcome="10013"),
        {"access_token": {"N": "7"}, "claim": {"N": "7"}, "expires_at": {"S": "x"}},
    ],
)
def test_a_missing_or_expired_token_is_minted_stored_and_cached(item: Item | None) -> None:
    tokens = Tokens(item)
    assert [tokens.obtain(), tokens.obtain()] == ["clt.1", "clt.1"]
    assert tokens.douyin.mints == [Mint("tta", "s", MINT_SECONDS)]
    claim = tokens.table.items[KEY]["claim"]
    assert tokens.table.items[KEY] == {"pk": {"S": KEY}, "claim": claim, **token_item("clt.1", 7200, outcome="ok")}
    assert tokens.row().claimed_at == NOW
    assert (len(tokens.table.reads), len(tokens.table.writes), tokens.clock.sleeps) == (1, 2, [])


@pytest.mark.parametrize(
    ("lifetime", "passed", "is_used"), [(3600, 239.9, True), (3600, 240, False), (60, 59, True), (60, 60, False)]
)
def test_a_cached_token_is_used_for_four_minutes_and_until_it_expires(
    lifetime: int, passed: float, is_used: bool
) -> None:
    """A token that was replaced ends after five."""
    tokens = Tokens(token_item("clt.row", lifetime))
    tokens.obtain()
    store(tokens, value="clt.newer", expires_after=7200)()
    tokens.clock.now += passed
    tokens.start_request()
    assert [tokens.obtain(), tokens.obtain()] == ["clt.row" if is_used else "clt.newer"] * 2
    assert tokens.douyin.mints == []


def test_the_lifetime_of_a_token_counts_from_before_the_mint_and_a_short_one_is_used_once() -> None:
    tokens = Tokens()
    tokens.douyin.mint_results = [MintedToken("clt.short", 1)]
    tokens.douyin.on_mint = lambda: tokens.clock.sleep(2.5)
    assert tokens.obtain() == "clt.short"
    assert tokens.row().expires_at == int(NOW) + 1
    assert "moments ago" in tokens.fail(tokens.obtain).reason
    assert len(tokens.douyin.mints) == 1


class TestPreloadedRow:
    @pytest.mark.parametrize("apps", [{"tta": "s"}, {"tta": ""}])
    def test_it_is_read_again_before_a_request_fails(self, apps: dict[str, str]) -> None:
        tokens = Tokens(token_item("clt.old", -1, claimed_after=-10, outcome="10013"))
        tokens.secret.put(apps)
        tokens.source.preload("tta", tokens.context)
        store(tokens, value="clt.by-hand")()
        tokens.clock.sleep(INVALID_ROW_MAX_AGE)
        assert tokens.obtain() == "clt.by-hand"

    def test_it_is_claimed_as_it_was_read_while_reads_fail(self) -> None:
        tokens = Tokens(token_item("clt.old", -1))
        tokens.source.preload("tta", tokens.context)
        tokens.table.fails_reads = True
        tokens.clock.sleep(INVALID_ROW_MAX_AGE)
        assert tokens.obtain() == "clt.1"


class TestUnavailableTable:
    @pytest.mark.parametrize("fault", ["fails_reads", "fails_writes"])
    def test_without_a_token_nothing_is_minted(self, fault: str) -> None:
        tokens = Tokens()
        setattr(tokens.table, fault, True)
        with pytest.raises(errors.StorageUnavailableError):
            tokens.obtain()
        assert tokens.douyin.mints == []

    def test_the_cached_token_is_used_until_it_expires_or_is_refused(self) -> None:
        tokens = Tokens(token_item("clt.row", 1000))
        tokens.obtain()
        tokens.table.fails_reads = tokens.table.fails_writes = True
        tokens.clock.now = NOW + 999
        tokens.start_request()
        assert tokens.obtain() == "clt.row"
        with pytest.raises(errors.StorageUnavailableError):
            tokens.replace("clt.row")
        tokens.clock.now = NOW + 1000
        tokens.start_request()
        with pytest.raises(errors.StorageUnavailableError):
            tokens.obtain()

    @pytest.mark.parametrize("fault", ["no write", "no time", "another claim"])
    def test_a_token_that_cannot_be_stored_is_used_by_this_instance_with_a_warning(self, fault: str) -> None:
        tokens = Tokens(token_item("clt.old", -1))
        tokens.douyin.on_mint = {
            "no write": lambda: setattr(tokens.table, "fails_writes", True),
            "no time": lambda: tokens.clock.sleep(9.0),
            "another claim": store(tokens, value="clt.old", expires_after=-1, claimed_after=1),
        }[fault]
        assert tokens.obtain() == "clt.1"
        assert tokens.context.record.warnings == ["the new token of tta could not be stored; this instance uses it"]
        tokens.start_request()
        assert tokens.obtain() == "clt.1"
        assert (len(tokens.douyin.mints), tokens.row().access_token) == (1, "clt.old")


@pytest.mark.parametrize(("seconds", "used"), [(3600, "clt.by-hand"), (-1, "clt.1")])
def test_a_token_that_is_written_by_hand_during_a_mint_stays_and_is_used_if_it_is_valid(
    seconds: int, used: str
) -> None:
    """The claim stays in the row, as after `docs/store_token.py`."""
    tokens = Tokens(token_item("clt.old", -1))
    tokens.douyin.on_mint = lambda: tokens.table.items[KEY].update(token_item("clt.by-hand", seconds))
    assert (tokens.obtain(), tokens.row().access_token) == (used, "clt.by-hand")


def test_a_write_whose_response_was_lost_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repetition of the call meets the change that the first attempt has made."""
    tokens = Tokens(token_item("clt.old", -1))
    write = tokens.table.update_item
    monkeypatch.setattr(tokens.table, "update_item", lambda *call: [write(*call), write(*call)][-1])
    assert tokens.renew().access_token == tokens.row().access_token == "clt.1"


class TestWait:
    def test_the_token_of_the_instance_that_mints_is_used_even_after_a_failed_read(self) -> None:
        tokens = Tokens(token_item("clt.old", -1, claimed_after=-0.1))

        def fail() -> None:
            raise errors.StorageUnavailableError("read failed")

        tokens.table.before_read = [lambda: None, fail, store(tokens, value="clt.other")]
        assert tokens.obtain() == "clt.other"
        assert (tokens.douyin.mints, tokens.clock.sleeps) == ([], [POLL_SECONDS] * 2)

    def test_a_failed_mint_of_another_ends_it_with_the_reason(self) -> None:
        tokens = Tokens(token_item("clt.old", -1, claimed_after=-1))
        tokens.table.before_read = [
            lambda: None, store(tokens, value="clt.old", expires_after=-1, claimed_after=-1, outcome="10013")
        ]  # fmt: skip
        error = tokens.fail(tokens.obtain)
        assert error.reason == "minting failed moments ago: 10013"
        assert error.retry_after == pytest.approx(19.0, abs=0.1)

    def test_it_ends_with_the_time_of_the_request_or_when_the_claim_is_old(self) -> None:
        for seconds, waited in ((3.0, 2.0), (9.0, 7.0)):
            tokens = Tokens(token_item("clt.old", -1, claimed_after=-1), seconds)
            error = tokens.fail(tokens.obtain)
            assert sum(tokens.clock.sleeps) == pytest.approx(waited, abs=POLL_SECONDS + 0.01)
            assert error.retry_after == pytest.approx(0.0 if seconds == 3.0 else 12.0, abs=0.1)


class TestFailure:
    @pytest.mark.parametrize("error", [MISCONFIGURED, BUSY, LOST, CUT_OFF])
    def test_a_failed_mint_is_raised_with_its_evidence_and_nobody_repeats_it_for_twenty_seconds(
        self, error: errors.ServiceError
    ) -> None:
        """A mint that seems to have failed may have succeeded."""
        tokens = Tokens(token_item("clt.old", -1))
        tokens.douyin.mint_results = [error]
        tokens.douyin.on_mint = lambda: tokens.clock.sleep(0.5)
        raised = tokens.fail(tokens.obtain)
        assert (raised.reason, raised.upstream) == (f"minting failed: {error}", error.upstream)
        assert raised.retry_after == pytest.approx(19.5)
        assert (tokens.row().outcome, tokens.row().access_token) == (error.reason, "clt.old")
        tokens.clock.now = NOW + 19.9
        tokens.start_request()
        assert error.reason in tokens.fail(tokens.obtain).reason
        tokens.clock.now = NOW + 20
        tokens.start_request()
        assert tokens.obtain() == "clt.2"
        assert tokens.row().outcome == "ok"

    @pytest.mark.parametrize("seconds", [0.0, 4.99])
    def test_without_time_for_a_mint_there_is_no_token(self, seconds: float) -> None:
        tokens = Tokens(seconds=seconds)
        assert tokens.fail(tokens.obtain).reason == "no new token in time"
        assert (tokens.douyin.mints, tokens.table.writes) == ([], [])

    def test_after_a_slow_claim_the_mint_has_less_time(self) -> None:
        tokens = Tokens(seconds=5.0)
        tokens.table.before_write = [lambda: tokens.clock.sleep(2.1)]
        tokens.obtain()
        assert tokens.douyin.mints[0].seconds == pytest.approx(5.0 - 2.1 - WRITE_SECONDS)


class TestOtherSystem:
    @pytest.mark.parametrize(
        ("apps", "external"), [({"tta": ""}, []), ({}, []), ({"tta": "s"}, ["tta"]), ({"tta": ""}, ["tta"])]
    )
    def test_its_row_is_read_and_never_written_or_waited_for(self, apps: dict[str, str], external: list[str]) -> None:
        for item in (None, token_item("clt.theirs", -1), token_item("clt.theirs", -1, claimed_after=-1)):
            tokens = Tokens(item)
            tokens.secret.put(apps, external_tokens=external)
            for call in (tokens.obtain, tokens.renew):
                error = tokens.fail(call)
                assert ("another system" in error.reason, error.retry_after) == (True, 60.0)
            assert (tokens.douyin.mints, tokens.table.writes, tokens.clock.sleeps) == ([], [], [])

    def test_a_refused_token_of_it_is_replaced_by_its_newer_one_only(self) -> None:
        tokens = Tokens(token_item("clt.theirs"))
        tokens.secret.put({"tta": ""})
        assert tokens.fail(lambda: tokens.replace("clt.theirs")).retry_after == 60.0
        store(tokens, value="clt.theirs-2")()
        assert tokens.replace("clt.theirs") == "clt.theirs-2"

    def test_before_a_claim_a_secret_that_is_older_than_ten_seconds_is_read_again(self) -> None:
        """The app may have become a service provider's."""
        tokens = Tokens(token_item("clt.old", -1))
        tokens.source.credentials_cache.get(tokens.context)
        tokens.secret.put({"tta": ""})
        tokens.clock.now += 10.0
        tokens.start_request()
        assert "another system" in tokens.fail(tokens.obtain).reason
        assert tokens.douyin.mints == []


@pytest.mark.parametrize(
    ("item", "token"),
    [(token_item("clt.newer"), "clt.newer"), (token_item("clt.newer", 0), "clt.1"), (token_item("clt.row"), "clt.1")],
)
def test_a_refused_token_is_replaced_by_the_newer_one_in_the_row_or_by_a_new_one(item: Item, token: str) -> None:
    tokens = Tokens(token_item("clt.row"))
    tokens.obtain()
    tokens.table.items = {KEY: item}
    assert tokens.replace("clt.row") == token
    assert tokens.obtain() == token, "it is cached"
    assert len(tokens.douyin.mints) == (token == "clt.1")


def test_if_the_platform_refuses_every_token_it_is_asked_for_one_in_twenty_seconds_and_the_last_one_is_used() -> None:
    tokens = Tokens(token_item("clt.row"))
    assert tokens.replace("clt.row") == "clt.1"
    for _ in range(3):
        tokens.clock.now += 6.0
        tokens.start_request()
        assert tokens.obtain() == "clt.1"
        tokens.fail(lambda: tokens.replace("clt.1"))
    tokens.clock.now += 2.0
    tokens.start_request()
    assert tokens.replace("clt.1") == "clt.2"


class TestRenew:
    def test_a_claim_holds_it_back_and_the_error_says_how_long(self) -> None:
        tokens = Tokens(token_item("clt.row", 1000, claimed_after=-1))
        for seconds_left in (19, 5):
            assert tokens.fail(tokens.renew).retry_after == pytest.approx(seconds_left)
            tokens.clock.now += 14 if seconds_left == 19 else 5
            tokens.start_request()
        assert tokens.renew().access_token == "clt.1"


@pytest.mark.parametrize(("reported", "believed"), [(1, 1), (86_400, 86_400), (86_401, 86_400), (10**11, 86_400)])
def test_a_token_lives_for_a_day_at_most(reported: int, believed: int) -> None:
    tokens = Tokens()
    tokens.douyin.mint_results = [MintedToken("clt.x", reported)]
    tokens.obtain()
    assert tokens.table.items[KEY]["expires_at"] == {"N": str(int(NOW) + believed)}

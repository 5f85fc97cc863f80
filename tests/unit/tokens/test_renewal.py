"""The scheduled renewal: every app of the secret, whatever happens to the others."""

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.record import RenewalReport
from chalicelib.tokens.provider import TokenProvider
from chalicelib.tokens.renewal import SECONDS_PER_APP, is_expiring, renew_expiring_tokens
from chalicelib.tokens.rows import TokenRow
from tests.unit.fakes import (
    NOW,
    SESSION_KEY,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    make_context,
    make_credentials,
    token_row,
)

SOON, LATE = 1000, 7000
BUSY = errors.UpstreamUnavailableError("28001005", evidence=errors.Evidence(28001005, 0))
REFUSED = errors.AppMisconfiguredError("10013", evidence=errors.Evidence(10013, 0))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (token_row("clt.old", -10), True),
        (token_row("clt.old", 1800), True),
        (token_row("clt.old", 1801), False),
        (token_row(None, 100), False),
        ({}, False),
    ],
)
def test_a_token_that_expires_within_half_an_hour_is_renewed(row: Item, expected: bool) -> None:
    """An app that nobody uses gets no token."""
    assert is_expiring(TokenRow.from_item(row), NOW) is expected


class Run:
    """A run of the schedule over tokens with these remaining lifetimes, by app; None for an app without a token."""

    def __init__(self, **lifetimes: int | None) -> None:
        self.secret = FakeSecret(dict.fromkeys(lifetimes, "s"))
        rows = {app: seconds for app, seconds in lifetimes.items() if seconds is not None}
        self.table = FakeTable(**{f"TOKEN#{app}": token_row(f"old.{app}", seconds) for app, seconds in rows.items()})
        self.douyin = FakeDouyin()
        self.clock = Clock()
        self.context = make_context(60.0, self.clock)
        self.credentials = make_credentials(self.secret)
        self.shuffle: Callable[[list[str]], object] = list.sort
        self.store = TokenProvider(
            self.table,
            self.douyin,
            self.credentials.find_app_secret,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def start(self) -> RenewalReport:
        return renew_expiring_tokens(self.store, self.credentials, self.context, shuffle=self.shuffle)

    def tokens(self) -> dict[str, str]:
        return {key.removeprefix("TOKEN#"): item["access_token"]["S"] for key, item in self.table.items.items()}


def texts(renewal: RenewalReport) -> dict[str, str]:
    return {app_id: str(error) for app_id, error in renewal.failed.items()}


def test_tokens_that_expire_soon_are_renewed_and_the_others_left_alone() -> None:
    run = Run(a=SOON, b=LATE, c=None)
    run.table.items["TOKEN#theirs"] = token_row("clt.theirs", 10)
    assert run.start() == RenewalReport(["a"], {}, 2, [], LATE)
    assert run.tokens() == {"a": "clt.1", "b": "old.b", "theirs": "clt.theirs"}
    assert "TOKEN#theirs" not in run.table.reads


def test_each_app_has_one_attempt_in_random_order_and_the_first_error_is_returned() -> None:
    """The order of the secret would keep the apps behind others that hang from every run."""
    run = Run(a=SOON, b=SOON, c=SOON, d=LATE)
    run.shuffle = list.reverse
    run.douyin.mint_results = [BUSY, REFUSED]
    renewal = run.start()
    assert [mint.app_id for mint in run.douyin.mints] == ["c", "b", "a"]
    assert (renewal.renewed, renewal.unchanged) == (["a"], 1)
    assert texts(renewal) == {"c": f"minting failed: {BUSY}", "b": f"minting failed: {REFUSED}"}
    assert {app_id: error.evidence for app_id, error in renewal.failed.items()} == {
        "c": BUSY.evidence,
        "b": REFUSED.evidence,
    }
    assert run.tokens() == {"a": "clt.3", "b": "old.b", "c": "old.c", "d": "old.d"}


def test_a_new_token_that_could_not_be_stored_is_a_failure_and_the_lifetime_that_of_the_row() -> None:
    """The platform ends the token in the row five minutes later, and no other instance knows the new one."""
    run = Run(a=SOON)
    run.douyin.on_mint = lambda: setattr(run.table, "fails_writes", True)
    renewal = run.start()
    assert (renewal.renewed, texts(renewal)) == ([], {"a": "the new token could not be stored"})
    assert renewal.seconds_left == SOON


def test_an_unavailable_table_fails_every_app_and_not_the_run() -> None:
    run = Run(a=SOON, b=LATE, theirs=LATE)
    run.secret.put({"a": "s", "b": "s", "theirs": ""}, [SESSION_KEY])
    run.table.fails_reads = True
    renewal = run.start()
    assert texts(renewal) == dict.fromkeys(("a", "b", "theirs"), "read failed")
    assert all(isinstance(error, errors.StorageUnavailableError) for error in renewal.failed.values())
    assert (renewal.renewed, renewal.unchanged, renewal.expired, renewal.seconds_left) == ([], 0, [], None)


@pytest.mark.parametrize(
    ("lifetimes", "mints", "seconds_left"),
    [
        ({"a": LATE, "b": LATE - 10, "c": LATE + 10}, [], LATE - 10),
        ({"a": SOON}, [], 7200),
        ({"a": -50}, [REFUSED], 0),
    ],
)
def test_the_shortest_lifetime_after_the_run_is_returned(
    lifetimes: dict[str, int], mints: list[Any], seconds_left: int
) -> None:
    run = Run(**lifetimes)
    run.douyin.mint_results = list(mints)
    assert run.start().seconds_left == seconds_left


def test_the_rows_of_providers_apps_are_read_after_the_others_in_random_order_and_never_renewed() -> None:
    run = Run(b=SOON, theirs=LATE, late=-50, missing=None, zero=0)
    run.table.items["TOKEN#empty"] = token_row(None, LATE)
    run.secret.put({"theirs": "", "late": "", "missing": "", "zero": "", "empty": "", "b": "s"}, [SESSION_KEY])
    run.douyin.on_mint = lambda: run.table.reads.append("mint")
    renewal = run.start()
    assert (renewal.renewed, renewal.unchanged, renewal.failed) == (["b"], 0, {})
    assert renewal.expired == ["empty", "late", "missing", "zero"]
    assert renewal.seconds_left == LATE, "a token that nobody writes any more does not hide the others"
    reads = [f"TOKEN#{app}" for app in ("b", "empty", "late", "missing", "theirs", "zero")]
    assert run.table.reads == [reads[0], reads[0], "mint", *reads[1:]]
    run.table.reads.clear()
    run.shuffle = list.reverse
    run.start()
    assert run.table.reads == [f"TOKEN#{app}" for app in ("b", "empty", "zero", "missing", "late", "theirs")]


def test_each_app_has_a_time_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(a=SOON, b=SOON)
    renew = Mock(return_value=TokenRow())
    monkeypatch.setattr(run.store, "renew_row", renew)
    run.start()
    contexts = [call.args[2] for call in renew.call_args_list]
    assert [context.deadline.remaining() for context in contexts] == [SECONDS_PER_APP] * 2
    assert all(context.record is run.context.record for context in contexts)

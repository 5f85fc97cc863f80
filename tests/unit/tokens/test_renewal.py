"""The scheduled renewal: every app of the secret, whatever happens to the others."""

from typing import Any

import pytest

from chalicelib import errors
from chalicelib.tokens.renewal import SECONDS_PER_APP, RenewalReport, renew_expiring_tokens
from chalicelib.tokens.source import SharedTokenSource
from tests.unit.fakes import Clock, FakeDouyin, FakeSecret, FakeTable, make_context, make_credentials_cache, token_item

SOON, LATE = 1000, 7000
BUSY = errors.UpstreamUnavailableError("28001005", upstream=errors.UpstreamCodes(28001005, 0))
REFUSED = errors.AppMisconfiguredError("10013", upstream=errors.UpstreamCodes(10013, 0))


class Run:
    """A run of the schedule over tokens with these remaining lifetimes, by app; None for an app without a row."""

    def __init__(self, **lifetimes: int | None) -> None:
        self.secret = FakeSecret(dict.fromkeys(lifetimes, "s"))
        rows = {app: seconds for app, seconds in lifetimes.items() if seconds is not None}
        self.table = FakeTable(**{f"TOKEN#{app}": token_item(f"old.{app}", seconds) for app, seconds in rows.items()})
        self.douyin = FakeDouyin()
        self.clock = Clock()
        self.context = make_context(60.0, self.clock)
        self.credentials = make_credentials_cache(self.secret, self.clock)
        self.tokens = SharedTokenSource(self.table, self.douyin, self.credentials, self.clock, self.clock.sleep)

    def start(self) -> RenewalReport:
        return renew_expiring_tokens(self.tokens, self.credentials, self.context)

    def stored(self) -> dict[str, str]:
        return {key.removeprefix("TOKEN#"): item["access_token"]["S"] for key, item in self.table.items.items()}


def texts(renewal: RenewalReport) -> dict[str, str]:
    return {app_id: str(error) for app_id, error in renewal.failed.items()}


def test_tokens_that_expire_soon_are_renewed_and_the_others_left_alone() -> None:
    """Within half an hour. An app that nobody uses has no row, and gets no token."""
    run = Run(a=1800, b=1801, c=None, d=LATE)
    del run.table.items["TOKEN#d"]["access_token"]
    run.table.items["TOKEN#unknown"] = token_item("clt.unknown", 10)
    assert run.start() == RenewalReport(["a", "d"], 1801)
    assert run.stored() == {"a": "clt.1", "b": "old.b", "d": "clt.2", "unknown": "clt.unknown"}
    assert "TOKEN#unknown" not in run.table.reads


def test_each_app_has_one_attempt_with_a_limit_of_its_own() -> None:
    run = Run(d=SOON, a=SOON, b=SOON, c=LATE)
    run.douyin.mint_results = [BUSY, REFUSED]
    run.douyin.on_mint = lambda: run.clock.sleep(SECONDS_PER_APP - 1)
    renewal = run.start()
    assert [(mint.app_id, mint.seconds) for mint in run.douyin.mints] == [("d", 3.0), ("a", 3.0), ("b", 3.0)]
    assert renewal.renewed == ["b"]
    assert texts(renewal) == {"d": f"minting failed: {BUSY}", "a": f"minting failed: {REFUSED}"}
    assert [error.upstream for error in renewal.failed.values()] == [BUSY.upstream, REFUSED.upstream]
    assert run.stored() == {"a": "old.a", "b": "clt.3", "c": "old.c", "d": "old.d"}


@pytest.mark.parametrize(("outcome", "failed"), [("", {}), ("ok", {}), ("10013", {"a": "minting failed: 10013"})])
def test_what_a_claim_holds_back_is_left_and_has_failed_if_the_row_says_so(
    outcome: str, failed: dict[str, str]
) -> None:
    run = Run(a=SOON)
    run.table.items["TOKEN#a"] = token_item("old.a", SOON, claimed_after=-1, outcome=outcome)
    renewal = run.start()
    assert (texts(renewal), renewal.seconds_left) == (failed, SOON)
    assert (run.douyin.mints, run.clock.sleeps) == ([], [])


def test_a_token_that_another_instance_renews_meanwhile_is_left() -> None:
    run = Run(a=SOON)
    run.table.before_write = [
        lambda: run.table.items.update({"TOKEN#a": token_item("clt.other", LATE, claimed_after=0)})
    ]
    assert run.start() == RenewalReport([], LATE)


def test_a_new_token_that_could_not_be_stored_is_a_failure_and_the_lifetime_that_of_the_row() -> None:
    """The platform ends the token in the row five minutes later, and no other instance knows the new one."""
    run = Run(a=SOON)
    run.douyin.on_mint = lambda: setattr(run.table, "fails_writes", True)
    renewal = run.start()
    assert (renewal.renewed, texts(renewal)) == ([], {"a": "the new token could not be stored"})
    assert renewal.seconds_left == SOON


def test_an_unavailable_table_fails_every_app_and_not_the_run() -> None:
    run = Run(a=SOON, b=LATE, theirs=LATE)
    run.secret.put({"a": "s", "b": "s", "theirs": ""})
    run.table.fails_reads = True
    renewal = run.start()
    assert texts(renewal) == dict.fromkeys(("a", "b", "theirs"), "read failed")
    assert (renewal.renewed, renewal.seconds_left) == ([], None)


@pytest.mark.parametrize(
    ("lifetimes", "mints", "seconds_left"),
    [
        ({"a": LATE, "b": LATE - 10, "c": LATE + 10}, [], LATE - 10),
        ({"a": SOON}, [], 7200),
        ({"a": -50, "b": LATE}, [REFUSED], 0),
        ({"a": None, "b": LATE}, [], LATE),
        ({"a": None}, [], None),
    ],
)
def test_the_shortest_lifetime_after_the_run_is_returned(
    lifetimes: dict[str, int | None], mints: list[Any], seconds_left: int | None
) -> None:
    run = Run(**lifetimes)
    run.douyin.mint_results = list(mints)
    assert run.start().seconds_left == seconds_left


def test_the_tokens_of_other_systems_are_never_renewed_and_count() -> None:
    run = Run(own=SOON, late=-50, missing=None, theirs=LATE)
    run.secret.put({"late": "", "theirs": "s", "missing": "", "own": "s"}, external_tokens=["theirs"])
    assert run.start() == RenewalReport(["own"], 0)
    del run.table.items["TOKEN#late"]
    assert run.start().seconds_left == LATE

"""The scheduled renewal: every app of the secret, whatever happens to the others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.errors import (
    AppMisconfiguredError,
    ConfigurationError,
    Evidence,
    RedemptionError,
    StorageUnavailableError,
    TokenUnavailableError,
)
from chalicelib.tokens import renewal
from chalicelib.tokens.provider import TokenProvider
from chalicelib.tokens.renewal import SECONDS_PER_APP, renew_tokens
from tests.unit.fakes import NOW, Clock, FakeDouyin, FakeSecret, FakeTable, make_context, make_credentials, token_row

SOON, LATE = 1000, 7000


class Run:
    """A run of the schedule over tokens with these remaining lifetimes, by app; None for an app without a token."""

    def __init__(self, **lifetimes: int | None) -> None:
        self.secret = FakeSecret(dict.fromkeys(lifetimes, "s"))
        rows = {app: seconds for app, seconds in lifetimes.items() if seconds is not None}
        self.table = FakeTable(**{f"TOKEN#{app}": token_row(f"old.{app}", seconds) for app, seconds in rows.items()})
        self.douyin = FakeDouyin()
        self.clock = Clock()
        self.context = make_context(60.0, self.clock)
        self.store = TokenProvider(
            self.table, self.douyin, clock=self.clock, monotonic=self.clock, sleep=self.clock.sleep
        )

    def start(self) -> tuple[dict[str, Any], RedemptionError | None]:
        return renew_tokens(self.store, make_credentials(self.secret), self.context)

    def tokens(self) -> dict[str, str]:
        return {key.removeprefix("TOKEN#"): item["access_token"]["S"] for key, item in self.table.items.items()}


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "time", SimpleNamespace(time=lambda: NOW))


def test_tokens_that_expire_soon_are_renewed_and_the_others_left_alone() -> None:
    run = Run(a=SOON, b=LATE, c=None, d=SOON)
    assert run.start() == ({"renewed": ["a", "d"], "failed": {}, "left": 2}, None)
    assert run.tokens() == {"a": "clt.1", "b": "old.b", "d": "clt.2"}


def test_without_apps_nothing_is_done() -> None:
    run = Run()
    assert run.start() == ({"renewed": [], "failed": {}, "left": 0}, None)
    assert run.context.record.token_seconds_left is None


def test_rows_of_other_systems_are_not_read() -> None:
    run = Run(a=SOON)
    run.table.items["TOKEN#theirs"] = token_row("clt.theirs", 10)
    run.start()
    assert set(run.table.reads) == {"TOKEN#a"}
    assert run.tokens()["theirs"] == "clt.theirs"


def test_one_failed_mint_does_not_stop_the_others() -> None:
    run = Run(a=SOON, b=SOON, c=LATE)
    run.douyin.mint_results = [AppMisconfiguredError("10013", evidence=Evidence(10013, 0, "20260101L"))]
    fields, error = run.start()
    assert fields == {
        "renewed": ["b"],
        "failed": {"a": "minting failed: error_code=10013 sub_error_code=0 logid=20260101L"},
        "left": 1,
    }
    assert isinstance(error, TokenUnavailableError)
    assert run.tokens() == {"a": "old.a", "b": "clt.2", "c": "old.c"}


def test_an_unavailable_table_fails_every_app_and_not_the_run() -> None:
    run = Run(a=SOON, b=LATE)
    run.table.fails_reads = True
    fields, error = run.start()
    assert fields == {"renewed": [], "failed": {"a": "read failed", "b": "read failed"}, "left": 0}
    assert isinstance(error, StorageUnavailableError)
    assert run.context.record.token_seconds_left is None


def test_the_first_of_several_errors_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(a=SOON, b=SOON, c=LATE)
    errors = {"a": TokenUnavailableError("first"), "b": StorageUnavailableError("second")}

    def renew(app_id: str, _secret: str, _context: Any) -> bool:
        if app_id in errors:
            raise errors[app_id]
        return False

    monkeypatch.setattr(run.store, "renew_if_expiring", renew)
    assert run.start() == ({"renewed": [], "failed": {"a": "first", "b": "second"}, "left": 1}, errors["a"])


@pytest.mark.parametrize(
    ("lifetimes", "seconds_left"),
    [
        ({"a": LATE}, LATE),
        ({"a": LATE, "b": LATE - 10, "c": LATE + 10}, LATE - 10),
        ({"a": SOON}, 7200),
        ({"a": SOON, "b": LATE}, LATE),
        ({"a": None}, None),
        ({"a": None, "b": LATE}, LATE),
    ],
)
def test_the_shortest_lifetime_after_the_run_is_recorded(
    lifetimes: dict[str, int | None], seconds_left: int | None
) -> None:
    run = Run(**lifetimes)
    run.start()
    assert run.context.record.token_seconds_left == seconds_left


@pytest.mark.parametrize(("seconds", "recorded"), [(SOON, SOON), (-50, 0)])
def test_the_lifetime_of_a_token_that_was_not_renewed_is_recorded(seconds: int, recorded: int) -> None:
    run = Run(a=seconds)
    run.douyin.mint_results = [AppMisconfiguredError("10013", evidence=Evidence(10013))]
    run.start()
    assert run.context.record.token_seconds_left == recorded


def test_each_app_has_a_time_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(a=SOON, b=SOON)
    limits: list[float] = []

    def renew(_app_id: str, _secret: str, context: Any) -> bool:
        limits.append(context.deadline.remaining())
        assert context.record.calls is run.context.record.calls
        return True

    monkeypatch.setattr(run.store, "renew_if_expiring", renew)
    run.start()
    assert limits == [pytest.approx(SECONDS_PER_APP, abs=0.4)] * 2


@pytest.mark.parametrize(("text", "error_type"), [(None, StorageUnavailableError), ("planted", ConfigurationError)])
def test_without_the_secret_the_run_fails(text: str | None, error_type: type[Exception]) -> None:
    run = Run(a=SOON)
    run.secret.is_unavailable = text is None
    run.secret.text = text or ""
    with pytest.raises(error_type):
        run.start()
    assert run.table.reads == []

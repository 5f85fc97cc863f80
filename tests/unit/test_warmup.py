"""Warm-up: secret, tokens and one connection, but no mint."""

from __future__ import annotations

import pytest

from chalicelib.errors import StorageUnavailableError, UpstreamUnavailableError
from chalicelib.tokens.provider import TokenProvider
from chalicelib.warmup import warm_up
from tests.unit.fakes import (
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    InlineExecutor,
    make_context,
    make_credentials,
    token_row,
)


class Instance:
    """What an instance warms up."""

    def __init__(self, apps: int = 1) -> None:
        names = [f"tt{number}" for number in range(apps)]
        self.secret = FakeSecret(dict.fromkeys(names, "s"))
        self.table = FakeTable(**{f"TOKEN#{name}": token_row(f"clt.{name}") for name in names})
        self.douyin = FakeDouyin()
        self.executor = InlineExecutor()
        self.tokens = TokenProvider(self.table, self.douyin, clock=Clock())

    def warm_up(self) -> None:
        warm_up(make_credentials(self.secret), self.tokens, self.douyin, self.executor, make_context())


def test_secret_token_and_connection_are_there_afterwards() -> None:
    instance = Instance()
    instance.warm_up()
    assert instance.secret.reads == 1
    assert instance.douyin.connections == 1
    assert instance.executor.submitted == 1
    instance.table.fails_reads = True
    assert instance.tokens.get_token("tt0", "s", make_context()) == "clt.tt0"


def test_the_tokens_of_the_first_apps_are_read_and_none_is_minted() -> None:
    instance = Instance(apps=5)
    instance.table.items.clear()
    instance.warm_up()
    assert instance.table.reads == ["TOKEN#tt0", "TOKEN#tt1", "TOKEN#tt2"]
    assert instance.douyin.mints == []


def test_a_connection_that_fails_is_left_to_the_first_request() -> None:
    instance = Instance()
    instance.douyin.connection_error = UpstreamUnavailableError("connection")
    instance.warm_up()
    assert instance.table.reads == ["TOKEN#tt0"]


@pytest.mark.parametrize("part", ["secret", "table"])
def test_unavailable_storage_is_raised(part: str) -> None:
    instance = Instance()
    if part == "secret":
        instance.secret.is_unavailable = True
    else:
        instance.table.fails_reads = True
    with pytest.raises(StorageUnavailableError):
        instance.warm_up()

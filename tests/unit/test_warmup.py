"""Warm-up: secret, tokens and one connection, but no mint."""

import pytest

from chalicelib.certificates.listing import CertificateLister
from chalicelib.errors import StorageUnavailableError, UpstreamUnavailableError
from chalicelib.merchants import MerchantRepository
from chalicelib.tokens.provider import TokenProvider
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


class Warmup:
    """An instance for five apps."""

    def __init__(self) -> None:
        names = [f"tt{number}" for number in range(5)]
        self.secret = FakeSecret(dict.fromkeys(names, "s"))
        self.table = FakeTable(**{f"TOKEN#{name}": token_row(f"clt.{name}") for name in names})
        self.douyin = FakeDouyin()
        self.executor = InlineExecutor()
        self.tokens = TokenProvider(self.table, self.douyin, lambda *_: "s", clock=Clock())

    def warm_up(self) -> None:
        credentials, merchants = make_credentials(self.secret), MerchantRepository(self.table)
        lister = CertificateLister(merchants, self.tokens, credentials, self.douyin, self.executor)
        lister.warm_up(make_context())


@pytest.mark.parametrize("connection_error", [None, UpstreamUnavailableError("connection")])
def test_secret_first_tokens_and_connection_are_there_afterwards(
    connection_error: UpstreamUnavailableError | None,
) -> None:
    """A connection that fails is left to the first request."""
    instance = Warmup()
    instance.douyin.connection_error = connection_error
    instance.warm_up()
    assert (instance.secret.reads, instance.douyin.connections, instance.executor.submitted) == (1, 1, 1)
    assert instance.table.reads == ["TOKEN#tt0", "TOKEN#tt1", "TOKEN#tt2"]
    instance.table.fails_reads = True
    assert instance.tokens.get_token("tt0", make_context()) == "clt.tt0"


def test_no_token_is_minted() -> None:
    instance = Warmup()
    instance.table.items.clear()
    instance.warm_up()
    assert instance.douyin.mints == []


@pytest.mark.parametrize("part", ["secret", "table"])
def test_unavailable_storage_is_raised(part: str) -> None:
    instance = Warmup()
    instance.secret.is_unavailable = part == "secret"
    instance.table.fails_reads = part == "table"
    with pytest.raises(StorageUnavailableError):
        instance.warm_up()

"""What is read and opened in advance: beside a login for its list, and when an instance starts. Nothing is minted."""

import pytest

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.merchants import MerchantRepository
from chalicelib.tokens.provider import TokenProvider
from chalicelib.warmup import Warmup
from sandbox.sample_data import ACCOUNT_ID
from tests.unit.fakes import (
    APP_ID,
    Clock,
    FakeDouyin,
    FakeSecret,
    FakeTable,
    InlineExecutor,
    make_context,
    make_credentials,
    token_row,
)

MERCHANT, TOKEN = f"MERCHANT#{ACCOUNT_ID}", f"TOKEN#{APP_ID}"


class Instance:
    """An instance with one merchant and two apps."""

    def __init__(self) -> None:
        self.clock, self.douyin, self.context = Clock(), FakeDouyin(), make_context()
        self.secret = FakeSecret({"tt0": "s", APP_ID: "s"})
        merchant: Item = {"app_id": {"S": APP_ID}}
        tokens = {TOKEN: token_row("clt.row"), "TOKEN#tt0": token_row("clt.tt0")}
        self.table = FakeTable(**{MERCHANT: merchant, **tokens})
        credentials = make_credentials(self.secret, self.clock)
        self.merchants = MerchantRepository(self.table, self.clock)
        self.tokens = TokenProvider(self.table, self.douyin, credentials, self.clock)
        self.warmup = Warmup(self.merchants, self.tokens, credentials, self.douyin, InlineExecutor())

    def prepare(self) -> list[str]:
        """Prepare a list; return the warnings."""
        with self.warmup.preload_for_list(ACCOUNT_ID, self.context):
            pass
        return self.context.record.warnings


def test_a_list_reads_no_row_and_opens_no_connection_afterwards() -> None:
    instance = Instance()
    assert instance.prepare() == []
    assert (instance.table.reads, instance.douyin.connections) == ([MERCHANT, TOKEN], 1)
    assert instance.douyin.fetches == [], "no certificates are requested before the user is known"
    instance.table.fails_reads = True
    assert instance.merchants.get(ACCOUNT_ID, instance.context).app_id == APP_ID
    assert instance.tokens.get(APP_ID, instance.context) == "clt.row"


@pytest.mark.parametrize("item", [None, token_row("clt.row", -1)])
def test_without_a_token_nothing_is_minted_or_claimed_and_the_row_is_read_once(item: Item | None) -> None:
    instance = Instance()
    instance.table.items.pop(TOKEN)
    instance.table.items |= {} if item is None else {TOKEN: item}
    instance.prepare()
    assert (instance.douyin.mints, instance.table.writes) == ([], [])
    assert instance.tokens.get(APP_ID, instance.context) == "clt.1"
    assert instance.table.reads == [MERCHANT, TOKEN]


@pytest.mark.parametrize("fault", ["table", "connection", "defect"])
def test_what_fails_is_left_to_the_list_and_a_defect_is_a_warning_without_its_text(fault: str) -> None:
    instance = Instance()
    instance.table.fails_reads = fault == "table"
    if fault == "connection":
        instance.douyin.connection_error = errors.UpstreamUnavailableError("connection")
    if fault == "defect":
        instance.merchants.get = None  # type: ignore[assignment]
    warnings = instance.prepare()
    assert [text.partition(" at ")[0] for text in warnings] == (["warm-up: TypeError"] if fault == "defect" else [])


def test_it_is_waited_for_also_if_the_login_fails() -> None:
    """Lambda freezes the instance after the response."""
    instance = Instance()
    with pytest.raises(errors.LoginRefusedError), instance.warmup.preload_for_list(ACCOUNT_ID, instance.context):
        raise errors.LoginRefusedError("40018")
    assert instance.table.reads == [MERCHANT, TOKEN]


@pytest.mark.parametrize("connection_error", [None, errors.UpstreamUnavailableError("connection")])
def test_a_new_instance_has_secret_a_token_and_connection(
    connection_error: errors.UpstreamUnavailableError | None,
) -> None:
    """A connection that fails is left to the first request."""
    instance = Instance()
    instance.douyin.connection_error = connection_error
    instance.warmup.warm_up_instance(instance.context)
    assert (instance.secret.reads, instance.douyin.connections, instance.douyin.mints) == (1, 1, [])
    assert instance.table.reads == ["TOKEN#tt0"]
    instance.table.fails_reads = True
    assert instance.tokens.get("tt0", instance.context) == "clt.tt0"


@pytest.mark.parametrize("part", ["secret", "table"])
def test_unavailable_storage_is_raised_when_an_instance_starts(part: str) -> None:
    instance = Instance()
    instance.secret.is_unavailable = part == "secret"
    instance.table.fails_reads = part == "table"
    with pytest.raises(errors.StorageUnavailableError):
        instance.warmup.warm_up_instance(instance.context)

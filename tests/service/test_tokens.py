"""The conditional writes of a token's row, by the rules of DynamoDB. Everything else is in tests/unit/tokens."""

from collections.abc import Callable

import pytest

from chalicelib.aws import Table, create_clients
from chalicelib.context import Deadline, RequestContext
from chalicelib.tokens.rows import RowChangedError, TokenRow
from chalicelib.tokens.source import SharedTokenSource
from tests.harness import Aws
from tests.unit.fakes import FakeDouyin, FakeSecret, make_credentials_cache

pytestmark = pytest.mark.usefixtures("environment")

ROW = "TOKEN#tta"


class Instance:
    """An instance that has read the row, and renews its token. `on_mint` runs between claim and store."""

    def __init__(self, aws: Aws, on_mint: Callable[[], object] = lambda: None) -> None:
        self.douyin = FakeDouyin()
        self.douyin.on_mint = on_mint
        credentials = make_credentials_cache(FakeSecret({"tta": "s"}))
        self.tokens = SharedTokenSource(Table(create_clients()[0], aws.table), self.douyin, credentials)
        self.row = self.tokens.read_row("tta", RequestContext(Deadline(9)))

    def renew(self) -> TokenRow:
        return self.tokens.renew("tta", self.row, RequestContext(Deadline(9)))


@pytest.mark.parametrize("is_new", [False, True])
def test_of_two_instances_that_have_read_the_same_row_one_mints(aws: Aws, is_new: bool) -> None:
    if not is_new:
        aws.put(ROW, access_token="clt.old", expires_at=1, version=7, lease_until=1)
    second = Instance(aws)

    def claim_too() -> None:
        with pytest.raises(RowChangedError) as conflict:
            second.renew()
        assert conflict.value.row.item == aws.item(ROW)

    assert Instance(aws, claim_too).renew().access_token == "clt.1"
    assert second.douyin.mints == []
    with pytest.raises(RowChangedError):
        second.renew()
    assert set(aws.item(ROW)) == {"pk", "access_token", "expires_at", "claim", "outcome"}

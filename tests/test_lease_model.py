"""The lease against a model: any interleaving of holders that stall, die and wake, over real conditional writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chalicelib.douyin import Minted
from chalicelib.errors import UpstreamUnavailableError
from chalicelib.lease import LEASE_SECONDS, Lease, TokenRow
from chalicelib.scope import Scope
from chalicelib.storage import ConditionFailedError, Table
from chalicelib.tokens import TokenStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Aws

ACTORS = 3
ROW = "TOKEN#model"


@dataclass
class Holder:
    """What one instance knows: the row as it read it, its lease, and the token it has minted under it."""

    row: TokenRow
    lease: Lease | None = None
    minted: int | None = None


def is_holding(holder: Holder | None) -> bool:
    """Whether an actor believes that the right to mint is its own."""
    return holder is not None and holder.lease is not None


def has_minted(holder: Holder | None) -> bool:
    """Whether an actor has a token to hand in."""
    return is_holding(holder) and holder is not None and holder.minted is not None


class World:
    """The platform's mints are numbered; time passes only when told to."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.table = Table(aws.dynamodb, aws.table)
        self.now = 1_800_000_000.0
        self.mints = 0

    def wall(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def mint(self, *_: Any) -> Minted:
        self.mints += 1
        return Minted(f"clt.{self.mints:06d}", 7200)


class LeaseMachine(RuleBasedStateMachine):
    """Each step of the protocol is a rule of its own, so that hypothesis may put any other step between two of them."""

    aws: Aws

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.aws)
        self.holders: list[Holder | None] = [None] * ACTORS
        self.scope = Scope.within(10_000_000, cap=1e9)
        self.newest_written = 0

    @initialize(life=st.sampled_from([None, -10, 5]))
    def begin(self, life: int | None) -> None:
        self.aws.dynamodb.delete_item(TableName=self.aws.table, Key={"pk": {"S": ROW}})
        if life is not None:
            self.aws.put(ROW, access_token=self.world.mint().access_token, expires_at=int(self.world.now + life))
            self.newest_written = 1

    def row(self) -> TokenRow:
        return TokenRow.read(self.aws.row(ROW))

    def able(self, to: Callable[[Holder | None], bool]) -> list[int]:
        """The actors who can do something, so that no step is spent on one who cannot."""
        return [actor for actor, holder in enumerate(self.holders) if to(holder)]

    def may_take(self, holder: Holder | None) -> bool:
        """As `TokenStore` does: only when what was read shows nobody else at it."""
        return holder is not None and holder.lease is None and not holder.row.is_leased(self.world.now)

    @precondition(lambda self: self.able(lambda holder: holder is None))
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(self.able(lambda holder: holder is None)))
        self.holders[actor] = Holder(self.row())

    @precondition(lambda self: self.able(self.may_take))
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        actor = data.draw(st.sampled_from(self.able(self.may_take)))
        holder = self.holders[actor]
        assert holder is not None
        lease = Lease(self.world.table, "model", holder.row, self.world.wall, self.scope)
        try:
            lease.take()
        except ConditionFailedError as found:
            assert found.item == self.aws.row(ROW), "the loser is told what stands there"  # noqa: PT017 - it is a rule
            self.holders[actor] = None
            return
        row = self.row()
        assert row.is_leased(self.world.now)
        assert (holder.row.version or 0) + 1 == row.version, "taken as it was seen, or not at all"
        assert holder.row.access_token == row.access_token, "the old token stays"
        holder.lease = lease

    @precondition(lambda self: self.able(is_holding))
    @rule(data=st.data())
    def mint(self, data: st.DataObject) -> None:
        _, holder, _ = self.one_who_holds(data, is_holding)
        self.world.mint()
        holder.minted = self.world.mints

    @precondition(lambda self: self.able(is_holding))
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        actor, _, lease = self.one_who_holds(data, is_holding)
        try:
            lease.renew()
        except ConditionFailedError:
            self.holders[actor] = None

    @precondition(lambda self: self.able(has_minted))
    @rule(data=st.data())
    def hand_in(self, data: st.DataObject) -> None:
        actor, holder, lease = self.one_who_holds(data, has_minted)
        minted = holder.minted or 0
        before = self.aws.row(ROW)
        self.holders[actor] = None
        try:
            lease.hand_in(f"clt.{minted:06d}", int(self.world.now) + 7200)
        except ConditionFailedError:
            assert self.aws.row(ROW) == before, "a refused write changes nothing"
            return
        assert minted >= self.newest_written, "never an older token over a newer"
        self.newest_written = minted
        assert not self.row().is_leased(self.world.now)
        # Whoever else believes to hold a lease can no longer write.
        assert self.writers() == []

    @precondition(lambda self: self.able(is_holding))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        actor, _, lease = self.one_who_holds(data, is_holding)
        self.holders[actor] = None
        try:
            lease.give_up(UpstreamUnavailableError("http_503", passing=True))
        except ConditionFailedError:
            return
        assert self.row().failed_until > self.world.now
        assert self.writers() == []

    @precondition(lambda self: self.able(is_holding))
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        actor, _, _ = self.one_who_holds(data, is_holding)
        self.holders[actor] = None

    def one_who_holds(self, data: st.DataObject, able: Callable[[Holder | None], bool]) -> tuple[int, Holder, Lease]:
        actor = data.draw(st.sampled_from(self.able(able)))
        holder = self.holders[actor]
        assert holder is not None
        assert holder.lease is not None
        return actor, holder, holder.lease

    @rule(seconds=st.sampled_from([0.01, 1.0, LEASE_SECONDS - 0.5, LEASE_SECONDS + 0.1, 60.0, 8000.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @invariant()
    def one_writer_at_most(self) -> None:
        assert len(self.writers()) <= 1

    @invariant()
    def the_token_never_goes_back(self) -> None:
        token = self.row().access_token
        assert (0 if token is None else int(token[4:])) == self.newest_written

    def writers(self) -> list[Holder]:
        """Those whose next conditional write would be let through."""
        version = self.row().version
        return [h for h in self.holders if h is not None and h.lease is not None and h.lease._version == version]

    def teardown(self) -> None:
        """Whatever happened: where minting works, the next who asks gets a token that lives, for one mint at most."""
        self.holders = [None] * ACTORS
        before = self.world.mints
        row = self.row()
        self.world.now = max(self.world.now, row.failed_until)
        store = TokenStore(self.world.table, self.world, self.world.wall, self.world.sleep)  # type: ignore[arg-type]
        token = store.current("model", "secret", self.scope)
        assert self.row().access_token == token
        assert self.row().expires_at > self.world.now
        assert self.world.mints - before <= 1


@pytest.mark.usefixtures("environment")
def test_no_interleaving_breaks_the_lease(aws: Aws) -> None:
    """Never two valid writers, never an older token over a newer, always a token in the end."""
    LeaseMachine.aws = aws
    run_state_machine_as_test(
        LeaseMachine,
        settings=settings(
            max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.fixture
def world(aws: Aws) -> World:
    aws.put(ROW, access_token="clt.000000", expires_at=1)
    return World(aws)


def a_lease(world: World) -> Lease:
    row = TokenRow.read(world.aws.row(ROW))
    return Lease(world.table, "model", row, world.wall, Scope.within(10_000))


def test_of_two_who_saw_the_same_row_one_takes_it(world: World) -> None:
    first, second = a_lease(world), a_lease(world)
    first.take()
    with pytest.raises(ConditionFailedError):
        second.take()


def test_who_was_replaced_can_neither_write_nor_renew_nor_give_up(world: World) -> None:
    slow = a_lease(world)
    slow.take()
    world.now += LEASE_SECONDS + 0.1
    other = a_lease(world)
    other.take()
    stands = world.aws.row(ROW)
    for late in (
        lambda: slow.hand_in("clt.late", 1),
        slow.renew,
        lambda: slow.give_up(UpstreamUnavailableError("http_503")),
    ):
        with pytest.raises(ConditionFailedError):
            late()
        assert world.aws.row(ROW) == stands
    other.hand_in("clt.000002", 2)
    with pytest.raises(ConditionFailedError):
        slow.hand_in("clt.late", 1)
    assert world.aws.row(ROW)["access_token"] == {"S": "clt.000002"}


def test_a_token_put_there_by_hand_is_not_minted_away(world: World) -> None:
    """Whoever writes without knowing of versions is noticed all the same."""
    lease = a_lease(world)
    world.aws.put(ROW, access_token="clt.by-hand", expires_at=2)
    with pytest.raises(ConditionFailedError):
        lease.take()
    world.aws.dynamodb.delete_item(TableName=world.aws.table, Key={"pk": {"S": ROW}})
    first = a_lease(world)
    world.aws.put(ROW, access_token="clt.by-hand", expires_at=2)
    with pytest.raises(ConditionFailedError):
        first.take()


def test_a_write_whose_answer_was_lost_counts_when_it_is_repeated(world: World) -> None:
    """The SDK repeats a write whose answer did not come; the condition must not take our own hand for another's."""
    lease = a_lease(world)
    write = world.table.write

    def twice(*arguments: Any) -> Any:
        write(*arguments)
        return write(*arguments)

    world.table.write = twice  # type: ignore[method-assign, assignment]
    lease.take()
    world.table.write = write  # type: ignore[method-assign]
    lease.hand_in("clt.000001", 2)
    assert world.aws.row(ROW)["access_token"] == {"S": "clt.000001"}

"""Model test of the lease: instances that stall, die and continue in any order, with real conditional writes."""

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

from chalicelib.aws import ConditionFailedError, Table
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.protocol import MintedToken
from chalicelib.errors import UpstreamUnavailableError
from chalicelib.tokens.lease import LEASE_SECONDS, Lease, TokenRow
from chalicelib.tokens.provider import TokenProvider
from tests.harness import examples

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Aws

# Thousands of steps: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

INSTANCE_COUNT = 3
ROW = "TOKEN#model"


@dataclass
class Instance:
    """State of one instance: the row as it read it and when, its lease, and the number of the token that it minted."""

    row: TokenRow
    read_at: float
    lease: Lease | None = None
    minted: int | None = None


def has_lease(instance: Instance | None) -> bool:
    """Return whether an instance believes that it holds the lease."""
    return instance is not None and instance.lease is not None


def has_token(instance: Instance | None) -> bool:
    """Return whether an instance has a token to commit."""
    return instance is not None and instance.lease is not None and instance.minted is not None


class Environment:
    """The table, a platform that numbers its tokens, and a clock that only the test moves."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.table = Table(aws.dynamodb, aws.table)
        self.now = 1_800_000_000.0
        self.mints = 0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def mint_token(self, *_: Any) -> MintedToken:
        self.mints += 1
        return MintedToken(f"clt.{self.mints:06d}", 7200)

    def read_row(self) -> TokenRow:
        return TokenRow.from_item(self.aws.row(ROW))

    def create_lease(self, row: TokenRow | None = None) -> Lease:
        """Return a lease, not yet acquired, for the row as it is now or as it was read before."""
        return Lease(self.table, "model", row or self.read_row(), self.clock, RequestContext(Deadline(10_000)))


class LeaseMachine(RuleBasedStateMachine):
    """Each step of the protocol is a separate rule, so hypothesis can put any other step between two of them."""

    aws: Aws

    def __init__(self) -> None:
        super().__init__()
        self.environment = Environment(self.aws)
        self.instances: list[Instance | None] = [None] * INSTANCE_COUNT
        self.committed = 0

    @initialize(expires_in=st.sampled_from([None, -10, 5]))
    def write_first_token(self, expires_in: int | None) -> None:
        self.aws.dynamodb.delete_item(TableName=self.aws.table, Key={"pk": {"S": ROW}})
        if expires_in is not None:
            token = self.environment.mint_token().access_token
            self.aws.put(ROW, access_token=token, expires_at=int(self.environment.now + expires_in))
            self.committed = 1

    def select(self, condition: Callable[[Instance | None], bool]) -> list[int]:
        """Return the instances that can do a step, so that no step is wasted on another one."""
        return [number for number, instance in enumerate(self.instances) if condition(instance)]

    def may_acquire(self, instance: Instance | None) -> bool:
        """Return whether TokenProvider would try to acquire the lease: no other holds it, or not any more."""
        if instance is None or instance.lease is not None:
            return False
        now = self.environment.now
        return not instance.row.is_leased(now, now - instance.read_at)

    def draw_holder(
        self, data: st.DataObject, condition: Callable[[Instance | None], bool] = has_lease
    ) -> tuple[int, Instance, Lease]:
        number = data.draw(st.sampled_from(self.select(condition)))
        instance = self.instances[number]
        assert instance is not None
        assert instance.lease is not None
        return number, instance, instance.lease

    @precondition(lambda self: self.select(lambda instance: instance is None))
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.select(lambda instance: instance is None)))
        self.instances[number] = Instance(self.environment.read_row(), self.environment.now)

    @precondition(lambda self: self.select(self.may_acquire))
    @rule(data=st.data())
    def acquire(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.select(self.may_acquire)))
        instance = self.instances[number]
        assert instance is not None
        lease = self.environment.create_lease(instance.row)
        try:
            lease.acquire()
        except ConditionFailedError as conflict:
            assert conflict.item == self.aws.row(ROW), "the error has the present item"  # noqa: PT017 - it is a rule
            self.instances[number] = None
            return
        row = self.environment.read_row()
        assert row.is_leased(self.environment.now, 0)
        assert (instance.row.version or 0) + 1 == row.version, "the row has not changed since it was read"
        assert instance.row.access_token == row.access_token, "the old token stays"
        instance.lease = lease

    @precondition(lambda self: self.select(has_lease))
    @rule(data=st.data())
    def mint(self, data: st.DataObject) -> None:
        _, instance, _ = self.draw_holder(data)
        self.environment.mint_token()
        instance.minted = self.environment.mints

    @precondition(lambda self: self.select(has_lease))
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        number, _, lease = self.draw_holder(data)
        try:
            lease.extend()
        except ConditionFailedError:
            self.instances[number] = None

    @precondition(lambda self: self.select(has_token))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        number, instance, lease = self.draw_holder(data, has_token)
        minted = instance.minted or 0
        before = self.aws.row(ROW)
        self.instances[number] = None
        try:
            lease.commit(f"clt.{minted:06d}", int(self.environment.now), int(self.environment.now) + 7200)
        except ConditionFailedError:
            assert self.aws.row(ROW) == before, "a failed write changes nothing"
            return
        assert minted >= self.committed, "an older token never replaces a newer one"
        self.committed = minted
        row = self.environment.read_row()
        assert not row.is_leased(self.environment.now, 0)
        assert self.list_writers(row) == [], "no other holder can write any more"

    @precondition(lambda self: self.select(has_lease))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number, _, lease = self.draw_holder(data)
        self.instances[number] = None
        try:
            lease.release(UpstreamUnavailableError("http_503", retryable=True))
        except ConditionFailedError:
            return
        row = self.environment.read_row()
        assert row.failed_until > self.environment.now
        assert self.list_writers(row) == []

    @precondition(lambda self: self.select(has_lease))
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        number, _, _ = self.draw_holder(data)
        self.instances[number] = None

    @rule(seconds=st.sampled_from([0.01, 1.0, LEASE_SECONDS - 0.5, LEASE_SECONDS + 0.1, 60.0, 8000.0]))
    def wait(self, seconds: float) -> None:
        self.environment.now += seconds

    @invariant()
    def check_row(self) -> None:
        row = self.environment.read_row()
        assert len(self.list_writers(row)) <= 1, "at most one instance can write"
        number = 0 if row.access_token is None else int(row.access_token.removeprefix("clt."))
        assert number == self.committed, "the row has the token that was committed last"

    def list_writers(self, row: TokenRow) -> list[Instance]:
        """Return the instances whose next conditional write would succeed."""
        return [i for i in self.instances if i is not None and i.lease is not None and i.lease._version == row.version]

    def teardown(self) -> None:
        """After any history, the next request gets a valid token with at most one mint."""
        self.instances = [None] * INSTANCE_COUNT
        environment = self.environment
        mints = environment.mints
        environment.now = max(environment.now, environment.read_row().failed_until)
        store = TokenProvider(
            environment.table,
            environment,  # type: ignore[arg-type]
            clock=environment.clock,
            monotonic=environment.clock,
            sleep=environment.sleep,
        )
        token = store.get_token("model", "secret", RequestContext(Deadline(10_000)))
        row = environment.read_row()
        assert row.access_token == token
        assert row.expires_at > environment.now
        assert environment.mints - mints <= 1


@pytest.mark.usefixtures("environment")
def test_no_order_of_steps_breaks_the_lease(aws: Aws) -> None:
    """Never two instances that can write, never an older token over a newer one, always a token in the end."""
    LeaseMachine.aws = aws
    run_state_machine_as_test(
        LeaseMachine,
        settings=settings(
            max_examples=examples(25), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.fixture
def model(aws: Aws) -> Environment:
    aws.put(ROW, access_token="clt.000000", expires_at=1)
    return Environment(aws)


def test_only_one_of_two_instances_that_read_the_same_row_acquires_the_lease(model: Environment) -> None:
    first, second = model.create_lease(), model.create_lease()
    first.acquire()
    with pytest.raises(ConditionFailedError):
        second.acquire()


def test_a_replaced_holder_can_neither_commit_nor_extend_nor_release(model: Environment) -> None:
    slow = model.create_lease()
    slow.acquire()
    model.now += LEASE_SECONDS + 0.1
    other = model.create_lease()
    other.acquire()
    before = model.aws.row(ROW)
    for write in (
        lambda: slow.commit("clt.late", 0, 1),
        slow.extend,
        lambda: slow.release(UpstreamUnavailableError("http_503")),
    ):
        with pytest.raises(ConditionFailedError):
            write()
        assert model.aws.row(ROW) == before
    other.commit("clt.000002", 0, 2)
    with pytest.raises(ConditionFailedError):
        slow.commit("clt.late", 0, 1)
    assert model.aws.row(ROW)["access_token"] == {"S": "clt.000002"}


def test_a_token_that_was_written_by_hand_is_not_overwritten(model: Environment) -> None:
    """The operator does not set a `version`."""
    lease = model.create_lease()
    model.aws.put(ROW, access_token="clt.by-hand", expires_at=2)
    with pytest.raises(ConditionFailedError):
        lease.acquire()
    model.aws.dynamodb.delete_item(TableName=model.aws.table, Key={"pk": {"S": ROW}})
    first = model.create_lease()
    model.aws.put(ROW, access_token="clt.by-hand", expires_at=2)
    with pytest.raises(ConditionFailedError):
        first.acquire()


def test_a_retried_write_whose_first_response_was_lost_succeeds(model: Environment) -> None:
    """The retry conflicts with the change that the first attempt has made."""
    lease = model.create_lease()
    update_item = model.table.update_item

    def update_twice(*arguments: Any) -> Any:
        update_item(*arguments)
        return update_item(*arguments)

    model.table.update_item = update_twice  # type: ignore[method-assign, assignment]
    lease.acquire()
    model.table.update_item = update_item  # type: ignore[method-assign]
    lease.commit("clt.000001", 0, 2)
    assert model.aws.row(ROW)["access_token"] == {"S": "clt.000001"}

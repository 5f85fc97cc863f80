"""The token store in a simulation: instances whose clocks differ, with stalls, deaths and lost responses.

The instances run the real TokenProvider and Lease, each in a thread, over one table in memory. Only one thread runs at
a time, and time passes only in `sleep` and in calls to the table and the platform: each example is reproducible.
"""

import heapq
import itertools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from chalicelib import errors
from chalicelib.aws import Item
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.protocol import MintedToken
from chalicelib.tokens.provider import TokenProvider
from chalicelib.tokens.renewal import renew_expiring_tokens
from chalicelib.tokens.rows import LEASE_SECONDS, LONG_PAUSE_SECONDS, SHORT_PAUSE_SECONDS, YOUNG_SECONDS
from tests.unit.fakes import NOW, FakeDouyin, FakeSecret, FakeTable, make_credentials, token_row

# Thousands of steps: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

ROW = "TOKEN#model"
SECRET = make_credentials(FakeSecret({"model": "secret"}))
REQUEST_SECONDS = (9.0, 6.0)
"""A list, and the list of a login."""

MAX_RESPONSE_SECONDS = 10.0
MAX_RECOVERY_SECONDS = 15.0
HOUR = 3600.0

FAULT_SECONDS = 40.0
"""Faults happen in this time. After it and the longest pause, every request must be served."""

RECOVERED_AT = FAULT_SECONDS + LONG_PAUSE_SECONDS + MAX_RECOVERY_SECONDS


class Died(BaseException):
    """Ends the thread of an instance that was killed. Not an Exception: the code under test must not catch it."""


class Simulation:
    """Simulated time in seconds. Each process is a thread that runs only while the simulation waits for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._is_over = False
        self._error: BaseException | None = None
        self._idle = threading.Semaphore(0)
        self._queue: list[tuple[float, int, threading.Semaphore]] = []
        self._numbers = itertools.count()

    def start(self, body: Callable[[], None]) -> None:
        """Add a process that begins now."""

        def run() -> None:
            try:
                self.sleep(0.0)
                body()
            except Died:
                pass
            except BaseException as error:
                self._error = error
            self._idle.release()

        threading.Thread(target=run, daemon=True).start()
        self._idle.acquire()

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass in a process; raises Died at the end of the simulation."""
        turn = threading.Semaphore(0)
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), turn))
        self._idle.release()
        turn.acquire()
        if self._is_over:
            raise Died

    def run(self, until: float) -> None:
        """Run the processes up to this time, then end them; raises what one of them raised."""
        while self._queue:
            at, _, turn = heapq.heappop(self._queue)
            self.now = min(at, until)
            self._is_over = at > until
            turn.release()
            self._idle.acquire()
            if self._error is not None:
                raise self._error


class Mint(NamedTuple):
    """What the platform does with a mint: the time that it takes, an error in place of the token, a lost response."""

    seconds: float = 0.1
    error: errors.RedemptionError | None = None
    is_lost: bool = False


@dataclass
class Plan:
    """The faults of one instance: by the number of the call to the table or platform, from 0."""

    offset: float = 0.0
    stalls: dict[int, float] = field(default_factory=dict)
    dies_at: int | None = None
    table_faults: dict[int, str] = field(default_factory=dict)


class Response(NamedTuple):
    """The response to a request. `code` is `ok` or the error; `seconds` is without the time of stalls."""

    at: float
    instance: str
    code: str
    seconds: float


@dataclass
class World:
    """The platform and the table. `mints` are the results of the next mints; then all succeed, or all fail."""

    simulation: Simulation
    mints: list[Mint] = field(default_factory=list)
    mint_error: errors.RedemptionError | None = None
    is_refusing: bool = False
    items: dict[str, Item] = field(default_factory=dict)
    #: When a token was requested, and when one was minted.
    calls: list[float] = field(default_factory=list)
    minted: list[float] = field(default_factory=list)
    #: The tokens that the platform accepts, and those that were written into the row.
    tokens: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    refused: list[tuple[str, float]] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    killed: set[str] = field(default_factory=set)

    @property
    def has_faults(self) -> bool:
        return self.simulation.now < FAULT_SECONDS

    def mint(self) -> str:
        self.minted.append(self.simulation.now)
        token = f"clt.{len(self.minted)}"
        self.tokens = [*self.tokens[-1:], token]
        return token

    def revoke(self) -> None:
        """Invalidate all tokens; nobody knows when the newest was minted, so it is replaced at once."""
        self.items[ROW] = {name: value for name, value in self.items[ROW].items() if name != "minted_at"}
        self.revoke_young()

    def revoke_young(self) -> None:
        self.tokens = []

    def expire_row(self) -> None:
        self.items[ROW] = {**self.items[ROW], "expires_at": {"N": str(int(NOW) - 7200)}}

    def accepts(self, token: str) -> bool:
        """Return whether a token is the newest one, or the one before, which works for five minutes more."""
        is_current = self.simulation.now - self.minted[-1] < 300
        return token in self.tokens[0 if is_current else -1 :] and not self.is_refusing


class SimulatedInstance:
    """One instance: it asks for a token every second or so, and uses it."""

    def __init__(self, world: World, name: str, plan: Plan, pause: float) -> None:
        self.name = name
        self.world = world
        self._plan = plan
        self._pause = pause
        self._calls = itertools.count()
        self._seconds = itertools.cycle(REQUEST_SECONDS)
        self._stalled = 0.0
        self.store = self.start()
        world.simulation.start(self._run)

    def start(self) -> TokenProvider:
        return TokenProvider(
            SimulatedTable(self),
            SimulatedDouyin(self),
            lambda *_: "secret",
            clock=self.clock,
            sleep=self.world.simulation.sleep,
            uniform=lambda low, _: low,
        )

    def clock(self) -> float:
        return NOW + self._plan.offset + self.world.simulation.now

    def call(self, seconds: float = 0.01) -> str:
        """Let the time of a call pass, with the instance's stall or death; return the table fault of this call."""
        number = next(self._calls)
        if self.world.has_faults:
            if number == self._plan.dies_at:
                self.world.killed.add(self.name)
                raise Died
            stall = self._plan.stalls.get(number, 0.0)
            self.world.simulation.sleep(stall)
            self._stalled += stall
        self.world.simulation.sleep(seconds)
        return self._plan.table_faults.get(number, "") if self.world.has_faults else ""

    def _run(self) -> None:
        while True:
            self._request()
            self.world.simulation.sleep(self._pause)

    def _request(self) -> None:
        started, self._stalled = self.world.simulation.now, 0.0
        code = "ok"
        try:
            self._use_token(RequestContext(Deadline(next(self._seconds), self.clock)))
        except errors.RedemptionError as error:
            code = type(error).__name__
        now = self.world.simulation.now
        self.world.responses.append(Response(now, self.name, code, now - started - self._stalled))

    def _use_token(self, context: RequestContext) -> None:
        """Use a token as `RenewableToken` does: a refused one is renewed once."""
        token = self.store.get("model", context)
        if not self.world.accepts(token):
            self.world.refused.append((self.name, self.world.simulation.now))
            token = self.store.renew_refused("model", token, context)
            if not self.world.accepts(token):
                raise errors.StorageUnavailableError("the renewed token was refused as well")


class NewInstances(SimulatedInstance):
    """Each request is on a new instance. Their clocks differ by these times, one after the other."""

    def __init__(self, world: World, name: str, offsets: list[float], pause: float) -> None:
        self._offsets = itertools.cycle(offsets)
        super().__init__(world, name, Plan(), pause)

    def _request(self) -> None:
        self._plan.offset = next(self._offsets)
        self.store = self.start()
        super()._request()


class Schedule(SimulatedInstance):
    """The scheduled function: renews the token if it expires within half an hour."""

    def _run(self) -> None:
        while True:
            renew_expiring_tokens(self.store, SECRET, RequestContext(Deadline(10.0, self.clock)))
            self.world.simulation.sleep(self._pause)


class SimulatedTable(FakeTable):
    """The table as one instance sees it: with the time of each call, lost calls and responses, and the deadline."""

    def __init__(self, instance: SimulatedInstance) -> None:
        super().__init__()
        self.items = instance.world.items
        self._instance = instance

    def _check_calls(self) -> None:
        """Time passes in every call: no loop is endless."""

    def get_item(self, pk: str, context: RequestContext) -> Item:
        context.deadline.check()
        fault = self._instance.call()
        check_deadline(context)
        if fault in ("drop", "lose"):
            raise errors.StorageUnavailableError("timeout")
        return super().get_item(pk, context)

    def update_item(self, pk: str, update: str, condition: str, values: Item, context: RequestContext) -> Item:
        context.deadline.check()
        fault = self._instance.call()
        if fault == "drop":
            raise errors.StorageUnavailableError("timeout")
        item = super().update_item(pk, update, condition, values, context)
        if ":access_token" in values:
            self._instance.world.stored.append(values[":access_token"]["S"])
        self._instance.call()
        check_deadline(context)
        if fault == "lose":
            raise errors.StorageUnavailableError("timeout")
        # The first response was lost: the repetition meets our own write.
        return super().update_item(pk, update, condition, values, context) if fault == "repeat" else item


def check_deadline(context: RequestContext) -> None:
    """Abort a call at the deadline, as `aws.Table` does."""
    if context.deadline.remaining() <= 0:
        raise errors.StorageUnavailableError("timeout")


class SimulatedDouyin(FakeDouyin):
    """The platform as one instance sees it."""

    def __init__(self, instance: SimulatedInstance) -> None:
        super().__init__()
        self._instance = instance

    def mint_token(self, app_id: str, app_secret: str, context: RequestContext) -> MintedToken:
        del app_id, app_secret
        world, limit = self._instance.world, context.deadline.remaining()
        result = world.mints.pop(0) if world.mints and world.has_faults else Mint(error=world.mint_error)
        world.calls.append(world.simulation.now)
        self._instance.call(min(result.seconds, limit) / 2)
        if result.error is not None:
            raise result.error
        token = world.mint()
        self._instance.call(min(result.seconds, limit) / 2)
        if result.seconds > limit or result.is_lost:
            late = errors.UpstreamTimeoutError if result.is_lost else errors.DeadlineExceededError
            raise late("timeout")
        return MintedToken(token, 7200)


def simulate(
    plans: list[Plan], row: Item, mints: list[Mint] | None = None, changes: list[tuple[float, str]] | None = None
) -> World:
    """Run one example, and check it. `row` also gets a token. `changes` are (time, name of a method of World)."""
    simulation = Simulation()
    world = World(simulation, mints or [])
    world.items[ROW] = {"pk": {"S": ROW}, "access_token": {"S": world.mint()}, **row}
    for number, plan in enumerate(plans, 1):
        SimulatedInstance(world, str(number), plan, pause=0.8 + number / 10)
    Schedule(world, "schedule", Plan(), pause=9.0)

    def change() -> None:
        for at, name in sorted(changes or []):
            simulation.sleep(max(0.0, at - simulation.now))
            getattr(world, name)()

    simulation.start(change)
    simulation.run(RECOVERED_AT + 10)
    numbers = [int(token.removeprefix("clt.")) for token in world.stored]
    assert numbers == sorted(numbers), "an older token was stored over a newer one"
    assert all(response.seconds <= MAX_RESPONSE_SECONDS for response in world.responses)
    later = [response for response in world.responses if response.at > RECOVERED_AT - MAX_RECOVERY_SECONDS]
    assert {response.instance for response in later if response.code == "ok" and response.at <= RECOVERED_AT} == {
        str(number) for number in range(1, len(plans) + 1)
    } - world.killed
    assert {response.code for response in later if response.at > RECOVERED_AT} <= {"ok"}
    check_calls(world)
    return world


def check_calls(world: World) -> None:
    """The platform allows 500 mint calls of an app in five minutes, and each token ends the one before the last."""
    for times, limit, seconds in ((world.calls, 100, 60.0), (world.minted, 6, 10.0)):
        for earlier, later in zip(times, times[limit:], strict=False):
            assert later - earlier >= seconds, f"more than {limit} in {seconds} s at {later}"


clocks = st.floats(-1, 1).map(lambda offset: round(offset, 1))
calls = st.integers(0, 30)
good_mints = st.sampled_from([Mint(0.1), Mint(1.0), Mint(2.5)])
failed_mints = st.sampled_from(
    [
        Mint(5.0),
        Mint(0.1, is_lost=True),
        Mint(0.1, errors.UpstreamUnavailableError("http_503")),
        Mint(0.1, errors.AppMisconfiguredError("10013", evidence=errors.Evidence(10013, 0))),
    ]
)
change_lists = st.lists(
    st.tuples(st.floats(0, FAULT_SECONDS - 10), st.sampled_from(["revoke", "revoke_young", "expire_row"])), max_size=4
)

fault_plans = st.builds(
    Plan,
    clocks,
    st.dictionaries(calls, st.sampled_from([0.5, 2.0, LEASE_SECONDS + 0.1, 7.0, 20.0]), max_size=3),
    st.none() | calls,
    st.dictionaries(calls, st.sampled_from(["lose", "repeat", "drop"]), max_size=5),
)


def examples(count: int) -> settings:
    """Return settings for this number of examples; in a nightly run, for many more."""
    count *= 60 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 1
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@examples(15)
@given(
    st.lists(fault_plans, min_size=3, max_size=3),
    st.lists(good_mints | failed_mints, max_size=8),
    change_lists,
    st.sampled_from([-100, -30, 0, 1, 30]),
)
def test_after_faults_everyone_has_a_token(
    plans: list[Plan], mints: list[Mint], changes: list[tuple[float, str]], expires: int
) -> None:
    """No older token over a newer one, few mints, and no slow response; `expires` is when the row's token expires."""
    simulate(plans, token_row(None, expires), mints, changes)


@pytest.mark.parametrize("seconds", [0.1, 2.1, 2.5, 2.9])
@pytest.mark.parametrize("offsets", [(0.0, 2.0, 1.0), (2.0, 0.0, 0.0)])
def test_with_clocks_two_seconds_apart_everyone_is_served_and_two_mint_at_most(
    seconds: float, offsets: tuple[float, ...]
) -> None:
    """The holder's clock may be behind: its lease seems to end while it mints."""
    simulation = Simulation()
    world = World(simulation, [Mint(seconds)] * 10)
    world.items[ROW] = {"pk": {"S": ROW}, **token_row(None, -100)}
    for number, offset in enumerate(offsets):
        SimulatedInstance(world, str(number), Plan(offset), pause=0.5)
    simulation.run(20.0)
    assert {response.code for response in world.responses} == {"ok"}
    assert len(world.minted) <= 2


@examples(8)
@given(st.lists(clocks, min_size=3, max_size=3), st.sampled_from([0.1, 1.0, 1.9]), st.sampled_from([-100, 0, 1]))
def test_one_instance_mints_for_all(offsets: list[float], seconds: float, expires: int) -> None:
    plans = [Plan(offset) for offset in offsets]
    assert len(simulate(plans, token_row(None, expires), [Mint(seconds)]).minted) == 2, "the first token and a new one"


@pytest.mark.parametrize("seconds", [0.1, 2.0, 2.5, 2.9])
def test_a_mint_beside_a_dead_holder_is_stored_however_long_it_takes(seconds: float) -> None:
    simulation = Simulation()
    world = World(simulation, [Mint(seconds)] * 30)
    times = {"lease_until": int(NOW + LEASE_SECONDS) * 1000}
    world.items[ROW] = {"pk": {"S": ROW}, **token_row(None, -100, **times), "lease_owner": {"S": "dead"}}
    for number in range(1, 4):
        NewInstances(world, str(number), [0.0], 0.3 + number / 10)
    simulation.run(30.0)
    assert (len(world.minted), world.stored) == (1, ["clt.1"])
    assert {response.code for response in world.responses if response.at > LEASE_SECONDS + 6.0} == {"ok"}


@examples(15)
@given(
    st.lists(clocks, min_size=3, max_size=3),
    st.sampled_from([0.0, 1.0, 10.0, 29.0, 60.0, 119.0, HOUR, -HOUR, -60.0, -1.0]),
    st.sampled_from([0.0, 1.0, 10.0, 29.0, 60.0, HOUR, -HOUR, -60.0]),
    st.sampled_from([None, 2.0, 30.0, HOUR, -HOUR]),
    st.sampled_from(["", "dead"]),
)
def test_no_value_in_the_row_stops_anyone_for_long(
    offsets: list[float], lease_until: float, failed_until: float, pause: float | None, owner: str
) -> None:
    times = {"lease_until": lease_until, "failed_until": failed_until}
    times |= {} if pause is None else {"failed_at": failed_until - pause}
    row = token_row(None, -100, version=7, **{name: int(NOW + seconds) * 1000 for name, seconds in times.items()})
    row |= {"lease_owner": {"S": owner}} if owner else {}
    world = simulate([Plan(offset) for offset in offsets], row)
    served = {response.instance for response in world.responses if response.code == "ok" and response.at <= 30 + 4}
    assert served == {"1", "2", "3"}


class Failure(NamedTuple):
    """What the platform answers to a mint, or that it refuses every token, and how long a pause follows."""

    error: errors.RedemptionError | None
    pause: float


MISCONFIGURED = errors.AppMisconfiguredError("10013", evidence=errors.Evidence(10013, 0))
FAILURES = {
    "busy": Failure(errors.UpstreamUnavailableError("http_503"), SHORT_PAUSE_SECONDS),
    "timeout": Failure(errors.UpstreamTimeoutError("timeout"), SHORT_PAUSE_SECONDS),
    "refused secret": Failure(MISCONFIGURED, LONG_PAUSE_SECONDS),
    "refused tokens": Failure(None, YOUNG_SECONDS),
}


@pytest.mark.parametrize("failure", FAILURES)
@examples(8)
@given(
    fleet=st.lists(st.builds(Plan, clocks), min_size=2, max_size=3)
    | st.lists(st.lists(clocks, min_size=1, max_size=4), min_size=2, max_size=3),
    seconds=st.floats(1, 40),
    revoked_after=st.floats(0, 20),
)
def test_a_platform_that_fails_gets_few_calls_and_errors_end_soon_after_it(
    failure: str, fleet: list[Plan] | list[list[float]], seconds: float, revoked_after: float
) -> None:
    """Requests without pause: mints fail for some time, and later all tokens are revoked."""
    error, pause = FAILURES[failure]
    simulation = Simulation()
    world = World(simulation, mint_error=error, is_refusing=error is None)
    world.items[ROW] = {"pk": {"S": ROW}, **token_row(world.mint(), -100)}
    for number, member in enumerate(fleet, 1):
        start: Any = SimulatedInstance if isinstance(member, Plan) else NewInstances
        start(world, str(number), member, 0.3 + number / 10)
    ends_at = seconds + pause + 5
    revoked_at = ends_at + revoked_after

    def change() -> None:
        simulation.sleep(seconds)
        world.mint_error, world.is_refusing = None, False
        simulation.sleep(revoked_at - simulation.now)
        world.revoke_young()

    simulation.start(change)
    simulation.run(revoked_at + YOUNG_SECONDS + 10)
    check_calls(world)
    failed = [response.at for response in world.responses if response.code != "ok"]
    assert [at for at in failed if ends_at < at < revoked_at or at > revoked_at + YOUNG_SECONDS + 5] == []


def test_a_renewal_whose_response_was_lost_costs_each_instance_one_refusal_and_one_mint_in_all() -> None:
    """The platform ends the token in the row five minutes after the mint that nobody knows of."""
    simulation = Simulation()
    world = World(simulation, [Mint(is_lost=True)])
    world.items[ROW] = {"pk": {"S": ROW}, **token_row(world.mint(), 1700)}
    for number in range(1, 4):
        SimulatedInstance(world, str(number), Plan(), pause=number)
    Schedule(world, "schedule", Plan(), pause=600)
    simulation.run(400)
    assert {response.code for response in world.responses} == {"ok"}
    assert sorted(name for name, _ in world.refused) == ["1", "2", "3"]
    assert min(at for _, at in world.refused) >= 300
    assert len(world.minted) == 3, "the first token, the lost one, and one after the refusals"

"""The rule of the claim in a simulation: all orders of two or three instances with faults, and random schedules.

The instances run the real AuthorizedCalls and SharedTokenSource, each in a thread, over one table in memory. Only one
thread runs at a time, and time passes only between calls: each example is reproducible.
"""

import itertools
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from chalicelib import errors
from chalicelib.authorized_calls import AuthorizedCalls
from chalicelib.aws import Item
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.calls import CLIENT_TOKEN, QUERY_USER_CERTIFICATES, PlatformCall
from chalicelib.douyin.protocol import MintedToken
from chalicelib.tokens.renewal import renew_expiring_tokens
from chalicelib.tokens.rows import CLAIM_INTERVAL_SECONDS
from chalicelib.tokens.source import SharedTokenSource
from tests.simulation import IS_NIGHTLY, Died, Simulation, all_orders
from tests.unit.fakes import NOW, FakeDouyin, FakeSecret, FakeTable, make_credentials_cache, token_item

# Thousands of steps: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

ROW = "TOKEN#model"
RECOVERY_SECONDS = 25.0
"""How long after the last fault an instance may be without a token that works."""

SCHEDULES = 900 if IS_NIGHTLY else 15


class Response(NamedTuple):
    at: float
    instance: str
    is_served: bool
    seconds: float


class World:
    """The platform, and the table that all share. `latency` is the time of each call."""

    def __init__(self, choose: Callable[[int], int], row: Item | None, latency: Callable[[], float]) -> None:
        self.simulation = Simulation(choose)
        self.latency = latency
        self.mint_seconds: Callable[[], float] = lambda: 0.3
        self.fails_to_mint: Callable[[], bool] = lambda: False
        self.minted: list[float] = []
        self.stored: list[int] = []
        self.claims: list[float] = []
        self.responses: list[Response] = []
        self.killed: set[str] = set()
        first = self.mint()
        self.items: dict[str, Item] = {}
        if row is not None:
            self.items[ROW] = {"pk": {"S": ROW}, "access_token": {"S": first}, **row}

    def mint(self) -> str:
        self.minted.append(self.simulation.now)
        return f"clt.{len(self.minted) - 1}"

    def accepts(self, token: str) -> bool:
        """Return whether a token is the newest, or the one before it for five minutes."""
        newer = self.minted[int(token.removeprefix("clt.")) + 1 :]
        return not newer or (len(newer) == 1 and self.simulation.now < newer[0] + 300)

    def check(self, faults_end: float) -> None:
        assert self.stored == sorted(self.stored), "an older token was stored over a newer one"
        for earlier, later in itertools.pairwise(self.claims):
            assert later - earlier >= CLAIM_INTERVAL_SECONDS - 2, f"claims at {earlier} and {later}"
        late = [r for r in self.responses if not r.is_served and r.at > faults_end + RECOVERY_SECONDS]
        assert late == [], "somebody has no token long after the faults"
        assert all(response.seconds <= 10.0 for response in self.responses)


class Instance:
    """An instance that sends one request after the other. `faults` are those of its calls, by their number from 0."""

    def __init__(
        self, world: World, name: str, offset: float = 0.0, faults: Mapping[int, str] | None = None, pause: float = 1.0
    ) -> None:
        self.world, self.name, self.offset, self.faults = world, name, offset, dict(faults or {})
        self.calls = itertools.count()
        sleep = world.simulation.sleep
        secret = make_credentials_cache(FakeSecret({"model": "secret"}))
        self.tokens = SharedTokenSource(SimulatedTable(self), SimulatedDouyin(self), secret, self.clock, sleep)
        self.credentials_cache = secret
        self.pause = pause
        world.simulation.start(self.run)

    def clock(self) -> float:
        return NOW + self.offset + self.world.simulation.now

    def step(self, seconds: float | None = None) -> str:
        """Let the time of a call pass; return its fault."""
        self.world.simulation.sleep(self.world.latency() if seconds is None else seconds)
        fault = self.faults.get(next(self.calls), "")
        if fault == "die":
            self.world.killed.add(self.name)
            raise Died
        return fault

    def run(self) -> None:
        while True:
            started = self.world.simulation.now
            context = RequestContext(Deadline(9.0, self.clock))
            try:
                AuthorizedCalls(self.tokens.douyin, self.tokens, "model", context).send(QUERY_USER_CERTIFICATES, {})
                is_served = True
            except errors.ServiceError:
                is_served = False
            now = self.world.simulation.now
            self.world.responses.append(Response(now, self.name, is_served, now - started))
            self.world.simulation.sleep(self.pause)


class Schedule(Instance):
    """The scheduled function."""

    def run(self) -> None:
        while True:
            renew_expiring_tokens(self.tokens, self.credentials_cache, RequestContext(Deadline(10.0, self.clock)))
            self.world.simulation.sleep(self.pause)


class OldInstance(Instance):
    """An instance of 0.14.0 that renews the token once: its writes, with its conditions and attributes."""

    def run(self) -> None:
        item = dict(self.tokens.table.get_item(ROW, RequestContext(Deadline(60.0))))
        with suppress(errors.StorageUnavailableError):
            if not self._write(
                item, {"lease_owner": {"S": "old"}, "lease_until": {"N": str(int(self.clock() + 4) * 1000)}}
            ):
                return
            self.step()
            token = self.world.mint()
            times: Item = {"minted_at": {"N": "1"}, "expires_at": {"N": str(int(self.clock()) + 7200)}}
            self._write(item, {"access_token": {"S": token}, **times}, "REMOVE lease_owner, lease_until")

    def _write(self, item: Item, changes: Item, removal: str = "") -> bool:
        known = {name: item[name] for name in ("version", "access_token") if name in item}
        version = int(item.get("version", {"N": "0"})["N"]) + 1
        changes = {**changes, "version": {"N": str(version)}}
        conditions = [
            f"{name} = :k_{name}" if name in known else f"attribute_not_exists({name})"
            for name in ("version", "access_token")
        ]
        values = {f":{name}": value for name, value in changes.items()} | {f":k_{n}": v for n, v in known.items()}
        update = f"SET {', '.join(f'{name} = :{name}' for name in changes)} {removal}"
        context = RequestContext(Deadline(60.0))
        present = self.tokens.table.update_item(ROW, update, " AND ".join(conditions), values, context)
        item["version"] = changes["version"]
        return present.items() >= changes.items()


class SimulatedTable(FakeTable):
    """The table as one instance sees it. A write may be refused, or its response lost and the write repeated."""

    def __init__(self, instance: Instance) -> None:
        super().__init__()
        self.items = instance.world.items
        self._instance = instance

    def _check_calls(self) -> None:
        """Time passes in every call: no loop is endless."""

    def get_item(self, pk: str, context: RequestContext) -> Item:
        context.deadline.require_remaining()
        if self._instance.step() == "refuse":
            raise errors.StorageUnavailableError("timeout")
        item = super().get_item(pk, context)
        self._instance.step()
        return item

    def update_item(self, pk: str, update: str, condition: str, values: Item, context: RequestContext) -> Item:
        context.deadline.require_remaining()
        world, fault = self._instance.world, self._instance.step()
        if fault == "refuse":
            raise errors.StorageUnavailableError("timeout")
        item = super().update_item(pk, update, condition, values, context)
        is_done = all(
            item.get(name[1:]) == value for name, value in values.items() if name[1:6] != "known" and name[1:3] != "k_"
        )
        if is_done and ":access_token" in values:
            world.stored.append(int(values[":access_token"]["S"].removeprefix("clt.")))
        if is_done and ":claim" in values:
            world.claims.append(world.simulation.now)
        after = self._instance.step()
        if fault == "lose":
            raise errors.StorageUnavailableError("timeout")
        # The first response was lost: the repetition meets our own write.
        return super().update_item(pk, update, condition, values, context) if after == "lose" else item


class SimulatedDouyin(FakeDouyin):
    """The platform as one instance sees it."""

    def __init__(self, instance: Instance) -> None:
        super().__init__()
        self._instance = instance

    def send(
        self,
        platform_call: PlatformCall[Any],
        body: Mapping[str, Any],
        context: RequestContext,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        del body
        world, limit = self._instance.world, context.deadline.require_remaining()
        if platform_call is not CLIENT_TOKEN:
            self._instance.step()
            if not world.accepts((headers or {})["access-token"]):
                raise errors.TokenRefusedError("2190008")
            return None
        seconds = world.mint_seconds()
        fault = self._instance.step(min(seconds, limit) / 2)
        if fault == "refuse" or world.fails_to_mint():
            raise errors.UpstreamUnavailableError("http_503")
        token = world.mint()
        fault = self._instance.step(min(seconds, limit) / 2) or fault
        if fault == "lose" or seconds > limit:
            raise errors.UpstreamTimeoutError("timeout")
        return MintedToken(token, 7200)


EXPIRED = token_item(None, -100)
CALLS = range(10)
"""The calls of an instance from the first read to the first page: before and after each call is a step."""


@pytest.mark.parametrize(
    ("row", "is_refused"), [(None, False), (EXPIRED, False), (token_item(None, 3600), True)], ids=str
)
@pytest.mark.parametrize("offsets", [(0.0, 0.0), (2.0, 0.0), (0.0, 1.0, 2.0)], ids=str)
def test_a_storm_has_one_mint_and_everybody_is_served_in_every_order(
    row: Item | None, is_refused: bool, offsets: tuple[float, ...]
) -> None:
    for choose in all_orders(6 if len(offsets) == 2 else 4):
        world = World(choose, row, lambda: 0.0)
        if is_refused:
            # Another system has minted twice.
            world.mint()
            world.mint()
        before = len(world.minted)
        for number, offset in enumerate(offsets):
            Instance(world, str(number), offset)
        world.simulation.run(3.0)
        assert len(world.minted) - before == 1
        assert {response.is_served for response in world.responses} == {True}
        world.check(0.0)


@pytest.mark.parametrize("fault", ["refuse", "lose", "die"])
@pytest.mark.parametrize("call", CALLS)
def test_after_a_fault_of_any_call_everybody_is_served_in_every_order(fault: str, call: int) -> None:
    for choose in all_orders(4):
        world = World(choose, EXPIRED, lambda: 0.0)
        Instance(world, "0", 1.0, {call: fault}, pause=4.0)
        Instance(world, "1", -1.0, pause=4.0)
        world.simulation.run(RECOVERY_SECONDS + 6)
        world.check(0.0)
        assert len(world.minted) <= 3
        assert {r.instance for r in world.responses if r.at > RECOVERY_SECONDS} == {"0", "1"} - world.killed


@pytest.mark.parametrize("row", [EXPIRED, EXPIRED | {"version": {"N": "7"}}, token_item(None, 900)], ids=str)
def test_with_a_released_instance_no_older_token_replaces_a_newer_one(row: Item) -> None:
    """During a deployment: an extra mint may happen, and all tokens that are stored work for all."""
    for choose in all_orders(4):
        world = World(choose, row, lambda: 0.0)
        OldInstance(world, "old")
        Instance(world, "0")
        Schedule(world, "schedule", pause=600.0)
        world.simulation.run(3.0)
        world.check(0.0)
        assert len(world.minted) <= 3
        assert {response.is_served for response in world.responses} == {True}
    assert world.stored


def test_a_token_that_is_written_by_hand_is_not_overwritten_in_any_order() -> None:
    for choose in all_orders(6):
        world = World(choose, EXPIRED, lambda: 0.0)

        def write(world: World = world) -> None:
            world.simulation.sleep(0.0)
            token = world.mint()
            world.items[ROW] = {**world.items[ROW], **token_item(token)}
            world.stored.append(int(token.removeprefix("clt.")))

        world.simulation.start(write)
        Instance(world, "0")
        world.simulation.run(3.0)
        world.check(0.0)
        assert {response.is_served for response in world.responses} == {True}
        assert world.items[ROW]["access_token"]["S"] == f"clt.{world.stored[-1]}"


@pytest.mark.parametrize(
    ("times", "failing_seconds"),
    [(range(100, 3000, 300), 0.0), ([100], 0.0), ([100, 105], 20.0), ([100, 102, 104], 20.0)],
    ids=str,
)
def test_another_system_that_mints_costs_nothing_but_twice_in_ten_seconds(
    times: list[int], failing_seconds: float
) -> None:
    world = World(lambda _: 0, token_item(None, 7000), lambda: 0.02)

    def mint() -> None:
        for at in times:
            world.simulation.sleep(at - world.simulation.now)
            world.mint()

    world.simulation.start(mint)
    for number in range(3):
        Instance(world, str(number), number - 1.0, pause=2.0)
    world.simulation.run(max(times) + 200.0)
    failed = [response.at for response in world.responses if not response.is_served]
    assert (max(failed) - min(failed) if failed else 0.0) <= failing_seconds
    world.check(max(times))


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_after_random_faults_everybody_is_served(seed: int) -> None:
    """Slow calls, lost and refused ones, deaths, failing mints, clocks that differ, and other systems, for a minute."""
    rng = random.Random(seed)  # noqa: S311 - a schedule
    row = token_item(None, rng.choice([-100, 0, 30, 1700]))
    world = World(rng.randrange, row, lambda: rng.choice([0.005, 0.05, 0.05, 0.4]))
    world.mint_seconds = lambda: rng.choice([0.1, 0.6, 2.5, 3.5]) if world.simulation.now < 60 else 0.3
    world.fails_to_mint = lambda: world.simulation.now < 60 and rng.random() < 0.3
    for number in range(3):
        faults = {rng.randrange(60): rng.choice(["refuse", "lose"]) for _ in range(6)}
        if number and rng.random() < 0.4:
            faults[rng.randrange(40)] = "die"
        Instance(world, str(number), rng.uniform(-1, 1), faults, pause=2.7 + number / 10)
    Schedule(world, "schedule", pause=9.0)

    def interfere() -> None:
        while world.simulation.now < 60:
            world.simulation.sleep(rng.uniform(5, 40))
            world.mint()

    world.simulation.start(interfere)
    world.simulation.run(140.0)
    # A second mint of the other system may follow the last one at once.
    world.check(100.0)
    assert len(world.claims) <= 140 / (CLAIM_INTERVAL_SECONDS - 2)

"""Fault run: many instances with different clocks share one token while faults are switched on and off.

`python -m benchmarks.fault_run --minutes 10 --seed 1 --processes 8 [--history FILE]` prints a table of figures and the
violations that `benchmarks.history` finds. The exit status is 1 when there are any.

Each instance is a process of Lambda's own runtime client over the bundle. It reaches the table through a proxy and the
mock platform on a port of its own. Faults: failing and slow DynamoDB calls, failing and slow platform calls, processes
that are stopped or killed (also at the moment in which they acquire the lease or mint), revoked tokens, and rows whose
expires_at is in the past or missing. A period with faults is followed by one without, in which the instances recover.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from benchmarks import history as h
from chalicelib.tokens.lease import LEASE_SECONDS
from infra.bundle import current_archive
from sandbox import gateway, sample_data, server, stack
from sandbox.dynamodb_proxy import DynamoDbFault, DynamoDbProxy, TableCall
from sandbox.faults import Fault, FaultPlan
from sandbox.mock_platform import MockPlatform
from sandbox.runtime import FunctionError, Instance
from sandbox.sample_data import APP_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.history import Event

FAULT_SECONDS = 40.0
QUIET_SECONDS = 18.0
"""Length of a period with faults, and of the one without faults after it."""

STEP_SECONDS = (0.5, 2.0)
"""Random time between two changes of the faults."""

PAUSE_SECONDS = (0.15, 0.4)
"""Random time between two requests to one instance."""

STOP_SECONDS = (0.3, 1.0, 3.0, 5.0, 7.0)
"""Some are longer than the lease."""

MAX_CLOCK_OFFSET = 60.0
READY_SECONDS = 30.0
CUSTOMERS = 4
OPERATOR = "operator"
EXPIRE_UPDATES: tuple[dict[str, Any], ...] = (
    {"UpdateExpression": "SET expires_at = :past", "ExpressionAttributeValues": {":past": {"N": "1700000000"}}},
    {"UpdateExpression": "REMOVE expires_at"},
)

NORMAL_MINT: dict[str, Any] = {"call": "client_token", "kind": "delay", "seconds": 0.3}
"""Without another fault a mint takes this time, so that several instances find the token missing meanwhile."""

MINT_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "http", "status": 500},
    {"kind": "http", "status": 503, "times": 2},
    {"kind": "reset", "times": 2},
    {"kind": "truncate", "times": 2},
    {"kind": "hang", "times": 1},
    {"kind": "delay", "seconds": 1.0},
    {"kind": "delay", "seconds": 2.0},
    {"kind": "delay", "seconds": 5.0, "times": 2},
    {"kind": "drip", "seconds": 0.2, "bytes": 1, "times": 2},
    {"kind": "body", "body": "<html>", "times": 2},
)
RATE_LIMIT_FAULT: dict[str, Any] = {"call": "client_token", "kind": "code", "code": 10020, "times": 1}
"""After it no instance mints for 30 s, so it is used only at the start of a period with faults."""

RATE_LIMIT_PROBABILITY = 0.25
RATE_LIMIT_SECONDS = 3.0
QUERY_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "http", "status": 502},
    {"kind": "delay", "seconds": 0.5},
    {"kind": "reset", "times": 20},
    {"kind": "truncate", "times": 20},
    {"kind": "hang", "times": 2},
    {"kind": "drip", "seconds": 0.01, "bytes": 200},
    {"kind": "code", "code": 2100004},
    {"kind": "code", "code": 2119003, "times": 5},
)
TABLE_FAULT_KINDS = ("delay", "error", "throttle", "drop", "lose", "drip")

_caller: ContextVar[str] = ContextVar("caller")


class Recorder:
    """Collects the events, in the order of `record`; `on_event` runs after each."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda _: None
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._start

    def record(self, event_type: type[Event], *fields: Any) -> None:
        """Append an event that takes effect now."""
        with self._lock:
            event = event_type(round(self.now(), 4), *fields)
            self.events.append(event)
        self.on_event(event)


class RecordingPlatform(MockPlatform):
    """The mock platform. It records mints and revocations, and names the tokens."""

    def __init__(self, recorder: Recorder, current_fault: Callable[[], str | None]) -> None:
        super().__init__(sample_data.load())
        self._recorder = recorder
        self._current_fault = current_fault
        self.names: dict[str, str] = {}

    def mint_token(self, body: Any) -> dict[str, Any]:
        """Mint, and record it."""
        result = super().mint_token(body)
        name = self.names[result["access_token"]] = f"token-{len(self.names) + 1}"
        self._recorder.record(h.Minted, _caller.get(), name)
        if self._current_fault() == "truncate":
            self._recorder.record(h.MintLost, name)
        return result

    def revoke_tokens(self, app_id: str) -> None:
        """Revoke, and record it."""
        super().revoke_tokens(app_id)
        self._recorder.record(h.TokensRevoked)


class RecordingServer(server.MockServer):
    """The mock platform's server, with one port for each instance."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(RecordingPlatform(recorder, lambda: self.calls[-1]["fault"]))
        self._recorder = recorder
        self._callers: dict[int, str] = {}
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._runner.setup())
        self.set_faults()

    @property
    def names(self) -> dict[str, str]:
        """The tokens' names."""
        assert isinstance(self.platform, RecordingPlatform)  # noqa: S101 - for the type checker
        return self.platform.names

    def open_port(self, caller: str) -> str:
        """Serve an instance on a new port; return the URL."""
        port = stack.free_port()
        self._callers[port] = caller
        self._run(web.TCPSite(self._runner, "127.0.0.1", port).start())
        return f"http://127.0.0.1:{port}"

    def revoke(self) -> None:
        """Invalidate all tokens."""
        self._loop.call_soon_threadsafe(self.platform.revoke_tokens, APP_ID)

    def set_faults(self, *rules: dict[str, Any]) -> None:
        """Replace the fault rules; NORMAL_MINT stays the last one."""
        plan = FaultPlan()
        plan.faults = [Fault(**rule) for rule in (*rules, NORMAL_MINT)]
        self.fault_plan = plan

    def close(self) -> None:
        """Stop serving."""
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _mint_token(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None  # noqa: S101 - for the type checker: the request was just received
        _caller.set(self._callers[request.transport.get_extra_info("sockname")[1]])
        minted_before = len(self.names)
        try:
            return await super()._mint_token(request)
        except asyncio.CancelledError:
            # The client has gone. Mints of other tasks may have happened meanwhile: find this task's own.
            self._record_lost(minted_before, _caller.get())
            raise

    def _record_lost(self, minted_before: int, caller: str) -> None:
        names = set(list(self.names.values())[minted_before:])
        for event in reversed(self._recorder.events):
            if isinstance(event, h.Minted) and event.instance == caller:
                if event.token in names:
                    self._recorder.record(h.MintLost, event.token)
                return

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


@dataclass
class Slot:
    """A place for an instance. After a kill, another instance with another clock takes it."""

    number: int
    generation: int = 0
    name: str = ""
    instance: Instance | None = None
    stopped_until: float | None = None
    restart_at: float | None = None
    killed: set[str] = field(default_factory=set)


class FaultRun:
    """The instances, their customers and the faults."""

    def __init__(self, bundle: Path, aws: stack.Process, recorder: Recorder, seed: int, processes: int) -> None:
        self._bundle = bundle
        self._recorder = recorder
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - test faults, not a secret
        self._secret, self._table = stack.create_resources(aws.url, stack.STAGE)
        self._platform = RecordingServer(recorder)
        self._proxy = DynamoDbProxy(aws.url, seed, self._record_call, self._record_fault, recorder.now)
        session: Any = stack.aws_session()
        self._operator = session.client("dynamodb", endpoint_url=self._proxy.open_port(OPERATOR, has_faults=False))
        self._slots = [Slot(number) for number in range(1, processes + 1)]
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._request_number = 0
        self._trap: tuple[str, Literal["stop", "kill"]] | None = None
        self.headers: list[dict[str, str]] = []

    def run(self, minutes: float) -> None:
        """Run for this time, at least one period with faults and one without."""
        for slot in self._slots:
            self._start_instance(slot)
        self._wait_until_ready()
        self.headers = [self._log_in(customer) for customer in list(sample_data.load().customers)[:CUSTOMERS]]
        self._recorder.on_event = self._spring_trap
        threads = [threading.Thread(target=self._send_requests, args=(slot,), daemon=True) for slot in self._slots]
        for thread in threads:
            thread.start()
        end = time.monotonic() + minutes * 60
        while True:
            self._run_faults()
            self._end_faults()
            self._tend_until(time.monotonic() + QUIET_SECONDS)
            if time.monotonic() + FAULT_SECONDS + QUIET_SECONDS > end:
                break
        self._done.set()
        for thread in threads:
            thread.join(2 * h.MAX_RESPONSE_SECONDS)

    def close(self) -> None:
        """Stop all instances and servers."""
        self._done.set()
        for slot in self._slots:
            if slot.instance is not None:
                slot.instance.__exit__(None, None, None)
        self._proxy.__exit__(None, None, None)
        self._platform.close()

    # The faults

    def _run_faults(self) -> None:
        self._recorder.record(h.FaultsStarted)
        end = time.monotonic() + FAULT_SECONDS
        actions: dict[Callable[[], str], int] = {
            self._revoke: 4,
            self._expire_row: 3,
            self._fail_table: 6,
            self._heal_table: 2,
            self._fail_mints: 4,
            self._fail_queries: 2,
            self._heal_platform: 2,
            self._stop_random: 2,
            self._kill_random: 1,
            self._set_trap: 3,
        }
        if self._random.random() < RATE_LIMIT_PROBABILITY:
            self._recorder.record(h.FaultSet, f"{self._describe('client_token', RATE_LIMIT_FAULT)}, {self._revoke()}")
            self._tend_until(time.monotonic() + RATE_LIMIT_SECONDS)
            self._platform.set_faults()
        while time.monotonic() < end:
            [action] = self._random.choices(list(actions), list(actions.values()))
            self._recorder.record(h.FaultSet, action())
            self._tend_until(min(end, time.monotonic() + self._random.uniform(*STEP_SECONDS)))

    def _end_faults(self) -> None:
        """Switch all faults off, and let all instances run."""
        self._trap = None
        self._proxy.set_faults()
        self._platform.set_faults()
        self._platform.calls.clear()
        for slot in self._slots:
            if slot.stopped_until is not None:
                slot.stopped_until = 0.0
            if slot.restart_at is not None:
                slot.restart_at = 0.0
        self._tend_instances()
        self._wait_until_ready()
        self._recorder.record(h.FaultsEnded)

    def _revoke(self) -> str:
        self._platform.revoke()
        return "revoke the tokens"

    def _expire_row(self) -> str:
        update = self._random.choice(EXPIRE_UPDATES)
        with suppress(self._operator.exceptions.ConditionalCheckFailedException):
            self._operator.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"TOKEN#{APP_ID}"}},
                ConditionExpression="attribute_exists(access_token)",
                **update,
            )
        return f"row: {update['UpdateExpression']}"

    def _fail_table(self) -> str:
        names = [slot.name for slot in self._slots]
        callers = frozenset(self._random.sample(names, self._random.randint(1, len(names))))
        fault = DynamoDbFault(
            self._random.choice(TABLE_FAULT_KINDS),
            self._random.choice(["*", "*", "UpdateItem", "GetItem"]),
            self._random.choice([None, callers]),
            self._random.choice([0.2, 0.6, 1.0]),
        )
        if fault.kind == "delay":
            fault.seconds = self._random.choice([0.2, 0.7, 2.0])
        self._proxy.set_faults(fault)
        who = "all" if fault.callers is None else len(callers)
        return f"table: {fault.kind} {fault.operation}, callers: {who}, probability: {fault.probability:g}"

    def _heal_table(self) -> str:
        self._proxy.set_faults()
        return "table: no fault"

    def _fail_mints(self) -> str:
        return self._describe("client_token", {"call": "client_token"} | self._random.choice(MINT_FAULTS))

    def _fail_queries(self) -> str:
        rule = {"call": "query_user_certificates"} | self._random.choice(QUERY_FAULTS)
        return self._describe("query_user_certificates", rule)

    def _describe(self, call: str, rule: dict[str, Any]) -> str:
        self._platform.set_faults(rule)
        self._platform.calls.clear()
        return f"{call}: {rule['kind']}"

    def _heal_platform(self) -> str:
        self._platform.set_faults()
        return "platform: no fault"

    def _stop_random(self) -> str:
        self._stop(self._random.choice(self._slots))
        return "stop a random instance"

    def _kill_random(self) -> str:
        self._kill(self._random.choice(self._slots))
        return "kill a random instance"

    def _set_trap(self) -> str:
        """Stop or kill the next instance that acquires the lease or mints, and make the token unusable."""
        self._trap = (self._random.choice(["acquire", "mint"]), self._random.choice(["stop", "stop", "kill"]))
        self._platform.revoke()
        return f"revoke the tokens, {self._trap[1]} the next instance at: {self._trap[0]}"

    def _spring_trap(self, event: Event) -> None:
        """Runs in the thread that has recorded the event, before the instance gets the response."""
        trap = self._trap
        if trap is None:
            return
        is_acquire = isinstance(event, h.RowWrite) and event.action == "acquire" and event.is_applied
        if not (is_acquire if trap[0] == "acquire" else isinstance(event, h.Minted)):
            return
        self._trap = None
        assert isinstance(event, (h.RowWrite, h.Minted))  # noqa: S101 - for the type checker
        slot = next((slot for slot in self._slots if slot.name == event.instance), None)
        if slot is not None:
            (self._stop if trap[1] == "stop" else self._kill)(slot)

    # The instances

    def _stop(self, slot: Slot) -> None:
        with self._lock:
            is_running = slot.stopped_until is None and slot.restart_at is None
            if slot.instance is None or slot.instance.ready_at is None or not is_running:
                return
            slot.stopped_until = time.monotonic() + self._random.choice(STOP_SECONDS)
            self._recorder.record(h.InstanceStopped, slot.name)
            slot.instance.popen.send_signal(signal.SIGSTOP)

    def _kill(self, slot: Slot) -> None:
        with self._lock:
            if slot.instance is None or slot.restart_at is not None:
                return
            slot.stopped_until = None
            slot.restart_at = time.monotonic() + self._random.uniform(0.5, 4.0)
            slot.killed.add(slot.name)
            self._recorder.record(h.InstanceKilled, slot.name)
            slot.instance.popen.kill()

    def _tend_until(self, end: float) -> None:
        while time.monotonic() < end:
            self._tend_instances()
            time.sleep(0.05)

    def _tend_instances(self) -> None:
        """Continue stopped instances and replace killed ones, when it is time."""
        now = time.monotonic()
        for slot in self._slots:
            with self._lock:
                if slot.stopped_until is not None and now >= slot.stopped_until and slot.instance is not None:
                    slot.stopped_until = None
                    self._recorder.record(h.InstanceContinued, slot.name)
                    slot.instance.popen.send_signal(signal.SIGCONT)
            if slot.restart_at is not None and now >= slot.restart_at and slot.instance is not None:
                slot.instance.__exit__(None, None, None)
                self._start_instance(slot)

    def _start_instance(self, slot: Slot) -> None:
        slot.generation += 1
        name = f"{slot.number}.{slot.generation}"
        offset = self._random.uniform(-MAX_CLOCK_OFFSET, MAX_CLOCK_OFFSET)
        environment = stack.function_environment(
            self._proxy.open_port(name), self._platform.open_port(name), self._secret, self._table
        )
        self._recorder.record(h.InstanceStarted, name, round(offset, 1))
        with self._lock:
            slot.name, slot.restart_at = name, None
            slot.instance = Instance(
                self._bundle, "app.app", environment, output=subprocess.DEVNULL, clock_offset=offset
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while any(slot.instance is None or slot.instance.ready_at is None for slot in self._slots):
            if time.monotonic() > deadline:
                raise RuntimeError(f"an instance is not ready after {READY_SECONDS:g} s")
            time.sleep(0.05)

    # The customers

    def _log_in(self, customer: str) -> dict[str, str]:
        instance = self._slots[0].instance
        assert instance is not None  # noqa: S101 - for the type checker: all instances are ready
        code = self._platform.platform.issue_login_code(APP_ID, customer)
        body = json.dumps({"app_id": APP_ID, "code": code})
        event = gateway.build_event("POST", "/v1/sessions", {"Content-Type": "application/json"}, body)
        token = gateway.parse_response(instance.invoke(event)).json["token"]
        return {"Authorization": f"Bearer {token}"}

    def _send_requests(self, slot: Slot) -> None:
        choose = random.Random(self._seed * 1000 + slot.number)  # noqa: S311 - a test load, not a secret
        while not self._done.wait(choose.uniform(*PAUSE_SECONDS)):
            with self._lock:
                instance, name = slot.instance, slot.name
            if instance is None or instance.ready_at is None or name in slot.killed:
                continue
            self._send_request(slot, instance, name, choose.choice(self.headers))

    def _send_request(self, slot: Slot, instance: Instance, name: str, headers: dict[str, str]) -> None:
        with self._lock:
            self._request_number += 1
            number = self._request_number
        self._recorder.record(h.RequestStarted, name, number)
        started = time.monotonic()
        try:
            result = instance.invoke(gateway.build_event("GET", gateway.certificates_url(), headers))
        except FunctionError:
            status, code = 0, "killed" if name in slot.killed else "function_error"
        else:
            response = gateway.parse_response(result)
            status, code = response.status, "ok" if response.status == 200 else str(response.json["code"])
        self._recorder.record(h.RequestEnded, name, number, round(time.monotonic() - started, 4), status, code)

    # The table

    def _record_call(self, call: TableCall) -> None:
        names = self._platform.names
        if call.operation == "GetItem":
            item = call.response.get("Item", {})
            token = item.get("access_token", {}).get("S")
            self._recorder.record(h.RowRead, call.caller, _version(item), names.get(token, token))
            return
        values = call.request.get("ExpressionAttributeValues", {})
        token = values.get(":token", {}).get("S")
        action = "expire" if call.caller == OPERATOR else _action(values)
        version = _version(call.response.get("Attributes", {}))
        self._recorder.record(
            h.RowWrite, call.caller, action, call.status == 200, version, None if token is None else names[token]
        )

    def _record_fault(self, caller: str, operation: str, kind: str) -> None:
        self._recorder.record(h.TableFault, caller, operation, kind)


def _action(values: dict[str, Any]) -> str:
    if ":token" in values:
        return "commit"
    return "acquire" if ":owner" in values else "release"


def _version(item: dict[str, Any]) -> int | None:
    return int(item["version"]["N"]) if "version" in item else None


def count_faults(history: Sequence[Event]) -> Counter[str]:
    """Return how often each fault happened."""
    faults: Counter[str] = Counter()
    for event in history:
        match event:
            case h.FaultSet():
                faults[f"set: {event.description.partition(', ')[0]}"] += 1
            case h.TableFault():
                faults[f"DynamoDB call: {event.kind}"] += 1
            case h.TokensRevoked():
                faults["tokens revoked"] += 1
            case h.InstanceKilled():
                faults["instance killed"] += 1
            case _:
                pass
    for stop in h.find_stops(history):
        length = "longer" if stop.end - stop.start > LEASE_SECONDS else "shorter"
        faults[f"instance stopped, {length} than the lease"] += 1
    return faults


def report(history: Sequence[Event]) -> list[str]:
    """Return the lines of the Markdown report."""
    lines = ["| outcome | requests | median ms | slowest ms, without stops |", "|---|---:|---:|---:|"]
    starts = {event.request: event.at for event in history if isinstance(event, h.RequestStarted)}
    stops = h.find_stops(history)
    seconds: dict[str, list[float]] = {}
    for event in history:
        if isinstance(event, h.RequestEnded):
            stopped = h.stopped_seconds(stops, event.instance, starts[event.request], event.at)
            seconds.setdefault(event.code, []).append(max(0.0, event.seconds - stopped))
    for code, values in sorted(seconds.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {code} | {len(values):,} | {median(values) * 1000:.0f} | {max(values) * 1000:.0f} |")
    renewals = h.find_renewals(history)
    lines += ["", "| mints per renewal | renewals | of these with a disturbed mint |", "|---:|---:|---:|"]
    counts = Counter(len(renewal.mints) for renewal in renewals)
    disturbed = Counter(len(renewal.mints) for renewal in renewals if renewal.disturbed)
    lines += [f"| {mints} | {count} | {disturbed[mints]} |" for mints, count in sorted(counts.items())]
    lost = sum(isinstance(event, h.MintLost) for event in history)
    lines += ["", f"Mints whose response was lost (not counted above): {lost}", ""]
    lines += ["| fault | times |", "|---|---:|"]
    lines += [f"| {name} | {count:,} |" for name, count in sorted(count_faults(history).items())]
    recovery = h.find_recovery_seconds(history)
    known = [value for _, _, value in recovery if value is not None]
    lines += [
        "",
        "| periods without faults | instances that recovered | median s | slowest s |",
        "|---:|---:|---:|---:|",
    ]
    periods = len({ended for ended, _, _ in recovery})
    figures = f"{median(known):.2f} | {max(known):.2f}" if known else "- | -"
    lines.append(f"| {periods} | {len(known)} of {len(recovery)} | {figures} |")
    return lines


def main() -> None:
    """Run, print the report and the violations, and exit with status 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--history", type=Path, help="write the history to this file, one JSON object a line")
    arguments = parser.parse_args()
    recorder = Recorder()
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="douyin-redemption-")))
        with zipfile.ZipFile(current_archive()) as archive:
            archive.extractall(folder)
        aws = resources.enter_context(stack.run_server("sandbox.aws"))
        fault_run = FaultRun(folder, aws, recorder, arguments.seed, arguments.processes)
        resources.callback(fault_run.close)
        try:
            fault_run.run(arguments.minutes)
        finally:
            history = list(recorder.events)
            if arguments.history is not None:
                arguments.history.write_bytes(b"".join(h.encode(event) + b"\n" for event in history))
    violations = h.find_violations(history)
    total = sum(isinstance(event, h.RequestEnded) for event in history)
    print(
        f"{arguments.minutes:g} minutes, seed {arguments.seed}, {arguments.processes} processes: "
        f"{total:,} requests, {len(violations)} violations\n"
    )
    print("\n".join(report(history)))
    for violation in violations:
        print(f"\nviolation at {violation.at:.1f} s, {violation.rule}: {violation.message}")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()

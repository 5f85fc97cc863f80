"""Fault run: `python -m tests.fault_run --minutes 10`.

Instances with different clocks share one token while faults come and go: failing DynamoDB calls, failing mints,
instances that are stopped or killed (also just after they have acquired the lease or minted), and revoked tokens. After
each period with faults comes one without, in which everybody must be served again.

Each instance is a process of Lambda's own runtime client over the bundle, with a port of the mock platform and an AWS
access key id of its own. `tests.token_rules` judges the history. The exit status is 1 after a violation or an internal
error.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from sandbox import gateway, sample_data, stack
from sandbox.faults import CallDetails, Fault
from sandbox.mock_platform import MockPlatform
from sandbox.runtime import FunctionError, Instance
from sandbox.sample_data import APP_ID, CUSTOMER
from sandbox.server import _ENTRY, BuildResponse, Codes, MockServer
from tests import policies
from tests import token_rules as rules
from tests.aws_proxy import AwsHttpCall, NetworkFault, Refusal, run_aws_proxy
from tests.fleet import wait_until
from tests.harness import age_token

INSTANCES = 8
MAX_CLOCK_OFFSET = 60.0
FAULT_SECONDS, QUIET_SECONDS = 40.0, 18.0
"""Length of a period with faults, and of the one without faults after it."""

STEP_SECONDS = (0.5, 2.0)
"""Random time between two changes of the faults."""

PAUSE_SECONDS = (0.15, 0.4)
"""Random time between two requests to one instance."""

STOP_SECONDS = (0.3, 1.0, 3.0, 5.0, 7.0)
"""Some are longer than the lease."""

RESTART_SECONDS = (0.5, 4.0)
READY_SECONDS = 30.0
"""Limit for the start of an instance, and for all instances to run again after the faults."""

ALL_CALLS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

MINT_SECONDS = 0.3
"""A mint takes this time, so that several instances find the token missing meanwhile."""

MINT_FAULTS = (
    Fault("http", "client_token", times=2),
    Fault("reset", "client_token", times=2),
    Fault("truncate", "client_token", times=2),
    Fault("hang", "client_token", times=1),
    Fault("delay", "client_token", seconds=1.0),
    Fault("delay", "client_token", seconds=5.0, times=2),
)
TABLE_FAULTS = (
    NetworkFault("delay", 0.2),
    NetworkFault("delay", 2.0),
    NetworkFault("drop"),
    NetworkFault("lose"),
    Refusal(500, "InternalServerError"),
)


class RecordingServer(MockServer):
    """The mock platform, with a port for each instance. `on_mint` gets caller, token, and whether a fault hit it."""

    def __init__(self, on_mint: Callable[[str, str, bool], None]) -> None:
        super().__init__(MockPlatform(sample_data.load()))
        self._on_mint = on_mint
        self._callers: dict[int, str] = {}
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(self.application(), shutdown_timeout=0.1, handler_cancellation=True)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._runner.setup())

    def open_port(self, caller: str) -> str:
        """Serve an instance on a port of its own; return the URL."""
        port = stack.free_port()
        self._callers[port] = caller
        self._run(web.TCPSite(self._runner, "127.0.0.1", port).start())
        return f"http://127.0.0.1:{port}"

    def revoke(self, record: Callable[[], None]) -> None:
        """Invalidate all tokens, and call `record` before anything else happens."""

        async def revoke() -> None:
            self.platform.revoke_tokens(APP_ID)
            record()

        self._run(revoke())

    async def _respond(
        self, request: web.Request, details: CallDetails, build_response: BuildResponse
    ) -> web.StreamResponse:
        caller = self._callers[request.url.port or 0]

        def build_and_record(codes: Codes | None) -> tuple[dict[str, Any], int]:
            envelope, code = build_response(codes)
            if details.call == "client_token" and not code:
                self._on_mint(caller, envelope["data"]["access_token"], request[_ENTRY]["fault"] is not None)
            return envelope, code

        response = await super()._respond(request, details, build_and_record)
        if details.call == "client_token":
            await asyncio.sleep(MINT_SECONDS)
        return response

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


@dataclass
class Slot:
    """A place for an instance, None while it is killed. After a kill, another one with another clock takes it."""

    name: str
    environment: dict[str, str]
    instance: Instance | None = None
    is_running: bool = False


class FaultRun:
    """The instances, their customers and the faults."""

    def __init__(self, resources: ExitStack) -> None:
        self.history: list[rules.Event] = []
        self.codes: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._random = random.Random(1)  # noqa: S311 - test faults, not a secret
        self._is_done = threading.Event()
        self._trap = ""
        self._table_fault: tuple[NetworkFault | Refusal, str, set[str], float] | None = None
        self._dependencies = resources.enter_context(stack.run_dependencies())
        self._proxy = resources.enter_context(run_aws_proxy(self._dependencies.aws.url))
        self._proxy.refuse, self._proxy.observe = self._choose_table_fault, self._observe
        self._platform = RecordingServer(self._record_mint)
        self._callers: dict[str, str] = {}
        account = stack.emulated_account(self._dependencies.aws.url)
        self._iam, self._dynamodb = account.client("iam"), account.client("dynamodb")
        self._slots = {str(number): self._create_slot(str(number)) for number in range(1, INSTANCES + 1)}
        resources.callback(self._close)

    def run(self, minutes: float) -> None:
        """Run for this time, at least one period with faults and one without."""
        for slot in self._slots.values():
            self._start_instance(slot)
        headers = self._log_in()
        threads = [threading.Thread(target=self._send_requests, args=(slot, headers)) for slot in self._slots.values()]
        for thread in threads:
            thread.start()
        end = time.monotonic() + minutes * 60
        while True:
            self._run_faults()
            time.sleep(QUIET_SECONDS)
            if time.monotonic() + FAULT_SECONDS + QUIET_SECONDS > end:
                break
        self._is_done.set()
        for thread in threads:
            thread.join()

    def record(self, event_type: type[rules.Event], *fields: Any) -> None:
        """Append an event that takes effect now."""
        with self._lock:
            self.history.append(event_type(time.monotonic() - self._start, *fields))

    def _close(self) -> None:
        self._is_done.set()
        for slot in self._slots.values():
            if slot.instance is not None:
                slot.instance.__exit__(None, None, None)

    # The faults

    def _run_faults(self) -> None:
        self.record(rules.FaultsStarted)
        end = time.monotonic() + FAULT_SECONDS
        actions: dict[Callable[[], str], int] = {
            self._revoke: 4,
            self._change_table_fault: 8,
            self._change_mint_fault: 7,
            self._stop_or_kill: 3,
            self._set_trap: 4,
        }
        while time.monotonic() < end:
            [action] = self._random.choices(list(actions), list(actions.values()))
            self.faults[action()] += 1
            time.sleep(self._random.uniform(*STEP_SECONDS))
        self._trap, self._table_fault = "", None
        self._platform.fault_plan.clear()
        wait_until(lambda: all(slot.is_running for slot in self._slots.values()), READY_SECONDS)
        self.record(rules.FaultsEnded)

    def _revoke(self, *, is_young: bool | None = None) -> str:
        """Invalidate all tokens. A young one is not replaced at once."""
        self._platform.revoke(lambda: self.record(rules.TokensRevoked))
        if is_young is None:
            is_young = self._random.random() < 0.3
        if not is_young:
            # There is no row before the first mint.
            with suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
                age_token(self._dynamodb, self._dependencies.environment["TABLE_NAME"])
        return f"{'young ' if is_young else ''}tokens revoked"

    def _change_table_fault(self) -> str:
        fault = self._random.choice([None, *TABLE_FAULTS])
        if fault is None:
            self._table_fault = None
            return "table: no fault"
        callers = self._random.sample(list(self._slots), self._random.randint(1, len(self._slots)))
        operation = self._random.choice(["", "UpdateItem", "GetItem"])
        self._table_fault = fault, operation, set(callers), self._random.choice([0.2, 0.6, 1.0])
        return f"table: {fault.kind if isinstance(fault, NetworkFault) else fault.code}"

    def _change_mint_fault(self) -> str:
        fault = self._random.choice([None, *MINT_FAULTS])
        self._platform.fault_plan.faults = [] if fault is None else [replace(fault)]
        return "mint: no fault" if fault is None else f"mint: {fault.kind}"

    def _stop_or_kill(self) -> str:
        return self._interrupt(self._random.choice(list(self._slots)))

    def _set_trap(self) -> str:
        """Interrupt the next instance that acquires the lease or mints, and make the token unusable."""
        self._trap = self._random.choice(["lease", "mint"])
        self._revoke(is_young=False)
        return f"trap: {self._trap}"

    def _spring_trap(self, moment: str, name: str) -> None:
        """Interrupt an instance before it gets the response."""
        if self._trap == moment:
            self._trap = ""
            self.faults[f"{self._interrupt(name)} with {moment}"] += 1

    def _interrupt(self, name: str) -> str:
        """Stop an instance for some seconds, or kill it and start another one."""
        slot = self._slots[name]
        with self._lock:
            if not slot.is_running or slot.instance is None:
                return "instance: was interrupted already"
            slot.is_running = False
        if self._random.random() < 2 / 3:
            self.record(rules.InstanceStopped, name)
            slot.instance.popen.send_signal(signal.SIGSTOP)
            threading.Timer(self._random.choice(STOP_SECONDS), self._continue_instance, [slot]).start()
            return "instance: stopped"
        self.record(rules.InstanceKilled, name)
        killed, slot.instance = slot.instance, None
        killed.__exit__(None, None, None)
        threading.Timer(self._random.uniform(*RESTART_SECONDS), self._start_instance, [slot]).start()
        return "instance: killed"

    # The table and the platform

    def _choose_table_fault(self, call: AwsHttpCall) -> NetworkFault | Refusal | None:
        if self._table_fault is None:
            return None
        fault, operation, callers, probability = self._table_fault
        caller = self._callers.get(call.access_key, "")
        is_hit = caller in callers and operation in ("", call.operation)
        if not is_hit or self._random.random() >= probability:
            return None
        if call.operation == "UpdateItem":
            self.record(rules.CallFault, caller)
        return fault

    def _observe(self, call: AwsHttpCall, status: int, _: bytes) -> None:
        if call.operation != "UpdateItem" or status != 200:
            return
        values = json.loads(call.body)["ExpressionAttributeValues"]
        if ":access_token" in values:
            self.record(rules.Committed, self._callers[call.access_key], values[":access_token"]["S"])
        elif ":owner" in values:
            self._spring_trap("lease", self._callers[call.access_key])

    def _record_mint(self, caller: str, token: str, has_fault: bool) -> None:
        self.record(rules.Minted, caller, token)
        if has_fault:
            self.record(rules.CallFault, caller)
        self._spring_trap("mint", caller)

    # The instances and their customers

    def _create_slot(self, name: str) -> Slot:
        platform_url = self._platform.open_port(name)
        # A user of its own: the proxy tells the instances apart by their access keys.
        credentials = policies.create_user_with(self._iam, name, ALL_CALLS)
        self._callers[credentials["AWS_ACCESS_KEY_ID"]] = name
        urls = {"AWS_ENDPOINT_URL": self._proxy.url, "DOUYIN_OPEN_API": platform_url, "DOUYIN_LOGIN_API": platform_url}
        return Slot(name, self._dependencies.environment | credentials | urls)

    def _start_instance(self, slot: Slot) -> None:
        offset = self._random.uniform(-MAX_CLOCK_OFFSET, MAX_CLOCK_OFFSET)
        bundle = self._dependencies.bundle
        instance = Instance(bundle, "app.app", slot.environment, output=subprocess.DEVNULL, clock_offset=offset)
        wait_until(lambda: instance.ready_at is not None, READY_SECONDS)
        self.record(rules.InstanceStarted, slot.name)
        slot.instance, slot.is_running = instance, True

    def _continue_instance(self, slot: Slot) -> None:
        assert slot.instance is not None
        self.record(rules.InstanceContinued, slot.name)
        slot.instance.popen.send_signal(signal.SIGCONT)
        slot.is_running = True

    def _log_in(self) -> dict[str, str]:
        instance = self._slots["1"].instance
        assert instance is not None
        code = self._platform.platform.issue_login_code(APP_ID, CUSTOMER)
        body = json.dumps({"app_id": APP_ID, "code": code})
        event = gateway.build_event("POST", "/v1/sessions", {"Content-Type": "application/json"}, body)
        return {"Authorization": f"Bearer {gateway.parse_response(instance.invoke(event)).json['token']}"}

    def _send_requests(self, slot: Slot, headers: dict[str, str]) -> None:
        event = gateway.build_event("GET", gateway.certificates_url(), headers)
        choose = random.Random(int(slot.name))  # noqa: S311 - a test load, not a secret
        while not self._is_done.wait(choose.uniform(*PAUSE_SECONDS)):
            instance = slot.instance
            if instance is None:
                continue
            self.record(rules.RequestStarted, slot.name)
            try:
                response = gateway.parse_response(instance.invoke(event))
            except FunctionError:
                # A killed instance does not respond; that it was killed is in the history.
                code = "killed" if slot.instance is not instance else "function_error"
            else:
                code = "ok" if response.status == 200 else str(response.json["code"])
            self.codes[code] += 1
            if code != "killed":
                self.record(rules.RequestEnded, slot.name, code)


def main() -> None:
    """Run, print figures and violations, and exit with status 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    with ExitStack() as resources:
        fault_run = FaultRun(resources)
        fault_run.run(arguments.minutes)
    violations = rules.find_violations(fault_run.history)
    slowest = max(seconds for _, seconds in rules.find_response_seconds(fault_run.history))
    renewals = Counter(len(renewal.mints) for renewal in rules.find_renewals(fault_run.history))
    report = [
        f"{arguments.minutes:g} minutes, {INSTANCES} instances, {len(violations)} violations",
        f"responses: {dict(fault_run.codes.most_common())}; slowest {slowest:.1f} s, without stops",
        f"renewals by number of undisturbed mints: {dict(sorted(renewals.items()))}",
        f"faults: {dict(fault_run.faults.most_common())}",
        *(f"violation at {violation.at:.1f} s, {violation.rule}: {violation.message}" for violation in violations),
    ]
    print("\n".join(report))  # noqa: T201 - a command
    has_errors = any(fault_run.codes[code] for code in ("internal_error", "function_error"))
    sys.exit(1 if violations or has_errors else 0)


if __name__ == "__main__":
    main()

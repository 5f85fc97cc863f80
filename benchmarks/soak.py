"""Soak test: one instance under Lambda's runtime client, mixed load, faults switched on and off.

`python -m benchmarks.soak --minutes 15` prints a table: responses by code, median and slowest time of each, memory.
Exits with 1 after an unhandled error.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import time
from collections import defaultdict
from typing import Any

import requests

from sandbox import gateway, sample_data, stack
from sandbox.faults import CALLS, PLACES
from sandbox.runtime import FunctionError, Instance
from sandbox.sample_data import ACCOUNT_ID, APP_ID, OTHER_ACCOUNT_ID, OTHER_ACCOUNT_POI_ID, OTHER_APP_ID, POI_ID

URLS = {
    APP_ID: gateway.certificates_url(ACCOUNT_ID, POI_ID),
    OTHER_APP_ID: gateway.certificates_url(OTHER_ACCOUNT_ID, OTHER_ACCOUNT_POI_ID),
}
CODES = (2100004, 2119003, 2119005, 2190002, 2190008, 28001003, 28003017, 2100005, 13000, 424242)
FAULT_SECONDS = 5.0
MEMORY_SECONDS = 10.0
MAX_PAGES = 10


class Soak:
    """The load and its results: seconds by response code, unhandled errors, resident memory in KiB."""

    def __init__(self, instance: Instance, platform_url: str, seed: int) -> None:
        self._instance = instance
        self._platform_url = platform_url
        self._control_url = f"{platform_url}/_sandbox"
        self._random = random.Random(seed)  # noqa: S311 - a test load, not a secret
        self._sessions: dict[tuple[str, str], str] = {}
        self._customers = list(sample_data.load().customers)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.unhandled: list[str] = []
        self.memory: list[int] = []

    def run(self, minutes: float) -> None:
        """Send requests until the time is over."""
        end = time.monotonic() + minutes * 60
        next_fault = next_memory = time.monotonic()
        while (now := time.monotonic()) < end:
            if now >= next_fault:
                next_fault = now + FAULT_SECONDS
                self._change_faults()
            if now >= next_memory:
                next_memory = now + MEMORY_SECONDS
                self.memory.append(self._instance.memory_kib("VmRSS"))
            self._request_list()
        stack.set_faults(self._platform_url)

    def run_scenario(self, seconds: float, faults: list[tuple[float, float, dict[str, Any]]]) -> None:
        """Request 20 lists per second, for `seconds`; each fault is active from its first to its second time."""
        start = next_list = time.monotonic()
        active: list[dict[str, Any]] = []
        while (now := time.monotonic() - start) < seconds:
            wanted = [fault for begin, end, fault in faults if begin <= now < end]
            if wanted != active:
                active = wanted
                stack.set_faults(self._platform_url, *wanted)
                requests.delete(f"{self._control_url}/calls", timeout=10)
            self._request_list()
            next_list = max(next_list + 0.05, time.monotonic())
            time.sleep(max(0.0, next_list - time.monotonic()))

    def _change_faults(self) -> None:
        """Switch to no fault or to a random one, and sometimes revoke an app's tokens."""
        stack.set_faults(self._platform_url)
        # The list of calls would use ever more memory in the mock platform.
        requests.delete(f"{self._control_url}/calls", timeout=10)
        if self._random.random() < 0.5:
            return
        call = self._random.choice([*CALLS, "*"])
        fault: dict[str, Any] = {"call": call, "times": self._random.choice([1, 20, None, None])}
        fault |= self._random.choice(
            [
                {"kind": "code", "code": self._random.choice(CODES), "place": self._random.choice(PLACES)},
                {"kind": "http", "status": self._random.choice([429, 500, 502, 404])},
                {"kind": "body", "body": self._random.choice(["", "<html>", "[]", '{"data":{}}', "[" * 10_000])},
                {"kind": "patch", "patch": {"total": self._random.choice([None, 0, 10**9]), "orders": [None, 7]}},
                {"kind": "delay", "seconds": 0.3},
                {"kind": "drip", "seconds": 0.01, "bytes": 200},
                {"kind": "reset"},
                {"kind": "truncate"},
                {"kind": "close"},
                {"kind": "hang", "times": 1},
            ]
        )
        stack.set_faults(self._platform_url, fault)
        if self._random.random() < 0.1:
            requests.post(f"{self._control_url}/revoke", json={"app_id": self._random.choice(list(URLS))}, timeout=10)

    def _request_list(self) -> None:
        """Log a random customer in if necessary, and request all pages of their certificates."""
        app_id = self._random.choice(list(URLS))
        customer = self._random.choice(self._customers)
        session = (app_id, customer)
        if session not in self._sessions or self._random.random() < 0.02:
            code = stack.create_login_code(self._platform_url, app_id, customer)
            body = json.dumps({"app_id": app_id, "code": code})
            response = self._send("POST", "/v1/sessions", {"Content-Type": "application/json"}, body)
            if response is None or response.status != 200:
                return
            self._sessions[session] = response.json["token"]
        url = URLS[app_id]
        if self._random.random() < 0.05:
            url += self._random.choice(["?cursor=x", "?biz_type=9", "%2f", "?start_time=a"])
        headers = {"Authorization": f"Bearer {self._sessions[session]}"}
        response = self._send("GET", url, headers)
        for _ in range(MAX_PAGES):
            if response is None or response.status != 200 or "next_cursor" not in response.json:
                break
            response = self._send("GET", f"{url}?cursor={response.json['next_cursor']}", headers)

    def _send(self, method: str, url: str, headers: dict[str, str], body: str | None = None) -> gateway.Response | None:
        """Send a request and record the result; returns None if the function raised an error."""
        start = time.monotonic()
        try:
            result = self._instance.invoke(gateway.build_event(method, url, headers, body))
        except FunctionError as error:
            self.unhandled.append(str(error)[:200])
            return None
        response = gateway.parse_response(result)
        code = "ok" if response.status == 200 else str(response.json["code"])
        if code == "internal_error":
            self.unhandled.append(response.text[:200])
        self.seconds[code].append(time.monotonic() - start)
        return response


def main() -> None:
    """Run the soak test and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        stack.run_dependencies() as dependencies,
        Instance(dependencies.bundle, "app.app", dependencies.environment, output=subprocess.DEVNULL) as instance,
    ):
        soak = Soak(instance, dependencies.platform.url, arguments.seed)
        soak.run(arguments.minutes)
    total = sum(map(len, soak.seconds.values()))
    errors = len(soak.unhandled)
    print(f"{arguments.minutes:g} minutes, seed {arguments.seed}: {total:,} responses, {errors} unhandled errors\n")
    print("| response | count | median ms | slowest ms |\n|---|---:|---:|---:|")
    for code, seconds in sorted(soak.seconds.items(), key=lambda item: -len(item[1])):
        ordered = sorted(seconds)
        print(f"| {code} | {len(ordered):,} | {ordered[len(ordered) // 2] * 1000:.1f} | {ordered[-1] * 1000:.0f} |")
    tenth = max(1, len(soak.memory) // 10)
    early, late = soak.memory[tenth : 2 * tenth] or soak.memory, soak.memory[-tenth:]
    print(f"\nresident memory: {max(early) / 1024:.1f} MiB at the start, {max(late) / 1024:.1f} MiB at the end")
    for error in soak.unhandled[:10]:
        print(f"unhandled error: {error}")
    if soak.unhandled:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Soak and overload: `python -m benchmarks.long_run --minutes 15 --seed 1`.

Soak: one instance under Lambda's runtime client, valid and invalid requests, and faults that change every 5 s.
Overload: eight instances get 1, 10 and 100 times as many requests as the platform's rate limit allows.
Prints a table of each, and exits with 1 after an unhandled error, or when customers get less than the limit allows.
"""

import argparse
import json
import random
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import requests

from sandbox import gateway, sample_data, stack
from sandbox.faults import CALLS, PLACES
from sandbox.runtime import FunctionError, Instance
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    CUSTOMER,
    OTHER_ACCOUNT_ID,
    OTHER_ACCOUNT_POI_ID,
    OTHER_APP_ID,
    POI_ID,
)

URLS = {
    APP_ID: gateway.certificates_url(ACCOUNT_ID, POI_ID),
    OTHER_APP_ID: gateway.certificates_url(OTHER_ACCOUNT_ID, OTHER_ACCOUNT_POI_ID),
}
CODES = (2100004, 2119003, 2119005, 2190002, 2190008, 28001003, 28003017, 2100005, 13000, 424242)
FAULT_SECONDS, MEMORY_SECONDS = 5.0, 10.0
"""Time between two changes of the faults, and between two measurements of the memory."""

MAX_PAGES = 10
QPS_LIMIT, OVERLOAD_INSTANCES, OVERLOAD_SECONDS = 5, 8, 10.0
MIN_SERVED = 0.8
"""Share of the platform's limit that reaches customers under overload."""


@dataclass
class Results:
    """Seconds of the responses by code, and unhandled errors."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    unhandled: list[str] = field(default_factory=list)

    def send(
        self, instance: Instance, method: str, url: str, headers: dict[str, str], body: str | None = None
    ) -> gateway.Response | None:
        """Send a request and record the result; returns None if the function raised an error."""
        start = time.monotonic()
        try:
            response = gateway.parse_response(instance.invoke(gateway.build_event(method, url, headers, body)))
        except FunctionError as error:
            self.unhandled.append(str(error)[:200])
            return None
        code = "ok" if response.status == 200 else str(response.json["code"])
        if code == "internal_error":
            self.unhandled.append(response.text[:200])
        self.seconds[code].append(time.monotonic() - start)
        return response

    def log_in(self, instance: Instance, platform_url: str, app_id: str, customer: str) -> dict[str, str] | None:
        """Log a customer in; returns the headers of their requests, or None if the login failed."""
        body = json.dumps({"app_id": app_id, "code": stack.create_login_code(platform_url, app_id, customer)})
        response = self.send(instance, "POST", "/v1/sessions", {"Content-Type": "application/json"}, body)
        if response is None or response.status != 200:
            return None
        return {"Authorization": f"Bearer {response.json['token']}"}


class Soak:
    """One instance under mixed load."""

    def __init__(self, instance: Instance, platform_url: str, seed: int) -> None:
        self.results = Results()
        self.memory_kib: list[int] = []
        self._instance = instance
        self._platform_url = platform_url
        self._random = random.Random(seed)  # noqa: S311 - a test load, not a secret
        self._sessions: dict[tuple[str, str], dict[str, str]] = {}
        self._customers = list(sample_data.load().customers)

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
                self.memory_kib.append(self._instance.memory_kib("VmRSS"))
            self._request_list()

    def _change_faults(self) -> None:
        """Switch to no fault or to a random one, and sometimes revoke an app's tokens."""
        stack.set_faults(self._platform_url)
        # The list of calls would use ever more memory in the mock platform.
        requests.delete(f"{self._platform_url}/_sandbox/calls", timeout=10)
        if self._random.random() < 0.5:
            return
        fault: dict[str, Any] = {
            "call": self._random.choice([*CALLS, "*"]),
            "times": self._random.choice([1, 20, None, None]),
        }
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
            app_id = self._random.choice(list(URLS))
            requests.post(f"{self._platform_url}/_sandbox/revoke", json={"app_id": app_id}, timeout=10)

    def _request_list(self) -> None:
        """Log a random customer in if necessary, and request all pages of their certificates."""
        app_id, customer = self._random.choice(list(URLS)), self._random.choice(self._customers)
        if (app_id, customer) not in self._sessions or self._random.random() < 0.02:
            headers = self.results.log_in(self._instance, self._platform_url, app_id, customer)
            if headers is None:
                return
            self._sessions[app_id, customer] = headers
        url, headers = URLS[app_id], self._sessions[app_id, customer]
        if self._random.random() < 0.05:
            url += self._random.choice(["?cursor=x", "?biz_type=9", "%2f", "?start_time=a"])
        response = self.results.send(self._instance, "GET", url, headers)
        for _ in range(MAX_PAGES):
            if response is None or response.status != 200 or "next_cursor" not in response.json:
                break
            next_url = f"{url}?cursor={response.json['next_cursor']}"
            response = self.results.send(self._instance, "GET", next_url, headers)


def run_soak(minutes: float, seed: int) -> list[str]:
    """Run the soak test, print the results, and return the unhandled errors."""
    with (
        stack.run_dependencies() as dependencies,
        Instance(dependencies.bundle, "app.app", dependencies.environment, output=subprocess.DEVNULL) as instance,
    ):
        soak = Soak(instance, dependencies.platform.url, seed)
        soak.run(minutes)
    seconds_by_code, memory = soak.results.seconds, soak.memory_kib
    print(f"Soak, {minutes:g} minutes, seed {seed}: {sum(map(len, seconds_by_code.values())):,} responses\n")
    print("| response | count | median ms | slowest ms |\n|---|---:|---:|---:|")
    for code, seconds in sorted(seconds_by_code.items(), key=lambda item: -len(item[1])):
        ordered = sorted(seconds)
        print(f"| {code} | {len(ordered):,} | {ordered[len(ordered) // 2] * 1000:.1f} | {ordered[-1] * 1000:.0f} |")
    tenth = max(1, len(memory) // 10)
    early, late = memory[tenth : 2 * tenth] or memory, memory[-tenth:]
    print(f"\nresident memory: {max(early) / 1024:.1f} MiB early, {max(late) / 1024:.1f} MiB at the end\n")
    return soak.results.unhandled


def run_overload() -> list[str]:
    """Run the three loads, print a table of rates per second, and return what is wrong."""
    print(f"Overload: {QPS_LIMIT} queries/s allowed, {OVERLOAD_INSTANCES} instances. Rates per second:\n")
    print("| load | requests | ok | rate_limited | other errors | platform queries | slowest ms |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    problems: list[str] = []
    with stack.run_dependencies("--qps", str(QPS_LIMIT)) as dependencies, ExitStack() as resources:
        bundle, environment = dependencies.bundle, dependencies.environment
        instances = [
            resources.enter_context(Instance(bundle, "app.app", environment, output=subprocess.DEVNULL))
            for _ in range(OVERLOAD_INSTANCES)
        ]
        headers = Results().log_in(instances[0], dependencies.platform.url, APP_ID, CUSTOMER) or {}
        for instance in instances:
            instance.invoke(gateway.build_event("GET", "/v1/health"))
        calls_url = f"{dependencies.platform.url}/_sandbox/calls"
        for factor in (1, 10, 100):
            requests.delete(calls_url, timeout=10)
            results = _send_load(instances, headers, QPS_LIMIT * factor)
            calls = requests.get(calls_url, timeout=30).json()
            counts = {code: len(seconds) for code, seconds in results.seconds.items()}
            total, ok, limited = sum(counts.values()), counts.get("ok", 0), counts.get("rate_limited", 0)
            queries = sum(call["call"] == "query_user_certificates" for call in calls)
            rates = (f"{n / OVERLOAD_SECONDS:.1f}" for n in (total, ok, limited, total - ok - limited, queries))
            slowest = max(max(seconds) for seconds in results.seconds.values())
            print(f"| {factor}x | {' | '.join(rates)} | {slowest * 1000:.0f} |", flush=True)
            problems += results.unhandled
            if ok < MIN_SERVED * QPS_LIMIT * OVERLOAD_SECONDS:
                problems.append(f"overload {factor}x: {ok} lists in {OVERLOAD_SECONDS:g} s")
    return problems


def _send_load(instances: list[Instance], headers: dict[str, str], rate: float) -> Results:
    """Send up to `rate` requests/s for OVERLOAD_SECONDS."""
    results = Results()
    start = time.monotonic()

    def send(instance: Instance, due: float) -> None:
        while due < start + OVERLOAD_SECONDS:
            time.sleep(max(0.0, due - time.monotonic()))
            results.send(instance, "GET", URLS[APP_ID], headers)
            # Lambda would start another instance for a request that is late; here it is not sent.
            due = max(due + len(instances) / rate, time.monotonic())

    threads = [
        threading.Thread(target=send, args=(instance, start + number / rate))
        for number, instance in enumerate(instances)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def main() -> None:
    """Run both and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15, help="of the soak")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    problems = [*run_soak(arguments.minutes, arguments.seed), *run_overload()]
    for problem in problems[:10]:
        print(f"problem: {problem}")
    if problems:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

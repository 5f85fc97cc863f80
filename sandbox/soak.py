"""A soak: one instance under Lambda's runtime client, mixed load, faults switched on and off.

`python -m sandbox.soak --minutes 15` prints what came of it as a table: answers by code, the slowest of each, memory.
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

from sandbox import gateway, stack
from sandbox import world as worlds
from sandbox.faults import PLACES
from sandbox.runtime import FunctionError, Instance

LISTS = {
    "ttsandbox00000000a1": ("7296781329369139211", "6601"),
    "ttsandbox00000000b2": ("7296781329369139233", "6606"),
}
CODES = (2100004, 2119003, 2119005, 2190002, 2190008, 28001003, 28003017, 2100005, 13000, 424242)
FAULT_SECONDS = 5.0
MEMORY_SECONDS = 10.0
LONGEST_WALK = 10


class Soak:
    """The load, and what came of it."""

    def __init__(self, instance: Instance, platform_url: str, seed: int) -> None:
        self._instance = instance
        self._platform = f"{platform_url}/_sandbox"
        self._url = platform_url
        self._random = random.Random(seed)  # noqa: S311 - a load, not a secret
        self._sessions: dict[str, str] = {}
        self._customers = list(worlds.load().customers)
        self.answers: dict[str, list[float]] = defaultdict(list)
        self.unhandled: list[str] = []
        self.memory: list[int] = []

    def run(self, minutes: float) -> None:
        """Keep asking until the time is over."""
        end = time.monotonic() + minutes * 60
        next_fault = next_memory = time.monotonic()
        while (now := time.monotonic()) < end:
            if now >= next_fault:
                next_fault = now + FAULT_SECONDS
                self._switch_faults()
            if now >= next_memory:
                next_memory = now + MEMORY_SECONDS
                self.memory.append(self._instance.kib("VmRSS"))
            self._step()
        requests.delete(f"{self._platform}/faults", timeout=10)

    def _switch_faults(self) -> None:
        requests.delete(f"{self._platform}/faults", timeout=10)
        requests.delete(f"{self._platform}/calls", timeout=10)
        if self._random.random() < 0.5:
            return
        call = self._random.choice(["query_user_certificates", "client_token", "jscode2session", "*"])
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
        requests.post(f"{self._platform}/faults", json=fault, timeout=10).raise_for_status()
        if self._random.random() < 0.1:
            requests.post(f"{self._platform}/revoke", json={"app_id": self._random.choice(list(LISTS))}, timeout=10)

    def _step(self) -> None:
        app_id = self._random.choice(list(LISTS))
        customer = self._random.choice(self._customers)
        key = f"{app_id} {customer}"
        if key not in self._sessions or self._random.random() < 0.02:
            body = json.dumps({"app_id": app_id, "code": stack.login_code(self._url, app_id, customer)})
            answer = self._ask("POST", "/v1/sessions", {"Content-Type": "application/json"}, body)
            if answer is None or answer.status != 200:
                return
            self._sessions[key] = answer.json["token"]
        merchant, store = LISTS[app_id]
        url = f"/v1/merchants/{merchant}/stores/{store}/certificates"
        if self._random.random() < 0.05:
            url += self._random.choice(["?cursor=x", "?biz_type=9", "%2f", "?start_time=a"])
        answer = self._ask("GET", url, {"Authorization": f"Bearer {self._sessions[key]}"})
        for _ in range(LONGEST_WALK):
            if answer is None or answer.status != 200 or "next_cursor" not in answer.json:
                break
            cursor = answer.json["next_cursor"]
            answer = self._ask("GET", f"{url}?cursor={cursor}", {"Authorization": f"Bearer {self._sessions[key]}"})

    def _ask(self, method: str, url: str, headers: dict[str, str], body: str | None = None) -> gateway.Answer | None:
        begun = time.monotonic()
        try:
            answer = gateway.answer(self._instance.invoke(gateway.event(method, url, headers, body)))
        except FunctionError as error:
            self.unhandled.append(str(error)[:200])
            return None
        code = "ok" if answer.status == 200 else str(answer.json["code"])
        if code == "internal_error":
            self.unhandled.append(answer.text[:200])
        self.answers[code].append(time.monotonic() - begun)
        return answer


def main() -> None:
    """Run the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        stack.around_a_function() as parts,
        Instance(parts.bundle, "app.app", parts.environment, output=subprocess.DEVNULL) as instance,
    ):
        soak = Soak(instance, parts.platform.url, arguments.seed)
        soak.run(arguments.minutes)
    total = sum(map(len, soak.answers.values()))
    print(f"{arguments.minutes:g} minutes, seed {arguments.seed}: {total:,} answers, {len(soak.unhandled)} unhandled\n")
    print("| answer | count | median ms | slowest ms |\n|---|---:|---:|---:|")
    for code, seconds in sorted(soak.answers.items(), key=lambda found: -len(found[1])):
        ordered = sorted(seconds)
        print(f"| {code} | {len(ordered):,} | {ordered[len(ordered) // 2] * 1000:.1f} | {ordered[-1] * 1000:.0f} |")
    tenth = max(1, len(soak.memory) // 10)
    early, late = soak.memory[tenth : 2 * tenth] or soak.memory, soak.memory[-tenth:]
    print(f"\nmemory: {max(early) / 1024:.1f} MiB early, {max(late) / 1024:.1f} MiB at the end")
    for error in soak.unhandled[:10]:
        print(f"unhandled: {error}")


if __name__ == "__main__":
    main()

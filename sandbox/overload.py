"""Overload: what the platform and the customers see when far more is asked than the platform allows.

`python -m sandbox.overload` lets the stand-in allow 5 queries a second and offers 1, 10 and 100 times that to instances
under Lambda's runtime client; prints a table of calls a second.
"""

from __future__ import annotations

import collections
import json
import subprocess
import threading
import time
from contextlib import ExitStack

import requests

from sandbox import gateway, stack
from sandbox.runtime import Instance

ALLOWED = 5
INSTANCES = 8
SECONDS = 10.0
APP = "ttsandbox00000000a1"
LIST = "/v1/merchants/7296781329369139211/stores/6601/certificates"


def offer(instances: list[Instance], headers: dict[str, str], rate: float) -> tuple[collections.Counter[str], float]:
    """Offer `rate` requests a second for a while; returns the answers by code and the slowest in seconds."""
    answers: collections.Counter[str] = collections.Counter()
    slowest = [0.0]
    end = time.monotonic() + SECONDS

    def one(instance: Instance, start: float) -> None:
        due = start
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            begun = time.monotonic()
            answer = gateway.answer(instance.invoke(gateway.event("GET", LIST, headers)))
            slowest[0] = max(slowest[0], time.monotonic() - begun)
            answers["ok" if answer.status == 200 else answer.json["code"]] += 1
            # Lambda would start another instance; here a request that is late is not sent.
            due = max(due + len(instances) / rate, time.monotonic())

    threads = [
        threading.Thread(target=one, args=(instance, time.monotonic() + n / rate))
        for n, instance in enumerate(instances)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, slowest[0]


def main() -> None:
    """Run the three loads."""
    print(f"the platform allows {ALLOWED} queries a second; {INSTANCES} instances, {SECONDS:g} s each\n")
    heads = ("offered", "asked of us", "ok", "rate_limited", "other", "asked of the platform", "slowest ms")
    print(f"| {' | '.join(heads)} |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with stack.around_a_function("--qps", str(ALLOWED)) as parts, ExitStack() as resources:
        instances = [
            resources.enter_context(Instance(parts.bundle, "app.app", parts.environment, output=subprocess.DEVNULL))
            for _ in range(INSTANCES)
        ]
        code = stack.login_code(parts.platform.url, APP, "lin")
        body = json.dumps({"app_id": APP, "code": code})
        login = gateway.answer(instances[0].invoke(gateway.event("POST", "/v1/sessions", {}, body)))
        headers = {"Authorization": f"Bearer {login.json['token']}"}
        for instance in instances:
            instance.invoke(gateway.event("GET", "/v1/health"))
        calls = f"{parts.platform.url}/_sandbox/calls"
        for times in (1, 10, 100):
            requests.delete(calls, timeout=10)
            answers, slowest = offer(instances, headers, ALLOWED * times)
            upstream = [c for c in requests.get(calls, timeout=30).json() if c["call"] == "query_user_certificates"]
            ok, limited, total = answers["ok"], answers["rate_limited"], sum(answers.values())
            figures = [total, ok, limited, total - ok - limited, len(upstream)]
            row = " | ".join(f"{figure / SECONDS:.1f}" for figure in figures)
            print(f"| {times}x | {row} | {slowest * 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main()

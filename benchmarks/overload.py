"""Overload test: what platform and customers see when there are more requests than the platform's rate limit allows.

`python -m benchmarks.overload` sets the mock platform's limit to 5 queries/s and sends 1, 10 and 100 times as many
requests to instances under Lambda's runtime client. Prints a table of rates per second.
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
from sandbox.sample_data import APP_ID, CUSTOMER

QPS_LIMIT = 5
INSTANCES = 8
SECONDS = 10.0


def send_load(
    instances: list[Instance], headers: dict[str, str], rate: float
) -> tuple[collections.Counter[str], float]:
    """Send up to `rate` requests/s for SECONDS; returns the number of responses by code and the slowest in seconds."""
    responses: collections.Counter[str] = collections.Counter()
    slowest = [0.0]
    end = time.monotonic() + SECONDS

    def send(instance: Instance, first: float) -> None:
        due = first
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.monotonic()
            event = gateway.build_event("GET", gateway.certificates_url(), headers)
            response = gateway.parse_response(instance.invoke(event))
            slowest[0] = max(slowest[0], time.monotonic() - start)
            responses["ok" if response.status == 200 else response.json["code"]] += 1
            # Lambda would start another instance for a request that is late; here it is not sent.
            due = max(due + len(instances) / rate, time.monotonic())

    threads = [
        threading.Thread(target=send, args=(instance, time.monotonic() + n / rate))
        for n, instance in enumerate(instances)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return responses, slowest[0]


def main() -> None:
    """Run the three loads and print the table."""
    print(f"Platform limit {QPS_LIMIT} queries/s; {INSTANCES} instances; {SECONDS:g} s per load; rates per second.\n")
    heads = ("load / limit", "requests", "ok", "rate_limited", "other errors", "platform queries", "slowest ms")
    print(f"| {' | '.join(heads)} |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with stack.run_dependencies("--qps", str(QPS_LIMIT)) as dependencies, ExitStack() as resources:
        bundle, environment = dependencies.bundle, dependencies.environment
        instances = [
            resources.enter_context(Instance(bundle, "app.app", environment, output=subprocess.DEVNULL))
            for _ in range(INSTANCES)
        ]
        code = stack.create_login_code(dependencies.platform.url, APP_ID, CUSTOMER)
        body = json.dumps({"app_id": APP_ID, "code": code})
        login = gateway.parse_response(instances[0].invoke(gateway.build_event("POST", "/v1/sessions", {}, body)))
        headers = {"Authorization": f"Bearer {login.json['token']}"}
        for instance in instances:
            instance.invoke(gateway.build_event("GET", "/v1/health"))
        calls_url = f"{dependencies.platform.url}/_sandbox/calls"
        for factor in (1, 10, 100):
            requests.delete(calls_url, timeout=10)
            responses, slowest = send_load(instances, headers, QPS_LIMIT * factor)
            calls = requests.get(calls_url, timeout=30).json()
            queries = sum(call["call"] == "query_user_certificates" for call in calls)
            ok, limited, total = responses["ok"], responses["rate_limited"], responses.total()
            counts = [total, ok, limited, total - ok - limited, queries]
            row = " | ".join(f"{count / SECONDS:.1f}" for count in counts)
            print(f"| {factor}x | {row} | {slowest * 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main()

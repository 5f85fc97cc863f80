"""The pure parts by themselves, by pyperf: `python -m benchmarks.micro -o FILE`."""

from __future__ import annotations

import json

import msgspec
import pyperf

from chalicelib.certificates import usable
from chalicelib.douyin import Reply, read_certificates
from chalicelib.views import ListView
from sandbox import world as worlds

SIZES = (1, 50)


def reply_of(certificates: int) -> Reply:
    """A page as the platform sends it, made of the sandbox's sample orders in turn."""
    samples = [purchase.order for purchase in worlds.load().purchases["lin"]]
    orders = []
    for number in range(certificates):
        order = json.loads(json.dumps(samples[number % len(samples)]))
        order |= {"order_id": f"2{number:018d}", "can_use": True, "certificates": order["certificates"][:1]}
        order["certificates"][0]["certificate_id"] = f"7{number:018d}"
        orders.append(order)
    envelope = {"extra": {"error_code": 0, "sub_error_code": 0, "logid": "bench"}}
    envelope |= {"data": {"error_code": 0, "total": certificates, "orders": orders}}
    return Reply(200, {}, json.dumps(envelope, ensure_ascii=False).encode())


def main() -> None:
    """Measure reading, choosing and shaping, and writing."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.micro"))
    for size in SIZES:
        reply = reply_of(size)
        page = read_certificates(reply)
        views, _ = usable([page], frozenset())
        answer = ListView("7296781329369139211", "6601", views)
        runner.bench_func(f"read {size}", read_certificates, reply)
        runner.bench_func(f"choose and shape {size}", usable, [page], frozenset())
        runner.bench_func(f"write {size}", msgspec.json.encode, answer)


if __name__ == "__main__":
    main()

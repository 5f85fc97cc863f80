"""Microbenchmarks of the functions without I/O, with pyperf: `python -m benchmarks.micro -o FILE`."""

from __future__ import annotations

import json
import time

import msgspec
import pyperf

from chalicelib.certificates.views import ListView, build_views
from chalicelib.douyin.protocol import Response, parse_certificates
from sandbox import sample_data
from sandbox.sample_data import ACCOUNT_ID, CUSTOMER, POI_ID

SIZES = (1, 50)


def build_response(certificates: int) -> Response:
    """Build a page of the platform from the sandbox's sample orders."""
    samples = [purchase.order for purchase in sample_data.load().purchases[CUSTOMER]]
    orders = []
    for number in range(certificates):
        order = json.loads(json.dumps(samples[number % len(samples)]))
        order |= {"order_id": f"2{number:018d}", "can_use": True, "certificates": order["certificates"][:1]}
        order["certificates"][0]["certificate_id"] = f"7{number:018d}"
        orders.append(order)
    envelope = {"extra": {"error_code": 0, "sub_error_code": 0, "logid": "bench"}}
    envelope |= {"data": {"error_code": 0, "total": certificates, "orders": orders}}
    return Response(200, {}, json.dumps(envelope, ensure_ascii=False).encode())


def main() -> None:
    """Measure parsing, building the views, and encoding."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.micro"))
    for size in SIZES:
        response = build_response(size)
        page, now = parse_certificates(response), time.time()
        list_view = ListView(ACCOUNT_ID, POI_ID, build_views([page], now).views)
        runner.bench_func(f"parse_certificates {size}", parse_certificates, response)
        runner.bench_func(f"build_views {size}", build_views, [page], now)
        runner.bench_func(f"encode to JSON {size}", msgspec.json.encode, list_view)


if __name__ == "__main__":
    main()

"""Mock platform for benchmarks: a login and a page of a list, both prepared in advance, over TLS.

`sandbox.server` would blur the figures: it takes 0.9 ms for 2 certificates, this platform 0.5 ms with TLS. A whole warm
request takes 2 ms.

`python -m benchmarks.static_platform --port N --tls-certificate FILE --count N --delay SECONDS`. The page repeats one
of the sandbox's sample orders; `--delay` is the round trip of a network to the platform.
"""

import argparse
import asyncio
import json
import ssl
from typing import Any

from aiohttp import web

from sandbox import sample_data
from sandbox.mock_platform import CALL_PATHS
from sandbox.sample_data import CUSTOMER


def build_page(count: int) -> bytes:
    """Build the page with this number of certificates, each in an order of its own."""
    order = sample_data.load().purchases[CUSTOMER][0].order
    orders = []
    for number in range(count):
        certificate = order["certificates"][0] | {"certificate_id": f"7{number:018d}", "code": f"10815{number:08d}"}
        orders.append(order | {"order_id": f"2{number:018d}", "can_use": True, "certificates": [certificate]})
    extra = {"error_code": 0, "description": "", "sub_error_code": 0, "sub_description": "", "logid": "bench", "now": 0}
    data = {"error_code": 0, "description": "", "total": count, "orders": orders}
    return json.dumps({"extra": extra, "data": data}, ensure_ascii=False, separators=(",", ":")).encode()


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until the process ends."""
    page = build_page(arguments.count)
    user = json.dumps({"err_no": 0, "data": {"openid": "open-id-of-the-benchmark"}}).encode()

    def add(path: str, body: bytes) -> None:
        async def respond(request: web.Request) -> web.Response:
            await request.read()
            await asyncio.sleep(arguments.delay)
            return web.Response(body=body, content_type="application/json")

        platform.router.add_post(path, respond)

    platform: Any = web.Application()
    add(CALL_PATHS["query_user_certificates"], page)
    add(CALL_PATHS["jscode2session"], user)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(arguments.tls_certificate)
    runner = web.AppRunner(platform, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port, ssl_context=tls).start()
    await asyncio.Event().wait()


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls-certificate", required=True, help="PEM file with private key and certificate")
    parser.add_argument("--count", type=int, required=True, help="number of certificates in the list")
    parser.add_argument("--delay", type=float, required=True, help="seconds before each response")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

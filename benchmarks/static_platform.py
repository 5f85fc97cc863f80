"""Mock platform for benchmarks: responses prepared in advance, over TLS.

`sandbox.server` would blur the figures. It takes 0.9 ms for 2 certificates and 1.6 ms for 50; this platform takes 0.5
and 0.7 ms, with TLS. A whole warm request takes 2 ms.

`python -m benchmarks.static_platform --port N --certificate FILE --distant-port N`. The responses repeat one of the
sandbox's sample orders. `--distant-port` reaches the same platform over a network with ROUND_TRIP_SECONDS.
`POST /_bench` {"certificates": n, "delay": seconds} sets the number of certificates and the delay of a response; with
{} it changes nothing. It returns how many connections were opened since the last call.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
from typing import Any

from aiohttp import web

from sandbox import sample_data
from sandbox.mock_platform import MAX_PAGE_SIZE
from sandbox.sample_data import CUSTOMER
from sandbox.server import CERTIFICATES_PATH

OPEN_ID = "open-id-of-the-benchmark"
ROUND_TRIP_SECONDS = 0.06
"""Of a network: between the phone and the service (4G), and between the service and the distant platform."""


class StaticPlatform:
    """The prepared responses and the connections."""

    def __init__(self) -> None:
        self._sample_order = sample_data.load().purchases[CUSTOMER][0].order
        self._pages: list[bytes] = []
        self._empty_page = b""
        self._delay = 0.0
        self._connections: set[Any] = set()
        self._new_connections = 0
        self._prepare_pages(2)

    def _prepare_pages(self, certificates: int) -> None:
        orders = [self._build_order(n) for n in range(certificates)]
        pages = [orders[start : start + MAX_PAGE_SIZE] for start in range(0, certificates, MAX_PAGE_SIZE)] or [[]]
        self._pages = [_encode_page(page, certificates) for page in pages]
        self._empty_page = _encode_page([], certificates)

    def _build_order(self, number: int) -> dict[str, Any]:
        order: dict[str, Any] = json.loads(json.dumps(self._sample_order))
        order |= {"order_id": f"2{number:018d}", "can_use": True}
        order["certificates"][0] |= {"certificate_id": f"7{number:018d}", "code": f"10815{number:08d}"}
        return order

    async def query_certificates(self, request: web.Request) -> web.Response:
        """Return a page."""
        if request.transport not in self._connections:
            self._connections.add(request.transport)
            self._new_connections += 1
        body = json.loads(await request.read())
        page = self._pages[body["page"] - 1] if body["page"] <= len(self._pages) else self._empty_page
        if self._delay:
            await asyncio.sleep(self._delay)
        return web.Response(body=page, content_type="application/json")

    async def login(self, _: web.Request) -> web.Response:
        """Return the same user for every code."""
        if self._delay:
            await asyncio.sleep(self._delay)
        return web.json_response({"err_no": 0, "data": {"openid": OPEN_ID}})

    async def control(self, request: web.Request) -> web.Response:
        """Change the settings; return the number of new connections."""
        settings = await request.json()
        if settings:
            self._prepare_pages(settings["certificates"])
            self._delay = settings["delay"]
        opened, self._new_connections = self._new_connections, 0
        return web.json_response({"opened": opened})


class DistantNetwork:
    """Relays connections to a port; everything arrives half a round trip later.

    Accepting a connection takes a round trip too (SYN and ACK): the first bytes wait for it.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until both sides have closed it."""
        accepted = asyncio.get_running_loop().time() + ROUND_TRIP_SECONDS
        platform_reader, platform_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(
            self._copy(reader, platform_writer, accepted), self._copy(platform_reader, writer, accepted)
        )

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, accepted: float) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                loop.call_at(max(loop.time(), accepted) + ROUND_TRIP_SECONDS / 2, writer.write, data)
        loop.call_at(max(loop.time(), accepted) + ROUND_TRIP_SECONDS / 2, writer.close)


def _encode_page(orders: list[Any], total: int) -> bytes:
    extra = {"error_code": 0, "description": "", "sub_error_code": 0, "sub_description": "", "logid": "bench", "now": 0}
    envelope = {"extra": extra, "data": {"error_code": 0, "description": "", "total": total, "orders": orders}}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


async def _serve(arguments: argparse.Namespace) -> None:
    handlers = StaticPlatform()
    platform = web.Application()
    platform.router.add_post(CERTIFICATES_PATH + "/", handlers.query_certificates)
    platform.router.add_post("/api/apps/v2/jscode2session", handlers.login)
    platform.router.add_post("/_bench", handlers.control)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(arguments.certificate)
    runner = web.AppRunner(platform, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port, ssl_context=tls).start()
    await asyncio.start_server(DistantNetwork(arguments.port).relay, "127.0.0.1", arguments.distant_port)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", required=True, help="PEM file with private key and certificate")
    parser.add_argument("--distant-port", type=int, required=True, help="port of the same platform, far away")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

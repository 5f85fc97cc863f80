"""Douyin for measuring: answers made beforehand, over TLS, so that its own work is next to none.

`python -m benchmarks.upstream --port N --certificate FILE --aws URL --aws-port N`. The answers are the sandbox's sample
order, `certificates` times. On `--aws-port` it hands calls on to the emulated AWS and counts them.
`POST /_bench` {"certificates": n, "delay": seconds} says what is answered from now on, and how late; it returns
what was counted since the last time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web

from chalicelib.douyin import PAGE_SIZE
from sandbox import world as worlds
from sandbox.server import CERTIFICATES_PATH


class Upstream:
    """What is answered, and what was asked."""

    def __init__(self, aws_url: str) -> None:
        [self._entry] = [p.order for p in worlds.load().purchases["lin"]][:1]
        self._aws_url = aws_url
        self._pages: list[bytes] = []
        self._delay = 0.0
        self._known: set[Any] = set()
        self._opened = 0
        self._aws_calls: Counter[str] = Counter()
        self._bytes = self._calls = 0
        self.arrange(2, 0.0)

    def arrange(self, certificates: int, delay: float) -> None:
        """Make the pages of so many certificates."""
        orders = [self._order(n) for n in range(certificates)]
        pages = [orders[at : at + PAGE_SIZE] for at in range(0, certificates, PAGE_SIZE)] or [[]]
        self._pages = [_encoded(_envelope(page, certificates)) for page in pages]
        self._delay = delay

    def _order(self, number: int) -> dict[str, Any]:
        order = json.loads(json.dumps(self._entry))
        order |= {"order_id": f"2{number:018d}", "can_use": True}
        order["certificates"][0] |= {"certificate_id": f"7{number:018d}", "code": f"10815{number:08d}"}
        return dict(order)

    async def certificates(self, request: web.Request) -> web.Response:
        """A page."""
        if request.transport not in self._known:
            self._known.add(request.transport)
            self._opened += 1
        body = json.loads(await request.read())
        answer = self._pages[body["page"] - 1]
        self._bytes += len(answer)
        self._calls += 1
        if self._delay:
            await asyncio.sleep(self._delay)
        return web.Response(body=answer, content_type="application/json")

    async def login(self, _: web.Request) -> web.Response:
        """Everybody is the same user."""
        return web.json_response({"err_no": 0, "data": {"openid": "open-id-of-nobody"}})

    async def control(self, request: web.Request) -> web.Response:
        """Change what is answered; tell what was counted."""
        told = {
            "opened": self._opened,
            "aws": dict(self._aws_calls),
            "bytes": self._bytes,
            "calls": self._calls,
        }
        asked = await request.json()
        if asked:
            self.arrange(asked["certificates"], asked["delay"])
        self._aws_calls.clear()
        self._bytes = self._calls = self._opened = 0
        return web.json_response(told)

    async def hand_on(self, request: web.Request) -> web.Response:
        """Hand a call on to AWS."""
        self._aws_calls[request.headers.get("X-Amz-Target", request.path).split(".")[-1]] += 1
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, self._aws_url + request.path_qs, headers=request.headers, data=await request.read()
            ) as answer,
        ):
            headers = {name: value for name, value in answer.headers.items() if name.lower().startswith(("x-", "cont"))}
            headers.pop("Content-Length", None)
            return web.Response(body=await answer.read(), status=answer.status, headers=headers)


def _envelope(orders: list[Any], total: int) -> dict[str, Any]:
    extra = {"error_code": 0, "description": "", "sub_error_code": 0, "sub_description": "", "logid": "bench", "now": 0}
    return {"extra": extra, "data": {"error_code": 0, "description": "", "total": total, "orders": orders}}


def _encoded(envelope: dict[str, Any]) -> bytes:
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


async def _serve(arguments: argparse.Namespace) -> None:
    upstream = Upstream(arguments.aws)
    platform, aws = web.Application(), web.Application()
    platform.router.add_post(CERTIFICATES_PATH + "/", upstream.certificates)
    platform.router.add_post("/api/apps/v2/jscode2session", upstream.login)
    platform.router.add_post("/_bench", upstream.control)
    aws.router.add_route("*", "/{path:.*}", upstream.hand_on)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(arguments.certificate)
    for application, port, tls in ((aws, arguments.aws_port, None), (platform, arguments.port, context)):
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--aws", required=True)
    parser.add_argument("--aws-port", type=int, required=True)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

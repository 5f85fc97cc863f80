"""The mini-program in a browser: serves the built program and what shows it, and passes its requests on.

One origin for all: a mini-program knows no origins, so the service answers none of a browser's questions about them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from infra.bundle import ROOT
from sandbox import world as worlds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

MINIPROGRAM = ROOT / "miniprogram"
PROGRAM = MINIPROGRAM / "dist"

# Where the built config says that the service stands: here it is this server, whatever a mini-program's own may be.
_ADDRESS = re.compile(r'(\bapi: )"[^"]*"')
_PASSED_ON = ("Authorization", "Content-Type")
_KEPT = ("Content-Type", "Cache-Control", "X-Request-Id", "Retry-After", "WWW-Authenticate")


class Preview:
    """Serves the preview and stands between it, the deployed service and the stand-in platform."""

    def __init__(self, api_url: str, platform_url: str) -> None:
        self.api_url = api_url
        self.platform_url = platform_url

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application()
        application.cleanup_ctx.append(self._client)
        route = application.router.add_route
        route("GET", "/", _page("index.html"))
        route("GET", "/phone.html", _page("phone.html"))
        route("GET", "/program.json", _program)
        application.router.add_static("/build", MINIPROGRAM / "build")
        route("*", "/api/{path:.*}", self._api)
        route("*", "/_sandbox/{path:.*}", self._sandbox)
        return application

    async def _client(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._session:
            yield

    async def _api(self, request: web.Request) -> web.Response:
        return await self._pass_on(request, f"{self.api_url}{request.raw_path.removeprefix('/api')}")

    async def _sandbox(self, request: web.Request) -> web.Response:
        return await self._pass_on(request, f"{self.platform_url}{request.raw_path}")

    async def _pass_on(self, request: web.Request, url: str) -> web.Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        body = await request.read()
        target = URL(url, encoded=True)
        async with self._session.request(request.method, target, headers=headers, data=body or None) as answer:
            kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


def _page(name: str) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def serve(_: web.Request) -> web.FileResponse:
        return web.FileResponse(MINIPROGRAM / "preview" / name, headers={"Cache-Control": "no-store"})

    return serve


async def _program(request: web.Request) -> web.Response:
    """The built mini-program as it is, but for the address of its backend."""
    files = {
        path.relative_to(PROGRAM).as_posix(): path.read_text(encoding="utf-8")
        for path in PROGRAM.rglob("*")
        if path.is_file()
    }
    files["config.js"] = _ADDRESS.sub(rf'\1"{request.scheme}://{request.host}/api"', files["config.js"])
    return web.json_response({"app_id": next(iter(worlds.load().apps)), "files": files})


async def _serve(port: int, preview: Preview) -> None:
    runner = web.AppRunner(preview.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The mini-program in a browser.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api", required=True, help="where the service stands")
    parser.add_argument("--platform", required=True, help="where the stand-in platform stands")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.port, Preview(arguments.api, arguments.platform)))


if __name__ == "__main__":
    main()

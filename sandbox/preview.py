"""The preview: the mini-program in a browser. Serves the built program and the page, and proxies its requests.

Everything has one origin, because the service does not support CORS: a mini-program does not need it.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from infra.bundle import ROOT
from sandbox.sample_data import ACCOUNT_ID, APP_ID
from sandbox.stack import change_merchant, emulated_account

MINIPROGRAM_FOLDER = ROOT / "miniprogram"
DIST_FOLDER = MINIPROGRAM_FOLDER / "dist"

_PROGRAM_SUFFIXES = (".js", ".json", ".ttml", ".ttss")
_REQUEST_HEADERS = ("Authorization", "Content-Type")
_RESPONSE_HEADERS = ("Content-Type", "Cache-Control", "X-Request-Id", "Retry-After", "WWW-Authenticate")


class PreviewServer:
    """Serves the preview, proxies to the deployed service and to the mock platform, and changes merchants."""

    def __init__(self, api_url: str, platform_url: str, aws_url: str, program: Path) -> None:
        self.api_url = api_url
        self.platform_url = platform_url
        self.aws_url = aws_url
        self.program = program

    def application(self) -> web.Application:
        """Create the aiohttp application."""
        application = web.Application()
        application.cleanup_ctx.append(self._open_client)
        route = application.router.add_route
        route("GET", "/", _serve_page("index.html"))
        route("GET", "/phone.html", _serve_page("phone.html"))
        route("GET", "/program.json", self._serve_program)
        application.router.add_static("/build", MINIPROGRAM_FOLDER / "build")
        route("*", "/api/{path:.*}", self._proxy_api)
        route("PATCH", "/_sandbox/merchants/{account_id}", self._change_merchant)
        route("*", "/_sandbox/{path:.*}", self._proxy_sandbox)
        return application

    async def _open_client(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._session:
            yield

    async def _serve_program(self, _: web.Request) -> web.Response:
        """Return the files of the built mini-program, and the sample's ids, which the phone puts into its config."""
        files = {
            path.relative_to(self.program).as_posix(): path.read_text(encoding="utf-8")
            for path in self.program.rglob("*")
            if path.suffix in _PROGRAM_SUFFIXES
            and path.is_file()
            and "node_modules" not in path.relative_to(self.program).parts
        }
        return web.json_response({"app_id": APP_ID, "account_id": ACCOUNT_ID, "files": files})

    async def _proxy_api(self, request: web.Request) -> web.Response:
        return await self._proxy(request, f"{self.api_url}{request.raw_path.removeprefix('/api')}")

    async def _proxy_sandbox(self, request: web.Request) -> web.Response:
        return await self._proxy(request, f"{self.platform_url}{request.raw_path}")

    async def _change_merchant(self, request: web.Request) -> web.Response:
        """Set attributes of a merchant's row. The next request uses them."""
        aws_account, account_id = emulated_account(self.aws_url), request.match_info["account_id"]
        await asyncio.to_thread(change_merchant, aws_account, account_id, **await request.json())
        return web.json_response({})

    async def _proxy(self, request: web.Request, url: str) -> web.Response:
        request_headers = {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}
        body = await request.read()
        target = URL(url, encoded=True)
        async with self._session.request(
            request.method, target, headers=request_headers, data=body or None
        ) as upstream:
            headers = {name: upstream.headers[name] for name in _RESPONSE_HEADERS if name in upstream.headers}
            return web.Response(status=upstream.status, headers=headers, body=await upstream.read())


def _serve_page(name: str) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    async def serve(_: web.Request) -> web.FileResponse:
        return web.FileResponse(MINIPROGRAM_FOLDER / "preview" / name, headers={"Cache-Control": "no-store"})

    return serve


def check_program(folder: str) -> Path:
    """Return the path of a built mini-program's folder; exit with a message if the folder is not complete."""
    program = Path(folder).expanduser().resolve()
    patterns = {"app.json": "app.json", "app.js": "app.js", "coupons/config.js": "**/coupons/config.js"}
    missing = [name for name, pattern in patterns.items() if not any(program.glob(pattern))]
    if missing:
        raise SystemExit(
            "PROGRAM must be the folder of a built mini-program (JavaScript) with the copied folder coupons: "
            f"{program} has no {', no '.join(missing)}"
        )
    return program


async def _serve(port: int, preview: PreviewServer) -> None:
    runner = web.AppRunner(preview.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="The preview: the mini-program in a browser.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api", required=True, help="base URL of the deployed service")
    parser.add_argument("--platform", required=True, help="base URL of the mock platform")
    parser.add_argument("--aws", required=True, help="base URL of the emulated AWS")
    parser.add_argument("--program", type=Path, required=True, help="folder of the built mini-program")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        preview = PreviewServer(arguments.api, arguments.platform, arguments.aws, arguments.program)
        asyncio.run(_serve(arguments.port, preview))


if __name__ == "__main__":
    main()

"""Douyin over real HTTP: `python -m sandbox.server [--port N] [--data FOLDER] [--qps N]`.

The platform's three endpoints stand where they stand in the platform (login and open API on one host here). Beside
them, under `/_sandbox/`, is what the platform does not have:

- `POST codes` {"app_id", "customer"}: a login code, as tt.login would give it
- `GET calls`: what was called so far, `DELETE calls`: forget it
- `GET|POST|DELETE faults`: faults on demand (see `sandbox.faults`)
- `POST clock` {"advance": seconds}: let time pass
- `POST revoke` {"app_id"}: every token of an app becomes invalid
- `PUT purchases/{customer}`: replace what a customer bought (the form of the files in `sandbox/data/orders`)
- `GET world`: apps without secrets, merchants, customers
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox import world as worlds
from sandbox.faults import Fault, FaultPlan
from sandbox.platform import Platform, RefusalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Codes = dict[str, int]
    """Error codes by the place they stand in, as `extra.error_code`."""

    Answering = Callable[[Codes | None], tuple[dict[str, Any], int]]
    """Makes the true envelope, or one with these codes; returns its deciding code as well."""

CERTIFICATES_PATH = "/api/trade/v2/fulfillment/query_user_certificates"
_CHINA = timezone(timedelta(hours=8))
_HANG_SECONDS = 3600.0


class Server:
    """The stand-in's HTTP side."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.plan = FaultPlan()
        self.calls: list[dict[str, Any]] = []

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application()
        route = application.router.add_route
        for path in (CERTIFICATES_PATH, f"{CERTIFICATES_PATH}/"):
            route("*", path, self._certificates)
        for path in ("/oauth/client_token", "/oauth/client_token/"):
            route("*", path, self._mint)
        route("*", "/api/apps/v2/jscode2session", self._login)
        route("POST", "/_sandbox/codes", self._issue_code)
        route("*", "/_sandbox/calls", self._show_calls)
        route("*", "/_sandbox/faults", self._change_faults)
        route("POST", "/_sandbox/clock", self._advance)
        route("POST", "/_sandbox/revoke", self._revoke)
        route("PUT", "/_sandbox/purchases/{customer}", self._replace_purchases)
        route("GET", "/_sandbox/world", self._show_world)
        return application

    async def _certificates(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        headers = {name.lower(): value for name, value in request.headers.items()}

        def answer(forced: Codes | None) -> tuple[dict[str, Any], int]:
            extra = {"error_code": 0, "description": "", "sub_error_code": 0, "sub_description": ""}
            extra |= {"logid": _logid(), "now": int(self.platform.now())}
            data: dict[str, Any] = {"error_code": 0, "description": ""}
            envelope: dict[str, Any] = {"extra": extra, "data": data}
            code = 0
            try:
                if forced is None:
                    data |= self.platform.query(headers, body)
                else:
                    code = _put_codes(envelope, forced)
            except RefusalError as refusal:
                code = refusal.code
                data |= {"error_code": code, "description": str(refusal)}
                extra |= {"error_code": code, "description": str(refusal), "sub_error_code": refusal.sub_code}
            return envelope, code

        page = body.get("page", 1) if isinstance(body, dict) else None
        app_id = self.platform.app_id_of(headers.get("access-token", ""))
        return await self._respond(request, "query_user_certificates", page, app_id, answer)

    async def _mint(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)

        def answer(forced: Codes | None) -> tuple[dict[str, Any], int]:
            data: dict[str, Any] = {"description": "", "error_code": 0}
            envelope: dict[str, Any] = {"data": data, "message": "success"}
            code = 0
            try:
                if forced is None:
                    data |= self.platform.mint(body)
                else:
                    code = _put_codes(envelope, forced)
            except RefusalError as refusal:
                code = refusal.code
                data |= {"captcha": "", "desc_url": "", "description": str(refusal), "error_code": code}
            if code:
                envelope["message"] = "error"
            return envelope, code

        app_id = body.get("client_key") if isinstance(body, dict) else None
        return await self._respond(request, "client_token", None, app_id, answer)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)

        def answer(forced: Codes | None) -> tuple[dict[str, Any], int]:
            blank = dict.fromkeys(("session_key", "openid", "anonymous_openid", "unionid", "dopenid"), "")
            envelope: dict[str, Any] = {"err_no": 0, "err_tips": "success", "data": blank}
            try:
                if forced is not None:
                    raise RefusalError(next(iter(forced.values())), "forced")
                envelope["data"] = self.platform.login(body)
            except RefusalError as refusal:
                envelope |= {"err_no": refusal.code, "err_tips": str(refusal)}
            return envelope, envelope["err_no"]

        app_id = body.get("appid") if isinstance(body, dict) else None
        return await self._respond(request, "jscode2session", None, app_id, answer)

    async def _respond(
        self,
        request: web.Request,
        call: str,
        page: int | None,
        app_id: str | None,
        answer: Answering,
    ) -> web.StreamResponse:
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        fault = self.plan.strike(call, page, app_id)
        entry: dict[str, Any] = {
            "call": call,
            "at": time.time(),
            "connection": _peer_port(request),
            "page": page,
            "app_id": app_id,
            "fault": None if fault is None else fault.kind,
            "error_code": None,
        }
        self.calls.append(entry)
        if fault is None:
            envelope, entry["error_code"] = answer(None)
            return web.json_response(envelope, dumps=_dumps)
        return await _suffer(request, fault, answer, entry)

    async def _issue_code(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            return web.json_response({"code": self.platform.issue_code(body["app_id"], body["customer"])})
        except KeyError as error:
            return web.json_response({"error": str(error)}, status=404)

    async def _show_calls(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.calls.clear()
        return web.json_response(self.calls)

    async def _change_faults(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.plan.faults.clear()
        if request.method == "POST":
            try:
                self.plan.faults.append(Fault(**await request.json()))
            except (TypeError, ValueError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response([vars(fault) for fault in self.plan.faults])

    async def _advance(self, request: web.Request) -> web.Response:
        self.platform.advance((await request.json())["advance"])
        return web.json_response({"now": self.platform.now()})

    async def _revoke(self, request: web.Request) -> web.Response:
        self.platform.revoke((await request.json())["app_id"])
        return web.json_response({})

    async def _replace_purchases(self, request: web.Request) -> web.Response:
        customer = request.match_info["customer"]
        if customer not in self.platform.world.customers:
            return web.json_response({"error": "unknown customer"}, status=404)
        self.platform.world.purchases[customer] = worlds.purchases(await request.json())
        return web.json_response({})

    async def _show_world(self, _: web.Request) -> web.Response:
        world = self.platform.world
        return web.json_response(
            {
                "apps": [{"app_id": app.app_id, "name": app.name} for app in world.apps.values()],
                "merchants": [vars(merchant) for merchant in world.merchants.values()],
                "customers": [{"key": c.key, "name": c.name} for c in world.customers.values()],
            },
            dumps=_dumps,
        )


async def _suffer(
    request: web.Request,
    fault: Fault,
    answer: Answering,
    entry: dict[str, Any],
) -> web.StreamResponse:
    """Answer as the fault says."""
    if fault.kind in ("code", "sub"):
        forced = {fault.place: fault.code}
        if fault.kind == "sub":
            places = ("data.error_code", "extra.error_code")
            forced = dict.fromkeys(places, fault.code) | {"extra.sub_error_code": fault.sub_code}
        envelope, entry["error_code"] = answer(forced)
        return web.json_response(envelope, dumps=_dumps)
    if fault.kind in ("http", "body"):
        status = fault.status if fault.kind == "http" else 200
        content_type = "application/json" if fault.kind == "body" else "text/html"
        return web.Response(status=status, headers=fault.headers, text=fault.body, content_type=content_type)
    if fault.kind in ("hang", "reset"):
        if fault.kind == "hang":
            await asyncio.sleep(_HANG_SECONDS)
        return _cut(request)
    envelope, entry["error_code"] = answer(None)
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
    if fault.kind == "patch":
        envelope["data"] |= fault.patch
    payload = _dumps(envelope).encode()
    if fault.kind in ("delay", "patch"):
        return web.Response(body=payload, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(payload))})
    await response.prepare(request)
    if fault.kind == "drip":
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(payload), fault.bytes):
                await response.write(payload[at : at + fault.bytes])
                await asyncio.sleep(fault.seconds)
        return response
    await response.write(payload if fault.kind == "close" else payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _peer_port(request: web.Request) -> int:
    """What tells connections apart: the caller's port."""
    return 0 if request.transport is None else int(request.transport.get_extra_info("peername")[1])


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError:
        return None


def _put_codes(envelope: dict[str, Any], codes: Codes) -> int:
    """Put each code where it belongs; returns the first."""
    for place, code in codes.items():
        *path, name = place.split(".")
        half = envelope
        for part in path:
            half = half.setdefault(part, {})
        half[name] = code
    return next(iter(codes.values()))


def _logid() -> str:
    return datetime.now(_CHINA).strftime("%Y%m%d%H%M%S") + secrets.token_hex(9).upper()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def start(
    data: Path = worlds.DATA, port: int = 0, qps: float | None = None
) -> tuple[int, Server, Callable[[], Awaitable[None]]]:
    """Serve on loopback; returns the port, the server, and how to stop it."""
    server = Server(Platform(worlds.load(data), qps))
    # A caller that has gone ends what was done for it, or answers that never come would pile up.
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    return runner.addresses[0][1], server, runner.cleanup


async def _serve(arguments: argparse.Namespace) -> None:
    port, _, _ = await start(arguments.data, arguments.port, arguments.qps)
    print(f"Douyin stand-in on http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run the stand-in by itself until it is interrupted."""
    parser = argparse.ArgumentParser(description="A stand-in for Douyin's open platform.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--data", type=Path, default=worlds.DATA, help="folder of the data files")
    parser.add_argument("--qps", type=float, help="certificate queries a second and app before 2119003")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

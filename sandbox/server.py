"""Mock platform (模拟抖音平台) over HTTP: `python -m sandbox.server [--port N] [--data FOLDER] [--qps N]`.

Serves the three endpoints of the platform under their real paths; login and open API share one host here. Endpoints
under `/_sandbox/` control the mock:

- `POST codes` {"app_id", "customer"}: issue a login code, as tt.login does
- `GET calls`: list the calls so far; `DELETE calls`: clear the list
- `GET|POST|DELETE faults`: list, add and clear fault rules (see `sandbox.faults`)
- `POST clock` {"advance": seconds}: move the platform's clock forward
- `POST revoke` {"app_id"}: invalidate all tokens of an app
- `PUT purchases/{customer}`: replace a customer's purchases (format of the files in `sandbox/data/orders`)
- `GET world`: list apps (without secrets), merchants and customers
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

from sandbox import sample_data
from sandbox.faults import Fault, FaultPlan
from sandbox.mock_platform import MockPlatform, PlatformError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Codes = dict[str, int]
    """Error codes by field, for example `extra.error_code`."""

    BuildResponse = Callable[[Codes | None], tuple[dict[str, Any], int]]
    """Builds the normal response, or one with the given codes; returns the body and its error code (0: success)."""

CERTIFICATES_PATH = "/api/trade/v2/fulfillment/query_user_certificates"
_CHINA = timezone(timedelta(hours=8))
_HANG_SECONDS = 3600.0


class MockServer:
    """The HTTP interface of the mock platform; `calls` is the list of calls that it received."""

    def __init__(self, platform: MockPlatform) -> None:
        self.platform = platform
        self.fault_plan = FaultPlan()
        self.calls: list[dict[str, Any]] = []

    def application(self) -> web.Application:
        """Create the aiohttp application."""
        application = web.Application()
        route = application.router.add_route
        for path in (CERTIFICATES_PATH, f"{CERTIFICATES_PATH}/"):
            route("*", path, self._query_certificates)
        for path in ("/oauth/client_token", "/oauth/client_token/"):
            route("*", path, self._mint_token)
        route("*", "/api/apps/v2/jscode2session", self._login)
        route("POST", "/_sandbox/codes", self._issue_code)
        route("*", "/_sandbox/calls", self._handle_calls)
        route("*", "/_sandbox/faults", self._handle_faults)
        route("POST", "/_sandbox/clock", self._advance_clock)
        route("POST", "/_sandbox/revoke", self._revoke_tokens)
        route("PUT", "/_sandbox/purchases/{customer}", self._replace_purchases)
        route("GET", "/_sandbox/world", self._list_sample_data)
        return application

    async def _query_certificates(self, request: web.Request) -> web.StreamResponse:
        body = await _read_json(request)
        headers = {name.lower(): value for name, value in request.headers.items()}

        def build_response(codes: Codes | None) -> tuple[dict[str, Any], int]:
            extra = {"error_code": 0, "description": "", "sub_error_code": 0, "sub_description": ""}
            extra |= {"logid": _new_logid(), "now": int(self.platform.now())}
            data: dict[str, Any] = {"error_code": 0, "description": ""}
            envelope: dict[str, Any] = {"extra": extra, "data": data}
            code = 0
            try:
                if codes is None:
                    data |= self.platform.query_user_certificates(headers, body)
                else:
                    code = _set_codes(envelope, codes)
            except PlatformError as error:
                code = error.code
                data |= {"error_code": code, "description": error.description}
                extra |= {"error_code": code, "description": error.description, "sub_error_code": error.sub_code}
            return envelope, code

        page = body.get("page", 1) if isinstance(body, dict) else None
        app_id = self.platform.find_app_id(headers.get("access-token", ""))
        return await self._respond(request, "query_user_certificates", page, app_id, build_response)

    async def _mint_token(self, request: web.Request) -> web.StreamResponse:
        body = await _read_json(request)

        def build_response(codes: Codes | None) -> tuple[dict[str, Any], int]:
            data: dict[str, Any] = {"description": "", "error_code": 0}
            envelope: dict[str, Any] = {"data": data, "message": "success"}
            code = 0
            try:
                if codes is None:
                    data |= self.platform.mint_token(body)
                else:
                    code = _set_codes(envelope, codes)
            except PlatformError as error:
                code = error.code
                data |= {"captcha": "", "desc_url": "", "description": error.description, "error_code": code}
            if code:
                envelope["message"] = "error"
            return envelope, code

        app_id = body.get("client_key") if isinstance(body, dict) else None
        return await self._respond(request, "client_token", None, app_id, build_response)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        body = await _read_json(request)

        def build_response(codes: Codes | None) -> tuple[dict[str, Any], int]:
            empty = dict.fromkeys(("session_key", "openid", "anonymous_openid", "unionid", "dopenid"), "")
            envelope: dict[str, Any] = {"err_no": 0, "err_tips": "success", "data": empty}
            try:
                if codes is not None:
                    raise PlatformError(next(iter(codes.values())), "forced")
                envelope["data"] = self.platform.login(body)
            except PlatformError as error:
                envelope |= {"err_no": error.code, "err_tips": error.description}
            return envelope, envelope["err_no"]

        app_id = body.get("appid") if isinstance(body, dict) else None
        return await self._respond(request, "jscode2session", None, app_id, build_response)

    async def _respond(
        self,
        request: web.Request,
        call: str,
        page: int | None,
        app_id: str | None,
        build_response: BuildResponse,
    ) -> web.StreamResponse:
        """Record the call, then send the normal response or apply a fault."""
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        fault = self.fault_plan.next_fault(call, page, app_id)
        entry: dict[str, Any] = {
            "call": call,
            "at": time.time(),
            "connection": _client_port(request),
            "page": page,
            "app_id": app_id,
            "fault": None if fault is None else fault.kind,
            "error_code": None,
        }
        self.calls.append(entry)
        if fault is None:
            envelope, entry["error_code"] = build_response(None)
            return web.json_response(envelope, dumps=_dumps)
        return await _apply_fault(request, fault, build_response, entry)

    async def _issue_code(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            return web.json_response({"code": self.platform.issue_login_code(body["app_id"], body["customer"])})
        except KeyError as error:
            return web.json_response({"error": str(error)}, status=404)

    async def _handle_calls(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.calls.clear()
        return web.json_response(self.calls)

    async def _handle_faults(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.fault_plan.faults.clear()
        if request.method == "POST":
            try:
                self.fault_plan.faults.append(Fault(**await request.json()))
            except (TypeError, ValueError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response([vars(fault) for fault in self.fault_plan.faults])

    async def _advance_clock(self, request: web.Request) -> web.Response:
        self.platform.advance_clock((await request.json())["advance"])
        return web.json_response({"now": self.platform.now()})

    async def _revoke_tokens(self, request: web.Request) -> web.Response:
        self.platform.revoke_tokens((await request.json())["app_id"])
        return web.json_response({})

    async def _replace_purchases(self, request: web.Request) -> web.Response:
        customer = request.match_info["customer"]
        if customer not in self.platform.data.customers:
            return web.json_response({"error": "unknown customer"}, status=404)
        self.platform.data.purchases[customer] = sample_data.parse_purchases(await request.json())
        return web.json_response({})

    async def _list_sample_data(self, _: web.Request) -> web.Response:
        data = self.platform.data
        return web.json_response(
            {
                "apps": [{"app_id": app.app_id, "name": app.name} for app in data.apps.values()],
                "merchants": [
                    {**vars(merchant), "stores": merchant.store_names} for merchant in data.merchants.values()
                ],
                "customers": [{"key": c.key, "name": c.name} for c in data.customers.values()],
            },
            dumps=_dumps,
        )


async def _apply_fault(
    request: web.Request,
    fault: Fault,
    build_response: BuildResponse,
    entry: dict[str, Any],
) -> web.StreamResponse:
    """Respond as the fault rule says; sets the entry's `error_code`."""
    if fault.kind in ("code", "sub"):
        codes = {fault.place: fault.code}
        if fault.kind == "sub":
            places = ("data.error_code", "extra.error_code")
            codes = dict.fromkeys(places, fault.code) | {"extra.sub_error_code": fault.sub_code}
        envelope, entry["error_code"] = build_response(codes)
        return web.json_response(envelope, dumps=_dumps)
    if fault.kind in ("http", "body"):
        status = fault.status if fault.kind == "http" else 200
        content_type = "application/json" if fault.kind == "body" else "text/html"
        return web.Response(status=status, headers=fault.headers, text=fault.body, content_type=content_type)
    if fault.kind in ("hang", "reset"):
        if fault.kind == "hang":
            await asyncio.sleep(_HANG_SECONDS)
        _close_connection(request)
        return web.Response()
    envelope, entry["error_code"] = build_response(None)
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
            for start in range(0, len(payload), fault.bytes):
                await response.write(payload[start : start + fault.bytes])
                await asyncio.sleep(fault.seconds)
        return response
    await response.write(payload if fault.kind == "close" else payload[: len(payload) // 2])
    _close_connection(request)
    return response


def _close_connection(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def _client_port(request: web.Request) -> int:
    """Return the client's port, which identifies the connection."""
    return 0 if request.transport is None else int(request.transport.get_extra_info("peername")[1])


async def _read_json(request: web.Request) -> Any:
    """Return the request's body; None if it is not JSON."""
    try:
        return json.loads(await request.read())
    except ValueError:
        return None


def _set_codes(envelope: dict[str, Any], codes: Codes) -> int:
    """Set each code in its field of the envelope; returns the first code."""
    for place, code in codes.items():
        *parents, name = place.split(".")
        target = envelope
        for parent in parents:
            target = target.setdefault(parent, {})
        target[name] = code
    return next(iter(codes.values()))


def _new_logid() -> str:
    return datetime.now(_CHINA).strftime("%Y%m%d%H%M%S") + secrets.token_hex(9).upper()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def start(
    data_folder: Path = sample_data.DATA_FOLDER, port: int = 0, qps: float | None = None
) -> tuple[int, MockServer, Callable[[], Awaitable[None]]]:
    """Serve on 127.0.0.1; returns the port, the server, and a function that stops it."""
    server = MockServer(MockPlatform(sample_data.load(data_folder), qps))
    # Cancel the handler when its client disconnects; otherwise handlers of `hang` faults would accumulate.
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    return runner.addresses[0][1], server, runner.cleanup


async def _serve(arguments: argparse.Namespace) -> None:
    port, _, _ = await start(arguments.data, arguments.port, arguments.qps)
    print(f"Mock Douyin platform: http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Mock of Douyin's open platform.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free port)")
    parser.add_argument("--data", type=Path, default=sample_data.DATA_FOLDER, help="folder with the data files")
    parser.add_argument("--qps", type=float, help="certificate queries per second and app; above: error 2119003")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

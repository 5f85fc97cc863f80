"""Mock platform (模拟抖音平台) over HTTP: `python -m sandbox.server [--port N] …`.

Serves endpoints of the platform under their real paths; login and open API share one host here. Endpoints under
`/_sandbox/` control the mock. sandbox/README.md describes all of them.
"""

import argparse
import asyncio
import contextlib
import functools
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from aiohttp import web

from sandbox import sample_data
from sandbox.faults import CallDetails, FaultRule
from sandbox.mock_platform import CALL_PATHS, MockPlatform, PlatformError

Codes = dict[str, int]
"""Error codes by field, for example `extra.error_code`."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CHINA = timezone(timedelta(hours=8))
_HANG_SECONDS = 3600.0


class MockServer:
    """The HTTP interface of the mock platform; `calls` is the list of calls that it received."""

    def __init__(self, platform: MockPlatform) -> None:
        self.platform = platform
        #: The first rule that matches a call applies.
        self.fault_rules: list[FaultRule] = []
        self.calls: list[dict[str, Any]] = []

    def application(self) -> web.Application:
        """Create the aiohttp application."""
        application = web.Application(middlewares=[_explain_request_errors])
        route = application.router.add_route
        handlers: dict[str, Handler] = {
            "client_token": self._mint_token,
            "jscode2session": self._login,
            "code2session": self._login_with_token,
        }
        for call, path in CALL_PATHS.items():
            for form in {path, path.rstrip("/")}:
                route("*", form, handlers.get(call) or functools.partial(self._query, call))
        route("POST", "/_sandbox/codes", self._issue_code)
        route("POST", "/_sandbox/provider-tokens", self._issue_provider_token)
        route("*", "/_sandbox/calls", self._handle_calls)
        route("*", "/_sandbox/faults", self._handle_faults)
        route("PUT", "/_sandbox/purchases/{customer}", self._replace_purchases)
        route("GET", "/_sandbox/world", self._list_sample_data)
        return application

    async def _query(self, call: str, request: web.Request) -> web.StreamResponse:
        """Respond to a call of the trade API."""
        body = await _read_json(request)
        headers = _lower_headers(request)
        extra = {"error_code": 0, "description": "", "sub_error_code": 0, "sub_description": ""}
        extra |= {"logid": self._new_logid(), "now": int(time.time())}
        data = {"error_code": 0, "description": ""}

        def set_error(error: PlatformError) -> None:
            data.update(error_code=error.code, description=error.description)
            extra.update(data, sub_error_code=error.sub_code)

        respond = functools.partial(getattr(self.platform, call), headers, body)
        details = self._describe_query(headers, body, call)
        return await self._respond(request, details, {"extra": extra, "data": data}, respond, set_error)

    def _describe_query(self, headers: dict[str, str], body: Any, call: str) -> CallDetails:
        """Return the details of a query for the fault rules. The customer is found by open_id, or by order_id."""
        fields = body if isinstance(body, dict) else {}
        app_id = self.platform.find_app_id(headers.get("access-token", ""))
        if "order_id" in fields:
            customer_key, purchase = self.platform.data.find_purchase(str(fields["order_id"]))
            account_id = None if purchase is None else purchase.account_id
            open_ids = {} if customer_key is None else self.platform.data.customers[customer_key].open_ids
            return CallDetails(call, None, app_id, account_id, customer_key, open_ids.get(app_id or ""))
        open_id, account_id = (_text(fields.get(name)) for name in ("open_id", "account_id"))
        customer = self.platform.data.find_customer(app_id or "", open_id or "")
        page = fields.get("page", 1) if isinstance(body, dict) else None
        return CallDetails(call, page, app_id, account_id, None if customer is None else customer.key, open_id)

    async def _mint_token(self, request: web.Request) -> web.StreamResponse:
        body = await _read_json(request)
        data = {"description": "", "error_code": 0}
        envelope = {"data": data, "message": "success"}

        def set_error(error: PlatformError) -> None:
            data.update(captcha="", desc_url="", description=error.description, error_code=error.code)
            envelope["message"] = "error"

        details = CallDetails("client_token", app_id=body.get("client_key") if isinstance(body, dict) else None)
        respond = functools.partial(self.platform.mint_token, body)
        return await self._respond(request, details, envelope, respond, set_error)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        body = await _read_json(request)
        empty = dict.fromkeys(("session_key", "openid", "anonymous_openid", "unionid", "dopenid"), "")
        envelope = {"err_no": 0, "err_tips": "success", "data": empty}

        def set_error(error: PlatformError) -> None:
            envelope.update(err_no=error.code, err_tips=error.description)

        details = self._describe_login("jscode2session", body, "appid")
        return await self._respond(request, details, envelope, functools.partial(self.platform.login, body), set_error)

    async def _login_with_token(self, request: web.Request) -> web.StreamResponse:
        body = await _read_json(request)
        empty = dict.fromkeys(("session_key", "open_id", "anonymous_open_id", "union_id"), "")
        envelope = {"err_no": 0, "err_msg": "success", "log_id": self._new_logid(), "data": empty}

        def set_error(error: PlatformError) -> None:
            envelope.update(err_no=error.code, err_msg=error.description)

        details = self._describe_login("code2session", body, "app_id")
        respond = functools.partial(self.platform.login_with_token, _lower_headers(request), body)
        return await self._respond(request, details, envelope, respond, set_error)

    def _describe_login(self, call: str, body: Any, app_field: str) -> CallDetails:
        """Return the details of a login for the fault rules. The customer is found by the code."""
        fields = body if isinstance(body, dict) else {}
        app_id = fields.get(app_field)
        customer_key = self.platform.find_login_customer(str(fields.get("code")))
        open_ids = {} if customer_key is None else self.platform.data.customers[customer_key].open_ids
        return CallDetails(call, app_id=app_id, customer_key=customer_key, open_id=open_ids.get(str(app_id)))

    async def _respond(
        self,
        request: web.Request,
        details: CallDetails,
        envelope: dict[str, Any],
        respond: Callable[[], dict[str, Any]],
        set_error: Callable[[PlatformError], None],
    ) -> web.StreamResponse:
        """Record the call, then send the normal response or apply a fault rule.

        `envelope` is that of a success. `respond` returns its data, `set_error` puts an error into it.
        """
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        rule = next((rule for rule in self.fault_rules if rule.matches(details)), None)
        if rule is not None:
            rule.use()
        entry: dict[str, Any] = {
            "call": details.call,
            "at": time.time(),
            "connection": _client_port(request),
            "page": details.page,
            "app_id": details.app_id,
            "account_id": details.account_id,
            "customer": details.customer_key,
            "fault": None if rule is None else rule.kind,
            "error_code": None,
            "logid": None,
        }
        self.calls.append(entry)

        def build(codes: Codes | None = None) -> dict[str, Any]:
            """Return the reply to the call; with `codes`, the call has no effect."""
            try:
                if codes is None:
                    envelope["data"] |= respond()
                entry["error_code"] = _set_codes(envelope, codes or {})
            except PlatformError as error:
                set_error(error)
                entry["error_code"] = error.code
            entry["logid"] = envelope.get("log_id") or envelope.get("extra", {}).get("logid")
            return envelope

        if rule is None:
            return web.json_response(build(), dumps=_dumps)
        return await _apply_rule(request, rule, build)

    def _new_logid(self) -> str:
        now = datetime.fromtimestamp(time.time(), _CHINA)
        return now.strftime("%Y%m%d%H%M%S") + secrets.token_hex(9).upper()

    async def _issue_code(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"code": self.platform.issue_login_code(body["app_id"], body["customer"])})

    async def _issue_provider_token(self, request: web.Request) -> web.Response:
        token = self.platform.issue_provider_token((await request.json())["app_id"])
        return web.json_response({"access_token": token.value, "expires_in": int(token.expires_at - time.time())})

    async def _handle_calls(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.calls.clear()
        return web.json_response(self.calls)

    async def _handle_faults(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.fault_rules.clear()
        if request.method == "POST":
            self.fault_rules.append(FaultRule(**await request.json()))
        return web.json_response([vars(rule) for rule in self.fault_rules])

    async def _replace_purchases(self, request: web.Request) -> web.Response:
        customer_key = request.match_info["customer"]
        if customer_key not in self.platform.data.customers:
            return web.json_response({"error": "unknown customer"}, status=404)
        self.platform.data.purchases[customer_key] = sample_data.parse_purchases(await request.json())
        return web.json_response({})

    async def _list_sample_data(self, _: web.Request) -> web.Response:
        data = self.platform.data
        return web.json_response(
            {
                "apps": [{"app_id": app.app_id, "name": app.name} for app in data.apps.values()],
                "merchants": [
                    {**vars(merchant), "stores": merchant.store_names} for merchant in data.merchants.values()
                ],
                "customers": [vars(customer) for customer in data.customers.values()],
            },
            dumps=_dumps,
        )


@web.middleware
async def _explain_request_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond with what is wrong in a request to `/_sandbox/`."""
    if not request.path.startswith("/_sandbox/"):
        return await handler(request)
    try:
        return await handler(request)
    except KeyError as error:
        return web.json_response({"error": f"{error} is missing or unknown"}, status=400)
    except (TypeError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)


async def _apply_rule(
    request: web.Request, rule: FaultRule, build: Callable[[Codes | None], dict[str, Any]]
) -> web.StreamResponse:
    """Respond as the fault rule says."""
    if rule.kind in ("code", "sub"):
        codes = {rule.place: rule.code}
        if rule.kind == "sub":
            places = ("data.error_code", "extra.error_code")
            codes = dict.fromkeys(places, rule.code) | {"extra.sub_error_code": rule.sub_code}
        return web.json_response(build(codes), dumps=_dumps)
    if rule.kind in ("http", "body"):
        status = rule.status if rule.kind == "http" else 200
        content_type = "application/json" if rule.kind == "body" else "text/html"
        return web.Response(status=status, headers=rule.headers, text=rule.body, content_type=content_type)
    if rule.kind in ("hang", "reset"):
        if rule.kind == "hang":
            await asyncio.sleep(_HANG_SECONDS)
        _close_connection(request)
        return web.Response()
    envelope = build(None)
    if rule.kind == "delay":
        await asyncio.sleep(rule.seconds)
    if rule.kind == "edit":
        envelope = rule.edit(envelope)
    payload = _dumps(envelope).encode()
    if rule.kind in ("delay", "edit"):
        return web.Response(body=payload, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(payload))})
    await response.prepare(request)
    if rule.kind == "drip":
        with contextlib.suppress(ConnectionError):
            for start in range(len(payload)):
                await response.write(payload[start : start + 1])
                await asyncio.sleep(rule.seconds)
        return response
    await response.write(payload[: len(payload) // 2])
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
    """Set each code in its field of the envelope; returns the first code, or 0."""
    for place, code in codes.items():
        *parents, name = place.split(".")
        target = envelope
        for parent in parents:
            target = target.setdefault(parent, {})
        target[name] = code
    return next(iter(codes.values()), 0)


def _lower_headers(request: web.Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def start(port: int = 0) -> tuple[int, MockServer, Callable[[], Awaitable[None]]]:
    """Serve on 127.0.0.1; returns the port, the server, and a function that stops it."""
    server = MockServer(MockPlatform(sample_data.load()))
    # Cancel the handler when its client disconnects; otherwise handlers of `hang` faults would accumulate.
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    return runner.addresses[0][1], server, runner.cleanup


async def _serve(arguments: argparse.Namespace) -> None:
    port, *_ = await start(arguments.port)
    print(f"Mock Douyin platform: http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Mock of Douyin's open platform.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free port)")
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_serve(parser.parse_args()))
        except OSError as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()

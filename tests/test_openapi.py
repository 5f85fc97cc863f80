"""`docs/openapi.yaml` is true: the running service is asked what it allows and what it forbids, over HTTP."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
import yaml
from aiohttp import web
from hypothesis import HealthCheck, settings

import app as application
from chalicelib import __version__, problems
from sandbox import gateway
from tests.conftest import MERCHANT, STORE, Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Api, Platform

DOCUMENT = Path(__file__).parent.parent / "docs" / "openapi.yaml"
MIB = 1 << 20
schema = schemathesis.openapi.from_path(DOCUMENT)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


async def handle(request: web.Request) -> web.Response:
    """API Gateway's part: the request as an event, the result as an answer."""
    body = (await request.read()).decode("utf-8", "surrogateescape") if request.body_exists else None
    event = gateway.event(request.method, request.raw_path, dict(request.headers), body)
    answer = gateway.answer(application.app(event, Context()))
    return web.Response(status=answer.status, headers=answer.headers, body=answer.text.encode())


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The app behind HTTP on loopback."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> web.AppRunner:
        served = web.Application()
        # Any character: the generated paths hold line breaks, which a dot leaves out.
        served.router.add_route("*", r"/{path:[\s\S]*}", handle)
        runner = web.AppRunner(served, access_log=None, max_line_size=MIB, max_field_size=MIB)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@schema.parametrize()
# The same requests each time: a gate that says no by chance is one that nobody believes.
@settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_the_service_does_what_the_document_says(case: schemathesis.Case[Any], served: str, api: Api) -> None:
    """Valid and invalid requests by the document; every answer must be one that it allows."""
    if "Authorization" not in api.headers:
        api.login()
    # No schema can say that a cursor is one of ours, or that a range ends after it begins.
    excluded = [schemathesis.checks.positive_data_acceptance] if case.method == "GET" else []
    case.call_and_validate(base_url=served, headers=dict(api.headers), timeout=15, excluded_checks=excluded)


@pytest.mark.parametrize("customer", ["lin", "wu", "zhou", "chen", "yang", "zhao", "sun", "li", "zheng"])
def test_every_sample_view_is_one_that_the_document_allows(
    api: Api, platform: Platform, served: str, customer: str
) -> None:
    del platform
    api.login(customer)
    operation = schema["/v1/merchants/{account_id}/stores/{poi_id}/certificates"]["GET"]
    case = operation.Case(path_parameters={"account_id": MERCHANT, "poi_id": STORE}, query={}, headers={})
    answer = case.call_and_validate(base_url=served, headers=dict(api.headers), timeout=15)
    assert answer.status_code == 200


def test_the_document_has_the_routes_the_problems_and_the_version_of_the_code() -> None:
    told = document()
    assert told["info"]["version"] == __version__
    routes = {(path, method.upper()) for path, item in told["paths"].items() for method in item}
    assert routes == {(path, method) for path, methods in application.app.routes.items() for method in methods}
    codes = {kind.code for kind in vars(problems).values() if isinstance(kind, problems.Kind)}
    assert set(told["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == codes


def test_a_path_with_a_line_break_is_told_in_the_same_shape(served: str, api: Api) -> None:
    api.login()
    url = f"{served}/v1/merchants/a%0Ab/stores/{STORE}/certificates"
    answer = requests.get(url, headers=api.headers, timeout=15)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")

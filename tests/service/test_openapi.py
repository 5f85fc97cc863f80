"""`docs/openapi.yaml` describes the service: generated requests over HTTP, and each field of the code's structs."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import schemathesis
import yaml
from aiohttp import web
from hypothesis import HealthCheck, settings

import app as application
from chalicelib import __version__
from chalicelib.api import problems, validation
from chalicelib.api.login import LoginView
from chalicelib.certificates.views import CertificateView, ListView
from chalicelib.merchants import StoresView, StoreView
from infra.bundle import ROOT
from sandbox import gateway
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.harness import IS_NIGHTLY, Api, LambdaContext, Platform, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    Fields = dict[str, tuple[str, bool]]
    """Field to its JSON type and whether it is required; nested fields as `object.field`."""

DOCUMENT_PATH = ROOT / "docs" / "openapi.yaml"
LIST_ROUTE = "/v1/merchants/{account_id}/stores/{poi_id}/certificates"
ROUTES_WITH_TIMES = {LIST_ROUTE, "/v1/sessions"}
VIEWS: dict[str, type[msgspec.Struct]] = {
    "Session": LoginView,
    "Stores": StoresView,
    "Store": StoreView,
    "List": ListView,
    "Certificate": CertificateView,
    "Problem": problems.ProblemView,
    "InputError": problems.InputErrorView,
}
"""Schema to the struct of the code."""

ALWAYS_SET = {"kind"}
"""Fields that are optional in the struct, but every response has them."""

MIB = 1 << 20
schema = schemathesis.openapi.from_path(DOCUMENT_PATH)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT_PATH.read_text(encoding="utf-8"))
    return loaded


async def handle(request: web.Request) -> web.Response:
    """Call the app as API Gateway does."""
    body = (await request.read()).decode("utf-8", "surrogateescape") if request.body_exists else None
    event = gateway.build_event(request.method, request.raw_path, dict(request.headers), body)
    response = gateway.parse_response(application.app(event, LambdaContext()))
    return web.Response(status=response.status, headers=response.headers, body=response.text.encode())


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The app behind an HTTP server."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> web.AppRunner:
        server = web.Application()
        # [\s\S]: a generated path can contain line breaks, which a dot does not match.
        server.router.add_route("*", r"/{path:[\s\S]*}", handle)
        runner = web.AppRunner(server, access_log=None, max_line_size=MIB, max_field_size=MIB)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@schema.parametrize()
@pytest.mark.no_cover  # hundreds of requests: other tests measure the coverage
# The same requests in each run, so that a failure can be reproduced; `make nightly` generates others.
@settings(
    max_examples=examples(100),
    deadline=None,
    derandomize=not IS_NIGHTLY,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_responses_to_valid_and_invalid_requests_match_the_document(
    case: schemathesis.Case[Any], base_url: str, api: Api
) -> None:
    if "Authorization" not in api.headers:
        api.login()
    # A schema cannot express that a cursor must come from the service, or that end_time is after start_time.
    has_times = case.operation.path in ROUTES_WITH_TIMES
    excluded = [schemathesis.checks.positive_data_acceptance] if has_times else []
    case.call_and_validate(base_url=base_url, headers=dict(api.headers), timeout=15, excluded_checks=excluded)


@pytest.mark.parametrize("customer", ["lin", "wu", "zhou", "chen", "yang", "zhao", "sun", "li", "zheng"])
def test_the_list_of_each_sample_customer_matches_the_document(
    api: Api, platform: Platform, base_url: str, customer: str
) -> None:
    del platform
    api.login(customer)
    operation = schema[LIST_ROUTE]["GET"]
    case = operation.Case(path_parameters={"account_id": ACCOUNT_ID, "poi_id": POI_ID}, query={}, headers={})
    response = case.call_and_validate(base_url=base_url, headers=dict(api.headers), timeout=15)
    assert response.status_code == 200


def test_the_document_has_the_version_and_the_routes_of_the_code(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == __version__
    routes = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    assert routes == {(path, method) for path, methods in application.app.routes.items() for method in methods}


def test_the_document_has_the_problem_types_of_the_code(document: dict[str, Any]) -> None:
    types = [value for value in vars(problems).values() if isinstance(value, problems.ProblemType)]
    code = document["components"]["schemas"]["Problem"]["properties"]["code"]
    assert set(code["enum"]) == {problem.code for problem in types}
    documented = {
        (name, facts["status"], facts["retry"], facts.get("retry_after")) for name, facts in code["x-codes"].items()
    }
    assert documented == {(problem.code, problem.status, problem.retryable, problem.retry_after) for problem in types}


@pytest.mark.parametrize("name", VIEWS)
def test_the_document_has_each_field_of_a_view(document: dict[str, Any], name: str) -> None:
    fields = struct_fields(VIEWS[name])
    documented = schema_fields(document, document["components"]["schemas"][name])
    assert {field: kind for field, (kind, _) in documented.items()} == {
        field: kind for field, (kind, _) in fields.items()
    }
    optional = {field for field, (_, required) in fields.items() if not required}
    assert {field for field, (_, required) in documented.items() if not required} == optional - ALWAYS_SET


def test_the_document_has_each_field_and_parameter_of_a_request(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    # The struct also serves queries without a store; a request always has one.
    assert schema_fields(document, body) == struct_fields(validation.LoginRequest) | {"list.poi_id": ("string", True)}
    parameters = document["paths"][LIST_ROUTE]["get"]["parameters"]
    query_parameters = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    assert sorted(query_parameters) == sorted(validation._QUERY_PARAMETERS)


def struct_fields(model: type[msgspec.Struct], prefix: str = "") -> Fields:
    """Return the fields of a struct."""
    fields: Fields = {}
    info = msgspec.inspect.type_info(model)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        kind = _without_none(field.type)
        fields[f"{prefix}{field.encode_name}"] = (_json_type(kind), field.required)
        if isinstance(kind, msgspec.inspect.StructType):
            fields |= struct_fields(kind.cls, f"{prefix}{field.encode_name}.")
    return fields


def schema_fields(document: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Fields:
    """Return the fields of an object's schema, with those of the objects in it."""
    fields: Fields = {}
    for name, reference in schema["properties"].items():
        field = _resolve(document, reference)
        fields[f"{prefix}{name}"] = (_schema_type(document, field), name in schema.get("required", ()))
        if "properties" in field:
            fields |= schema_fields(document, field, f"{prefix}{name}.")
    return fields


def _without_none(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    if not isinstance(kind, msgspec.inspect.UnionType):
        return kind
    [only] = [part for part in kind.types if not isinstance(part, msgspec.inspect.NoneType)]
    return only


def _json_type(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.ListType(item_type=item):
            return f"array of {_json_type(item)}"
        case msgspec.inspect.TupleType(item_types=items):
            [name] = {_json_type(item) for item in items}
            return f"array of {name}"
    names = {"StrType": "string", "IntType": "integer", "FloatType": "number", "BoolType": "boolean"}
    return (names | {"StructType": "object"})[type(kind).__name__]


def _schema_type(document: dict[str, Any], schema: dict[str, Any]) -> str:
    if "const" in schema:
        return "boolean" if isinstance(schema["const"], bool) else "string"
    if schema.get("type") == "array":
        return f"array of {_schema_type(document, _resolve(document, schema['items']))}"
    return str(schema.get("type", "string"))


def _resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    resolved: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return resolved

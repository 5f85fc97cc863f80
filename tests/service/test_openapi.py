"""`docs/openapi.yaml` describes the service: responses to generated requests, and each field of the code's structs."""

import io
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, settings
from requests.adapters import HTTPAdapter

import app as application
from chalicelib import __version__
from chalicelib.api import problems, validation
from chalicelib.api.login import LoginView
from chalicelib.certificates.views import CertificateView, ListView
from chalicelib.merchants import StoresView, StoreView
from infra.bundle import ROOT
from sandbox import gateway, sample_data
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.harness import IS_NIGHTLY, Api
from tests.unit.fakes import LambdaContext

Fields = dict[str, tuple[str, bool]]
"""Field to its JSON type and whether it is required; nested fields as `object.field`."""

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

schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
DOCUMENT: dict[str, Any] = schema.raw_schema
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


class FrontDoor(HTTPAdapter):
    """Calls the app as API Gateway does, instead of sending a request."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        body = request.body.decode("utf-8", "surrogateescape") if isinstance(request.body, bytes) else request.body
        event = gateway.build_event(str(request.method), request.path_url, dict(request.headers), body)
        response = gateway.parse_response(application.app(event, LambdaContext()))
        content = io.BytesIO(response.text.encode())
        raw = urllib3.HTTPResponse(content, response.headers, response.status, version=11, preload_content=False)
        return self.build_response(request, raw)


def call_and_validate(case: schemathesis.Case[Any], api: Api, *excluded_checks: Any) -> Any:
    """Call the app, and compare its response with the document."""
    # `ignored_auth` sends requests of its own; test_contract.py has lists without a session.
    excluded = [schemathesis.checks.ignored_auth, *excluded_checks]
    with requests.Session() as session:
        session.mount("http://", FrontDoor())
        return case.call_and_validate(
            base_url="http://api", headers=dict(api.headers), session=session, excluded_checks=excluded
        )


@schema.parametrize()
@pytest.mark.no_cover  # hundreds of requests: other tests measure the coverage
# The same requests in each run, so that a failure can be reproduced; `make nightly` generates others.
@settings(
    max_examples=2000 if IS_NIGHTLY else 100,
    deadline=None,
    derandomize=not IS_NIGHTLY,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_responses_to_valid_and_invalid_requests_match_the_document(case: schemathesis.Case[Any], api: Api) -> None:
    if "Authorization" not in api.headers:
        api.login()
    # A schema cannot express that a cursor must come from the service, or that end_time is after start_time.
    has_times = case.operation.path in ROUTES_WITH_TIMES
    call_and_validate(case, api, *([schemathesis.checks.positive_data_acceptance] if has_times else []))


@pytest.mark.parametrize("customer", sorted(sample_data.load().customers))
def test_the_list_of_each_sample_customer_matches_the_document(api: Api, customer: str) -> None:
    api.login(customer)
    operation = schema[LIST_ROUTE]["GET"]
    case = operation.Case(path_parameters={"account_id": ACCOUNT_ID, "poi_id": POI_ID}, query={}, headers={})
    assert call_and_validate(case, api).status_code == 200


def test_the_document_has_the_version_and_the_routes_of_the_code() -> None:
    assert DOCUMENT["info"]["version"] == __version__
    routes = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item}
    assert routes == {(path, method) for path, methods in application.app.routes.items() for method in methods}


def test_the_document_has_the_problem_types_of_the_code() -> None:
    types = [value for value in vars(problems).values() if isinstance(value, problems.ProblemType)]
    code = SCHEMAS["Problem"]["properties"]["code"]
    assert set(code["enum"]) == {problem.code for problem in types}
    documented = {
        (name, facts["status"], facts["retry"], facts.get("retry_after")) for name, facts in code["x-codes"].items()
    }
    assert documented == {(problem.code, problem.status, problem.retryable, problem.retry_after) for problem in types}


@pytest.mark.parametrize("name", VIEWS)
def test_the_document_has_each_field_of_a_view(name: str) -> None:
    fields = struct_fields(VIEWS[name])
    if name == "Certificate":
        # Optional in the struct, but every response has it.
        fields["kind"] = ("string", True)
    assert schema_fields(SCHEMAS, SCHEMAS[name]) == fields


def test_the_document_has_each_field_and_parameter_of_a_request() -> None:
    body = DOCUMENT["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = {name.replace("selection", "list"): kind for name, kind in struct_fields(validation.LoginBody).items()}
    # The struct also serves queries without a store; a request always has one.
    assert schema_fields(SCHEMAS, body) == fields | {"list.poi_id": ("string", True)}
    parameters = DOCUMENT["paths"][LIST_ROUTE]["get"]["parameters"]
    query_parameters = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    assert sorted(query_parameters) == sorted(validation._QUERY_PARAMETERS)


def struct_fields(struct: type[msgspec.Struct]) -> Fields:
    """Return the fields of a struct."""
    [_], schemas = msgspec.json.schema_components([struct])
    return schema_fields(schemas, schemas[struct.__name__])


def schema_fields(schemas: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Fields:
    """Return the fields of an object's schema, with those of the objects in it; `schemas` are those it refers to."""
    fields: Fields = {}
    for name, part in schema["properties"].items():
        field = _resolve(schemas, part)
        fields[f"{prefix}{name}"] = (_type(schemas, field), name in schema.get("required", ()))
        if "properties" in field:
            fields |= schema_fields(schemas, field, f"{prefix}{name}.")
    return fields


def _type(schemas: dict[str, Any], schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        # msgspec describes a pair by its two items.
        items = schema["prefixItems"][0] if "prefixItems" in schema else schema["items"]
        return f"array of {_type(schemas, _resolve(schemas, items))}"
    return str(schema.get("type", "boolean" if isinstance(schema.get("const"), bool) else "string"))


def _resolve(schemas: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        [schema] = [part for part in schema["anyOf"] if part != {"type": "null"}]
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

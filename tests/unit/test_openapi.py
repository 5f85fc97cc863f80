"""`docs/openapi.yaml` has each route, problem, field and parameter of the code, and no others."""

from typing import Any, get_type_hints

import msgspec
import pytest
import yaml

import app as application
from chalicelib import __version__
from chalicelib.api import validation
from chalicelib.api.problems import ProblemView
from infra.bundle import ROOT
from sandbox import gateway
from tests.unit.fakes import PROBLEM_TYPES, PUBLIC_ROUTES

Fields = dict[str, tuple[str, bool]]
"""Path of a field to its JSON type and whether it is required."""

DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


ROUTES = [(path, method) for path, methods in application.app.routes.items() for method in methods]


def test_the_document_has_the_version_and_the_routes_of_the_code() -> None:
    assert DOCUMENT["info"]["version"] == __version__
    routes = {(path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item}
    assert routes == set(ROUTES)


def test_a_route_documents_problems_and_a_session_unless_it_is_public() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            assert (operation["security"] == []) == (path in PUBLIC_ROUTES), f"{path}: is it for PUBLIC_ROUTES?"
            assert "default" in operation["responses"], path


def test_the_document_has_the_problem_types_of_the_code() -> None:
    code = SCHEMAS["Problem"]["properties"]["code"]
    assert set(code["enum"]) == PROBLEM_TYPES.keys()
    documented = {
        name: (row["status"], row["retry"], row.get("retry_after"), row["detail"])
        for name, row in code["x-codes"].items()
    }
    assert documented == {name: (t.status, t.retryable, t.retry_after, t.detail) for name, t in PROBLEM_TYPES.items()}


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_the_document_has_each_field_of_each_response(path: str, method: str) -> None:
    """The struct that the route's function returns, and the problem in every other response."""
    function = application.app.routes[path][method].view_function
    struct = get_type_hints(function)["return"]
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert schema_fields(SCHEMAS, read_schema(responses["200"])) == struct_fields(struct)
    for status in responses.keys() - {"200"}:
        assert schema_fields(SCHEMAS, read_schema(responses[status])) == struct_fields(ProblemView), status


def test_the_document_has_each_field_and_parameter_of_a_request() -> None:
    body = DOCUMENT["paths"]["/v1/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = {name.replace("list_query", "list"): kind for name, kind in struct_fields(validation.LoginBody).items()}
    # The struct also serves queries without a store; a request always has one.
    assert schema_fields(SCHEMAS, body) == fields | {"list.poi_id": ("string", True)}
    parameters = DOCUMENT["paths"][gateway.CERTIFICATES_ROUTE]["get"]["parameters"]
    query_parameters = [parameter["name"] for parameter in parameters if parameter["in"] == "query"]
    assert sorted(query_parameters) == sorted(validation._QUERY_PARAMETERS)


def test_the_page_has_the_routes_of_the_document() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    routes = [f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item]
    assert [route for route in routes if f"\n## `{route}`" not in page] == []


def read_schema(response: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a response's body."""
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    [content] = response["content"].values()
    return _resolve(SCHEMAS, content["schema"])


def struct_fields(struct: type[msgspec.Struct]) -> Fields:
    """Return the fields of a struct."""
    [_], schemas = msgspec.json.schema_components([struct])
    return schema_fields(schemas, schemas[struct.__name__])


def schema_fields(schemas: dict[str, Any], schema: dict[str, Any], prefix: str = "") -> Fields:
    """Return the fields of an object's schema, and of the objects in it; `schemas` are those it refers to."""
    fields: Fields = {}
    for name, part in schema["properties"].items():
        types, field = [], _resolve(schemas, part)
        while field.get("type") == "array":
            types.append("array of")
            # msgspec describes a pair by its two items.
            field = _resolve(schemas, field["prefixItems"][0] if "prefixItems" in field else field["items"])
        types.append(field.get("type", "boolean" if isinstance(field.get("const"), bool) else "string"))
        fields[f"{prefix}{name}"] = (" ".join(types), name in schema.get("required", ()))
        if "properties" in field:
            fields |= schema_fields(schemas, field, f"{prefix}{name}.")
    return fields


def _resolve(schemas: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        [schema] = [part for part in schema["anyOf"] if part != {"type": "null"}]
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

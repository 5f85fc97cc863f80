"""The OpenAPI document of the mock platform. The replies' schemas are made from the table of documented fields."""

from __future__ import annotations

from typing import Any

from redeemctl.acceptance import fields
from redeemctl.acceptance.fields import Presence, Type
from sandbox.faults import FAULT_HEADER, FAULT_KINDS
from sandbox.sample_data import ACCOUNT_ID, APP_ID, APP_SECRET, POI_ID

_JSON_TYPES = {
    Type.OBJECT: "object",
    Type.LIST: "array",
    Type.TEXT: "string",
    Type.INTEGER: "integer",
    Type.BOOLEAN: "boolean",
}
_STRING, _INTEGER = {"type": "string", "minLength": 1}, {"type": "integer"}
_APP = {**_STRING, "example": APP_ID}
_TOKEN_HEADERS = [
    {"name": "access-token", "in": "header", "required": True, "schema": {"type": "string"}},
    {"name": "Rpc-Transit-Life-Account", "in": "header", "schema": {"type": "string"}},
]
_FAULT_PARAMETER = {
    "name": FAULT_HEADER,
    "in": "header",
    "description": "A fault for this request, for example 2100004;times=2. See docs/mock-platform.md.",
    "schema": {"type": "string"},
}
_MINT = {
    "client_key": _APP,
    "client_secret": {**_STRING, "example": APP_SECRET},
    "grant_type": {"type": "string", "enum": ["client_credential"]},
}
_QUERY = {
    "account_id": {**_STRING, "example": ACCOUNT_ID},
    "open_id": _STRING,
    "poi_id": {**_STRING, "example": POI_ID},
    "biz_type": {"type": "integer", "enum": [1, 2], "default": 1},
    "page": {"type": "integer", "minimum": 1, "default": 1},
    "page_size": {"type": "integer", "minimum": 1, "maximum": 50, "default": 50},
    "page_dimension": {"type": "integer", "enum": [1, 2], "default": 1},
    "time_range": {"type": "object", "properties": {"start_time": _INTEGER, "end_time": _INTEGER}},
}
_ORDER = {"order_id": {**_STRING, "maxLength": 63}, "poi_id": _STRING}
_LOGIN = {"appid": _APP, "secret": {**_STRING, "example": APP_SECRET}, "code": _STRING}

PLATFORM_PATHS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {
    "/oauth/client_token/": ("client_token", "Mint an access token", _MINT, tuple(_MINT)),
    "/oauth/stable_client_token/": ("stable_client_token", "Return the stable token", _MINT, tuple(_MINT)),
    "/api/apps/v2/jscode2session": ("jscode2session", "Exchange a login code", _LOGIN, tuple(_LOGIN)),
    "/api/trade/v2/fulfillment/query_user_certificates/": (
        "query_user_certificates",
        "List a user's certificates at a merchant",
        _QUERY,
        ("account_id", "open_id"),
    ),
    "/api/trade/v2/fulfillment/order_can_use/": (
        "order_can_use",
        "Return whether an order can be used in a store",
        _ORDER,
        ("order_id",),
    ),
}
"""Path to call, summary, properties of the body, and required properties."""

_ANY_OBJECT: dict[str, Any] = {"type": "object"}
_OBJECTS: dict[str, Any] = {"type": "array", "items": _ANY_OBJECT}

CONTROL_PATHS: dict[str, dict[str, tuple[str, dict[str, Any] | None, dict[str, Any]]]] = {
    "/_sandbox/codes": {
        "post": (
            "Issue a login code, as tt.login does",
            {"type": "object", "properties": {"app_id": _APP, "customer": _STRING}, "required": ["app_id", "customer"]},
            {"type": "object", "properties": {"code": _STRING}, "required": ["code"]},
        )
    },
    "/_sandbox/requests": {
        "get": ("List the last 1,000 requests, without secrets", None, _OBJECTS),
        "delete": ("Clear the list", None, _OBJECTS),
    },
    "/_sandbox/calls": {
        "get": ("List all calls in short form", None, _OBJECTS),
        "delete": ("Clear the list", None, _OBJECTS),
    },
    "/_sandbox/faults": {
        "get": ("List the fault rules", None, _OBJECTS),
        "post": (
            "Add a fault rule",
            {
                "type": "object",
                "properties": {"kind": {"type": "string", "enum": [*FAULT_KINDS]}},
                "required": ["kind"],
            },
            _OBJECTS,
        ),
        "delete": ("Remove all fault rules", None, _OBJECTS),
    },
    "/_sandbox/clock": {
        "post": (
            "Move the platform's clock forward",
            {"type": "object", "properties": {"advance": {"type": "number"}}, "required": ["advance"]},
            {"type": "object", "properties": {"now": {"type": "number"}}, "required": ["now"]},
        )
    },
    "/_sandbox/revoke": {
        "post": (
            "Invalidate all tokens of an app",
            {"type": "object", "properties": {"app_id": _APP}, "required": ["app_id"]},
            _ANY_OBJECT,
        )
    },
    "/_sandbox/purchases/{customer}": {
        "put": (
            "Replace a customer's purchases: a list, or a fixture of redeemctl acceptance",
            {"type": ["array", "object"]},
            _ANY_OBJECT,
        )
    },
    "/_sandbox/world": {"get": ("List apps, merchants and customers", None, _ANY_OBJECT)},
    "/_sandbox/openapi.json": {"get": ("This document", None, _ANY_OBJECT)},
}
"""Path and method to summary, schema of the body, and schema of the response."""


def build_document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, Any] = {}
    for path, (call, summary, properties, required) in PLATFORM_PATHS.items():
        has_token = path.startswith("/api/trade/")
        operation = _operation(
            summary,
            {"type": "object", "properties": properties, "required": [*required]},
            {"$ref": f"#/components/schemas/{call}"},
        )
        operation |= {
            "operationId": call,
            "tags": ["platform"],
            "parameters": [*(_TOKEN_HEADERS if has_token else []), _FAULT_PARAMETER],
        }
        paths[path] = {"post": operation}
    for path, methods in CONTROL_PATHS.items():
        paths[path] = {method: {**_operation(*parts), "tags": ["control"]} for method, parts in methods.items()}
        if "{customer}" in path:
            paths[path]["parameters"] = [
                {"name": "customer", "in": "path", "required": True, "schema": {"type": "string"}}
            ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mock Douyin platform",
            "version": "1",
            "description": "What the mock platform of this project serves, not what Douyin serves. Errors of the "
            "platform arrive with HTTP 200. The slash at the end of a path is optional, except for jscode2session.",
        },
        "paths": paths,
        "components": {"schemas": {call: reply_schema(call) for call in fields.CALLS}},
    }


def reply_schema(call: str) -> dict[str, Any]:
    """Return the schema of a reply. Only what every reply has is required, errors included."""
    return _object_schema(call, "")


def _object_schema(call: str, path: str) -> dict[str, Any]:
    inside = fields.children_of(call, path)
    properties = {field.path.rpartition(".")[2]: _value_schema(call, field.path, field.type) for field in inside}
    required = [field.path.rpartition(".")[2] for field in inside if field.presence is Presence.ALWAYS]
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _value_schema(call: str, path: str, kind: Type) -> dict[str, Any]:
    if kind is Type.OBJECT:
        return _object_schema(call, path)
    if kind is Type.LIST:
        return {"type": "array", "items": _value_schema(call, f"{path}[]", fields.BY_PATH[call][f"{path}[]"].type)}
    return {"type": _JSON_TYPES[kind]}


def _operation(summary: str, body: dict[str, Any] | None, response: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": response}}}},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation

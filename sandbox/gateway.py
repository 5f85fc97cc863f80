"""Lambda events without AWS: build API Gateway's and EventBridge's events, and parse the function's response."""

import base64
import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.sample_data import ACCOUNT_ID, POI_ID

OPENAPI = Path(__file__).parent.parent / "docs" / "openapi.yaml"
ROUTES = re.findall(r"^  (/\S+):$", OPENAPI.read_text(encoding="utf-8"), re.MULTILINE)
"""The routes of the API, with the path parameters in braces."""

STORES_ROUTE = "/v1/merchants/{account_id}/stores"
CERTIFICATES_ROUTE = "/v1/merchants/{account_id}/stores/{poi_id}/certificates"


@dataclass
class Response:
    """The HTTP response of the function; header names are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.text)


def certificates_path(account_id: str = ACCOUNT_ID, poi_id: str = POI_ID) -> str:
    """Return the URL path of the certificates that can be redeemed in a store."""
    return CERTIFICATES_ROUTE.format(account_id=account_id, poi_id=poi_id)


def stores_path(account_id: str = ACCOUNT_ID) -> str:
    """Return the URL path of a merchant's stores."""
    return STORES_ROUTE.format(account_id=account_id)


def build_event(
    method: str, url: str, headers: dict[str, str] | None = None, body: str | None = None
) -> dict[str, Any]:
    """Build a REST API's proxy event; as on AWS, path parameters stay percent-encoded and query values are decoded."""
    parts = urlsplit(url)
    resource, parameters = _match_route(parts.path)
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return {
        "resource": resource,
        "path": parts.path,
        "httpMethod": method,
        "headers": headers or None,
        "multiValueHeaders": {name: [value] for name, value in (headers or {}).items()} or None,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": method,
            "path": f"/api{parts.path}",
            "stage": "api",
            "requestId": str(uuid.uuid4()),
            "extendedRequestId": base64.b64encode(uuid.uuid4().bytes[:11]).decode(),
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def build_schedule_event() -> dict[str, Any]:
    """Build the event that an EventBridge schedule sends to a function."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {},
    }


def parse_response(result: dict[str, Any]) -> Response:
    """Parse the function's result, as API Gateway does."""
    headers = {name.lower(): value for name, value in result["headers"].items()}
    return Response(result["statusCode"], headers, result["body"])


def _match_route(path: str) -> tuple[str, dict[str, str]]:
    for route in ROUTES:
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", route), path)
        if match:
            return route, match.groupdict()
    return path, {}

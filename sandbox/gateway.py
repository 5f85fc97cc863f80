"""What hands events to Lambda, without AWS: a REST API's event of a request and the answer back; the schedule's."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROUTES = (
    "/v1/health",
    "/v1/sessions",
    "/v1/merchants/{account_id}/stores/{poi_id}/certificates",
)


@dataclass
class Answer:
    """What the function answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


def event(method: str, url: str, headers: dict[str, str] | None = None, body: str | None = None) -> dict[str, Any]:
    """The event for a request; path parameters stay percent-encoded and query values are decoded, as on AWS."""
    parts = urlsplit(url)
    resource, parameters = _matched(parts.path)
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
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": body,
        "isBase64Encoded": False,
    }


def scheduled() -> dict[str, Any]:
    """The event that EventBridge hands to a function at its time."""
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


def answer(result: dict[str, Any]) -> Answer:
    """What the function returned, as the caller gets it."""
    headers = {name.lower(): value for name, value in result["headers"].items()}
    return Answer(result["statusCode"], headers, result["body"])


def _matched(path: str) -> tuple[str, dict[str, str]]:
    for route in ROUTES:
        match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", route), path)
        if match:
            return route, match.groupdict()
    return path, {}

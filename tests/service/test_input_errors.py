"""Every `invalid_request` names the input that is wrong, never its value, and causes no platform call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox import gateway
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.harness import JSON_HEADERS, LIST_URL, Api, assert_problem

# Method, URL, body, and the field that is named. "planted" is the wrong value, where it can be a text.
# tests/unit/api/test_validation.py has what is wrong with each field.
CASES: list[tuple[str, str, str | None, str]] = [
    ("GET", gateway.stores_url("planted!"), None, "account_id"),
    ("GET", gateway.certificates_url("planted%00", POI_ID), None, "account_id"),
    ("GET", gateway.certificates_url(ACCOUNT_ID, "planted!"), None, "poi_id"),
    ("GET", f"{LIST_URL}?cursor=planted", None, "cursor"),
    ("GET", f"{LIST_URL}?cursor=", None, "cursor"),
    ("GET", f"{LIST_URL}?biz_type=1&biz_type=2", None, "biz_type"),
    ("GET", f"{LIST_URL}?start_time=2&end_time=1", None, "end_time"),
    ("POST", "/v1/sessions", None, "body"),
    ("POST", "/v1/sessions", "planted", "body"),
    ("POST", "/v1/sessions", json.dumps({"app_id": "tta", "code": "planted\x00"}), "code"),
    ("POST", "/v1/sessions", json.dumps({"app_id": "tta", "code": "c", "list": {"account_id": 7}}), "list.account_id"),
]


@pytest.mark.parametrize(("method", "url", "body", "field"), CASES)
def test_an_invalid_request_names_its_input(api: Api, method: str, url: str, body: str | None, field: str) -> None:
    api.login()
    api.platform.server.calls.clear()
    response = api.call(method, url, body, JSON_HEADERS)
    assert api.platform.server.calls == []
    [error] = assert_problem(response, 400, "invalid_request")["errors"]
    assert error["field"] == field
    assert error["detail"].startswith("must ")
    assert error["detail"].isascii()
    assert "planted" not in response.text


def test_a_body_that_is_not_base64_is_named(api: Api) -> None:
    event: Any = gateway.build_event("POST", "/v1/sessions", JSON_HEADERS, "!")
    event["isBase64Encoded"] = True
    [error] = assert_problem(api.send(event), 400, "invalid_request")["errors"]
    assert error["field"] == "body"

"""The deployed app in the emulated AWS."""

import json

import pytest
import requests

from sandbox import gateway, stack
from tests.harness import LIST_URL, TOKEN_PK, in_seconds


def test_headers_and_numbers_reach_the_caller(deployed: stack.Sandbox) -> None:
    """`test_miniprogram.py` has login and list, the smoke test of each deployment health."""
    stores = requests.get(f"{deployed.api_url}{gateway.stores_path()}", timeout=20)
    assert stores.headers["Cache-Control"] == "public, max-age=300"
    assert stores.headers["Content-Type"] == "application/json; charset=utf-8"
    assert stores.json()["stores"][0]["latitude"] == 31.2327


@pytest.mark.parametrize(
    ("call", "headers", "status", "code"),
    [
        pytest.param(f"GET {LIST_URL}", {}, 401, "unauthenticated", id="of the app"),
        pytest.param("GET /v1/nothing", {}, 404, "not_found", id="of API Gateway"),
        # API Gateway takes the header for a malformed AWS signature.
        pytest.param("GET /v1/nothing", {"Authorization": "Bearer token"}, 404, "not_found", id="with a session"),
        pytest.param("DELETE /v1/nothing", {"Authorization": "Bearer token"}, 404, "not_found", id="DELETE"),
    ],
)
def test_problems_have_the_contracts_form(
    deployed: stack.Sandbox, call: str, headers: dict[str, str], status: int, code: str
) -> None:
    method, path = call.split()
    response = requests.request(method, f"{deployed.api_url}{path}", headers=headers, timeout=20)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-Id"] == response.json()["request_id"]


def test_the_functions_use_the_roles_of_the_template_and_the_scheduled_one_renews_a_token(
    deployed: stack.Sandbox,
) -> None:
    """The emulated AWS checks each call of a function against the policy of its role."""
    functions = deployed.account.client("lambda")
    roles = {function["Role"].rsplit("/", 1)[1] for function in functions.list_functions()["Functions"]}
    assert roles == {f"{stack.API_FUNCTION}-api_handler", f"{stack.API_FUNCTION}-refresh_tokens"}
    table, row = deployed.account.client("dynamodb"), {"pk": {"S": TOKEN_PK}, "access_token": {"S": "clt.old"}}
    table.put_item(TableName=stack.API_FUNCTION, Item={**row, "expires_at": {"N": str(in_seconds(60))}})
    event = json.dumps(gateway.build_schedule_event())
    response = functions.invoke(FunctionName=stack.RENEWAL_FUNCTION, Payload=event)
    assert "FunctionError" not in response, response["Payload"].read()
    stored = table.get_item(TableName=stack.API_FUNCTION, Key={"pk": row["pk"]})["Item"]
    assert stored["access_token"] != row["access_token"]

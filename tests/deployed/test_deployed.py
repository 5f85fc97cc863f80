"""The deployed app in the emulated AWS."""

import json

import pytest
import requests

from sandbox import gateway, stack
from sandbox.sample_data import ACCOUNT_ID, APP_ID, CUSTOMER, POI_ID
from tests.harness import LIST_URL


def test_the_deployed_app_serves_every_route(deployed: stack.Stack) -> None:
    stores = requests.get(f"{deployed.api_url}{gateway.stores_url()}", timeout=20)
    assert stores.headers["Cache-Control"] == "public, max-age=300"
    assert stores.json()["stores"][0]["latitude"] == 31.2327
    body = {
        "app_id": APP_ID,
        "code": stack.create_login_code(deployed.platform.url, APP_ID, CUSTOMER),
        "list": {"account_id": ACCOUNT_ID, "poi_id": POI_ID},
    }
    login = requests.post(f"{deployed.api_url}/v1/sessions", json=body, timeout=20)
    assert login.status_code == 200, login.text
    headers = {"Authorization": f"Bearer {login.json()['token']}"}
    response = requests.get(f"{deployed.api_url}{LIST_URL}", headers=headers, timeout=20)
    assert response.json() == login.json()["list"]
    assert len(response.json()["certificates"]) == 7
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert requests.get(f"{deployed.api_url}/v1/health", timeout=20).json()["status"] == "ok"


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
    deployed: stack.Stack, call: str, headers: dict[str, str], status: int, code: str
) -> None:
    method, path = call.split()
    response = requests.request(method, f"{deployed.api_url}{path}", headers=headers, timeout=20)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-Id"] == response.json()["request_id"]


def test_the_functions_use_the_roles_of_the_template_and_the_scheduled_one_runs(deployed: stack.Stack) -> None:
    functions = deployed.account.client("lambda")
    roles = {function["Role"].rsplit("/", 1)[1] for function in functions.list_functions()["Functions"]}
    assert roles == {f"{stack.API_FUNCTION}-api_handler", f"{stack.API_FUNCTION}-refresh_tokens"}
    event = json.dumps(gateway.build_schedule_event())
    response = functions.invoke(FunctionName=stack.RENEWAL_FUNCTION, Payload=event)
    assert "FunctionError" not in response, response["Payload"].read()

"""`docs/openapi.yaml` describes the service: its responses to generated requests, and to the sample customers."""

import io
from typing import Any

import pytest
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, settings
from requests.adapters import HTTPAdapter

import app as application
from infra.bundle import ROOT
from sandbox import gateway, sample_data
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.harness import Api
from tests.simulation import IS_NIGHTLY
from tests.unit.fakes import LambdaContext

ROUTES_WITH_TIMES = {gateway.CERTIFICATES_ROUTE, "/v1/sessions"}

schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")


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
    operation = schema[gateway.CERTIFICATES_ROUTE]["GET"]
    case = operation.Case(path_parameters={"account_id": ACCOUNT_ID, "poi_id": POI_ID}, query={}, headers={})
    assert call_and_validate(case, api).status_code == 200

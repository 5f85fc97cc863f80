"""Each route that is not public: who may ask for what. The whole app runs here, over fakes of platform and AWS."""

import json
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

import app as application
from chalicelib.components import Components
from chalicelib.douyin.protocol import HttpReply
from chalicelib.settings import Settings
from sandbox import gateway, sample_data
from sandbox.mock_platform import CALL_PATHS, MockPlatform
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    CERTIFICATE_ID,
    CUSTOMER,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_STORE_LIMITS,
    ORDER_ID,
    OTHER_APP_ID,
    POI_ID,
)
from tests.unit.fakes import NOW, PUBLIC_ROUTES, SESSION_KEY, FakeTelemetry, LambdaContext, json_reply
from tests.unit.test_openapi import DOCUMENT

PUBLIC = {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "biz_type": "1", "start_time": "1", "end_time": "9999999999"}
"""Parameters that name nothing of a customer, and a value of each."""

OF_A_CUSTOMER = {"order_id": ORDER_ID, "certificate_id": CERTIFICATE_ID}
"""Parameters that name something of a customer, and what CUSTOMER has."""

FORGED = {"Authorization": "Bearer a.b"}

ROOT_ACCOUNT = sample_data.load().merchants[ACCOUNT_ID].life_account_id
"""The merchant's root account: each call about one of its customers carries it."""


class FakePlatform:
    """The transport to the mock platform, without HTTP. Each call is noted with its body."""

    def __init__(self) -> None:
        self.mock = MockPlatform(sample_data.load())
        self.bodies: list[tuple[str, Any]] = []
        self.without_root_account: set[str] = set()

    def send(self, url: str, content: bytes, headers: Mapping[str, str], *_: Any, **_options: Any) -> HttpReply:
        name = {path: name for name, path in CALL_PATHS.items()}[urlsplit(url).path]
        body, headers = json.loads(content), {key.lower(): value for key, value in headers.items()}
        self.bodies.append((name, body))
        if name == "jscode2session":
            return json_reply({"data": self.mock.login(body)})
        if headers.get("rpc-transit-life-account") != ROOT_ACCOUNT:
            self.without_root_account.add(name)
        return json_reply({"data": getattr(self.mock, name)(headers, body)})


class Service:
    """The real app over the fakes. `headers` are those of the customer who has logged in."""

    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.headers: dict[str, str] = {}
        data = self.platform.mock.data
        token = self.platform.mock.issue_provider_token(APP_ID).value
        rows: dict[str, Any] = {
            f"MERCHANT#{ACCOUNT_ID}": {"app_id": {"S": APP_ID}, "life_account_id": {"S": ROOT_ACCOUNT}},
            f"TOKEN#{APP_ID}": {"access_token": {"S": token}, "expires_at": {"N": str(int(NOW) * 2)}},
        }
        secret = {"apps": {app.app_id: app.app_secret for app in data.apps.values()}, "session_keys": [SESSION_KEY]}
        clients: Any = SimpleNamespace(
            dynamodb=SimpleNamespace(get_item=lambda **call: {"Item": rows.get(call["Key"]["pk"]["S"], {})}),
            secrets_manager=SimpleNamespace(get_secret_value=lambda **_: {"SecretString": json.dumps(secret)}),
        )
        settings = Settings("table", "secret", "https://open.example", "https://login.example", 7200)
        self.components = Components(settings, clients, self.platform)  # type: ignore[arg-type]

    def log_in(self, customer: str, app_id: str = APP_ID) -> None:
        code = self.platform.mock.issue_login_code(app_id, customer)
        body = json.dumps({"app_id": app_id, "code": code})
        event = gateway.build_event("POST", "/v1/sessions", {"Content-Type": "application/json"}, body)
        token = gateway.parse_response(application.app(event, LambdaContext())).json["token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, **query: str) -> gateway.Response:
        """Send a request with the ids of CUSTOMER."""
        values = {**PUBLIC, **OF_A_CUSTOMER}
        event = gateway.build_event(method, f"/?{urlencode(query)}", self.headers)
        event["requestContext"]["resourcePath"] = path
        event["pathParameters"] = {name: values[name] for name in re.findall(r"{(\w+)}", path)}
        return gateway.parse_response(application.app(event, LambdaContext()))

    def find_faults(self, method: str, path: str) -> list[str]:
        """Return what is wrong with a route: what it gives to whom it must not, or why it cannot be judged."""
        operation = DOCUMENT["paths"][path][method.lower()]
        names = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] != "header"]
        if unknown := set(names) - PUBLIC.keys() - OF_A_CUSTOMER.keys() - {"cursor"}:
            return [f"{', '.join(sorted(unknown))}: add it to PUBLIC or OF_A_CUSTOMER in tests/unit/test_routes.py"]
        if "requestBody" in operation:
            return ["a route with a body cannot be judged here: test it with another customer's ids"]
        faults = []
        for self.headers, text in (({}, "without a session"), (FORGED, "with a forged session")):
            if self.call(method, path).status != 401:
                faults.append(f"{text}, it is no 401")
        self.log_in(CUSTOMER, OTHER_APP_ID)
        if self.call(method, path).status != 403:
            faults.append("with a session of another app, it is no 403")
        self.log_in(CUSTOMER)
        in_query = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
        queries = [{}, *({name: OF_A_CUSTOMER[name]} for name in in_query if name in OF_A_CUSTOMER)]
        for query in queries:
            self.log_in(CUSTOMER)
            if (own := self.call(method, path, **query)).status != 200:
                faults.append(f"with the customer's own ids and {query}, it is {own.status}")
            must_fail = (403, 404) if query or OF_A_CUSTOMER.keys() & set(re.findall(r"{(\w+)}", path)) else ()
            faults += self._find_leaks(method, path, query, must_fail)
        if "cursor" in names:
            self.log_in(CUSTOMER_WITH_MANY_COUPONS)
            cursor = self.call(method, path).json["next_cursor"]
            faults += self._find_leaks(method, path, {"cursor": cursor}, (400,))
        return faults + [f"{name} lacks the merchant's root account" for name in self.platform.without_root_account]

    def _find_leaks(self, method: str, path: str, query: dict[str, str], must_fail: tuple[int, ...]) -> list[str]:
        """Return what another customer gets with these ids, who has coupons too. `must_fail`: the allowed statuses."""
        self.log_in(CUSTOMER_WITH_STORE_LIMITS)
        self.platform.bodies.clear()
        response = self.call(method, path, **query)
        faults = []
        if must_fail and response.status not in must_fail:
            faults.append(f"with ids of another customer and {query}, it is {response.status}")
        if response.status == 200 and any(found in response.text for found in OF_A_CUSTOMER.values()):
            faults.append("another customer's coupons are in the response")
        own = {"", *self.platform.mock.data.customers[CUSTOMER_WITH_STORE_LIMITS].open_ids.values()}
        for name, body in self.platform.bodies:
            if body.get("open_id", "") not in own or set(OF_A_CUSTOMER.values()) & set(map(str, body.values())):
                faults.append(f"{name} is asked for another customer")
        return faults


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service()
    monkeypatch.setattr(application, "components", lambda: made.components)
    monkeypatch.setattr(application.app, "telemetry", FakeTelemetry())
    yield made
    made.components.lister.executor.shutdown()


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (path, method)
        for path in sorted(application.app.routes.keys() - PUBLIC_ROUTES)
        for method in application.app.routes[path]
    ],
)
def test_a_route_that_is_not_public_gives_nothing_of_a_customer_to_anybody_else(
    service: Service, path: str, method: str
) -> None:
    faults = service.find_faults(method, path)
    assert not faults, "\n".join(faults)

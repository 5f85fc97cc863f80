"""What the tests run on: the stand-in platform in this process, the emulated AWS beside it, both over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import traceback
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import app as application
from chalicelib import storage
from infra.bundle import current_archive
from sandbox import gateway, stack
from sandbox import server as stand_in
from sandbox import world as worlds
from sandbox.aws import REGION
from sandbox.faults import Fault, FaultPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

STAGE = "test"


class AwsCall(NamedTuple):
    """A call of AWS that the app made: in which function, which action (as IAM names it), on which item."""

    function: str
    action: str
    key: str


awscalls: list[AwsCall] = []
"""Every call that the app made in this process so far, as botocore saw it leave."""

APP, OTHER_APP = "ttsandbox00000000a1", "ttsandbox00000000b2"
MERCHANT, OTHER_MERCHANT = "7296781329369139211", "7296781329369139233"
STORE = "6601"
LIST = f"/v1/merchants/{MERCHANT}/stores/{STORE}/certificates"
SESSION_KEY = "test-session-key-not-a-secret-000001"


@dataclass
class Platform:
    """The stand-in, reachable over HTTP at `url` and from within for arranging a test."""

    url: str
    server: stand_in.Server = field(repr=False)
    world: worlds.World = field(repr=False)

    def reset(self) -> None:
        """Back to the sample data, no fault, no token, no call."""
        self.server.platform = type(self.server.platform)(worlds.load())
        self.server.plan = FaultPlan()
        self.server.calls.clear()
        self.world = self.server.platform.world

    def fail(self, kind: str, call: str = "query_user_certificates", **how: Any) -> None:
        """Let calls fail."""
        self.server.plan.faults.append(Fault(kind, call, **how))

    def bought(self, customer: str, *entries: dict[str, Any]) -> None:
        """Replace what a customer bought."""
        self.world.purchases[customer] = worlds.purchases(list(entries))

    def calls(self, call: str) -> list[dict[str, Any]]:
        """What was called."""
        return [entry for entry in self.server.calls if entry["call"] == call]

    def newest_token(self, app_id: str = APP) -> str:
        """The token that was minted last."""
        return self.server.platform._tokens[app_id][-1].value

    def mint(self, app_id: str = APP) -> str:
        """A live token, minted without being counted as a call."""
        app = self.world.apps[app_id]
        body = {"client_key": app_id, "client_secret": app.app_secret, "grant_type": "client_credential"}
        return str(self.server.platform.mint(body)["access_token"])


@dataclass
class Aws:
    """The emulated AWS, with the table and the secret of `infra/template.yaml`."""

    url: str
    dynamodb: DynamoDBClient
    secretsmanager: SecretsManagerClient
    table: str = f"douyin-redemption-{STAGE}"
    secret: str = f"douyin-redemption/{STAGE}"

    def reset(self, world: worlds.World) -> None:
        """Back to the sample merchants, no token, one session key."""
        for item in self.dynamodb.scan(TableName=self.table)["Items"]:
            self.dynamodb.delete_item(TableName=self.table, Key={"pk": item["pk"]})
        stack.put_merchants(self.dynamodb, self.table, world)
        self.put_secret({app.app_id: app.app_secret for app in world.apps.values()}, [SESSION_KEY])

    def put_secret(self, apps: dict[str, str], session_keys: list[str]) -> None:
        """Replace the secret's value."""
        value = json.dumps({"apps": apps, "session_keys": session_keys})
        self.secretsmanager.put_secret_value(SecretId=self.secret, SecretString=value)

    def put(self, pk: str, **attributes: Any) -> None:
        """Put a row of strings, integers, booleans and maps of strings."""
        item: Any = {"pk": {"S": pk}, **{name: _attribute(value) for name, value in attributes.items()}}
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def row(self, pk: str) -> dict[str, Any]:
        """A row as DynamoDB has it."""
        return dict(self.dynamodb.get_item(TableName=self.table, Key={"pk": {"S": pk}}).get("Item", {}))


def _attribute(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case dict():
            return {"M": {name: _attribute(part) for name, part in value.items()}}
        case _:
            return {"S": value}


class Context:
    """Lambda's context, as far as it is used."""

    aws_request_id = "lambda-request-id"

    def __init__(self, milliseconds: int = 15_000) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Api:
    """The app's front door: API Gateway events in, answers out."""

    platform: Platform
    headers: dict[str, str] = field(default_factory=dict)

    def call(
        self,
        method: str,
        url: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        milliseconds: int = 15_000,
    ) -> gateway.Answer:
        """Send a request."""
        sent = {**self.headers, **(headers or {})}
        event = gateway.event(method, url, sent, body)
        return gateway.answer(application.app(event, Context(milliseconds)))

    def login(self, customer: str = "lin", app_id: str = APP) -> gateway.Answer:
        """Log a customer in; later calls carry the session."""
        code = self.platform.server.platform.issue_code(app_id, customer)
        answer = self.call(
            "POST", "/v1/sessions", json.dumps({"app_id": app_id, "code": code}), {"Content-Type": "application/json"}
        )
        if answer.status == 200:
            self.headers = {"Authorization": f"Bearer {answer.json['token']}"}
        return answer

    def forget_limits(self) -> None:
        """Forget that the platform said "too often"."""
        application.parts().certificates._limited._entries.clear()

    def forget_tokens(self) -> None:
        """Forget the tokens in memory."""
        application.parts().tokens._memory._entries.clear()

    def list(self, query: str = "", merchant: str = MERCHANT, store: str = STORE, **options: Any) -> gateway.Answer:
        """Ask for the certificates; `query` begins with a question mark."""
        return self.call("GET", f"/v1/merchants/{merchant}/stores/{store}/certificates{query}", **options)


@pytest.fixture(scope="session")
def platform_process() -> Iterator[Platform]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port, server, stop = asyncio.run_coroutine_threadsafe(stand_in.start(), loop).result(10)
    yield Platform(f"http://127.0.0.1:{port}", server, server.platform.world)

    async def end() -> None:
        await stop()
        await loop.shutdown_asyncgens()

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="session")
def aws_process() -> Iterator[Aws]:
    with stack.process("sandbox.aws") as aws:
        session = stack.aws_session()
        stack.create_infrastructure(stack.account_at(aws.url), STAGE)
        with contextlib.ExitStack() as clients:
            yield Aws(
                aws.url,
                clients.enter_context(contextlib.closing(session.client("dynamodb", endpoint_url=aws.url))),
                clients.enter_context(contextlib.closing(session.client("secretsmanager", endpoint_url=aws.url))),
            )


@pytest.fixture(scope="session")
def deployed() -> Iterator[stack.Stack]:
    """A whole sandbox with the app deployed into it; its stand-in is another one than `platform`."""
    with stack.running() as running:
        yield running


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that `make bundle` made and `chalice deploy` sends, unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(current_archive()) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture
def platform(platform_process: Platform) -> Platform:
    platform_process.reset()
    return platform_process


@pytest.fixture
def aws(aws_process: Aws, platform: Platform) -> Aws:
    aws_process.reset(platform.world)
    return aws_process


@pytest.fixture
def environment(platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "TABLE_NAME": aws.table,
        "SECRET_NAME": aws.secret,
        "DOUYIN_OPEN_API": platform.url,
        "DOUYIN_LOGIN_API": platform.url,
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What judges the whole run comes last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def _watched(make: Callable[[], tuple[Any, ...]]) -> Callable[[], tuple[Any, ...]]:
    """Clients whose calls are noted on their way out."""

    def made() -> tuple[Any, ...]:
        clients = make()
        for client in clients:
            client.meta.events.register("before-parameter-build", note)
        return clients

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        frames = (frame.f_code.co_name for frame, _ in traceback.walk_stack(None))
        function = "refresh_tokens" if "renew_tokens" in frames else "api_handler"
        key = params.get("Key", {}).get("pk", {}).get("S", "")
        awscalls.append(AwsCall(function, f"{model.service_model.signing_name}:{model.name}", key))

    return made


@pytest.fixture(scope="session", autouse=True)
def _clients_as_deployed(bundle: Path) -> Iterator[None]:
    """The app's clients are made from the bundle's own data, and every call of theirs is noted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "SDK_DATA", bundle / storage.SDK_DATA.name)
        patch.setattr(application, "make_clients", _watched(storage.make_clients))
        yield


@pytest.fixture
def api(platform: Platform, environment: dict[str, str]) -> Iterator[Api]:  # noqa: ARG001 - it is the app's
    application.parts.cache_clear()
    yield Api(platform)
    if application.parts.cache_info().currsize:
        application.parts().http.close()
        application.parts().pages.shutdown()

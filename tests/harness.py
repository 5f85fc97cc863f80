"""Drivers and assertions that tests share: the app's front door, the mock platform, and the emulated AWS."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from boto3.dynamodb.types import TypeSerializer

import app as application
from chalicelib.components import Components
from chalicelib.douyin import client
from chalicelib.tokens.rows import CLAIM_INTERVAL_SECONDS
from infra.bundle import ROOT, BundleError, current_archive
from sandbox import gateway, sample_data, server
from sandbox.faults import FaultRule
from sandbox.mock_platform import MockPlatform
from sandbox.sample_data import ACCOUNT_ID, APP_ID, CUSTOMER, POI_ID
from tests.unit.fakes import LambdaContext

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

STAGE = "test"
STAGE_SESSION_KEY = "test-session-key-not-a-secret-000001"
TOKEN_PK = f"TOKEN#{APP_ID}"
LIST_MEMBER = {"account_id": ACCOUNT_ID, "poi_id": POI_ID}
"""The list that a login may ask for."""

LIST_URL = gateway.certificates_path()
FAST_RETRIES = msgspec.structs.replace(client.RETRY_POLICY, base_delay=0.0, rate_limited_delay=0.0)
"""The retry policy of the platform's calls without delays: patch `chalicelib.douyin.client.RETRY_POLICY` with it."""

JSON_HEADERS = {"Content-Type": "application/json"}

_SAMPLE_DATA = sample_data.load()


@dataclass(repr=False)
class Platform:
    """The mock platform, reachable over HTTP at `url`; tests arrange its state directly."""

    url: str
    server: server.MockServer

    @property
    def data(self) -> sample_data.SampleData:
        """The present data of the mock platform."""
        return self.server.platform.data

    def reset(self) -> None:
        """Restore the sample data; remove faults, tokens and recorded calls."""
        # Tests replace whole entries of these dictionaries, so the entries themselves can be shared.
        data = sample_data.SampleData(*(dict(entries) for entries in vars(_SAMPLE_DATA).values()))
        self.server.platform = MockPlatform(data)
        self.server.fault_rules.clear()
        self.server.calls.clear()

    def fail(self, kind: str, call: str = "query_user_certificates", **options: Any) -> None:
        """Add a fault rule for a call."""
        self.server.fault_rules.append(FaultRule(kind, call, **options))

    def clear_faults(self) -> None:
        """Remove all fault rules."""
        self.server.fault_rules.clear()

    def set_purchases(self, customer: str, *entries: dict[str, Any]) -> None:
        """Replace what a customer has bought."""
        self.data.purchases[customer] = sample_data.parse_purchases(list(entries))

    def calls(self, call: str) -> list[dict[str, Any]]:
        """Return the recorded calls of one kind."""
        return [entry for entry in self.server.calls if entry["call"] == call]

    def newest_token(self, app_id: str = APP_ID) -> str:
        """Return the token that was minted last."""
        return self.server.platform._tokens[app_id][-1].value

    def mint(self, app_id: str = APP_ID) -> str:
        """Return a new valid token, minted without a recorded call."""
        app = self.data.apps[app_id]
        body = {"client_key": app_id, "client_secret": app.app_secret, "grant_type": "client_credential"}
        return str(self.server.platform.mint_token(body)["access_token"])

    def issue_login_code(self, customer: str = CUSTOMER, app_id: str = APP_ID) -> str:
        """Return what tt.login would give the customer."""
        return self.server.platform.issue_login_code(app_id, customer)


@dataclass(repr=False)
class Aws:
    """The emulated AWS, with the table and the secret of `infra/template.yaml`."""

    url: str
    dynamodb: DynamoDBClient
    secretsmanager: SecretsManagerClient
    table: str = f"douyin-redemption-{STAGE}"
    secret: str = f"douyin-redemption/{STAGE}"

    def __post_init__(self) -> None:
        self._sample_rows = self._rows()

    def reset(self) -> None:
        """Restore the sample merchants, no token, one session key. Writes only what differs."""
        rows = self._rows()
        for pk in rows.keys() - self._sample_rows.keys():
            self.dynamodb.delete_item(TableName=self.table, Key={"pk": {"S": pk}})
        for pk, row in self._sample_rows.items():
            if rows.get(pk) != row:
                self.dynamodb.put_item(TableName=self.table, Item=row)
        apps = {app.app_id: app.app_secret for app in _SAMPLE_DATA.apps.values()}
        secret = self.secretsmanager.get_secret_value(SecretId=self.secret)["SecretString"]
        if secret != _format_secret(apps, [STAGE_SESSION_KEY]):
            self.put_secret(apps, [STAGE_SESSION_KEY])

    def _rows(self) -> dict[str, Any]:
        return {item["pk"]["S"]: item for item in self.dynamodb.scan(TableName=self.table)["Items"]}

    def put_secret(self, apps: dict[str, str], session_keys: list[str], external_tokens: Sequence[str] = ()) -> None:
        """Replace the secret's value."""
        value = _format_secret(apps, session_keys, external_tokens)
        self.secretsmanager.put_secret_value(SecretId=self.secret, SecretString=value)

    def put(self, pk: str, **attributes: Any) -> None:
        """Put a row of strings, numbers, booleans and maps."""
        self.dynamodb.put_item(TableName=self.table, Item=TypeSerializer().serialize({"pk": pk, **attributes})["M"])

    def item(self, pk: str) -> dict[str, Any]:
        """Return a row in DynamoDB's format."""
        return dict(self.dynamodb.get_item(TableName=self.table, Key={"pk": {"S": pk}}).get("Item", {}))


def _format_secret(apps: dict[str, str], session_keys: list[str], external_tokens: Sequence[str] = ()) -> str:
    others = {"external_tokens": list(external_tokens)} if external_tokens else {}
    return json.dumps({"apps": apps, "session_keys": session_keys, **others})


@dataclass(repr=False)
class Api:
    """The app's front door: sends API Gateway events and returns responses."""

    platform: Platform
    headers: dict[str, str] = field(default_factory=dict)

    def call(
        self,
        method: str,
        url: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        milliseconds: int = 15_000,
    ) -> gateway.Response:
        """Send a request."""
        event = gateway.build_event(method, url, {**self.headers, **(headers or {})}, body)
        return gateway.parse_response(application.app(event, LambdaContext(milliseconds)))

    def login(
        self,
        customer: str = CUSTOMER,
        app_id: str = APP_ID,
        *,
        code: str = "",
        milliseconds: int = 15_000,
        **members: Any,
    ) -> gateway.Response:
        """Log a customer in, with a new code unless there is one; later calls carry the session token.

        `members` are further members of the body.
        """
        body = {"app_id": app_id, "code": code or self.platform.issue_login_code(customer, app_id), **members}
        response = self.call("POST", "/v1/sessions", json.dumps(body), JSON_HEADERS, milliseconds)
        if response.status == 200:
            self.headers = {"Authorization": f"Bearer {response.json['token']}"}
        return response

    def list(
        self, query: str = "", account_id: str = ACCOUNT_ID, poi_id: str = POI_ID, **options: Any
    ) -> gateway.Response:
        """Request the certificates; `query` starts with a question mark."""
        return self.call("GET", gateway.certificates_path(account_id, poi_id) + query, **options)


def stop(components: Components) -> None:
    """Close the connections of an instance and wait for its threads."""
    components.transport.adapter.close()
    components.lister.executor.shutdown()


def run_refresh_tokens() -> None:
    """Run the scheduled function."""
    application.refresh_tokens(gateway.build_schedule_event(), LambdaContext(60_000))


def age_claim(dynamodb: DynamoDBClient, table: str, pk: str = TOKEN_PK) -> None:
    """Move the last claim of the row into the past, so that another one may be made now."""
    dynamodb.update_item(
        TableName=table,
        Key={"pk": {"S": pk}},
        UpdateExpression="SET claim = :claim",
        ConditionExpression="attribute_exists(claim)",
        ExpressionAttributeValues={":claim": {"S": f"{int((time.time() - CLAIM_INTERVAL_SECONDS) * 1000)}-ended"}},
    )


def in_seconds(seconds: int) -> int:
    """Return an epoch time `seconds` from now."""
    return int(time.time()) + seconds


def read_log_and_metrics(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the one log line since the previous call, and what the metrics have."""
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [line] = [entry for entry in entries if "_aws" not in entry]
    return line, {name: value for entry in entries if "_aws" in entry for name, value in entry.items()}


def built_archive() -> Path:
    """Return the Lambda bundle of the present sources, and build it when the sources have changed."""
    with lock_builds():
        with contextlib.suppress(BundleError):
            return current_archive()
        subprocess.run([sys.executable, "-m", "infra.bundle"], cwd=ROOT, check=True)
        return current_archive()


def build_mini_program() -> None:
    """Build the mini-program when its sources have changed."""
    with lock_builds():
        subprocess.run(["make", "--silent", "miniprogram"], cwd=ROOT, check=True)  # noqa: S607 - the user's make


@contextlib.contextmanager
def lock_builds() -> Iterator[None]:
    """Let only one test process build or install at a time."""
    lock = ROOT / "build" / "tests.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

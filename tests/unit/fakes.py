"""Fakes and sample values that the unit tests share. Nothing here opens a socket, reads AWS, or sleeps."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from chalicelib.api import problems
from chalicelib.api.telemetry import Telemetry
from chalicelib.aws import Item, Table
from chalicelib.context import Deadline, RequestContext, RequestRecord
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin import protocol
from chalicelib.douyin.calls import CLIENT_TOKEN, CODE2SESSION, JSCODE2SESSION, QUERY_USER_CERTIFICATES, PlatformCall
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.pages import Certificate, CertificateFields, Page
from chalicelib.douyin.protocol import HttpReply, LoginData, MintedToken, ProviderLoginData
from chalicelib.errors import (
    ServiceError,
    StorageUnavailableError,
    TokenRefusedError,
    TokenUnavailableError,
    UpstreamCodes,
)

T = TypeVar("T")

NOW = 1_800_000_000.0
APP_ID = "ttapp0000000000001"
APP_SECRET = "app-secret-planted"
SESSION_KEY = "session-key-planted-0000000000001"
OTHER_KEY = "session-key-planted-0000000000002"
OPEN_ID = "open-id-planted"

PROBLEM_TYPES = {
    found.code: found for found in (*problems.ERROR_PROBLEM_TYPES.values(), *problems.FRAMEWORK_PROBLEM_TYPES.values())
}
"""All types of problems, by code."""

PUBLIC_ROUTES = {"/v1/health", "/v1/sessions", "/v1/merchants/{account_id}/stores"}
"""The routes that need no session."""


class Clock:
    """A clock that only `sleep` and tests move."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def make_context(seconds: float = 9.0, clock: Clock | None = None) -> RequestContext:
    """Return a context whose deadline is on `clock` (by default one that stands still)."""
    return RequestContext(Deadline(seconds, clock or Clock()), RequestRecord(started=NOW))


class LambdaContext:
    """The object that Lambda passes to a handler."""

    aws_request_id = "lambda-id"

    def __init__(self, milliseconds: int = 15_000) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


class FakeTable(Table):
    """A DynamoDB table in memory. It evaluates the conditions and updates that `tokens.source` writes.

    Each read first runs the next function of `before_read`, each write that of `before_write`: another instance.
    `fails_reads` and `fails_writes` make the table unavailable.
    """

    def __init__(self, **rows: Item) -> None:
        self.items: dict[str, Item] = rows
        self.reads: list[str] = []
        self.writes: list[str] = []
        self.before_read: list[Callable[[], object]] = []
        self.before_write: list[Callable[[], object]] = []
        self.fails_reads = False
        self.fails_writes = False

    def get_item(self, pk: str, context: RequestContext) -> Item:
        context.deadline.require_remaining()
        self.reads.append(pk)
        self._check_calls()
        if self.before_read:
            self.before_read.pop(0)()
        if self.fails_reads:
            raise StorageUnavailableError("read failed")
        return dict(self.items.get(pk, {}))

    def update_item(self, pk: str, update: str, condition: str, values: Item, context: RequestContext) -> Item:
        context.deadline.require_remaining()
        self.writes.append(update)
        self._check_calls()
        if self.before_write:
            self.before_write.pop(0)()
        if self.fails_writes:
            raise StorageUnavailableError("write failed")
        # DynamoDB refuses a value that no expression uses, and an expression whose value is missing.
        assert set(re.findall(r":\w+", f"{update} {condition}")) == set(values)
        present = self.items.get(pk, {})
        if not all(_holds(part, present, values) for part in condition.split(" AND ")):
            return dict(present)
        match = re.fullmatch(r"SET (?P<sets>.+?) ?(?:REMOVE (?P<removes>.+))?", update)
        assert match is not None, update
        item: Item = {"pk": {"S": pk}, **present}
        for assignment in match["sets"].split(", "):
            name, _, value = assignment.partition(" = ")
            item[name] = values[value]
        for name in (match["removes"] or "").split(", "):
            item.pop(name, None)
        self.items[pk] = item
        return dict(item)

    def _check_calls(self) -> None:
        """Fail instead of looping forever: the clock stands still unless the code under test sleeps."""
        assert len(self.reads) + len(self.writes) < 1000, "endless loop"


def _holds(condition: str, item: Item, values: Item) -> bool:
    missing = re.fullmatch(r"attribute_not_exists\((\w+)\)", condition)
    if missing is not None:
        return missing[1] not in item
    equal = re.fullmatch(r"(\w+) = (:\w+)", condition)
    assert equal is not None, condition
    return item.get(equal[1]) == values[equal[2]]


def token_item(
    value: str | None = "clt.row", expires_after: int = 3600, *, claimed_after: float | None = None, outcome: str = ""
) -> Item:
    """Return a TOKEN# item. The times of its expiry and of another instance's claim are in seconds from NOW."""
    item: Item = {} if value is None else {"access_token": {"S": value}}
    item["expires_at"] = {"N": str(int(NOW) + expires_after)}
    if claimed_after is not None:
        item["claim"] = {"S": f"{int((NOW + claimed_after) * 1000)}-another"}
    if outcome:
        item["outcome"] = {"S": outcome}
    return item


class Mint(NamedTuple):
    """Arguments of a mint; `seconds` is the time that it was given."""

    app_id: str
    app_secret: str
    seconds: float


class FakeDouyin(DouyinClient):
    """The platform's client. Tests set what each call returns or raises, and read what was called.

    Mints return `mint_results` one after the other, and then clt.1, clt.2 and so on; `on_mint` runs during each.
    """

    def __init__(self) -> None:
        self.mints: list[Mint] = []
        self.mint_results: list[MintedToken | ServiceError] = []
        self.on_mint: Callable[[], object] = lambda: None
        self.logins: list[tuple[str, str, str]] = []
        self.login_result: str | ServiceError = OPEN_ID
        self.on_login: Callable[[], object] = lambda: None
        self.refused_login_tokens: set[str] = set()
        self.queries: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.fetch: Callable[[int, str], Page] = lambda _page, _token: make_page([])

    def send(
        self,
        platform_call: PlatformCall[Any],
        body: Mapping[str, Any],
        context: RequestContext,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        token = (headers or {}).get("access-token", "")
        if platform_call is CLIENT_TOKEN:
            return self._mint(body["client_key"], body["client_secret"], context)
        if platform_call is JSCODE2SESSION:
            return LoginData(self._log_in(body["appid"], body["secret"], body["code"]))
        if platform_call is CODE2SESSION:
            return ProviderLoginData(self._log_in(body["app_id"], token, body["code"]))
        assert platform_call is QUERY_USER_CERTIFICATES
        self.queries.append((dict(body), dict(headers or {})))
        number = body["page"]
        return self.fetch(number, token)

    def _mint(self, app_id: str, app_secret: str, context: RequestContext) -> MintedToken:
        self.mints.append(Mint(app_id, app_secret, context.deadline.remaining()))
        self.on_mint()
        result = self.mint_results.pop(0) if self.mint_results else MintedToken(f"clt.{len(self.mints)}", 7200)
        if isinstance(result, ServiceError):
            raise result
        return result

    def _log_in(self, app_id: str, secret_or_token: str, code: str) -> str:
        """Log in. `refused_login_tokens` are the tokens that the platform refuses."""
        self.logins.append((app_id, secret_or_token, code))
        if secret_or_token in self.refused_login_tokens:
            raise TokenRefusedError("28001008", upstream=UpstreamCodes(28001008, 0))
        self.on_login()
        if isinstance(self.login_result, ServiceError):
            raise self.login_result
        return self.login_result


class FixedTokenSource:
    """A token source that has one token. If this is refused, there is no other."""

    def obtain(self, _app_id: str, _context: RequestContext, refused_token: str = "") -> str:
        if refused_token:
            raise TokenUnavailableError("there is no other token")
        return "clt.x"


class FakeTelemetry(Telemetry):
    """Collects what it should write, as (operation, record, status)."""

    def __init__(self) -> None:
        self.written: list[tuple[str, RequestRecord, int | None]] = []

    def write(self, operation: str, record: RequestRecord, status: int | None = None) -> None:
        self.written.append((operation, record, status))


class FakeSecret:
    """The secret in Secrets Manager. `reads` counts how often it was read."""

    def __init__(self, apps: Mapping[str, str] | None = None, session_keys: Iterable[str] = (SESSION_KEY,)) -> None:
        self.reads = 0
        self.is_unavailable = False
        self.put({APP_ID: APP_SECRET} if apps is None else apps, session_keys)

    def put(
        self,
        apps: Mapping[str, str],
        session_keys: Iterable[str] = (SESSION_KEY,),
        external_tokens: Iterable[str] = (),
    ) -> None:
        """Replace the secret."""
        content = {"apps": dict(apps), "session_keys": list(session_keys), "external_tokens": list(external_tokens)}
        self.text = json.dumps(content)

    def fetch(self, context: RequestContext) -> str:
        """Return the secret, as `aws.read_secret` does."""
        context.deadline.require_remaining()
        self.reads += 1
        if self.is_unavailable:
            raise StorageUnavailableError("secret unavailable")
        return self.text


def make_credentials_cache(secret: FakeSecret | None = None, clock: Clock | None = None) -> CredentialsCache:
    """Return a credentials cache over a secret."""
    return CredentialsCache((secret or FakeSecret()).fetch, clock or Clock())


def make_page(
    certificate_ids: Iterable[str], total: int | None = None, *, size: int | None = None, **fields: Any
) -> Page:
    """Return a page of usable certificates, each in an order of its own."""
    certificates = [make_certificate(number, f"order-{number}") for number in certificate_ids]
    return Page(certificates, len(certificates) if size is None else size, total, **fields)


def make_certificate(
    certificate_id: str,
    order_id: str = "1",
    *,
    can_use: bool = True,
    malformed_fields: Iterable[str] = (),
    **fields: Any,
) -> Certificate:
    """Return a certificate with these fields of the platform."""
    typed = msgspec.convert(fields, CertificateFields)
    return Certificate(certificate_id, order_id, can_use, typed, list(malformed_fields))


def parse(platform_call: PlatformCall[T], response: HttpReply) -> T:
    """Return what a response to a call means; raises UpstreamError."""
    return platform_call.parse(protocol.open_envelope(response, platform_call.error_table)[0])


def parse_page(response: HttpReply) -> Page:
    """Return the page of a response."""
    return parse(QUERY_USER_CERTIFICATES, response)


def json_reply(body: Any, status: int = 200, **headers: str) -> HttpReply:
    """Return a response of the platform whose body is this value as JSON."""
    return HttpReply(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, msgspec.json.encode(body)
    )

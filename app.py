"""Routes, schedule, and wiring. Everything else is in `chalicelib`."""

from __future__ import annotations

import gc
import warnings

# Disable GC during imports: it only rescans live objects (-25 ms cold start).
gc.disable()
# requests never detects encodings here, so the bundle omits the library that it would use (-10 ms cold start).
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
from chalice.app import Rate

from chalicelib import __version__
from chalicelib.api.service import Service
from chalicelib.api.validation import parse_bearer, parse_list_request, parse_login
from chalicelib.aws import Table, create_clients, read_secret
from chalicelib.certificates.listing import CertificateLister
from chalicelib.certificates.paging import PAGES_PER_RESPONSE
from chalicelib.context import Deadline, RequestContext
from chalicelib.credentials import CredentialStore
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.transport import Transport, create_session
from chalicelib.errors import InvalidRequestError
from chalicelib.merchants import MerchantStore
from chalicelib.sessions import SessionService
from chalicelib.settings import Settings, TelemetrySettings, is_lambda
from chalicelib.telemetry import Telemetry
from chalicelib.tokens.renewal import renew_tokens
from chalicelib.tokens.store import TokenStore
from chalicelib.warmup import WARMUP_SECONDS, warm_up

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import requests
    from chalice.app import CloudWatchEvent, Request

PAGE_THREADS = 16
"""More than one response needs: an aborted page may take a moment to end, and must not delay the next response."""

app = Service("douyin-redemption", Telemetry(TelemetrySettings.from_env(os.environ)))


class Services(msgspec.Struct, frozen=True):
    """The objects that the routes use, created once per instance."""

    credentials: CredentialStore
    douyin: DouyinClient
    sessions: SessionService
    lister: CertificateLister
    tokens: TokenStore
    http: requests.Session
    page_executor: Executor


@functools.cache
def services() -> Services:
    """Create the services from the environment; raises ConfigurationError that names the variable at fault."""
    settings = Settings.from_env(os.environ)
    dynamodb, secrets_manager = create_clients(app.telemetry.warn)
    table = Table(dynamodb, settings.table_name)
    credentials = CredentialStore(functools.partial(read_secret, secrets_manager, settings.secret_name))
    http = create_session(f"douyin-redemption/{__version__}", PAGES_PER_RESPONSE)
    douyin = DouyinClient(Transport(http), settings.open_api, settings.login_api)
    tokens = TokenStore(table, douyin)
    page_executor = ThreadPoolExecutor(PAGE_THREADS, "page")
    return Services(
        credentials=credentials,
        douyin=douyin,
        sessions=SessionService(credentials, douyin, settings.session_ttl),
        lister=CertificateLister(MerchantStore(table), tokens, credentials, douyin, page_executor),
        tokens=tokens,
        http=http,
        page_executor=page_executor,
    )


@app.route("/v1/health", methods=["GET"])
def health(_request: Request, _context: RequestContext) -> str:
    """Return the version. Calls no other service."""
    return _to_json({"status": "ok", "version": __version__})


@app.route("/v1/sessions", methods=["POST"], content_types=["application/json"])
def create_user_session(request: Request, context: RequestContext) -> str:
    """Log a user in: exchange a code from tt.login for a session token."""
    login = parse_login(_read_body(request))
    sessions = services().sessions
    token = sessions.login(login.app_id, login.code, context)
    return _to_json({"token": token, "expires_in": sessions.ttl})


@app.route("/v1/merchants/{account_id}/stores/{poi_id}/certificates", methods=["GET"])
def list_certificates(request: Request, context: RequestContext, account_id: str, poi_id: str) -> str:
    """List what the session's user can redeem in this store."""
    query = request.query_params
    parameters = {name: query.getlist(name) for name in query} if query else {}
    list_request = parse_list_request(account_id, poi_id, parameters)
    context.account_id, context.poi_id = list_request.filter.account_id, list_request.filter.poi_id
    session = services().sessions.verify(parse_bearer(request.headers.get("authorization")), context)
    return _to_json(services().lister.list_certificates(session, list_request, context))


@app.schedule(Rate(10, unit=Rate.MINUTES))
def refresh_tokens(event: CloudWatchEvent) -> None:
    """Renew the tokens that expire within half an hour, before a customer needs them."""
    app.run_job(
        "refresh_tokens",
        event.context,
        lambda context: renew_tokens(services().tokens, services().credentials, context),
    )


def _read_body(request: Request) -> bytes:
    try:
        body = request.raw_body
    except ValueError:
        raise InvalidRequestError("body is not base64") from None
    return body.encode() if isinstance(body, str) else body


def _to_json(view: Any) -> str:
    return msgspec.json.encode(view).decode()


def start() -> None:
    """Warm up. Failures are logged; the first request retries."""
    context = RequestContext(Deadline(WARMUP_SECONDS))
    try:
        created = services()
        warm_up(created.credentials, created.tokens, created.douyin, created.page_executor, context)
    except Exception as error:
        app.telemetry.report_warmup_failure(error, context)


if is_lambda(os.environ):
    start()

# Exclude everything loaded so far from GC. A request leaves few cycles: a tenth of the collections is enough (-8 % CPU
# of a warm request).
gc.freeze()
gc.set_threshold(7000)
gc.enable()

"""Routes, the schedule, and the wiring; everything else stands in `chalicelib`."""

from __future__ import annotations

import gc
import warnings

# The collector would go through all that is being loaded again and again and find nothing: 25 ms of a start.
gc.disable()
# requests guesses no encodings here, so the bundle lacks what it would guess them with: 10 ms.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
from chalice.app import Rate

from chalicelib import __version__
from chalicelib.certificates import PAGES_AN_ANSWER, CertificateLists
from chalicelib.credentials import CredentialStore
from chalicelib.edge import Service, answering
from chalicelib.errors import InvalidRequestError
from chalicelib.inputs import read_bearer, read_login, read_question
from chalicelib.merchants import MerchantStore
from chalicelib.readiness import READY_SECONDS, make_ready
from chalicelib.renewal import renew_tokens
from chalicelib.scope import Deadline, Scope
from chalicelib.sessions import SessionStore
from chalicelib.settings import Settings, TelemetrySettings, is_lambda
from chalicelib.storage import Table, make_clients, read_secret
from chalicelib.telemetry import Telemetry
from chalicelib.tokens import TokenStore
from chalicelib.transport import Transport, make_session
from chalicelib.upstream import Douyin

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import requests
    from chalice.app import CloudWatchEvent

app = Service("douyin-redemption", Telemetry(TelemetrySettings.from_env(os.environ)))


class Parts(msgspec.Struct, frozen=True):
    """What the routes work with, wired together once an instance."""

    credentials: CredentialStore
    douyin: Douyin
    sessions: SessionStore
    certificates: CertificateLists
    tokens: TokenStore
    http: requests.Session
    pages: Executor


@functools.cache
def parts() -> Parts:
    """Wire the parts by the environment; raises ConfigurationError naming the variable that is at fault."""
    settings = Settings.from_env(os.environ)
    dynamodb, secrets_manager = make_clients()
    table = Table(dynamodb, settings.table_name)
    credentials = CredentialStore(functools.partial(read_secret, secrets_manager, settings.secret_name))
    http = make_session(f"douyin-redemption/{__version__}", PAGES_AN_ANSWER)
    douyin = Douyin(Transport(http), settings.open_api, settings.login_api)
    tokens = TokenStore(table, douyin)
    pages = ThreadPoolExecutor(PAGES_AN_ANSWER - 1, "page")
    return Parts(
        credentials=credentials,
        douyin=douyin,
        sessions=SessionStore(credentials, douyin, settings.session_ttl),
        certificates=CertificateLists(MerchantStore(table), tokens, credentials, douyin, pages),
        tokens=tokens,
        http=http,
        pages=pages,
    )


@app.route("/v1/health", methods=["GET"])
@answering
def health() -> str:
    """Whether this version runs at all; touches nothing else."""
    return _json({"status": "ok", "version": __version__})


@app.route("/v1/sessions", methods=["POST"], content_types=["application/json"])
@answering
def open_session() -> str:
    """Log a user in: a code of tt.login for a session token."""
    login = read_login(_body())
    sessions = parts().sessions
    token = sessions.open(login.app_id, login.code, app.scope)
    return _json({"token": token, "expires_in": sessions.ttl})


@app.route("/v1/merchants/{account_id}/stores/{poi_id}/certificates", methods=["GET"])
@answering
def list_certificates(account_id: str, poi_id: str) -> str:
    """What the session's user can redeem in this store."""
    request = app.current_request
    assert request is not None  # noqa: S101 - for the type checker: Chalice is serving one
    query = request.query_params
    question = read_question(account_id, poi_id, {name: query.getlist(name) for name in query} if query else {})
    app.scope.account_id, app.scope.poi_id = question.account_id, question.poi_id
    session = parts().sessions.recognise(read_bearer(request.headers.get("authorization")), app.scope)
    return _json(parts().certificates.answer(session, question, app.scope))


@app.schedule(Rate(10, unit=Rate.MINUTES))
def refresh_tokens(event: CloudWatchEvent) -> None:
    """Renew the tokens that end within half an hour, long before a customer needs them."""
    app.run("refresh_tokens", event.context, lambda scope: renew_tokens(parts().tokens, parts().credentials, scope))


def _body() -> bytes:
    request = app.current_request
    assert request is not None  # noqa: S101 - for the type checker: Chalice is serving one
    try:
        body = request.raw_body
    except ValueError:
        raise InvalidRequestError("body is not base64") from None
    return body.encode() if isinstance(body, str) else body


def _json(view: Any) -> str:
    return msgspec.json.encode(view).decode()


def start() -> None:
    """Make this instance ready; whatever fails here, the first request meets it again and can tell it."""
    scope = Scope(Deadline(READY_SECONDS))
    try:
        made = parts()
        make_ready(made.credentials, made.tokens, made.douyin, made.pages, scope)
    except Exception as error:
        app.telemetry.tell_unready(error, scope)


if is_lambda(os.environ):
    start()

# What has been loaded stays: the collector need never look at it again. A request leaves few cycles behind, so that
# looking for them a tenth as often does (8 % of a warm request's CPU).
gc.freeze()
gc.set_threshold(7000)
gc.enable()

"""Routes and schedule, warm-up, and settings of the garbage collector. Everything else is in `chalicelib`."""

import gc
import warnings

# Disable GC during imports: it only rescans live objects (-25 ms cold start).
gc.disable()
# requests never detects encodings here, so the bundle omits the library that it would use (-10 ms cold start).
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")

import functools
import os
import time

import msgspec
from chalice.app import CloudWatchEvent, Rate, Request

from chalicelib import __version__
from chalicelib.api.application import Application
from chalicelib.api.login import LoginView
from chalicelib.api.telemetry import Telemetry
from chalicelib.api.validation import parse_bearer, parse_list_request, parse_login_body, read_body, read_query
from chalicelib.aws import create_clients
from chalicelib.certificates.paging import PAGES_PER_RESPONSE
from chalicelib.certificates.views import ListView
from chalicelib.commit import read_commit
from chalicelib.components import Components
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.transport import Transport, create_http_session
from chalicelib.merchants import MERCHANT_MAX_AGE, MerchantView, build_merchant_view
from chalicelib.sessions import authenticate
from chalicelib.settings import Settings, TelemetrySettings, is_lambda
from chalicelib.tokens.renewal import RenewalReport, renew_expiring_tokens

telemetry_settings = TelemetrySettings.from_env(os.environ)
app = Application(telemetry_settings.api_name, Telemetry(telemetry_settings))


@functools.cache
def components() -> Components:
    """Create the components from the environment; raises ConfigurationError that names the variable at fault."""
    settings = Settings.from_env(os.environ)
    transport = Transport(create_http_session(f"douyin-redemption/{__version__}", PAGES_PER_RESPONSE))
    return Components(settings, create_clients(app.telemetry.warn), transport)


class HealthView(msgspec.Struct, omit_defaults=True):
    """The version, and the git commit of the bundle, if it is known."""

    status: str
    version: str
    commit: str | None = None


@app.route("/v1/health", methods=["GET"])
def health(_request: Request, context: RequestContext) -> HealthView:
    """Return version and commit. Calls no other service."""
    context.record.is_probe = True
    return HealthView("ok", __version__, read_commit())


@app.route("/v1/sessions", methods=["POST"], content_types=["application/json"])
def create_user_session(request: Request, context: RequestContext) -> LoginView:
    """Log a user in: exchange a code from tt.login for a session token. The request may ask for the first list."""
    return components().login.log_in(parse_login_body(read_body(request)), context)


@app.route("/v1/merchants/{account_id}/stores", methods=["GET"], max_age=int(MERCHANT_MAX_AGE))
def list_stores(_request: Request, context: RequestContext, account_id: str) -> MerchantView:
    """List where a merchant can be visited. Needs no session: the store is chosen before the login."""
    return build_merchant_view(components().merchants.get(account_id, context))


@app.route("/v1/merchants/{account_id}/stores/{poi_id}/certificates", methods=["GET"])
def list_certificates(request: Request, context: RequestContext, account_id: str, poi_id: str) -> ListView:
    """List what the session's user can redeem in this store."""
    list_query, cursor = parse_list_request(account_id, poi_id, read_query(request))
    session_token = parse_bearer(request.headers.get("authorization"))
    session = authenticate(session_token, components().credentials_cache, time.time(), context)
    return components().lister.list_certificates(session, list_query, context, cursor)


@app.schedule(Rate(10, unit=Rate.MINUTES))
def refresh_tokens(event: CloudWatchEvent) -> None:
    """Renew the tokens that expire within half an hour, before a customer needs them."""
    app.run_job("refresh_tokens", event.context, _renew_tokens)


def _renew_tokens(context: RequestContext) -> RenewalReport:
    return renew_expiring_tokens(components().tokens, components().credentials_cache, context)


def warm_up() -> None:
    """Prepare the first request in the init phase: Lambda gives it a full CPU, whatever the memory setting.

    The first request repeats what has failed.
    """
    # Lambda ends an init phase after 10 s, and starts it again: no call starts after two seconds.
    context = RequestContext(Deadline(2.0))
    try:
        # This opens the connections to AWS. The other apps' tokens are read when a request needs them.
        for app_id in list(components().credentials_cache.get(context).apps)[:1]:
            components().tokens.preload(app_id, context)
    except Exception as error:
        app.telemetry.write_warmup_failure(context.record, error)


if is_lambda(os.environ):
    warm_up()

# The garbage collector ignores all objects that exist now, and runs less often than by default (after 700 or 2,000 new
# objects, by version), because a request leaves few reference cycles.
gc.freeze()
gc.set_threshold(7000)
gc.enable()

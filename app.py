"""Routes and schedule, warm-up, and settings of the garbage collector. Everything else is in `chalicelib`."""

import gc
import warnings

# Disable GC during imports: it only rescans live objects (-25 ms cold start).
gc.disable()
# This service needs no character detection, so the bundle omits the library for it (-10 ms cold start). requests warns
# about that when it is imported.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")

import functools
import os
import time

import msgspec
from chalice.app import CloudWatchEvent, Rate, Request

from chalicelib import __version__
from chalicelib.api.application import Application
from chalicelib.api.login import LoginView, authenticate
from chalicelib.api.telemetry import Telemetry
from chalicelib.api.validation import (
    parse_bearer,
    parse_list_request,
    parse_login_body,
    read_body,
    read_query_parameters,
)
from chalicelib.aws import create_clients
from chalicelib.certificates.paging import MAX_PAGES_PER_RESPONSE
from chalicelib.certificates.views import ListView
from chalicelib.components import Components
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.transport import Transport
from chalicelib.merchants import MERCHANT_MAX_AGE, MerchantView, build_merchant_view
from chalicelib.sessions import PROBE_ACCOUNT_ID
from chalicelib.settings import Settings, TelemetrySettings, is_lambda, read_commit
from chalicelib.tokens.renewal import RenewalReport, renew_expiring_tokens

telemetry_settings = TelemetrySettings.from_env(os.environ)
app = Application(telemetry_settings.api_name, Telemetry(telemetry_settings))


@functools.cache
def components() -> Components:
    """Create the components from the environment; raises ConfigurationError that names the variable at fault."""
    settings = Settings.from_env(os.environ)
    transport = Transport(f"douyin-redemption/{__version__}", MAX_PAGES_PER_RESPONSE)
    return Components(settings, create_clients(app.telemetry.warn), transport)


class HealthView(msgspec.Struct, omit_defaults=True):
    """The response of the health check. `commit` is the git commit of the bundle; it is omitted if it is unknown."""

    status: str
    version: str
    commit: str | None = None


@app.route("/v1/health", methods=["GET"])
def health(_request: Request, context: RequestContext) -> HealthView:
    """Return version and commit. Calls no other service."""
    context.record.is_probe = True
    return HealthView("ok", __version__, read_commit())


@app.route("/v1/sessions", methods=["POST"], content_types=["application/json"])
def log_in(request: Request, context: RequestContext) -> LoginView:
    """Log a user in: exchange a code from tt.login for a session token. The request may ask for the first list."""
    return components().login.log_in(parse_login_body(read_body(request)), context)


@app.route("/v1/merchants/{account_id}/stores", methods=["GET"], max_age=int(MERCHANT_MAX_AGE))
def list_stores(_request: Request, context: RequestContext, account_id: str) -> MerchantView:
    """List a merchant's stores. Needs no session: the customer chooses the store before the login."""
    context.record.is_probe = account_id == PROBE_ACCOUNT_ID
    return build_merchant_view(components().merchants.get(account_id, context))


@app.route("/v1/merchants/{account_id}/stores/{poi_id}/certificates", methods=["GET"])
def list_certificates(request: Request, context: RequestContext, account_id: str, poi_id: str) -> ListView:
    """List the certificates of the session's user that the platform reports as usable in this store."""
    list_query, cursor = parse_list_request(account_id, poi_id, read_query_parameters(request))
    token = parse_bearer(request.headers.get("authorization"))
    session = authenticate(token, components().credentials_cache, time.time(), context)
    return components().lister.list_certificates(session, list_query, context, cursor)


# The name is that of the deployed function, its log group and its rule. `tokens` says *renew*.
@app.schedule(Rate(10, unit=Rate.MINUTES))
def refresh_tokens(event: CloudWatchEvent) -> None:
    """Renew the tokens that expire within half an hour, before a customer needs them."""
    app.run_job("refresh_tokens", event.context, _renew_tokens)


def _renew_tokens(context: RequestContext) -> RenewalReport:
    return renew_expiring_tokens(components().tokens, components().credentials_cache, context)


def warm_up() -> None:
    """Read the secret and one app's token row into the caches before the first request.

    This runs in Lambda's init phase, which has a full CPU at every memory setting. A failure is logged. The first
    request then reads again.
    """
    # If the init phase takes longer than 10 s, Lambda ends it and starts again, so no call starts after two seconds.
    context = RequestContext(Deadline(2.0))
    try:
        # One app is enough to open the connections to AWS. A request reads the row of another app when it needs it.
        for app_id in list(components().credentials_cache.get(context).apps)[:1]:
            components().tokens.preload(app_id, context)
    except Exception as error:
        app.telemetry.write_warmup_failure(context.record, error)


if is_lambda(os.environ):
    warm_up()

# The garbage collector ignores all objects that exist now. A request leaves few reference cycles, so the collector runs
# after 7,000 new objects. (Python's default is 700 or 2,000, by version.)
gc.freeze()
gc.set_threshold(7000)
gc.enable()

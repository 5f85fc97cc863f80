"""Login, with the first list in the same response, and the user of later requests.

If the list fails or is slow, the customer still gets a session.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.api.problems import ProblemView, problem_for_error
from chalicelib.api.validation import LoginBody
from chalicelib.authorized_calls import AuthorizedCalls, TokenSource
from chalicelib.certificates.listing import CertificateLister
from chalicelib.certificates.views import ListView
from chalicelib.context import Outcome, RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.calls import CODE2SESSION, JSCODE2SESSION, code2session_body, jscode2session_body
from chalicelib.douyin.client import DouyinClient
from chalicelib.errors import UnauthenticatedError, UnknownAppError, UpstreamMalformedError
from chalicelib.redaction import RedactedStruct
from chalicelib.sessions import PROBE_CODE, PROBE_OPEN_ID, Session, decode_session, encode_session, hash_open_id

LIST_SECONDS = 6.0
"""Limit for the list, counted from the end of the login."""


class LoginView(RedactedStruct, frozen=True, omit_defaults=True):
    """The response to a login. If a list was requested, `list` has it, or `list_problem` has its problem."""

    token: str
    expires_in: int
    list: ListView | None = None
    list_problem: ProblemView | None = None


@dataclass(eq=False, repr=False)
class LoginHandler:
    """Logs users in, and lists their certificates in the same response."""

    credentials_cache: CredentialsCache
    douyin: DouyinClient
    tokens: TokenSource
    lister: CertificateLister
    #: The lifetime of a session in seconds.
    session_seconds: int
    #: The wall clock, in epoch seconds.
    clock: Callable[[], float] = time.time

    def log_in(self, body: LoginBody, context: RequestContext) -> LoginView:
        """Exchange the code for a session, and list certificates if the body requests a list.

        Raises UnknownAppError, UpstreamMalformedError for a malformed or reserved open_id, and
        what `CredentialsCache.get` and `DouyinClient.send` raise. For an app of a service provider, raises what
        `AuthorizedCalls.send` raises. An error of the list is not raised: the view and the record have it.
        """
        record, list_query = context.record, body.list_query
        record.app_id = body.app_id
        record.is_probe = body.code == PROBE_CODE
        if list_query is not None:
            record.ids = {"account_id": list_query.account_id, "poi_id": list_query.poi_id}
        app_secret, credentials = self.credentials_cache.find_or_reread(
            lambda credentials: credentials.apps.get(body.app_id), context
        )
        # Requests of unknown apps end here, so that they cause no other call.
        if app_secret is None:
            raise UnknownAppError("unknown app_id")
        open_id = self.exchange_code(body.app_id, app_secret, body.code, context)
        # A customer must not get the reserved open_id, because the metrics leave out the lists of this open_id.
        if open_id == PROBE_OPEN_ID:
            raise UpstreamMalformedError("malformed")
        session = Session(body.app_id, open_id)
        session_token = encode_session(session, int(self.clock()) + self.session_seconds, credentials.session_keys)
        record.user = hash_open_id(open_id, credentials.session_keys)
        if list_query is None:
            return LoginView(session_token, self.session_seconds)
        try:
            view = self.lister.list_certificates(session, list_query, context.with_timeout(LIST_SECONDS))
        # Catch every error: the user is logged in, and could not log in again with this code, which is used up.
        except Exception as error:
            problem = problem_for_error(error, record.request_id)
            record.list_outcome = problem.outcome
            return LoginView(session_token, self.session_seconds, list_problem=problem.view)
        record.list_outcome = Outcome()
        return LoginView(session_token, self.session_seconds, list=view)

    def exchange_code(self, app_id: str, app_secret: str, code: str, context: RequestContext) -> str:
        """Exchange a login code for the open_id, with the app secret.

        An app of a service provider has no app secret here. Then the call has the app's access token.
        """
        if app_secret:
            return self.douyin.send(JSCODE2SESSION, jscode2session_body(app_id, app_secret, code), context).openid
        # If the platform refuses the token, the code is not used up. AuthorizedCalls sends it again with another token.
        calls = AuthorizedCalls(self.douyin, self.tokens, app_id, context)
        return calls.send(CODE2SESSION, code2session_body(app_id, code)).open_id


def authenticate(token: str, credentials_cache: CredentialsCache, now: float, context: RequestContext) -> Session:
    """Return the session of a token. `now` is in epoch seconds.

    Sets `app_id`, `user` and `is_probe` of the record. Raises UnauthenticatedError for a forged or expired token,
    and what `CredentialsCache.get` raises.
    """
    session, credentials = credentials_cache.find_or_reread(
        lambda credentials: decode_session(token, credentials.session_keys, now), context
    )
    if session is None:
        raise UnauthenticatedError("session token has no valid signature")
    context.record.app_id = session.app_id
    context.record.user = hash_open_id(session.open_id, credentials.session_keys)
    context.record.is_probe = session.open_id == PROBE_OPEN_ID
    return session

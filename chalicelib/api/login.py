"""Login, with the first list in the same response. A list that fails or is slow does not cost the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chalicelib.api.problems import ProblemView, problem_for_error
from chalicelib.certificates.listing import ListRequest
from chalicelib.certificates.views import ListView  # noqa: TC001 - msgspec evaluates the annotation
from chalicelib.context import Deadline

if TYPE_CHECKING:
    from chalicelib.api.validation import LoginRequest
    from chalicelib.certificates.listing import CertificateLister
    from chalicelib.certificates.prefetch import Prefetch, Prefetcher
    from chalicelib.context import RequestContext
    from chalicelib.douyin.protocol import CertificateFilter
    from chalicelib.sessions import Session, SessionService

LIST_SECONDS = 4.0
"""Limit for the list, counted from the end of the login."""


class LoginView(msgspec.Struct, omit_defaults=True):
    """The response to a login. A requested list is in `list`, or its problem in `list_problem`."""

    token: str
    expires_in: int
    list: ListView | None = None
    list_problem: ProblemView | None = None


class LoginService:
    """Logs users in and lists their certificates in one request."""

    def __init__(self, sessions: SessionService, lister: CertificateLister, prefetcher: Prefetcher) -> None:
        self._sessions = sessions
        self._lister = lister
        self._prefetcher = prefetcher

    def login(self, request: LoginRequest, context: RequestContext) -> LoginView:
        """Log a user in, and list certificates if the request asks for them.

        Raises what `SessionService.login` raises. An error of the list is in the view and in `context`.
        """
        if request.list is None:
            login = self._sessions.login(request.app_id, request.code, context)
            return LoginView(login.token, self._sessions.ttl)
        context.account_id, context.poi_id = request.list.account_id, request.list.poi_id
        # Requests of unknown apps end here, so that they cause no other call.
        self._sessions.get_app_secret(request.app_id, context)
        prefetch = self._prefetcher.start(request.app_id, request.list, context)
        try:
            login = self._sessions.login(request.app_id, request.code, context)
        except BaseException:
            prefetch.abandon()
            raise
        view = LoginView(login.token, self._sessions.ttl)
        try:
            view.list = self._list(login.session, request.list, prefetch, context)
            context.list_outcome = "ok"
        # Not a named error: whatever fails here, the code is used up and the user is logged in.
        except Exception as error:
            problem = problem_for_error(error, context.request_id)
            view.list_problem = problem.view
            context.list_outcome, context.list_error = problem.type.code, error
        return view

    def _list(
        self, session: Session, wanted: CertificateFilter, prefetch: Prefetch, context: RequestContext
    ) -> ListView:
        context.deadline = Deadline(min(LIST_SECONDS, context.deadline.remaining()))
        prefetch.wait(context.deadline)
        return self._lister.list_certificates(session, ListRequest(wanted), context)

"""Login, with the first list in the same response. A list that fails or is slow does not cost the session."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING

import msgspec

from chalicelib.api.problems import ProblemView, problem_for_error
from chalicelib.certificates.listing import ListRequest
from chalicelib.certificates.views import ListView  # noqa: TC001 - msgspec evaluates the annotation
from chalicelib.context import ListRecord
from chalicelib.errors import StorageUnavailableError, TokenTimeoutError, UpstreamTimeoutError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from chalicelib.api.validation import LoginRequest
    from chalicelib.certificates.listing import CertificateLister
    from chalicelib.context import RequestContext
    from chalicelib.sessions import Authenticator

LIST_SECONDS = 6.0
"""Limit for the list, counted from the end of the login. A dead holder of the token's lease is replaced within it."""


class LoginView(msgspec.Struct, omit_defaults=True):
    """The response to a login. A requested list is in `list`, or its problem in `list_problem`."""

    token: str
    expires_in: int
    list: ListView | None = None
    list_problem: ProblemView | None = None


class LoginHandler:
    """Logs users in and lists their certificates in one request."""

    def __init__(self, authenticator: Authenticator, lister: CertificateLister) -> None:
        self._authenticator = authenticator
        self._lister = lister

    def login(self, request: LoginRequest, context: RequestContext) -> LoginView:
        """Log a user in, and list certificates if the request asks for them.

        Raises what `Authenticator.login` raises. An error of the list is in the view and in the request's record.
        """
        record = context.record
        prefetched: list[Future[None]] = []
        if request.selection is not None:
            record.account_id = request.selection.account_id
            record.listing = ListRecord(request.selection.poi_id, is_first=True)
            # Requests of unknown apps end here, so that they cause no other call.
            self._authenticator.get_app_secret(request.app_id, context)
            prefetched = self._lister.prefetch(request.selection, context)
        try:
            login = self._authenticator.login(request.app_id, request.code, context)
        finally:
            # Cancel what has not started: the list does it itself, and after a refused login nobody needs it.
            running = [future for future in prefetched if not future.cancel()]
        view = LoginView(login.token, self._authenticator.ttl)
        if record.listing is None or request.selection is None:
            return view
        context = context.with_timeout(LIST_SECONDS)
        wait(running, context.deadline.remaining())
        try:
            view.list = self._lister.list_certificates(login.session, ListRequest(request.selection), context)
        # All errors: whatever fails here, the code is used up and the user is logged in.
        except Exception as raised:
            # A call to AWS fails like this when the list's time is over.
            is_late = isinstance(raised, StorageUnavailableError) and context.deadline.remaining() <= 0
            is_timeout = is_late or isinstance(raised, TokenTimeoutError)
            error = UpstreamTimeoutError("budget") if is_timeout else raised
            record.listing.error = error
            view.list_problem = problem_for_error(error, record.request_id).view
        return view

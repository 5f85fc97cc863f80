"""Finds the user of a request by the session token, and records the user."""

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import UnauthenticatedError
from chalicelib.sessions import PROBE_OPEN_ID, Session, decode_session, hash_open_id


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

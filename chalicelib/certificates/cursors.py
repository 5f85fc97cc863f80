"""Opaque pagination cursors, signed and bound to one list.

The signing key is derived from user, merchant, store and filters: a cursor of another list does not verify.
"""

import hashlib

import msgspec
from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.protocol import Selection
from chalicelib.errors import InvalidRequestError

MAX_CURSOR_LENGTH = 1024


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position in a list: the next page, and what the pages before it held."""

    next_page: int = 1
    #: The number of certificates.
    received: int = 0
    #: The number of empty pages directly before `next_page`.
    empty_pages: int = 0
    #: The largest usable total of the last response that had one on a page with certificates. As long as there was no
    #: such response: that of empty pages, or None.
    total: int | None = None


def encode_cursor(cursor: Cursor, selection: Selection, open_id: str, keys: list[str]) -> str:
    """Return the signed text of a cursor that continues this user's list."""
    return _signer(selection, open_id, keys).sign(base64_encode(msgspec.json.encode(cursor))).decode()


def verify_cursor(
    text: str, selection: Selection, open_id: str, credentials_cache: CredentialsCache, context: RequestContext
) -> tuple[Cursor, list[str]]:
    """Return the cursor, and the keys that verify it; raises InvalidRequestError for one of another list."""
    cursor, credentials = credentials_cache.find(
        lambda credentials: decode_cursor(text, selection, open_id, credentials.session_keys), context
    )
    if cursor is None:
        raise InvalidRequestError("cursor", "must be next_cursor of a response to the same request")
    return cursor, credentials.session_keys


def decode_cursor(text: str, selection: Selection, open_id: str, keys: list[str]) -> Cursor | None:
    """Return a cursor of the same list, or None when it was not signed by one of the keys."""
    try:
        return msgspec.json.decode(base64_decode(_signer(selection, open_id, keys).unsign(text)), type=Cursor)
    except (BadData, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _signer(selection: Selection, open_id: str, keys: list[str]) -> Signer:
    # This order is part of the cursors that clients hold.
    filters = selection.poi_id, selection.biz_type, selection.start_time, selection.end_time
    # itsdangerous signs with the last key of its list; the secret lists the signing key first.
    return Signer(
        keys[::-1],
        salt=b"douyin-redemption cursor " + msgspec.json.encode([selection.account_id, open_id, *filters]),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )

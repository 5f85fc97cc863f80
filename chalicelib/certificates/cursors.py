"""Opaque pagination cursors, signed and bound to one query.

The signing key is derived from user, merchant, store and filters: a cursor of another query does not verify.
"""

import hashlib

import msgspec
from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from chalicelib.context import RequestContext
from chalicelib.credentials import Credentials, CredentialsCache
from chalicelib.douyin.protocol import CertificatesQuery
from chalicelib.errors import InvalidRequestError

MAX_CURSOR_LENGTH = 1024


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position in a list: the next page, and what the pages before it held.

    `received` is the number of certificates; `empty_pages` counts the empty pages directly before `page`. `total` is
    the largest usable one of the newest response that had any, or None.
    """

    page: int = 1
    received: int = 0
    empty_pages: int = 0
    total: int | None = None


def encode_cursor(cursor: Cursor, query: CertificatesQuery, keys: list[str]) -> str:
    """Return the signed text of a cursor that continues `query`."""
    return _signer(query, keys).sign(base64_encode(msgspec.json.encode(cursor))).decode()


def verify_cursor(
    text: str, query: CertificatesQuery, credentials_cache: CredentialsCache, context: RequestContext
) -> tuple[Credentials, Cursor]:
    """Return the cursor, and the credentials that verify it; raises InvalidRequestError for one of another query."""
    credentials, cursor = credentials_cache.find(lambda c: decode_cursor(text, query, c.session_keys), context)
    if cursor is None:
        raise InvalidRequestError("cursor", "must be next_cursor of a response to the same request")
    return credentials, cursor


def decode_cursor(text: str, query: CertificatesQuery, keys: list[str]) -> Cursor | None:
    """Return a cursor of the same query, or None when it was not signed by one of the keys."""
    try:
        return msgspec.json.decode(base64_decode(_signer(query, keys).unsign(text)), type=Cursor)
    except (BadData, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _signer(query: CertificatesQuery, keys: list[str]) -> Signer:
    selection = query.selection
    bound_to = [
        selection.account_id,
        query.open_id,
        selection.poi_id,
        selection.biz_type,
        selection.start_time,
        selection.end_time,
    ]
    # itsdangerous signs with the last key of its list; the secret lists the signing key first.
    return Signer(
        keys[::-1],
        salt=b"douyin-redemption cursor " + msgspec.json.encode(bound_to),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )

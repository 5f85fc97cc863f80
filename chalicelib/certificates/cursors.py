"""Opaque pagination cursors, signed and bound to one query.

A cursor holds the next page and fingerprints of the certificates on the page before it, so that certificates which
move to a later page while the list grows are not shown twice. The signing key is derived from user, merchant, store and
filters: a cursor of another query does not verify.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from chalicelib.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chalicelib.douyin.protocol import CertificatesQuery

MAX_CURSOR_LENGTH = 1024

MAX_FINGERPRINTS = 64
"""Only the last certificates of a page matter: those that could move to the next page while the list grows."""

_FINGERPRINT_BYTES = 8
_PAGE_BYTES = 4


class Cursor(msgspec.Struct, frozen=True):
    """Position in a list: the next page, and fingerprints of certificates that were already shown."""

    page: int = 1
    shown: frozenset[bytes] = frozenset()


def fingerprint(certificate_id: str) -> bytes:
    """Return an 8-byte hash of a certificate_id."""
    return hashlib.blake2b(certificate_id.encode(), digest_size=_FINGERPRINT_BYTES).digest()


def encode_cursor(page: int, shown: Sequence[str], query: CertificatesQuery, keys: list[str]) -> str:
    """Return a cursor that continues `query` at `page`; `shown` are the certificate_ids of the page before it."""
    payload = page.to_bytes(_PAGE_BYTES) + b"".join(map(fingerprint, shown[-MAX_FINGERPRINTS:]))
    return _signer(query, keys).sign(base64_encode(payload)).decode()


def decode_cursor(text: str, query: CertificatesQuery, keys: list[str]) -> Cursor:
    """Verify and decode a cursor of the same query; raises InvalidRequestError."""
    try:
        payload = base64_decode(_signer(query, keys).unsign(text))
    except BadData:
        raise _foreign_cursor() from None
    page, rest = int.from_bytes(payload[:_PAGE_BYTES]), payload[_PAGE_BYTES:]
    if len(payload) < _PAGE_BYTES or len(rest) % _FINGERPRINT_BYTES or page < 1:
        raise _foreign_cursor()
    shown = (rest[start : start + _FINGERPRINT_BYTES] for start in range(0, len(rest), _FINGERPRINT_BYTES))
    return Cursor(page, frozenset(shown))


def _foreign_cursor() -> InvalidRequestError:
    return InvalidRequestError("cursor", "must be next_cursor of a response to the same request")


def _signer(query: CertificatesQuery, keys: list[str]) -> Signer:
    wanted = query.filter
    bound_to = [
        wanted.account_id,
        query.open_id,
        wanted.poi_id,
        wanted.biz_type,
        wanted.start_time,
        wanted.end_time,
    ]
    # itsdangerous signs with the last key of its list; the secret lists the signing key first.
    return Signer(
        keys[::-1],
        salt=b"douyin-redemption cursor " + msgspec.json.encode(bound_to),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )

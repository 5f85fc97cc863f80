"""Where a walk over the pages goes on: opaque to the client, of no use for any other question than the one it answers.

A cursor holds the next page and fingerprints of the certificates of the page before it, so that a list that grew in
the meantime does not show them again. Its signing key is derived from the whole question (user, merchant, store,
filters), so that a cursor of another question is as good as a forged one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from chalicelib.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chalicelib.douyin import CertificatesQuery

LONGEST_CURSOR = 1024

_FINGERPRINT_BYTES = 8
_PAGE_BYTES = 4


class Cursor(msgspec.Struct, frozen=True):
    """Go on with `page`; a certificate whose fingerprint is in `shown` was shown already."""

    page: int = 1
    shown: frozenset[bytes] = frozenset()


def fingerprint(certificate_id: str) -> bytes:
    """Eight bytes that stand for a certificate_id."""
    return hashlib.blake2b(certificate_id.encode(), digest_size=_FINGERPRINT_BYTES).digest()


def write_cursor(page: int, shown: Iterable[str], query: CertificatesQuery, keys: list[str]) -> str:
    """A cursor for `query` that goes on at `page`, after a page that held the certificate_ids `shown`."""
    payload = page.to_bytes(_PAGE_BYTES) + b"".join(map(fingerprint, shown))
    return _signer(query, keys).sign(base64_encode(payload)).decode()


def read_cursor(text: str, query: CertificatesQuery, keys: list[str]) -> Cursor:
    """Read a cursor of the same question; raises InvalidRequestError for any other text."""
    try:
        payload = base64_decode(_signer(query, keys).unsign(text))
    except BadSignature:
        raise InvalidRequestError("cursor") from None
    page, rest = int.from_bytes(payload[:_PAGE_BYTES]), payload[_PAGE_BYTES:]
    shown = (rest[at : at + _FINGERPRINT_BYTES] for at in range(0, len(rest), _FINGERPRINT_BYTES))
    return Cursor(page, frozenset(shown))


def _signer(query: CertificatesQuery, keys: list[str]) -> Signer:
    question = [query.account_id, query.open_id, query.poi_id, query.biz_type, query.start_time, query.end_time]
    return Signer(
        keys[::-1],
        salt=b"douyin-redemption cursor " + msgspec.json.encode(question),
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )

"""Signs values with the session keys, as text that fits into a URL.

The first session key of the secret signs, every key verifies (HMAC-SHA256). The value is signed, not encrypted: anyone
who has the text can read it.
"""

import hashlib
from typing import Any, TypeVar

import msgspec
from itsdangerous import BadData, URLSafeSerializer

T = TypeVar("T")


def sign(value: list[Any], purpose: bytes, keys: list[str]) -> str:
    """Return the signed text of a value. It verifies for the same purpose only."""
    return str(_serializer(purpose, keys).dumps(value))


def verify(text: str, purpose: bytes, keys: list[str], expected_type: type[T]) -> T | None:
    """Return the value of a text, or None when none of the keys has signed it for this purpose, or its type differs."""
    try:
        return msgspec.convert(_serializer(purpose, keys).loads(text), expected_type)
    except (BadData, msgspec.ValidationError):
        return None


def _serializer(purpose: bytes, keys: list[str]) -> URLSafeSerializer:
    # itsdangerous signs with the last key of its list; the secret lists the signing key first.
    signer_kwargs = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(keys[::-1], salt=purpose, signer_kwargs=signer_kwargs)

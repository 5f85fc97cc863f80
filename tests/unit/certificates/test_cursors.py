"""Cursors: a round trip, and everything that is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest
from itsdangerous import Signer

from chalicelib.certificates.cursors import (
    MAX_CURSOR_LENGTH,
    MAX_FINGERPRINTS,
    Cursor,
    decode_cursor,
    encode_cursor,
    fingerprint,
)
from chalicelib.certificates.paging import MAX_PAGE
from chalicelib.douyin.protocol import BY_ORDER, CertificateFilter, CertificatesQuery
from chalicelib.errors import InvalidRequestError
from tests.unit.fakes import ACCOUNT_ID, OPEN_ID, PAGE_SIZE, POI_ID, SESSION_KEY

KEYS = [SESSION_KEY]
OTHER_KEY = "session-key-planted-0000000002"
FILTER = CertificateFilter(ACCOUNT_ID, POI_ID, 1, 100, 200)
QUERY = CertificatesQuery(FILTER, OPEN_ID)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (1, []),
        (2, ["a"]),
        (5, [f"{number:019d}" for number in range(PAGE_SIZE)]),
        (MAX_PAGE, ["7200000000000000001", "券"]),
        (2**32 - 1, ["a", "a", "b"]),
    ],
)
def test_a_cursor_survives_the_round_trip(page: int, shown: list[str]) -> None:
    text = encode_cursor(page, shown, QUERY, KEYS)
    assert decode_cursor(text, QUERY, KEYS) == Cursor(page, frozenset(map(fingerprint, shown)))


@pytest.mark.parametrize("count", [MAX_FINGERPRINTS, MAX_FINGERPRINTS + 1, 5000])
def test_a_cursor_holds_the_last_certificates_of_a_page(count: int) -> None:
    shown = [str(number) for number in range(count)]
    cursor = decode_cursor(encode_cursor(2, shown, QUERY, KEYS), QUERY, KEYS)
    assert cursor.shown == frozenset(map(fingerprint, shown[count - MAX_FINGERPRINTS :]))
    assert MAX_FINGERPRINTS >= PAGE_SIZE


@pytest.mark.parametrize("count", [PAGE_SIZE, 5000])
def test_a_cursor_can_be_part_of_a_url_and_of_a_request(count: int) -> None:
    text = encode_cursor(MAX_PAGE, [f"{number:064d}" for number in range(count)], QUERY, KEYS)
    assert len(text) <= MAX_CURSOR_LENGTH
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_cursor_shows_neither_user_nor_certificates() -> None:
    text = encode_cursor(2, ["7200000000000000001"], QUERY, KEYS)
    assert OPEN_ID not in text
    assert fingerprint("7200000000000000001") == hashlib.blake2b(b"7200000000000000001", digest_size=8).digest()


def sign(payload: bytes) -> str:
    """Return a cursor of the query with a valid signature and any payload."""
    bound_to = [ACCOUNT_ID, OPEN_ID, POI_ID, 1, 100, 200]
    salt = b"douyin-redemption cursor " + json.dumps(bound_to, separators=(",", ":")).encode()
    signer = Signer([SESSION_KEY], salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    return signer.sign(base64.urlsafe_b64encode(payload).rstrip(b"=")).decode()


def test_a_cursor_of_an_earlier_release_is_valid() -> None:
    """Its form and its signature are part of the deployment: a release does not break a list that is being read."""
    text = sign(b"\x00\x00\x00\x05" + fingerprint("a") + fingerprint("b"))
    assert decode_cursor(text, QUERY, KEYS) == Cursor(5, frozenset({fingerprint("a"), fingerprint("b")}))


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x01", b"\x00\x00\x01", b"\x00\x00\x00\x00", b"\x00\x00\x00\x01x", b"\x00\x00\x00\x01" + b"x" * 9],
)
def test_a_signed_cursor_of_another_form_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidRequestError, match=r"^cursor must be next_cursor"):
        decode_cursor(sign(payload), QUERY, KEYS)


def changed(**changes: Any) -> CertificatesQuery:
    """Return the query with other values in its filter."""
    return msgspec.structs.replace(QUERY, filter=msgspec.structs.replace(FILTER, **changes))


@pytest.mark.parametrize(
    "foreign",
    [
        msgspec.structs.replace(QUERY, open_id="another"),
        changed(account_id="7"),
        changed(poi_id="6602"),
        changed(biz_type=2),
        changed(biz_type=None),
        changed(start_time=101),
        changed(start_time=None),
        changed(end_time=201),
        changed(end_time=None),
        changed(start_time=None, end_time=100),
        changed(account_id=POI_ID, poi_id=ACCOUNT_ID),
    ],
)
def test_a_cursor_of_another_query_is_refused(foreign: CertificatesQuery) -> None:
    text = encode_cursor(2, ["a"], QUERY, KEYS)
    with pytest.raises(InvalidRequestError, match=r"^cursor must be next_cursor"):
        decode_cursor(text, foreign, KEYS)
    assert decode_cursor(encode_cursor(2, ["a"], foreign, KEYS), foreign, KEYS).page == 2


@pytest.mark.parametrize(
    "same",
    [
        msgspec.structs.replace(QUERY, life_account_id="8"),
        msgspec.structs.replace(QUERY, page_dimension=BY_ORDER),
    ],
)
def test_what_the_caller_does_not_send_does_not_change_the_query(same: CertificatesQuery) -> None:
    """A cursor is verified before the merchant's row is read."""
    assert decode_cursor(encode_cursor(2, [], same, KEYS), QUERY, KEYS).page == 2


def test_a_cursor_with_any_changed_character_is_refused() -> None:
    text = encode_cursor(2, ["a"], QUERY, KEYS)
    # The last character of the signature also carries bits that count for nothing.
    for position in range(len(text) - 1):
        other = "A" if text[position] != "A" else "B"
        with pytest.raises(InvalidRequestError):
            decode_cursor(text[:position] + other + text[position + 1 :], QUERY, KEYS)


@pytest.mark.parametrize("text", ["", ".", "x", "AAAAAg", "AAAAAg.", ".AAAA", "a.b", "店", "a" * MAX_CURSOR_LENGTH])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^cursor must be next_cursor") as raised:
        decode_cursor(text, QUERY, KEYS)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("signed_with", "read_with", "valid"),
    [
        ([SESSION_KEY], [SESSION_KEY], True),
        ([SESSION_KEY], [OTHER_KEY, SESSION_KEY], True),
        ([OTHER_KEY, SESSION_KEY], [OTHER_KEY], True),
        ([OTHER_KEY, SESSION_KEY], [SESSION_KEY], False),
        ([SESSION_KEY], [OTHER_KEY], False),
    ],
)
def test_the_newest_key_signs_and_every_key_verifies(signed_with: list[str], read_with: list[str], valid: bool) -> None:
    text = encode_cursor(2, ["a"], QUERY, signed_with)
    if valid:
        assert decode_cursor(text, QUERY, read_with).page == 2
    else:
        with pytest.raises(InvalidRequestError):
            decode_cursor(text, QUERY, read_with)


def test_without_a_cursor_a_list_starts_at_its_first_page() -> None:
    assert Cursor() == Cursor(1, frozenset())

"""Cursors: a round trip, and everything that is refused."""

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest
from itsdangerous import Signer

from chalicelib.certificates.paging import MAX_CURSOR_LENGTH, MAX_PAGES, ListPosition, decode_cursor, encode_cursor
from chalicelib.douyin.calls import ListQuery
from sandbox.sample_data import ACCOUNT_ID, POI_ID
from tests.unit.fakes import OPEN_ID, SESSION_KEY

KEYS = [SESSION_KEY]
LIST_QUERY = ListQuery(ACCOUNT_ID, POI_ID, 1, 100, 200)
LIST = LIST_QUERY, OPEN_ID


POSITION = ListPosition(5, 180, 340)
LONGEST = ListPosition(MAX_PAGES, 10**6, 10**18)


@pytest.mark.parametrize("position", [ListPosition(), POSITION, LONGEST])
def test_a_cursor_survives_the_round_trip_as_part_of_a_url(position: ListPosition) -> None:
    cursor = encode_cursor(position, *LIST, KEYS)
    assert decode_cursor(cursor, *LIST, KEYS) == position
    assert len(cursor) <= MAX_CURSOR_LENGTH
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def sign(payload: bytes) -> str:
    """Return a cursor of the list with a valid signature and any payload."""
    bound_to = [ACCOUNT_ID, OPEN_ID, POI_ID, 1, 100, 200]
    salt = b"douyin-redemption cursor " + json.dumps(bound_to, separators=(",", ":")).encode()
    signer = Signer([SESSION_KEY], salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    return signer.sign(base64.urlsafe_b64encode(payload).rstrip(b"=")).decode()


def test_the_form_of_a_cursor_is_fixed() -> None:
    """An instance of the next release continues a list that one of this release has begun."""
    assert decode_cursor(sign(b"[5,180,0,340]"), *LIST, KEYS) == POSITION


@pytest.mark.parametrize(
    "text",
    ["x", "AAAAAg.", ".AAAA", "WzUsMTgwLDFd.AAAA", "店", *map(sign, (b"", b'["5"]', b'{"page":5}', b"\xff"))],
)
def test_what_is_no_cursor_is_refused_even_if_it_is_signed(text: str) -> None:
    assert decode_cursor(text, *LIST, KEYS) is None


def changed(**changes: Any) -> tuple[ListQuery, str]:
    """Return the list with another query."""
    return msgspec.structs.replace(LIST_QUERY, **changes), OPEN_ID


@pytest.mark.parametrize(
    "foreign",
    [
        (LIST_QUERY, "another"),
        changed(account_id="7"),
        changed(poi_id="6602"),
        changed(biz_type=None),
        changed(start_time=101),
        changed(end_time=201),
        changed(account_id=POI_ID, poi_id=ACCOUNT_ID),
    ],
)
def test_a_cursor_of_another_list_is_refused(foreign: tuple[ListQuery, str]) -> None:
    assert decode_cursor(encode_cursor(POSITION, *LIST, KEYS), *foreign, KEYS) is None
    assert decode_cursor(encode_cursor(POSITION, *foreign, KEYS), *foreign, KEYS) == POSITION

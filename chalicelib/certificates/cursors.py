"""Opaque pagination cursors: the position in a list, signed and bound to this list.

A cursor is signed for one user, merchant, store and set of filters. It does not verify in another list.
"""

import msgspec

from chalicelib import signing
from chalicelib.douyin.endpoints import ListQuery

MAX_CURSOR_LENGTH = 1024


class ListPosition(msgspec.Struct, frozen=True, array_like=True):
    """The content of a cursor: the next page of a list, and what the pages before it held."""

    next_page: int = 1
    #: The number of certificates on the pages before `next_page`.
    received: int = 0
    #: Always 0: `total` is the fourth element. Version 0.14.0 reads and writes cursors in this form, too.
    legacy_zero: int = 0
    #: The largest total that the platform has reported, or None.
    total: int | None = None


def encode_cursor(position: ListPosition, query: ListQuery, open_id: str, keys: list[str]) -> str:
    """Return the cursor with which this user's list continues at `position`."""
    return signing.sign(position, _purpose(query, open_id), keys)


def decode_cursor(cursor: str, query: ListQuery, open_id: str, keys: list[str]) -> ListPosition | None:
    """Return the position in a cursor, or None when it was not signed by one of the keys, or for another list."""
    return signing.verify(cursor, _purpose(query, open_id), keys, ListPosition)


def _purpose(query: ListQuery, open_id: str) -> bytes:
    # This order is part of the cursors that clients hold.
    filters = query.poi_id, query.biz_type, query.start_time, query.end_time
    return b"douyin-redemption cursor " + msgspec.json.encode([query.account_id, open_id, *filters])

"""Opaque pagination cursors: the position in a list, signed and bound to this list.

A cursor is signed for one user, merchant, store and set of filters. It does not verify in another list.
"""

import msgspec

from chalicelib import signing
from chalicelib.douyin.endpoints import ListQuery

MAX_CURSOR_LENGTH = 1024


class ListPosition(msgspec.Struct, frozen=True):
    """A place in a list: its next page, the number of certificates before it, and the platform's total of the list."""

    next_page: int = 1
    #: The number of certificates on the pages before `next_page`.
    received: int = 0
    #: The largest total that the platform has reported, or None.
    total: int | None = None


def encode_cursor(position: ListPosition, list_query: ListQuery, open_id: str, keys: list[str]) -> str:
    """Return the cursor with which this user's list continues at `position`."""
    # The third element is unused. It stays, because release 0.14.0 reads and writes cursors of this form.
    content = [position.next_page, position.received, 0, position.total]
    return signing.sign(content, _purpose(list_query, open_id), keys)


def decode_cursor(cursor: str, list_query: ListQuery, open_id: str, keys: list[str]) -> ListPosition | None:
    """Return the position in a cursor, or None if none of the keys has signed it for this list."""
    content = signing.verify(cursor, _purpose(list_query, open_id), keys, tuple[int, int, int, int | None])
    return None if content is None else ListPosition(content[0], content[1], content[3])


def _purpose(list_query: ListQuery, open_id: str) -> bytes:
    # Keep this order: with another one, the cursors that clients hold would not verify.
    filters = list_query.poi_id, list_query.biz_type, list_query.start_time, list_query.end_time
    return b"douyin-redemption cursor " + msgspec.json.encode([list_query.account_id, open_id, *filters])

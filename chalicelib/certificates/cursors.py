"""Opaque pagination cursors, signed and bound to one list.

Each is signed for one user, merchant, store and set of filters: in another list, it does not verify.
"""

import msgspec

from chalicelib import signing
from chalicelib.douyin.endpoints import Selection

MAX_CURSOR_LENGTH = 1024


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position in a list: the next page, and what the pages before it held."""

    next_page: int = 1
    #: The number of certificates on the pages before `next_page`.
    received: int = 0
    #: Always 0. Released versions read and write it.
    unused: int = 0
    #: The largest total that the platform has reported, or None.
    total: int | None = None


def encode_cursor(cursor: Cursor, selection: Selection, open_id: str, keys: list[str]) -> str:
    """Return the signed text of a cursor that continues this user's list."""
    return signing.sign(cursor, _purpose(selection, open_id), keys)


def decode_cursor(text: str, selection: Selection, open_id: str, keys: list[str]) -> Cursor | None:
    """Return a cursor, or None when it was not signed by one of the keys, or for another list."""
    return signing.verify(text, _purpose(selection, open_id), keys, Cursor)


def _purpose(selection: Selection, open_id: str) -> bytes:
    # This order is part of the cursors that clients hold.
    filters = selection.poi_id, selection.biz_type, selection.start_time, selection.end_time
    return b"douyin-redemption cursor " + msgspec.json.encode([selection.account_id, open_id, *filters])

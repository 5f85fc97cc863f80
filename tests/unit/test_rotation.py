"""Lists while instances know different session keys: during a rotation of the keys, and after it."""

import itertools

import pytest

from chalicelib.api.login import authenticate
from chalicelib.certificates.paging import ListPosition, decode_cursor, encode_cursor
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.calls import ListQuery
from chalicelib.errors import UnauthenticatedError
from chalicelib.sessions import Session, encode_session, hash_open_id
from tests.unit.fakes import APP_ID, APP_SECRET, NOW, OPEN_ID, Clock, FakeSecret, make_context

LIST_QUERY = ListQuery("1", "2")
SESSION, POSITION = Session(APP_ID, OPEN_ID), ListPosition(5, 180)

ROTATIONS = [
    ("A", "BA"),
    ("BA", "CB"),  # the next one; sessions of A have expired
]
"""The keys before and after a rotation. A letter is a key; the first one signs."""


def list_outcome(session: str, cursor: str, verifier: str, secret: str) -> str:
    """Return whether an instance accepts a list request, or what it refuses.

    Session and cursor are of instances with these keys. The instance has read the secret with the keys `verifier`; now
    the secret has the keys `secret`.
    """
    stored, context = FakeSecret(session_keys=_keys(verifier)), make_context()
    credentials = CredentialsCache(stored.fetch, Clock())
    credentials.get(make_context())
    stored.put({APP_ID: APP_SECRET}, _keys(secret))
    token = encode_session(SESSION, int(NOW) + 60, _keys(session))
    text = encode_cursor(POSITION, LIST_QUERY, OPEN_ID, _keys(cursor))
    try:
        found = authenticate(token, credentials, NOW, context)
    except UnauthenticatedError as error:
        return str(error)
    hashed = hash_open_id(found.open_id, credentials.get(context).session_keys)
    assert (context.record.app_id, context.record.user) == (found.app_id, hashed)
    position, _ = credentials.find_or_reread(
        lambda known: decode_cursor(text, LIST_QUERY, found.open_id, known.session_keys), context
    )
    assert (found, position) in ((SESSION, POSITION), (SESSION, None))
    return "cursor" if position is None else "ok"


def _keys(letters: str) -> list[str]:
    return [letter * 32 for letter in letters]


@pytest.mark.parametrize(("before", "after"), ROTATIONS)
def test_a_rotation_ends_no_session_and_no_list_on_any_instances(before: str, after: str) -> None:
    for session, cursor, verifier in itertools.product((before, after), repeat=3):
        assert list_outcome(session, cursor, verifier, after) == "ok", (session, cursor, verifier)


@pytest.mark.parametrize(
    ("session", "cursor", "verifier", "outcome"),
    [
        ("A", "A", "A", "ok"),  # where the secret was not read again: for five minutes at most
        ("A", "A", "B", "session token has no valid signature"),
        ("B", "A", "A", "cursor"),
    ],
)
def test_a_removed_key_is_refused_where_its_removal_is_known(
    session: str, cursor: str, verifier: str, outcome: str
) -> None:
    assert list_outcome(session, cursor, verifier, "B") == outcome

"""Sessions while instances know different session keys: during a rotation of the keys, and after it.

`certificates/test_listing.py` has the cursor of an instance that knows a newer key.
"""

import itertools

import pytest

from chalicelib.api.login import authenticate
from chalicelib.credentials import CredentialsCache
from chalicelib.errors import UnauthenticatedError
from chalicelib.sessions import Session, encode_session, hash_open_id
from tests.unit.fakes import APP_ID, APP_SECRET, NOW, OPEN_ID, Clock, FakeSecret, make_context

SESSION = Session(APP_ID, OPEN_ID)

ROTATIONS = [
    ("A", "BA"),
    ("BA", "CB"),  # the next one; sessions of A have expired
]
"""The keys before and after a rotation. A letter is a key; the first one signs."""


def find_session(signer: str, verifier: str, secret: str) -> Session:
    """Return the session of a token; raises UnauthenticatedError.

    The token is of an instance with the keys `signer`. The instance that gets it has read the secret with the keys
    `verifier`; now the secret has the keys `secret`.
    """
    stored, context = FakeSecret(session_keys=_keys(verifier)), make_context()
    credentials = CredentialsCache(stored.fetch, Clock())
    credentials.get(make_context())
    stored.put({APP_ID: APP_SECRET}, _keys(secret))
    found = authenticate(encode_session(SESSION, int(NOW) + 60, _keys(signer)), credentials, NOW, context)
    hashed = hash_open_id(found.open_id, credentials.get(context).session_keys)
    assert (context.record.app_id, context.record.user) == (found.app_id, hashed)
    return found


def _keys(letters: str) -> list[str]:
    return [letter * 32 for letter in letters]


@pytest.mark.parametrize(("before", "after"), ROTATIONS)
def test_a_rotation_ends_no_session_on_any_instance(before: str, after: str) -> None:
    for signer, verifier in itertools.product((before, after), repeat=2):
        assert find_session(signer, verifier, after) == SESSION, (signer, verifier)


def test_a_session_of_a_removed_key_is_refused_where_its_removal_is_known() -> None:
    """Where the secret was not read again, for five minutes at most, it is accepted."""
    assert find_session("A", "A", "B") == SESSION
    with pytest.raises(UnauthenticatedError, match="session token has no valid signature"):
        find_session("A", "B", "B")

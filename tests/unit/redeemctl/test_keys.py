"""The steps of a session key rotation."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.credentials import Credentials, parse_credentials
from redeemctl import keys
from redeemctl.keys import ADD, RETIRE, USE, Rotation, fingerprint, read_rotation
from redeemctl.secret import SecretVersion
from tests.unit.fakes import NOW

TTL = 7200
CACHE_SECONDS = 300


def make_version(session_keys: list[str], record: Any = None) -> SecretVersion:
    content = {"apps": {}, "session_keys": session_keys, "rotation": record}
    return SecretVersion("v1", Credentials({}, session_keys), NOW, NOW, content)


def read_back(rotation: Rotation) -> Rotation:
    content = rotation.to_content()
    return read_rotation(make_version(content["session_keys"], content["rotation"]))


def test_a_rotation_survives_between_its_steps() -> None:
    rotation = read_rotation(make_version(["old"]))
    assert (rotation.next_step, rotation.due_at(TTL)) == (ADD, 0.0)

    rotation = read_back(rotation.add("new", NOW + 1))
    assert rotation == Rotation(("old", "new"), fingerprint("new"), NOW + 1)
    assert rotation.next_step == USE
    assert rotation.due_at(TTL) > NOW + 1 + CACHE_SECONDS, "every instance has read the new key"

    rotation = read_back(rotation.use(NOW + 1000))
    assert rotation == Rotation(("new", "old"), "", NOW + 1000)
    assert rotation.next_step == RETIRE
    assert rotation.due_at(TTL) > NOW + 1000 + CACHE_SECONDS + TTL, "the last session of the old key has expired"

    rotation = read_back(rotation.retire(NOW + 20_000))
    assert (rotation.keys, rotation.next_step) == (("new",), ADD)


def test_the_roles_of_the_keys_are_described() -> None:
    added = Rotation(("a",), "", NOW).add("b", NOW)
    assert [added.role(key) for key in added.keys] == ["signs and verifies", "verifies, does not sign yet"]
    used = added.use(NOW)
    assert [used.role(key) for key in used.keys] == ["signs and verifies", "verifies, to be retired"]


@pytest.mark.parametrize(
    "record",
    [
        None,
        "x",
        {},
        {"keys": [fingerprint("a")], "pending": "", "since": 1},
        {"keys": [fingerprint("b"), fingerprint("a")], "pending": "", "since": 1},
        {"keys": [fingerprint("a"), fingerprint("b")], "pending": fingerprint("a"), "since": 1},
        {"keys": [fingerprint("a"), fingerprint("b")], "pending": "other", "since": 1},
        {"keys": [fingerprint("a"), fingerprint("b")], "pending": "", "since": "1"},
    ],
)
def test_a_record_that_does_not_fit_the_keys_counts_as_a_change_at_the_latest_possible_time(record: Any) -> None:
    rotation = read_rotation(make_version(["a", "b"], record))
    assert (rotation.next_step, rotation.since) == (RETIRE, NOW)


def test_the_service_ignores_the_record_and_it_contains_no_key() -> None:
    key = keys.new_key()
    record = Rotation((key,), "", NOW).to_content()["rotation"]
    assert key not in str(record)
    assert parse_credentials('{"apps": {}, "session_keys": ["k"], "rotation": {"keys": []}}').session_keys == ["k"]


def test_a_version_does_not_show_its_content() -> None:
    assert "planted" not in repr(make_version(["planted"]))

"""Rotate session keys without invalidating a session: which step is due, and its result.

A rotation has three steps. 1. Add a key for verification only (second in the list), so that every instance learns it.
2. Sign new sessions with it (first in the list). 3. Remove the previous key after the last session that it signed has
expired. The secret itself shows which step is due: a tag holds the fingerprint of a key that does not sign yet, and the
secret's last change date shows how long the current step has lasted.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass

from chalicelib.credentials import MIN_REFRESH_SECONDS

PROPAGATION_SECONDS = math.ceil(MIN_REFRESH_SECONDS) + 5
"""After this time every instance accepts a new key: for an unknown key it reads the secret again, at most once per
MIN_REFRESH_SECONDS."""


@dataclass(frozen=True)
class RotationStep:
    """A step of a rotation.

    `keys` are the session keys after the step, `pending` is the fingerprint of the key that then does not sign yet.
    `wait_seconds` is the time until the step is due. `ends_sessions` is true if sessions of a removed key may end.
    """

    description: str
    keys: list[str]
    pending: str = ""
    wait_seconds: int = 0
    ends_sessions: bool = False


def next_step(keys: list[str], pending: str, age: float, session_ttl: int) -> RotationStep:
    """Return the next step; it starts a new rotation if none is in progress.

    `keys` are the current session keys, `pending` is the fingerprint of the key that does not sign yet, `age` is the
    number of seconds since the secret was changed.
    """
    pending_keys = [key for key in keys if fingerprint(key) == pending]
    if pending_keys:
        others = [key for key in keys if key not in pending_keys]
        description = f"sign new sessions with key {pending}; key {fingerprint(keys[0])} still verifies"
        return RotationStep(
            description, pending_keys + others, wait_seconds=max(0, math.ceil(PROPAGATION_SECONDS - age))
        )
    if len(keys) > 1:
        removed = ", ".join(fingerprint(key) for key in keys[1:])
        wait_seconds = max(0, math.ceil(session_ttl + PROPAGATION_SECONDS - age))
        return RotationStep(f"remove session keys {removed}", keys[:1], wait_seconds=wait_seconds, ends_sessions=True)
    return add_key(keys)


def add_key(keys: list[str]) -> RotationStep:
    """Return the step that adds a key, which verifies but does not sign unless it is the only one."""
    key = secrets.token_hex(32)
    name = fingerprint(key)
    return RotationStep(f"add session key {name} for verification", [*keys[:1], key, *keys[1:]], pending=name)


def fingerprint(key: str) -> str:
    """Return a short hash that identifies a key without revealing it."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]

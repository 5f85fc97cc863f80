"""Rotate session keys without ending a session: the state of a rotation, its next step, and when that is due.

A rotation has three steps. 1. `add` a key that only verifies (second in the list). 2. `use` it: it signs new sessions
(first in the list). 3. `retire` the previous key. Instances cache the secret. So a key signs only after every instance
knows it, and is removed only when the last session that an instance may have signed with it has expired.

The secret's member `rotation`, which the service ignores, records the last step: `keys` are fingerprints in the order
of the list, `pending` is the fingerprint of the key that does not sign yet, `since` is the time of the step. A record
that does not fit the keys (they were edited by hand) does not count. Then the keys are as old as the secret's version.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chalicelib.credentials import MAX_AGE_SECONDS

if TYPE_CHECKING:
    from redeemctl.secret import SecretVersion

MARGIN_SECONDS = 60
"""For clock differences and requests in progress."""

PROPAGATION_SECONDS = math.ceil(MAX_AGE_SECONDS) + MARGIN_SECONDS
"""After this time every instance uses the changed list of keys."""

ADD, USE, RETIRE = "add", "use", "retire"


@dataclass(frozen=True)
class Rotation:
    """The session keys (the first one signs), the fingerprint of one that does not sign yet, and the last step's time.

    `since` is in epoch seconds of AWS's clock.
    """

    keys: tuple[str, ...]
    pending: str
    since: float

    @property
    def next_step(self) -> str:
        """The step that continues the rotation, or starts a new one."""
        if self.pending:
            return USE
        return RETIRE if len(self.keys) > 1 else ADD

    def due_at(self, session_ttl: int) -> float:
        """Return when the next step is due, in epoch seconds; 0 if at any time."""
        waits = {ADD: None, USE: PROPAGATION_SECONDS, RETIRE: session_ttl + PROPAGATION_SECONDS}
        wait = waits[self.next_step]
        return 0.0 if wait is None else self.since + wait

    def role(self, key: str) -> str:
        """Describe what a key does."""
        if key == self.keys[0]:
            return "signs and verifies"
        return "verifies, does not sign yet" if fingerprint(key) == self.pending else "verifies, to be retired"

    def add(self, key: str, now: float) -> Rotation:
        """Add a key for verification."""
        return Rotation((*self.keys[:1], key, *self.keys[1:]), fingerprint(key), now)

    def use(self, now: float) -> Rotation:
        """Sign with the pending key."""
        pending = [key for key in self.keys if fingerprint(key) == self.pending]
        return Rotation((*pending, *(key for key in self.keys if key not in pending)), "", now)

    def retire(self, now: float) -> Rotation:
        """Remove all keys but the one that signs."""
        return Rotation(self.keys[:1], "", now)

    def to_content(self) -> dict[str, Any]:
        """Return the members of the secret that hold keys and state."""
        record = {"keys": fingerprints(self.keys), "pending": self.pending, "since": int(self.since)}
        return {"session_keys": list(self.keys), "rotation": record}


def read_rotation(version: SecretVersion) -> Rotation:
    """Return the state of the rotation in a version of the secret."""
    keys = tuple(version.session_keys)
    record = version.content.get("rotation")
    if isinstance(record, dict) and record.get("keys") == fingerprints(keys):
        pending, since = record.get("pending"), record.get("since")
        if isinstance(since, int) and (pending == "" or pending in fingerprints(keys[1:])):
            return Rotation(keys, pending, float(since))
    return Rotation(keys, "", version.created_at)


def new_key() -> str:
    """Return a random key."""
    return secrets.token_hex(32)


def fingerprint(key: str) -> str:
    """Return a short hash that identifies a key without revealing it."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def fingerprints(keys: tuple[str, ...]) -> list[str]:
    """Return the fingerprints of keys."""
    return [fingerprint(key) for key in keys]


def masked(secret: str | None) -> str:
    """Return the fingerprint of a secret for display, or "" if there is none."""
    return "" if not secret else f"…{fingerprint(secret)}"

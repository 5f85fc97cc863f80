"""Rotating session keys without refusing a single session: the steps, and which is due.

A key is read before it signs: it stands second until every instance knows it, then first; the one before it goes when
the last session that it signed has ended. Which step is due is read off the secret: a key that waits is named by its
fingerprint in a tag, and the secret's own date says since when.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass

from chalicelib.credentials import NEWS_SECONDS

SETTLE_SECONDS = math.ceil(NEWS_SECONDS) + 5
"""After this every instance knows a key: it reads the secret again for one it does not know, unless it just has."""


@dataclass(frozen=True)
class Step:
    """What to do now: the keys afterwards, the key that then waits, and what to tell; `wait` seconds first."""

    told: str
    keys: list[str]
    pending: str = ""
    wait: int = 0
    destroys: bool = False


def next_step(keys: list[str], pending: str, age: float, session_ttl: int) -> Step:
    """The step that is due; a rotation begins where none is under way.

    `keys` as they stand, `pending` the fingerprint of the one that waits, `age` seconds since the secret was changed.
    """
    waiting = [key for key in keys if fingerprint(key) == pending]
    if waiting:
        others = [key for key in keys if key not in waiting]
        told = f"key {pending} signs from now on; {fingerprint(keys[0])} is still read"
        return Step(told, waiting + others, wait=max(0, math.ceil(SETTLE_SECONDS - age)))
    if len(keys) > 1:
        gone = ", ".join(fingerprint(key) for key in keys[1:])
        wait = max(0, math.ceil(session_ttl + SETTLE_SECONDS - age))
        return Step(f"no longer read: {gone}", keys[:1], wait=wait, destroys=True)
    return first_step(keys)


def first_step(keys: list[str]) -> Step:
    """Add a key that is read and does not sign yet."""
    key = secrets.token_hex(32)
    return Step(f"key {fingerprint(key)} is read from now on", [*keys[:1], key, *keys[1:]], fingerprint(key))


def fingerprint(key: str) -> str:
    """What a key is called where it may be seen."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]

"""A bounded in-memory cache whose entries expire (TTL) and whose least recently used entry is evicted (LRU)."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


def is_within(seconds: float, since: float, now: float) -> bool:
    """Return whether less than `seconds` have passed since a time.

    False for a time in the future: the clock was set back, so the time that has passed is unknown.
    """
    return 0 <= now - since < seconds


class TtlCache(Generic[V]):
    """Holds at most `max_entries` values, each for its own lifetime. Several threads may use it.

    Expiry uses wall-clock time (epoch seconds) by default: entries must also expire while Lambda has frozen the
    instance.
    """

    def __init__(self, max_entries: int, clock: Callable[[], float] = time.time) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        """Return the value of `key`, or None when there is none or it has expired."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            lifetime, stored_at, value = entry
            if not is_within(lifetime, stored_at, self._clock()):
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: str, value: V, lifetime: float, since: float | None = None) -> None:
        """Store a value for `lifetime` seconds from now, or from the time `since` (on this cache's clock)."""
        with self._lock:
            self._entries[key] = (lifetime, self._clock() if since is None else since, value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

"""What requests read from AWS, cached by each instance under one rule: merchants, tokens and the secret."""

import math
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from chalicelib.context import RequestContext
from chalicelib.errors import DeadlineExceededError, ServiceError, StorageUnavailableError

V = TypeVar("V")

OUTAGE_SECONDS = 3600.0
"""How long a value is used during an outage, from the first failed refresh."""

READ_PAUSE_SECONDS = 10.0
"""The time between two reads while reading fails: not every request waits for a service that is unavailable."""


def is_fresh(max_age: float, since: float, now: float) -> bool:
    """Return whether less than `max_age` seconds have passed from `since` to `now`. False if `since` is in the future.

    Wall-clock time goes on while Lambda has frozen the instance. If the clock was set back, the age is unknown.
    """
    return 0 <= now - since < max_age


class _Entry(NamedTuple, Generic[V]):
    value: V
    #: When the read of the value began. A change in the storage after that is not in it.
    read_at: float
    #: When the first read failed after that, and the last one.
    failing_since: float = math.inf
    failed_at: float = -math.inf


class Cache(Generic[V]):
    """Values by key. `read` returns the present value, and raises ServiceError if there is none to be used.

    A value is used until it is `max_age` seconds old. If reading fails then with one of the errors `outages`, the
    former value is used for OUTAGE_SECONDS more, and the record has a warning. A DeadlineExceededError leaves the value
    in the cache; any other ServiceError removes it. Entries need no limit: a failed read adds none, and only operators
    add merchants and apps.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[str, RequestContext], V],
        max_age: float,
        clock: Callable[[], float] = time.time,
        outages: tuple[type[ServiceError], ...] = (StorageUnavailableError,),
    ) -> None:
        self._name = name
        self._read = read
        self._max_age = max_age
        self._clock = clock
        self._outages = outages
        self._entries: dict[str, _Entry[V]] = {}

    def get(self, key: str, context: RequestContext, max_age: float | None = None) -> V:
        """Return a value that is younger than `max_age`, or a former one during an outage.

        Raises what `read` raises if there is none.
        """
        now = self._clock()
        entry = self._entries.get(key)
        if entry is not None and is_fresh(self._max_age if max_age is None else max_age, entry.read_at, now):
            return entry.value
        former = entry if entry is not None and now < entry.failing_since + OUTAGE_SECONDS else None
        if former is not None and is_fresh(READ_PAUSE_SECONDS, former.failed_at, now):
            context.record.warnings.append(f"the cached {self._name} is used")
            return former.value
        try:
            value = self._read(key, context)
        except self._outages as error:
            if former is None:
                raise
            self._entries[key] = former._replace(failing_since=min(former.failing_since, now), failed_at=now)
            context.record.warnings.append(f"the cached {self._name} is used: {error}")
            return former.value
        except ServiceError as error:
            if not isinstance(error, DeadlineExceededError):
                self._entries.pop(key, None)
            raise
        self.put(key, value, now)
        return value

    def put(self, key: str, value: V, read_at: float) -> None:
        """Store a value that is known otherwise, or was read at this time."""
        self._entries[key] = _Entry(value, read_at)

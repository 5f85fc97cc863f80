"""The cache of each instance. One rule applies to all that requests read from AWS: merchants, tokens, the secret."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from chalicelib.context import RequestContext
from chalicelib.errors import DeadlineExceededError, ServiceError, StorageUnavailableError

V = TypeVar("V")

OUTAGE_SECONDS = 3600.0
"""How long a value is used during an outage, from the first failed read."""

READ_PAUSE_SECONDS = 10.0
"""The time between two reads during an outage. Without it, every request would wait for the unavailable service."""


def is_within(seconds: float, since: float, now: float) -> bool:
    """Return whether less than `seconds` have passed from `since` to `now` (epoch seconds).

    Callers use the wall clock, because it goes on while Lambda has frozen the instance. If the clock was set back,
    `since` may be in the future. Then the age is unknown, and the result is False.
    """
    return 0 <= now - since < seconds


class _Entry(NamedTuple, Generic[V]):
    value: V
    #: When the read of the value began. The value may lack any later change in the storage.
    read_at: float
    #: When the first read after that failed; inf: none has failed.
    failing_since: float = math.inf
    #: When the last one failed.
    failed_at: float = -math.inf


@dataclass(eq=False, repr=False)
class Cache(Generic[V]):
    """A cache of values by key. `read` reads a value from the storage, or raises a ServiceError.

    A value is used until it is `max_age` seconds old. Then it is read again. If that fails, the error decides:

    - one of `outages`: the former value is used, for OUTAGE_SECONDS from the first failure, and the record gets a
      warning. After that, the error is raised;
    - DeadlineExceededError: it is raised, and the former value stays in the cache;
    - any other ServiceError: it is raised, and the former value is removed.

    The number of entries has no limit, because a failed read adds none, and only operators add merchants and apps.
    """

    name: str
    read: Callable[[str, RequestContext], V]
    max_age: float
    clock: Callable[[], float] = time.time
    outages: tuple[type[ServiceError], ...] = (StorageUnavailableError,)

    def __post_init__(self) -> None:
        self._entries: dict[str, _Entry[V]] = {}

    def get(self, key: str, context: RequestContext, max_age: float | None = None) -> V:
        """Return a value that is younger than `max_age` seconds, or the former one during an outage.

        Raises what `read` raises, if there is no such value.
        """
        now = self.clock()
        entry = self._entries.get(key)
        if entry is not None and is_within(self.max_age if max_age is None else max_age, entry.read_at, now):
            return entry.value
        former = entry if entry is not None and now < entry.failing_since + OUTAGE_SECONDS else None
        if former is not None and is_within(READ_PAUSE_SECONDS, former.failed_at, now):
            context.record.warnings.append(f"the cached {self.name} is used")
            return former.value
        try:
            value = self.read(key, context)
        except self.outages as error:
            if former is None:
                raise
            self._entries[key] = former._replace(failing_since=min(former.failing_since, now), failed_at=now)
            context.record.warnings.append(f"the cached {self.name} is used: {error}")
            return former.value
        except ServiceError as error:
            if not isinstance(error, DeadlineExceededError):
                self._entries.pop(key, None)
            raise
        self.put(key, value, now)
        return value

    def put(self, key: str, value: V, read_at: float) -> None:
        """Store a value that the caller has read or written. `read_at` is when this began, in epoch seconds."""
        self._entries[key] = _Entry(value, read_at)

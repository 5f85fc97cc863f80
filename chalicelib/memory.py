"""What a warm instance remembers between requests: a bounded map whose entries end by themselves."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")


class Memory(Generic[V]):
    """Keeps at most `size` values, each until its own moment; the one used longest ago makes room.

    Moments are on the clock given, epoch seconds by default, so that an instance that was frozen forgets in time.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.time) -> None:
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, key: str) -> V | None:
        """The value kept under `key`, None when there is none or its moment has passed."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def keep(self, key: str, value: V, until: float) -> None:
        """Keep `value` until that moment."""
        self._entries[key] = (until, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

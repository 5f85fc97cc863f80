"""Compare-and-set: a change is written only if the data is still what the operator was shown.

A plan reads the present state, and returns the changes and a function that writes them if that state is unchanged. If
somebody else has changed it, the plan is made again. The new plan is written without a question if the operator has
confirmed all of its changes; otherwise the conflict is explained.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from redeemctl.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redeemctl.rows import Change

MAX_TRIES = 10
MAX_DELAY_SECONDS = 0.2


class WriteConflictError(Exception):
    """The data has changed since it was read; nothing was written."""


class Outcome(Enum):
    """What became of a change."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    NOT_WRITTEN = "not written"


@dataclass(frozen=True)
class Plan:
    """Changes to show. `write` raises WriteConflictError. `warning` says what is lost and must be confirmed."""

    changes: list[Change]
    write: Callable[[], None]
    warning: str = ""


def compare_and_set(
    make_plan: Callable[[], Plan],
    confirm: Callable[[Plan], bool] = lambda _: True,
    *,
    confirmed: list[Change] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Plan, confirm and write; plan again after a conflict. Raises ConflictError if the conflict needs the operator.

    `confirmed` are changes that were confirmed before; then `confirm` is not called.
    """
    plan = make_plan()
    if confirmed is None:
        if not confirm(plan):
            return Outcome.NOT_WRITTEN if plan.changes else Outcome.UNCHANGED
        confirmed = plan.changes
    for _ in range(MAX_TRIES):
        if not plan.changes:
            # Somebody else has made the same change, or ours succeeded and its response was lost.
            return Outcome.UNCHANGED
        others = [change for change in plan.changes if change not in confirmed]
        if others:
            raise ConflictError(
                f"somebody else has changed {', '.join(change.field for change in others)} in the meantime; "
                "nothing was overwritten. Look at the present values and run the command again"
            )
        try:
            plan.write()
        except WriteConflictError:
            sleep(random.uniform(0, MAX_DELAY_SECONDS))  # noqa: S311 - a random delay, no secret
            plan = make_plan()
        else:
            return Outcome.WRITTEN
    raise ConflictError("the data is changed again and again by somebody else; nothing was written. Try again later")

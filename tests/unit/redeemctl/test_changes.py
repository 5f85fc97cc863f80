"""Compare-and-set: what happens when somebody else was faster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from redeemctl.changes import MAX_TRIES, Outcome, Plan, WriteConflictError, compare_and_set
from redeemctl.errors import ConflictError
from redeemctl.rows import Change

if TYPE_CHECKING:
    from collections.abc import Callable


class Data:
    """A dictionary with a version. `others` are writes by somebody else, each before one of our writes."""

    def __init__(self, *others: Callable[[dict[str, str]], None]) -> None:
        self.values: dict[str, str] = {"a": "1"}
        self._others = list(others)
        self._version = 0

    def plan(self, **wanted: str) -> Plan:
        seen = self._version
        changes = [Change(n, self.values.get(n, ""), v) for n, v in wanted.items() if self.values.get(n) != v]

        def write() -> None:
            if self._others:
                self._others.pop(0)(self.values)
                self._version += 1
            if self._version != seen:
                raise WriteConflictError
            self.values |= wanted

        return Plan(changes, write)

    def set(self, **wanted: str) -> Outcome:
        return compare_and_set(lambda: self.plan(**wanted), lambda plan: bool(plan.changes), sleep=lambda _: None)


def test_a_change_is_written() -> None:
    data = Data()
    assert data.set(a="2") is Outcome.WRITTEN
    assert data.values == {"a": "2"}
    assert data.set(a="2") is Outcome.UNCHANGED


def test_a_change_that_is_not_confirmed_is_not_written() -> None:
    data = Data()
    assert compare_and_set(lambda: data.plan(a="2"), lambda _: False) is Outcome.NOT_WRITTEN
    assert data.values == {"a": "1"}


def test_a_change_of_other_data_by_somebody_else_is_kept() -> None:
    data = Data(lambda values: values.update(b="3"))
    assert data.set(a="2") is Outcome.WRITTEN
    assert data.values == {"a": "2", "b": "3"}


def test_the_same_change_by_somebody_else_is_no_conflict() -> None:
    assert Data(lambda values: values.update(a="2")).set(a="2") is Outcome.UNCHANGED


def test_another_change_of_the_same_data_is_explained_and_kept() -> None:
    data = Data(lambda values: values.update(a="9"))
    with pytest.raises(ConflictError, match="changed a ") as conflict:
        data.set(a="2")
    assert conflict.value.exit_code == 4
    assert data.values == {"a": "9"}


def test_endless_conflicts_end_with_an_error() -> None:
    data = Data(*[lambda values: values.update(b="x")] * (MAX_TRIES + 5))
    with pytest.raises(ConflictError, match="again and again"):
        data.set(a="2")

"""The short form of `python -m tests.fuzz`."""

import random
from collections.abc import Callable

import pytest

from tests import fuzz

# Hundreds of replies: other tests measure the coverage.
pytestmark = pytest.mark.no_cover


@pytest.mark.parametrize(
    ("run_round", "count"), [(fuzz.run_round, 400), (fuzz.run_equivalent_round, 300), (fuzz.run_list_round, 60)]
)
def test_no_round_finds_anything(run_round: Callable[[random.Random], str | None], count: int) -> None:
    chance = random.Random(7)  # noqa: S311 - reproducible
    assert [problem for _ in range(count) if (problem := run_round(chance))] == []

"""The short form of `python -m tests.fuzz`."""

import random

import pytest

from tests import fuzz

# Hundreds of replies: other tests measure the coverage.
pytestmark = pytest.mark.no_cover


def test_no_mutated_reply_raises_loses_a_usable_certificate_or_shows_another() -> None:
    assert fuzz.run(400, seed=7) == []


def test_equivalent_replies_give_the_same_list_and_uncertain_ones_an_error() -> None:
    chance = random.Random(7)  # noqa: S311 - reproducible
    assert [problem for _ in range(300) if (problem := fuzz.run_equivalent_round(chance))] == []


def test_every_certificate_is_found_however_the_platform_pages() -> None:
    chance = random.Random(7)  # noqa: S311 - reproducible
    assert [problem for _ in range(60) if (problem := fuzz.run_list_round(chance))] == []

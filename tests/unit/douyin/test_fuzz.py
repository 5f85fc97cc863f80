"""The short form of `python -m tests.fuzz`."""

from __future__ import annotations

import pytest

from tests import fuzz

# Thousands of replies: other tests measure the coverage.
pytestmark = pytest.mark.no_cover


def test_no_mutated_reply_raises_loses_a_usable_certificate_or_shows_another() -> None:
    assert fuzz.run(1_000, seed=7) == []

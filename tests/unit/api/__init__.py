"""Tests of `chalicelib.api`."""

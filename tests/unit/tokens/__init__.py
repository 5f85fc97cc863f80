"""Tests of `chalicelib.tokens`."""

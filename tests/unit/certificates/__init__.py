"""Tests of `chalicelib.certificates`."""

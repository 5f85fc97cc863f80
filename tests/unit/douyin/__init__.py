"""Tests of `chalicelib.douyin`."""

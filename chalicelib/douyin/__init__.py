"""Douyin's open platform: requests, replies, error codes, and the HTTP transport."""

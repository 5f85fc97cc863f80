"""Douyin's open platform: requests, responses, error codes, and the HTTP transport."""

"""Measure the service against a naive implementation: `make bench`."""

"""Measure the service against two reference implementations: `make bench`."""

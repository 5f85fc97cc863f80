"""Measure the service against two reference implementations (`make bench`), under load, overload and faults."""

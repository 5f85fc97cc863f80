"""Unit tests of `infra`."""

"""Tests: `unit` (pure functions), `service` (front door over sockets), `deployed` (bundle, emulated AWS, browser)."""

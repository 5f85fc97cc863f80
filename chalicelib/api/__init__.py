"""The HTTP layer: Chalice application, input validation, and problem responses."""

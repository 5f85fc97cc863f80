"""The HTTP edge: Chalice application, input validation, and problem responses."""

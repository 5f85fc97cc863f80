"""The HTTP layer: the Chalice application, input validation, login, problem responses, and telemetry."""

"""The certificates a customer can redeem in one store: everything but the HTTP routes, which stand in `app.py`."""

__version__ = "0.1.0"

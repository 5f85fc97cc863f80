"""Lists the certificates that a customer can redeem in one store. Routes and schedule are in `app.py`."""

__version__ = "0.15.0"

"""Lists a customer's certificates that the platform reports as usable in a store. `app.py` has routes and schedule."""

__version__ = "0.15.0"

"""`python -m redeemctl`."""

from redeemctl.cli import redeemctl

redeemctl()

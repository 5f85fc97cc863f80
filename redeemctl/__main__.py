"""Run the command line with `python -m redeemctl`."""

from redeemctl.cli import redeemctl

redeemctl()

"""The program `redeemctl`: its groups of commands, and `doctor`.

A command shows its changes before it makes them. It asks before an import, before it replaces a file, a secret or a
token, and before it takes something away from customers. Except for `token renew` and `session-key rotate`, running a
command twice has the same effect as running it once.
`redeemctl --help` lists the exit codes.
"""

import click

from chalicelib import __version__
from redeemctl.acceptance import acceptance
from redeemctl.apps import app
from redeemctl.command_line import add_global_options
from redeemctl.doctor import doctor
from redeemctl.merchant_csv import export_merchants, import_merchants
from redeemctl.merchants import merchant
from redeemctl.secret import session_key
from redeemctl.stores import store
from redeemctl.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="redeemctl")
def redeemctl() -> None:
    """Operate a stage of the redemption service.

    AWS credentials and region are read from the environment, as by any AWS tool. Each command says on stderr on which
    stage, account and region it acts. The global options (--stage, --yes, --dry-run, --json) may stand before or
    after the subcommand.

    Exit codes: 0 done or nothing to change, 1 failed or a problem found, 2 invalid option, argument or file, 4 somebody
    else changed the same data, 5 not confirmed, 6 `doctor` could not check everything.
    """


for command in (import_merchants, export_merchants):
    merchant.add_command(command)
for group in (app, merchant, store, token, session_key):
    redeemctl.add_command(group)
for command in (acceptance, doctor):
    redeemctl.add_command(command)
add_global_options(redeemctl)

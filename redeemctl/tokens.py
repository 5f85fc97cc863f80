"""`redeemctl token`: access tokens, one per app."""

import time
from typing import Any

import click

from chalicelib.tokens.rows import RowChangedError
from redeemctl.command_line import ID, CommandLine, pass_command_line
from redeemctl.errors import CommandError, ConflictError
from redeemctl.merchant_rows import Change
from redeemctl.secret import fingerprint, read_secret_version
from redeemctl.stage import Stage


@click.group()
def token() -> None:
    """Show and renew access tokens."""


@token.command("show")
@pass_command_line
def show_tokens(cli: CommandLine) -> None:
    """Show the token of each app: fingerprint, expiry, which system makes it, and what came of the last mint."""
    with cli.open_stage(read_only=True) as stage:
        seen = read_secret_version(stage)
        tokens = [_describe(stage, app_id, seen.mints_tokens_of(app_id)) for app_id in seen.apps]
    cli.show(("app_id", "fingerprint", "expires_at", "expires_in", "renewed_by", "renewal"), tokens)


@token.command("renew")
@click.argument("app_id", type=ID)
@pass_command_line
def renew_token(cli: CommandLine, app_id: str) -> None:
    """Renew an app's token now. The current one stays valid for a few minutes, until all instances use the new one."""
    with cli.open_stage() as stage:
        seen = read_secret_version(stage)
        # An unknown app raises CommandError before anything is shown.
        seen.get_app_secret(app_id)
        if not seen.mints_tokens_of(app_id):
            raise CommandError(f"another system mints the tokens of {app_id}: redeemctl token show")
        tokens = stage.components.tokens
        row = tokens.read_row(app_id, stage.new_context())
        changes = [Change(f"token of {app_id}", fingerprint(row.access_token), "a new token")]
        warning = "The platform invalidates the current token after a few minutes." if row.access_token else ""

        def renew() -> None:
            try:
                tokens.renew(app_id, row, stage.new_context())
            except RowChangedError:
                raise ConflictError(f"another instance renews the token of {app_id}: redeemctl token show") from None

        cli.change(changes, renew, f"token of {app_id}: renewed", warning=warning)


def _describe(stage: Stage, app_id: str, is_minted_here: bool) -> dict[str, Any]:
    now = time.time()
    row = stage.components.tokens.read_row(app_id, stage.new_context())
    state: dict[str, Any] = {"app_id": app_id, "renewed_by": "this service" if is_minted_here else "another system"}
    if row.access_token:
        state["fingerprint"] = fingerprint(row.access_token)
        state |= {"expires_at": row.expires_at, "expires_in": row.expires_at - int(now)}
    if row.mint_may_be_running(now):
        state["renewal"] = "in progress"
    elif row.mint_failure:
        state["renewal"] = f"failed: {row.mint_failure}"
    return state

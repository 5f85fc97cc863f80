"""`redeemctl token`: access tokens, one per app."""

import time
from typing import Any

import click

from redeemctl.errors import CommandError
from redeemctl.options import ID, GlobalOptions, pass_options
from redeemctl.rows import Change
from redeemctl.secret import fingerprint, get_app_secret, read_secret_version
from redeemctl.stage import Stage


@click.group()
def token() -> None:
    """Show and renew access tokens."""


@token.command("show")
@pass_options
def show_tokens(options: GlobalOptions) -> None:
    """Show all tokens: fingerprint, expiry, who renews it, and the state of the renewal."""
    with options.open_stage(reads=True) as stage:
        apps = read_secret_version(stage).apps
        others = {item["token_id"]["S"] for item in stage.merchants.list_all() if item.get("token_id", {}).get("S")}
        ids = [*apps, *sorted(others - apps.keys())]
        tokens = [_describe(stage, token_id, bool(apps.get(token_id))) for token_id in ids]
    options.show(("token_id", "fingerprint", "expires_at", "expires_in", "renewed_by", "renewal"), tokens)


@token.command("renew")
@click.argument("app_id", type=ID)
@pass_options
def renew_token(options: GlobalOptions, app_id: str) -> None:
    """Renew an app's token now. The current one stays valid for a few minutes, until all instances use the new one."""
    with options.open_stage() as stage:
        # Fails for an unknown app, before anything is shown.
        if not get_app_secret(stage, app_id):
            raise CommandError(f"the system of the service provider renews this token: it writes TOKEN#{app_id}")
        row = stage.components.tokens.read_row(app_id, stage.new_context())
        changes = [Change(f"token of {app_id}", fingerprint(row.access_token), "a new token")]
        warning = "The platform invalidates the current token after a few minutes." if row.access_token else ""

        def renew() -> None:
            # The lease of the service makes this safe: if another instance has renewed meanwhile, its token is used.
            stage.components.tokens.renew_row(app_id, row.access_token, stage.new_context())

        options.change(changes, renew, f"token of {app_id}: renewed", warning=warning)


def _describe(stage: Stage, token_id: str, is_own: bool) -> dict[str, Any]:
    now = time.time()
    row = stage.components.tokens.read_row(token_id, stage.new_context())
    state: dict[str, Any] = {"token_id": token_id, "renewed_by": "this service" if is_own else "another system"}
    if row.access_token:
        state["fingerprint"] = fingerprint(row.access_token)
        state |= {"expires_at": row.expires_at, "expires_in": row.expires_at - int(now)}
    if row.failed_until > now:
        state["renewal"] = f"failed: {row.failure}"
    elif row.is_leased(now):
        state["renewal"] = "in progress"
    return state

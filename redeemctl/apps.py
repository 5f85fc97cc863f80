"""`redeemctl app`: mini-programs and their app secrets."""

import re
from collections import Counter

import click

from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.options import ID, GlobalOptions, pass_options, read_hidden
from redeemctl.rows import Change, account_id_of
from redeemctl.secret import fingerprint, new_key, read_secret, replace_secret

_APP_SECRET = re.compile(r"[!-~]{1,256}")


@click.group()
def app() -> None:
    """Manage mini-programs and their app secrets."""


@app.command("add")
@click.argument("app_id", type=ID)
@pass_options
def add_app(options: GlobalOptions, app_id: str) -> None:
    """Add an app, or replace its secret.

    The secret is read from the variable REDEEMCTL_APP_SECRET, or from stdin, or from a prompt without echo. The first
    app of a stage also creates the first session key.
    """
    with options.open_stage() as stage:
        secret = read_app_secret(app_id)
        seen = read_secret(stage)
        current = seen.apps.get(app_id)
        keys = seen.session_keys or [new_key()]
        changes = (
            [Change(f"secret of {app_id}", fingerprint(current), fingerprint(secret))] if current != secret else []
        )
        if not seen.session_keys:
            changes.append(Change("session key", "", fingerprint(keys[0])))
        options.change(
            changes,
            lambda: replace_secret(stage, seen, {"apps": {**seen.apps, app_id: secret}, "session_keys": keys}),
            f"app {app_id}: saved; instances use it within five minutes",
            warning=f"This replaces the secret of {app_id}." if current not in (None, secret) else "",
            app_id=app_id,
        )


@app.command("list")
@pass_options
def list_apps(options: GlobalOptions) -> None:
    """List the apps, the fingerprints of their secrets, and how many merchants each has."""
    with options.open_stage() as stage:
        apps = read_secret(stage).apps
        counts = Counter(item.get("app_id", {}).get("S") for item in stage.merchants.list_all())
    rows = [
        {"app_id": app_id, "secret_fingerprint": fingerprint(secret), "merchants": counts[app_id]}
        for app_id, secret in apps.items()
    ]
    options.show(("app_id", "secret_fingerprint", "merchants"), rows)


@app.command("remove")
@click.argument("app_id", type=ID)
@pass_options
def remove_app(options: GlobalOptions, app_id: str) -> None:
    """Remove an app that has no merchants. Its access token stays in the table until it expires."""
    with options.open_stage() as stage:
        users = [
            account_id_of(item)
            for item in stage.merchants.list_all()
            if app_id in (item.get("app_id", {}).get("S"), item.get("token_id", {}).get("S"))
        ]
        if users:
            used = f"app {app_id} is used by {len(users)} merchants, for example {users[0]}"
            raise CommandError(f"{used}; remove them or give them another app first")
        seen = read_secret(stage)
        apps = {name: secret for name, secret in seen.apps.items() if name != app_id}
        options.change(
            [Change(f"secret of {app_id}", fingerprint(seen.apps[app_id]), "")] if app_id in seen.apps else [],
            lambda: replace_secret(stage, seen, {"apps": apps}),
            f"app {app_id}: removed",
            warning=f"Customers of app {app_id} can no longer log in.",
            app_id=app_id,
        )


def read_app_secret(app_id: str) -> str:
    """Read an app secret from the variable, stdin or a prompt; raises InvalidInputError that does not contain it."""
    text, source = read_hidden("REDEEMCTL_APP_SECRET", f"app secret of {app_id}")
    if not _APP_SECRET.fullmatch(text):
        rule = "must be 1 to 256 visible ASCII characters, without blanks"
        raise InvalidInputError(f"app secret (from {source}): {rule}")
    return text

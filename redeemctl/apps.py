"""`redeemctl app`: mini-programs and their app secrets."""

import re
from collections import Counter

import click

from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.options import ID, GlobalOptions, pass_options, read_hidden
from redeemctl.rows import Change, account_id_of
from redeemctl.secret import fingerprint, new_key, read_secret_version, replace_secret

_APP_SECRET = re.compile(r"[!-~]{1,256}")


@click.group()
def app() -> None:
    """Manage mini-programs and their app secrets."""


@app.command("add")
@click.argument("app_ids", type=ID, nargs=-1, required=True, metavar="APP_ID...")
@click.option("--provider", is_flag=True, help="Apps of a service provider (服务商). They have no secret.")
@pass_options
def add_app(options: GlobalOptions, app_ids: tuple[str, ...], *, provider: bool) -> None:
    """Add an app, or replace its secret. With --provider, add one or more apps.

    The secret is read from the variable REDEEMCTL_APP_SECRET, or from stdin, or from a prompt without echo. The first
    app of a stage also creates the first session key.
    """
    if len(app_ids) > 1 and not provider:
        raise InvalidInputError("APP_ID: more than one only with --provider")
    names = " ".join(dict.fromkeys(app_ids))
    with options.open_stage() as stage:
        added = dict.fromkeys(app_ids, "" if provider else read_app_secret(names))
        seen = read_secret_version(stage)
        keys = seen.session_keys or [new_key()]
        changed = {app_id: seen.apps.get(app_id) for app_id in added if seen.apps.get(app_id) != added[app_id]}
        changes = [Change(f"secret of {a}", _describe(current), _describe(added[a])) for a, current in changed.items()]
        replaced = " ".join(app_id for app_id, current in changed.items() if current is not None)
        if not seen.session_keys:
            changes.append(Change("session key", "", fingerprint(keys[0])))
        options.change(
            changes,
            lambda: replace_secret(stage, seen, {"apps": {**seen.apps, **added}, "session_keys": keys}),
            f"app {names}: saved; instances use it within five minutes",
            warning=f"This replaces the secret of {replaced}." if replaced else "",
        )


@app.command("list")
@pass_options
def list_apps(options: GlobalOptions) -> None:
    """List the apps: whose they are, the fingerprints of their secrets, and how many merchants each has."""
    with options.open_stage(reads=True) as stage:
        apps = read_secret_version(stage).apps
        counts = Counter(item.get("app_id", {}).get("S") for item in stage.merchants.list_all())
    rows = [
        {
            "app_id": app_id,
            "kind": "own" if secret else "provider",
            "secret_fingerprint": fingerprint(secret),
            "merchants": counts[app_id],
        }
        for app_id, secret in apps.items()
    ]
    options.show(("app_id", "kind", "secret_fingerprint", "merchants"), rows)


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
        seen = read_secret_version(stage)
        apps = {name: secret for name, secret in seen.apps.items() if name != app_id}
        options.change(
            [Change(f"secret of {app_id}", _describe(seen.apps[app_id]), "")] if app_id in seen.apps else [],
            lambda: replace_secret(stage, seen, {"apps": apps}),
            f"app {app_id}: removed",
            warning=f"Customers of app {app_id} can no longer log in.",
        )


def read_app_secret(app_id: str) -> str:
    """Read an app secret from the variable, stdin or a prompt; raises InvalidInputError that does not contain it."""
    text, source = read_hidden("REDEEMCTL_APP_SECRET", f"app secret of {app_id}")
    if not _APP_SECRET.fullmatch(text):
        rule = "must be 1 to 256 visible ASCII characters, without blanks"
        raise InvalidInputError(f"app secret (from {source}): {rule}")
    return text


def _describe(secret: str | None) -> str:
    """Describe an app secret without revealing it; an empty text if the app is unknown."""
    return "none (service provider)" if secret == "" else fingerprint(secret)

"""`redeemctl app`: mini-programs and their app secrets."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import click

from redeemctl.command_line import ID, CommandLine, pass_command_line, read_hidden
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.merchant_rows import Change, account_id_of
from redeemctl.secret import fingerprint, new_key, read_secret_version, replace_secret

THIS_SERVICE, ANOTHER_SYSTEM = "this-service", "another-system"
"""Who mints an app's access tokens."""
_MINTED_BY = click.Choice([THIS_SERVICE, ANOTHER_SYSTEM])

_APP_SECRET = re.compile(r"[!-~]{1,256}")


@click.group()
def app() -> None:
    """Manage mini-programs and their app secrets."""


@app.command("add")
@click.argument("app_ids", type=ID, nargs=-1, required=True, metavar="APP_ID...")
@click.option(
    "--provider", "is_provider", is_flag=True, help="Apps of a service provider (服务商). They have no secret."
)
@click.option("--tokens", "minted_by", type=_MINTED_BY, help="Who mints the access tokens.")
@pass_command_line
def add_app(cli: CommandLine, app_ids: tuple[str, ...], *, is_provider: bool, minted_by: str | None) -> None:
    """Add an app, or replace its secret. With --provider, add one or more apps.

    The secret is read from the variable REDEEMCTL_APP_SECRET, or from stdin, or from a prompt without echo. The first
    app of a stage also creates the first session key. Without --tokens, the system that mints
    the tokens stays; it is this service for a new app.
    """
    if len(app_ids) > 1 and not is_provider:
        raise InvalidInputError("APP_ID: more than one only with --provider")
    if is_provider and minted_by:
        raise InvalidInputError("--tokens: not with --provider, whose system mints the tokens")
    names = " ".join(dict.fromkeys(app_ids))
    with cli.open_stage() as stage:
        added = dict.fromkeys(app_ids, "" if is_provider else read_app_secret(names))
        seen = read_secret_version(stage)
        keys = seen.session_keys or [new_key()]
        apps = {**seen.apps, **added}
        external = [app_id for app_id in seen.external_tokens if minted_by is None or app_id not in added]
        # If a service provider's app gets a secret, the provider's system still mints its tokens.
        kept = [app_id for app_id in added if added[app_id] and seen.apps.get(app_id) == "" and minted_by is None]
        external += [app_id for app_id in (added if minted_by == ANOTHER_SYSTEM else kept) if app_id not in external]
        texts = {a: (_describe(a, seen.apps, seen.external_tokens), _describe(a, apps, external)) for a in added}
        changes = [Change(f"app {a}", current, new) for a, (current, new) in texts.items() if current != new]
        replaced = " ".join(a for a in added if seen.apps.get(a) is not None and seen.apps[a] != added[a])
        if not seen.session_keys:
            changes.append(Change("session key", "", fingerprint(keys[0])))
        cli.change(
            changes,
            lambda: replace_secret(stage, seen, {"apps": apps, "session_keys": keys, "external_tokens": external}),
            f"app {names}: saved; instances use it within five minutes",
            warning=f"This replaces the secret of {replaced}." if replaced else "",
        )


@app.command("list")
@pass_command_line
def list_apps(cli: CommandLine) -> None:
    """List the apps: whose they are, the fingerprints of their secrets, and how many merchants each has."""
    with cli.open_stage(read_only=True) as stage:
        seen = read_secret_version(stage)
        counts = Counter(item.get("app_id", {}).get("S") for item in stage.merchants.list_all())
    rows = [
        {
            "app_id": app_id,
            "kind": "own" if app_secret else "provider",
            "tokens": THIS_SERVICE if seen.mints_tokens_of(app_id) else ANOTHER_SYSTEM,
            "secret_fingerprint": fingerprint(app_secret),
            "merchants": counts[app_id],
        }
        for app_id, app_secret in seen.apps.items()
    ]
    cli.show(("app_id", "kind", "tokens", "secret_fingerprint", "merchants"), rows)


@app.command("remove")
@click.argument("app_id", type=ID)
@pass_command_line
def remove_app(cli: CommandLine, app_id: str) -> None:
    """Remove an app that has no merchants. The row with its access token stays in the table."""
    with cli.open_stage() as stage:
        items = stage.merchants.list_all()
        account_ids = [account_id_of(item) for item in items if item.get("app_id", {}).get("S") == app_id]
        if account_ids:
            used = f"app {app_id} is used by {len(account_ids)} merchants, for example {account_ids[0]}"
            raise CommandError(f"{used}; remove them or give them another app first")
        seen = read_secret_version(stage)
        apps = {other_id: app_secret for other_id, app_secret in seen.apps.items() if other_id != app_id}
        external = [other_id for other_id in seen.external_tokens if other_id != app_id]
        cli.change(
            [Change(f"app {app_id}", _describe(app_id, seen.apps, ()), "")] if app_id in seen.apps else [],
            lambda: replace_secret(stage, seen, {"apps": apps, "external_tokens": external}),
            f"app {app_id}: removed",
            warning=f"Customers of app {app_id} can no longer log in.",
        )


def read_app_secret(app_id: str) -> str:
    """Read an app secret from the variable, stdin or a prompt; raises InvalidInputError without the secret's text."""
    text, source = read_hidden("REDEEMCTL_APP_SECRET", f"app secret of {app_id}")
    if not _APP_SECRET.fullmatch(text):
        rule = "must be 1 to 256 visible ASCII characters, without blanks"
        raise InvalidInputError(f"app secret (from {source}): {rule}")
    return text


def _describe(app_id: str, apps: Mapping[str, str], external_tokens: Sequence[str]) -> str:
    """Describe an app without revealing its secret; an empty text if it is unknown."""
    if not apps.get(app_id):
        return "of a service provider" if app_id in apps else ""
    return f"secret {fingerprint(apps[app_id])}" + (", tokens by another system" if app_id in external_tokens else "")

"""The commands of `redeemctl`.

A command shows its changes before it makes them and asks for confirmation if they are destructive. Except for
`token renew` and `session-key rotate`, running a command twice has the same effect as running it once.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from chalicelib.merchants import MERCHANT_PREFIX, merchant_key
from redeemctl import doctor as diagnosis
from redeemctl import keys
from redeemctl.stage import PENDING_TAG, CommandError, Stage, open_stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redeemctl.stage import Item

PROJECT = Path(__file__).parent.parent

console = Console(soft_wrap=True)


class GlobalOptions:
    """The options of all commands: the stage, and whether changes are made and confirmed."""

    def __init__(self, stage: str, project: Path, *, yes: bool, dry_run: bool) -> None:
        self._stage = stage
        self._project = project
        self._yes = yes
        self._dry_run = dry_run

    @contextmanager
    def open_stage(self) -> Iterator[Stage]:
        """Open the stage. A CommandError prints its message and exits with code 1."""
        try:
            with open_stage(self._stage, self._project) as stage:
                yield stage
        except CommandError as error:
            console.print(str(error), style="red", highlight=False, markup=False)
            sys.exit(1)

    def confirm(self, changes: list[tuple[str, str, str]], *, warning: str = "") -> bool:
        """Show changes (name, current value, new value); return whether to make them.

        A `warning` says what the operator loses, and must be confirmed.
        """
        if not changes:
            console.print("nothing to change")
            return False
        grid = Table("", "current", "new")
        for name, current, new in changes:
            grid.add_row(name, current or "[dim]none[/dim]", new or "[dim]none[/dim]")
        console.print(grid)
        if self._dry_run:
            console.print("dry run: no changes were made")
            return False
        if warning and not self._yes:
            return click.confirm(f"{warning} Continue?", default=False)
        return True


pass_options = click.make_pass_decorator(GlobalOptions)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stage", default="dev", show_default=True, envvar="REDEEM_STAGE", help="dev, prod or cn.")
@click.option("--project", type=click.Path(file_okay=False, path_type=Path), default=PROJECT, hidden=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show the changes without making them.")
@click.pass_context
def redeemctl(context: click.Context, stage: str, project: Path, *, yes: bool, dry_run: bool) -> None:
    """Operate a stage of the redemption service.

    AWS credentials and region are read from the environment, as by any AWS tool.
    """
    context.obj = GlobalOptions(stage, project, yes=yes, dry_run=dry_run)


@redeemctl.group()
def app() -> None:
    """Manage mini-programs (小程序) and their app secrets."""


@app.command("add")
@click.argument("app_id")
@click.option(
    "--secret",
    prompt="app secret",
    hide_input=True,
    envvar="APP_SECRET",
    help="The app secret. Default: variable APP_SECRET, or a prompt without echo.",
)
@pass_options
def add_app(options: GlobalOptions, app_id: str, secret: str) -> None:
    """Add an app, or replace its secret. The first app of a stage also creates the first session key."""
    with options.open_stage() as stage:
        credentials = stage.read_credentials()
        apps = {} if credentials is None else dict(credentials.apps)
        session_keys = [] if credentials is None else credentials.session_keys
        current = apps.get(app_id)
        changes: list[tuple[str, str, str]] = []
        if current != secret:
            changes.append((f"secret of {app_id}", _masked(current), _masked(secret)))
        if not session_keys:
            session_keys = keys.add_key([]).keys
            changes.append(("session key", "", keys.fingerprint(session_keys[0])))
        warning = f"This replaces the secret of {app_id}." if current not in (None, secret) else ""
        if options.confirm(changes, warning=warning):
            stage.put_credentials({**apps, app_id: secret}, session_keys)
            console.print(f"app {app_id}: saved")


@redeemctl.group()
def merchant() -> None:
    """Manage merchants (商家): the rows MERCHANT#<account_id>."""


@merchant.command("add")
@click.argument("account_id")
@click.option("--app", "app_id", required=True, help="The app_id of the merchant's mini-program.")
@click.option("--name", default="", help="The display name.")
@click.option(
    "--life-account-id", default="", help="The root account (来客根账户), sent as header Rpc-Transit-Life-Account."
)
@click.option("--token-id", default="", help="The access token's row. Default: the app's.")
@click.option("--store", "stores", multiple=True, metavar="POI_ID=NAME", help="A store, repeatable. Default: all.")
@pass_options
def add_merchant(
    options: GlobalOptions,
    *,
    account_id: str,
    app_id: str,
    name: str,
    life_account_id: str,
    token_id: str,
    stores: tuple[str, ...],
) -> None:
    """Add a merchant, or update the given attributes of its row. Stores that are not given are kept."""
    with options.open_stage() as stage:
        item: Item = {
            "pk": {"S": merchant_key(account_id)},
            **(stage.get_merchant(account_id) or {"active": {"BOOL": True}}),
        }
        before = _attributes(item) if "app_id" in item else {}
        values = {"app_id": app_id, "name": name, "life_account_id": life_account_id, "token_id": token_id}
        item |= {attribute: {"S": value} for attribute, value in values.items() if value}
        if stores:
            pairs = [store.partition("=") for store in stores]
            item["stores"] = {"M": {**_stores(item), **{poi_id: {"S": title} for poi_id, _, title in pairs}}}
        _save_merchant(options, stage, before, item, f"merchant {account_id}: saved")


@merchant.command("show")
@click.argument("account_id")
@pass_options
def show_merchant(options: GlobalOptions, account_id: str) -> None:
    """Show a merchant's row."""
    with options.open_stage() as stage:
        grid = Table("", account_id)
        for name, value in _attributes(_require_merchant(stage, account_id)).items():
            grid.add_row(name, value)
        console.print(grid)


@merchant.command("list")
@pass_options
def list_merchants(options: GlobalOptions) -> None:
    """List all merchants."""
    with options.open_stage() as stage:
        grid = Table("account_id", "name", "app", "stores", "active")
        for item in stage.list_merchants():
            attributes = _attributes(item)
            account_id = item["pk"]["S"].removeprefix(MERCHANT_PREFIX)
            stores = str(len(_stores(item))) if "stores" in item else "all"
            grid.add_row(
                account_id, attributes.get("name", ""), attributes.get("app_id", ""), stores, attributes["active"]
            )
        console.print(grid)


@merchant.command("suspend")
@click.argument("account_id")
@pass_options
def suspend_merchant(options: GlobalOptions, account_id: str) -> None:
    """Stop serving a merchant."""
    _set_active(options, account_id, active=False)


@merchant.command("resume")
@click.argument("account_id")
@pass_options
def resume_merchant(options: GlobalOptions, account_id: str) -> None:
    """Serve a suspended merchant again."""
    _set_active(options, account_id, active=True)


@redeemctl.group()
def store() -> None:
    """Manage a merchant's stores (门店). A merchant without a store list is served in all its stores."""


@store.command("add")
@click.argument("account_id")
@click.argument("poi_id")
@click.argument("name", default="")
@pass_options
def add_store(options: GlobalOptions, account_id: str, poi_id: str, name: str) -> None:
    """Add a store, or rename it."""
    with options.open_stage() as stage:
        item = _require_merchant(stage, account_id)
        before = _attributes(item)
        item["stores"] = {"M": {**_stores(item), poi_id: {"S": name}}}
        warning = ""
        if "stores" not in before:
            warning = "The merchant has no store list and is served in all its stores; then only in this one."
        _save_merchant(options, stage, before, item, f"store {poi_id}: saved", warning=warning)


@store.command("remove")
@click.argument("account_id")
@click.argument("poi_id")
@pass_options
def remove_store(options: GlobalOptions, account_id: str, poi_id: str) -> None:
    """Remove a store. The last store cannot be removed, because the merchant would then be served in all its stores."""
    with options.open_stage() as stage:
        item = _require_merchant(stage, account_id)
        before = _attributes(item)
        stores = _stores(item)
        if stores.pop(poi_id, None) is not None and not stores:
            raise CommandError(f"{poi_id} is the last store; suspend the merchant instead")
        if "stores" in item:
            item["stores"] = {"M": stores}
        warning = f"Store {poi_id} is no longer served."
        _save_merchant(options, stage, before, item, f"store {poi_id}: removed", warning=warning)


@redeemctl.group()
def token() -> None:
    """Show and renew access tokens, one per app."""


@token.command("show")
@pass_options
def show_tokens(options: GlobalOptions) -> None:
    """Show all tokens: fingerprint, expiry, renewal state."""
    with options.open_stage() as stage:
        grid = Table("app", "token", "expires (UTC)", "expires in", "renewal")
        credentials = stage.read_credentials()
        now = time.time()
        for app_id in [] if credentials is None else credentials.apps:
            row = stage.tokens.read_row(app_id, stage.new_context())
            renewal = "in progress" if row.is_leased(now, unchanged_seconds=0) else ""
            if row.failed_until > now:
                renewal = f"failed: {row.failure}"
            expires = expires_in = ""
            if row.access_token:
                expires = datetime.fromtimestamp(row.expires_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
                expires_in = f"{row.expires_at - int(now)} s"
            grid.add_row(app_id, _masked(row.access_token), expires, expires_in, renewal)
        console.print(grid)


@token.command("renew")
@click.argument("app_id")
@pass_options
def renew_token(options: GlobalOptions, app_id: str) -> None:
    """Renew an app's token now. The current one stays valid for a few minutes, until all instances use the new one."""
    with options.open_stage() as stage:
        secret = stage.get_app_secret(app_id)
        row = stage.tokens.read_row(app_id, stage.new_context())
        changes = [(f"token of {app_id}", _masked(row.access_token), "a new token")]
        warning = "The platform invalidates the current token after a few minutes." if row.access_token else ""
        if options.confirm(changes, warning=warning):
            renewed = stage.tokens.replace_refused(app_id, secret, row.access_token or "", stage.new_context())
            console.print(f"token of {app_id}: {_masked(renewed)}")


@redeemctl.group("session-key")
def session_key() -> None:
    """Manage the keys that sign sessions."""


@session_key.command("rotate")
@click.option("--wait/--no-wait", default=False, help="Wait until the step is due, instead of showing when it is.")
@pass_options
def rotate(options: GlobalOptions, *, wait: bool) -> None:
    """Execute the next step of a key rotation.

    The three steps: add a key, sign with it, remove the previous key. Run the command once for each.

    No session becomes invalid: a key signs only when all instances know it, and is removed only when its last session
    has expired.
    """
    with options.open_stage() as stage:
        credentials = stage.read_credentials()
        if credentials is None:
            raise CommandError("the secret has no value yet; to add an app: redeemctl app add <app_id>")
        described = stage.secrets_manager.describe_secret(SecretId=stage.settings.secret_name)
        pending = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}.get(PENDING_TAG, "")
        age = time.time() - _last_changed(described)
        step = keys.next_step(credentials.session_keys, pending, age, stage.settings.session_ttl)
        if step.wait_seconds and not wait:
            console.print(f"next step, due in {step.wait_seconds} s (--wait waits): {step.description}")
            return
        changes = [("session keys", _fingerprints(credentials.session_keys), _fingerprints(step.keys))]
        warning = "Sessions signed with a removed key become invalid." if step.ends_sessions else ""
        if not options.confirm(changes, warning=warning):
            return
        if step.wait_seconds:
            with console.status(f"waiting {step.wait_seconds} s"):
                time.sleep(step.wait_seconds)
        # Write the tag first: a new key without its tag would look like a previous key and be removed.
        tags: list[Any] = [{"Key": PENDING_TAG, "Value": step.pending}]
        stage.secrets_manager.tag_resource(SecretId=stage.settings.secret_name, Tags=tags)
        stage.put_credentials(credentials.apps, step.keys)
        console.print(f"done: {step.description}")


@redeemctl.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@pass_options
def doctor(options: GlobalOptions, *, as_json: bool) -> None:
    """Check a stage end to end. Exits with code 1 if a check fails.

    Reads the table and the secret, and calls the platform as the service does: a login with an invalid code, the token
    of each app (minted if there is none), and a query for each merchant.
    """
    with options.open_stage() as stage:
        findings = []
        for finding in diagnosis.run_checks(stage):
            findings.append(finding)
            if not as_json:
                sign = "[green]✓[/green]" if finding.fine else "[red]✗[/red]"
                console.print(f"{sign} {finding.check} {finding.what}", highlight=False)
                if not finding.fine:
                    console.print(f"    {finding.chinese}\n    {finding.english}", highlight=False, markup=False)
        if as_json:
            click.echo(diagnosis.to_json(findings))
    failed = sum(not finding.fine for finding in findings)
    if not as_json:
        console.print(f"发现 {failed} 个问题 / problems: {failed}" if failed else "一切正常 / all checks passed")
    sys.exit(1 if failed else 0)


def _set_active(options: GlobalOptions, account_id: str, *, active: bool) -> None:
    with options.open_stage() as stage:
        item = _require_merchant(stage, account_id)
        before = _attributes(item)
        item["active"] = {"BOOL": active}
        warning = "" if active else f"Merchant {account_id} is no longer served."
        _save_merchant(options, stage, before, item, f"merchant {account_id}: saved", warning=warning)


def _save_merchant(
    options: GlobalOptions, stage: Stage, before: dict[str, str], item: Item, message: str, *, warning: str = ""
) -> None:
    """Write a merchant's row if it differs from `before` and the operator confirms; then print `message`."""
    if options.confirm(_differences(before, _attributes(item)), warning=warning):
        stage.put_merchant(item)
        console.print(f"{message}; takes effect on all instances within five minutes")


def _require_merchant(stage: Stage, account_id: str) -> Item:
    item = stage.get_merchant(account_id)
    if item is None:
        raise CommandError(f"merchant {account_id} not found; to add it: redeemctl merchant add {account_id} --app …")
    return item


def _stores(item: Item) -> dict[str, Any]:
    return dict(item.get("stores", {}).get("M", {}))


def _attributes(item: Item) -> dict[str, str]:
    """Return the attributes of a merchant's row as text."""
    names = ("name", "app_id", "life_account_id", "token_id")
    attributes: dict[str, str] = {name: item[name]["S"] for name in names if name in item}
    attributes["active"] = "yes" if item.get("active", {}).get("BOOL", True) else "no"
    if "stores" in item:
        stores = _stores(item).items()
        attributes["stores"] = ", ".join(f"{poi_id} {title.get('S', '')}".strip() for poi_id, title in stores)
    return attributes


def _differences(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys([*before, *after])
    return [(n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n)]


def _masked(secret: str | None) -> str:
    """Return the fingerprint of a secret for display, or "" if there is none."""
    return "" if not secret else f"…{keys.fingerprint(secret)}"


def _fingerprints(session_keys: list[str]) -> str:
    return ", ".join(keys.fingerprint(key) for key in session_keys)


def _last_changed(described: Any) -> float:
    changed = described.get("LastChangedDate") or described["CreatedDate"]
    return float(changed.timestamp())

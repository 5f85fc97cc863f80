"""The commands. Each shows what it changes; what destroys something is asked about first; done twice is done once."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table as Grid

from chalicelib.merchants import PREFIX, merchant_key
from redeemctl import doctor as examinations
from redeemctl import keys
from redeemctl.stage import PENDING_TAG, OperatorError, Stage, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redeemctl.stage import Item

PROJECT = Path(__file__).parent.parent

console = Console(soft_wrap=True)


class Context:
    """What every command is given: which stage, and how it talks."""

    def __init__(self, stage: str, project: Path, *, yes: bool, dry_run: bool) -> None:
        self._stage = stage
        self._project = project
        self._yes = yes
        self._dry_run = dry_run

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """The stage; an OperatorError ends the command with its message."""
        try:
            with opened(self._stage, self._project) as stage:
                yield stage
        except OperatorError as error:
            console.print(str(error), style="red", highlight=False, markup=False)
            sys.exit(1)

    def may(self, changes: list[tuple[str, str, str]], *, destroys: str = "") -> bool:
        """Show what changes (what, before, after); whether it is to be done. `destroys` says what is lost by it."""
        if not changes:
            console.print("nothing to change")
            return False
        grid = Grid("", "now", "then")
        for what, before, after in changes:
            grid.add_row(what, before or "[dim]none[/dim]", after or "[dim]none[/dim]")
        console.print(grid)
        if self._dry_run:
            console.print("dry run: nothing was changed")
            return False
        if destroys and not self._yes:
            return click.confirm(f"{destroys} Go on?", default=False)
        return True


in_context = click.make_pass_decorator(Context)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stage", default="dev", show_default=True, envvar="REDEEM_STAGE", help="dev, prod or cn")
@click.option("--project", type=click.Path(file_okay=False, path_type=Path), default=PROJECT, hidden=True)
@click.option("--yes", is_flag=True, help="do not ask before something is destroyed")
@click.option("--dry-run", is_flag=True, help="show what would change, and change nothing")
@click.pass_context
def redeemctl(context: click.Context, stage: str, project: Path, *, yes: bool, dry_run: bool) -> None:
    """Run a stage of the redemption service.

    AWS credentials and region come from the environment, as for any AWS tool.
    """
    context.obj = Context(stage, project, yes=yes, dry_run=dry_run)


@redeemctl.group()
def app() -> None:
    """Mini-programs (小程序) and their secrets."""


@app.command("add")
@click.argument("app_id")
@click.option("--secret", prompt="app secret", hide_input=True, envvar="APP_SECRET", help="default: asked for, unseen")
@in_context
def add_app(context: Context, app_id: str, secret: str) -> None:
    """Add an app, or replace its secret. A stage's first app brings its first session key with it."""
    with context.stage() as stage:
        found = stage.credentials()
        apps = {} if found is None else dict(found.apps)
        session_keys = [] if found is None else found.session_keys
        known = apps.get(app_id)
        changes: list[tuple[str, str, str]] = []
        if known != secret:
            changes.append((f"secret of {app_id}", _masked(known), _masked(secret)))
        if not session_keys:
            session_keys = keys.first_step([]).keys
            changes.append(("session key", "", keys.fingerprint(session_keys[0])))
        lost = f"The secret of {app_id} is replaced." if known not in (None, secret) else ""
        if context.may(changes, destroys=lost):
            stage.put_credentials({**apps, app_id: secret}, session_keys)
            console.print(f"app {app_id}: added")


@redeemctl.group()
def merchant() -> None:
    """Merchants (商家账号), the rows MERCHANT#<account_id>."""


@merchant.command("add")
@click.argument("account_id")
@click.option("--app", "app_id", required=True, help="the mini-program it belongs to")
@click.option("--name", default="", help="what it is called")
@click.option("--life-account-id", default="", help="its root account (来客根账户), sent as Rpc-Transit-Life-Account")
@click.option("--token-id", default="", help="another row's token; default: the app's own")
@click.option("--store", "stores", multiple=True, metavar="POI_ID=NAME", help="a store; give none to allow them all")
@in_context
def add_merchant(
    context: Context,
    *,
    account_id: str,
    app_id: str,
    name: str,
    life_account_id: str,
    token_id: str,
    stores: tuple[str, ...],
) -> None:
    """Add a merchant, or bring its row to what is given here; stores that it has and that are not given stay."""
    with context.stage() as stage:
        item: Item = {
            "pk": {"S": merchant_key(account_id)},
            **(stage.merchant(account_id) or {"active": {"BOOL": True}}),
        }
        before = _told(item) if "app_id" in item else {}
        given = {"app_id": app_id, "name": name, "life_account_id": life_account_id, "token_id": token_id}
        item |= {key: {"S": value} for key, value in given.items() if value}
        if stores:
            pairs = [store.partition("=") for store in stores]
            listed = {**item.get("stores", {}).get("M", {}), **{poi: {"S": title} for poi, _, title in pairs}}
            item["stores"] = {"M": listed}
        _save(context, stage, before, item, f"merchant {account_id}: saved")


@merchant.command("show")
@click.argument("account_id")
@in_context
def show_merchant(context: Context, account_id: str) -> None:
    """Show a merchant's row."""
    with context.stage() as stage:
        grid = Grid("", account_id)
        for what, value in _told(_known(stage, account_id)).items():
            grid.add_row(what, value)
        console.print(grid)


@merchant.command("list")
@in_context
def list_merchants(context: Context) -> None:
    """List all merchants."""
    with context.stage() as stage:
        grid = Grid("account_id", "name", "app", "stores", "served")
        for item in stage.merchants():
            told = _told(item)
            stores = str(len(item["stores"]["M"])) if "stores" in item else "all"
            account_id = item["pk"]["S"].removeprefix(PREFIX)
            grid.add_row(account_id, told.get("name", ""), told.get("app_id", ""), stores, told["active"])
        console.print(grid)


@merchant.command("suspend")
@click.argument("account_id")
@in_context
def suspend_merchant(context: Context, account_id: str) -> None:
    """Serve a merchant no longer."""
    _set_active(context, account_id, active=False)


@merchant.command("resume")
@click.argument("account_id")
@in_context
def resume_merchant(context: Context, account_id: str) -> None:
    """Serve a suspended merchant again."""
    _set_active(context, account_id, active=True)


@redeemctl.group()
def store() -> None:
    """A merchant's stores (门店). A merchant that lists none is served in all of them."""


@store.command("add")
@click.argument("account_id")
@click.argument("poi_id")
@click.argument("name", default="")
@in_context
def add_store(context: Context, account_id: str, poi_id: str, name: str) -> None:
    """Add a store, or rename it."""
    with context.stage() as stage:
        item = _known(stage, account_id)
        before = _told(item)
        item["stores"] = {"M": {**item.get("stores", {}).get("M", {}), poi_id: {"S": name}}}
        lost = "" if "stores" in before else "The merchant lists no stores and is served in all; then in this one only."
        _save(context, stage, before, item, f"store {poi_id}: saved", destroys=lost)


@store.command("remove")
@click.argument("account_id")
@click.argument("poi_id")
@in_context
def remove_store(context: Context, account_id: str, poi_id: str) -> None:
    """Remove a store. The last one may not go: a merchant without stores is served in all."""
    with context.stage() as stage:
        item = _known(stage, account_id)
        before = _told(item)
        stores = dict(item.get("stores", {}).get("M", {}))
        if stores.pop(poi_id, None) is not None and not stores:
            raise OperatorError(f"{poi_id} is the last store; suspend the merchant instead")
        if "stores" in item:
            item["stores"] = {"M": stores}
        lost = f"Store {poi_id} is served no longer."
        _save(context, stage, before, item, f"store {poi_id}: removed", destroys=lost)


@redeemctl.group()
def token() -> None:
    """Access tokens, one an app."""


@token.command("show")
@in_context
def show_tokens(context: Context) -> None:
    """Show every app's token: masked, how long it lasts, whether somebody is renewing it."""
    with context.stage() as stage:
        grid = Grid("app", "token", "ends (UTC)", "in", "renewal")
        found = stage.credentials()
        now = time.time()
        for app_id in [] if found is None else found.apps:
            row = stage.tokens.row(app_id, stage.scope())
            renewal = "under way" if row.is_leased(now) else ""
            if row.failed_until > now:
                renewal = f"failed: {row.failure}"
            ends = datetime.fromtimestamp(row.expires_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
            left = f"{row.expires_at - int(now)} s" if row.access_token else ""
            grid.add_row(app_id, _masked(row.access_token), ends if row.access_token else "", left, renewal)
        console.print(grid)


@token.command("renew")
@click.argument("app_id")
@in_context
def renew_token(context: Context, app_id: str) -> None:
    """Renew an app's token now; the one before lives on for a few minutes, time enough for every instance."""
    with context.stage() as stage:
        secret = stage.app_secret(app_id)
        row = stage.tokens.row(app_id, stage.scope())
        changes = [(f"token of {app_id}", _masked(row.access_token), "a new one")]
        lost = "The platform lets the present token die a few minutes after." if row.access_token else ""
        if context.may(changes, destroys=lost):
            renewed = stage.tokens.replace(app_id, secret, row.access_token or "", stage.scope())
            console.print(f"token of {app_id}: {_masked(renewed)}")


@redeemctl.group("session-key")
def session_key() -> None:
    """The keys that sign sessions."""


@session_key.command("rotate")
@click.option("--wait/--no-wait", default=False, help="wait until the step is due, instead of saying when it is")
@in_context
def rotate(context: Context, *, wait: bool) -> None:
    """Do the next step of a rotation: add a key, let it sign, forget the old one. Run it three times.

    No session is refused: a key is known everywhere before it signs, and forgotten after its last session has ended.
    """
    with context.stage() as stage:
        found = stage.credentials()
        if found is None:
            raise OperatorError("the secret has no value yet: redeemctl app add")
        described = stage.secrets_manager.describe_secret(SecretId=stage.settings.secret_name)
        pending = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}.get(PENDING_TAG, "")
        age = time.time() - _changed_at(described)
        step = keys.next_step(found.session_keys, pending, age, stage.settings.session_ttl)
        if step.wait and not wait:
            console.print(f"next: {step.told}; due in {step.wait} s (--wait waits)")
            return
        changes = [("session keys", _fingerprints(found.session_keys), _fingerprints(step.keys))]
        lost = "Sessions signed by a forgotten key end." if step.destroys else ""
        if not context.may(changes, destroys=lost):
            return
        if step.wait:
            with console.status(f"waiting {step.wait} s"):
                time.sleep(step.wait)
        # The tag first: were the value first, a key could wait under no name and be taken for an old one.
        tags: list[Any] = [{"Key": PENDING_TAG, "Value": step.pending}]
        stage.secrets_manager.tag_resource(SecretId=stage.settings.secret_name, Tags=tags)
        stage.put_credentials(found.apps, step.keys)
        console.print(step.told)


@redeemctl.command()
@click.option("--json", "as_json", is_flag=True, help="for other programs")
@in_context
def doctor(context: Context, *, as_json: bool) -> None:
    """Examine the stage from end to end; ends with 1 when something is wrong.

    It reads table and secret, and asks the platform as the service does: a login with a code that is nobody's, the
    token of each app (minted when there is none), a query for each merchant.
    """
    with context.stage() as stage:
        findings = []
        for finding in examinations.examine(stage):
            findings.append(finding)
            if not as_json:
                sign = "[green]✓[/green]" if finding.fine else "[red]✗[/red]"
                console.print(f"{sign} {finding.check} {finding.what}", highlight=False)
                if not finding.fine:
                    console.print(f"    {finding.chinese}\n    {finding.english}", highlight=False, markup=False)
        if as_json:
            click.echo(examinations.as_json(findings))
    wrong = sum(not finding.fine for finding in findings)
    if not as_json:
        console.print(f"发现 {wrong} 个问题 / {wrong} problems" if wrong else "一切正常 / all well")
    sys.exit(1 if wrong else 0)


def _set_active(context: Context, account_id: str, *, active: bool) -> None:
    with context.stage() as stage:
        item = _known(stage, account_id)
        before = _told(item)
        item["active"] = {"BOOL": active}
        lost = "" if active else f"Merchant {account_id} is served no longer."
        _save(context, stage, before, item, f"merchant {account_id}: saved", destroys=lost)


def _save(context: Context, stage: Stage, before: dict[str, str], item: Item, done: str, *, destroys: str = "") -> None:
    """Write a merchant's row if it differs from `before` and may be written; `done` says what was done then."""
    if context.may(_differences(before, _told(item)), destroys=destroys):
        stage.put(item)
        console.print(f"{done}; counts everywhere within five minutes")


def _known(stage: Stage, account_id: str) -> Item:
    item = stage.merchant(account_id)
    if item is None:
        raise OperatorError(f"no merchant {account_id}: redeemctl merchant add {account_id} --app …")
    return item


def _told(item: Item) -> dict[str, str]:
    """A merchant's row in words."""
    names = ("name", "app_id", "life_account_id", "token_id")
    told: dict[str, str] = {name: item[name]["S"] for name in names if name in item}
    told["active"] = "yes" if item.get("active", {}).get("BOOL", True) else "no"
    if "stores" in item:
        told["stores"] = ", ".join(f"{poi} {title.get('S', '')}".strip() for poi, title in item["stores"]["M"].items())
    return told


def _differences(before: dict[str, str], after: dict[str, str]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys([*before, *after])
    return [(n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n)]


def _masked(secret: str | None) -> str:
    """A name for a secret that does not give it away."""
    return "" if not secret else f"…{keys.fingerprint(secret)}"


def _fingerprints(session_keys: list[str]) -> str:
    return ", ".join(keys.fingerprint(key) for key in session_keys)


def _changed_at(described: Any) -> float:
    changed = described.get("LastChangedDate") or described["CreatedDate"]
    return float(changed.timestamp())

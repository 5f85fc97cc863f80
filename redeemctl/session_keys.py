"""`redeemctl session-key`: rotate the keys that sign sessions, one step at a time."""

from __future__ import annotations

import dataclasses
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from redeemctl import keys
from redeemctl.changes import Plan
from redeemctl.errors import CommandError, NotDueError
from redeemctl.options import GlobalGroup, GlobalOptions, pass_options
from redeemctl.output import print_json, print_rows
from redeemctl.rows import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from redeemctl.keys import Rotation
    from redeemctl.secret import SecretVersion
    from redeemctl.stage import Stage

_now_option = click.option("--now", is_flag=True, help="Do not wait until the step is due. Ends sessions.")


@click.group("session-key", cls=GlobalGroup)
def session_key() -> None:
    """Rotate the keys that sign sessions: add, use, retire.

    No session ends: a key signs only when all instances know it, and is retired only when its last session has expired.
    No command waits; `status` shows when the next step is due. A rotation can be interrupted and resumed at any time.
    """


@session_key.command("status")
@pass_options
def show_status(options: GlobalOptions) -> None:
    """Show the keys, and the next step with the time when it is due."""
    with options.open_stage() as stage:
        version = read_version(stage)
        rotation = keys.read_rotation(version)
        due_at = rotation.due_at(stage.longest_session())
    status: dict[str, Any] = {"next_step": rotation.next_step, "due_in": max(0, math.ceil(due_at - version.read_at))}
    if due_at:
        status["due_at"] = math.ceil(due_at)
    if options.as_json:
        listed = [{"fingerprint": keys.fingerprint(key), "role": rotation.role(key)} for key in rotation.keys]
        print_json({"keys": listed, **status})
        return
    print_rows(
        ("key", "role"), [(keys.fingerprint(key), rotation.role(key)) for key in rotation.keys], no_wrap=("key",)
    )
    click.echo(f"next step: redeemctl session-key {rotation.next_step}{_when(due_at, version.read_at)}")


@session_key.command("add")
@pass_options
def add_key(options: GlobalOptions) -> None:
    """Step 1: add a key that verifies sessions but does not sign them yet."""
    key = keys.new_key()

    def make_step(rotation: Rotation, now: float) -> Rotation | None:
        if rotation.pending:
            return None
        if rotation.next_step != keys.ADD:
            raise CommandError("the previous rotation is not complete; next step: redeemctl session-key retire")
        return rotation.add(key, now)

    _take_step(options, keys.ADD, make_step)


@session_key.command("use")
@_now_option
@pass_options
def use_key(options: GlobalOptions, *, now: bool) -> None:
    """Step 2: sign new sessions with the added key."""
    warning = "Instances that do not know the new key yet refuse its sessions for some seconds." if now else ""
    _take_step(options, keys.USE, lambda rotation, at: rotation.use(at) if rotation.pending else None, now, warning)


@session_key.command("retire")
@_now_option
@pass_options
def retire_key(options: GlobalOptions, *, now: bool) -> None:
    """Step 3: remove the previous key. Use --now only if the key has leaked: its sessions end at once."""

    def make_step(rotation: Rotation, at: float) -> Rotation | None:
        if rotation.pending:
            raise CommandError("the added key does not sign yet; next step: redeemctl session-key use")
        return rotation.retire(at) if len(rotation.keys) > 1 else None

    warning = "All sessions that were signed with a removed key end." if now else "The previous key is removed."
    _take_step(options, keys.RETIRE, make_step, now, warning)


def read_version(stage: Stage) -> SecretVersion:
    """Return the secret's current version; raises CommandError if it has no value yet."""
    version = stage.secret.read()
    if version.credentials is None:
        raise CommandError("the secret has no value yet; to add an app: redeemctl app add APP_ID")
    return version


def _take_step(
    options: GlobalOptions,
    step: str,
    make_step: Callable[[Rotation, float], Rotation | None],
    now: bool = False,
    warning: str = "",
) -> None:
    """Take a step by compare-and-set if it is due. `make_step` returns None if it has been taken already."""
    with options.open_stage() as stage:
        session_ttl = stage.longest_session() if step == keys.RETIRE else 0

        def make_plan() -> Plan:
            version = read_version(stage)
            read_at = time.monotonic()
            before = keys.read_rotation(version)
            after = make_step(before, version.read_at)
            if after is None:
                return Plan([], lambda: None)
            due_at = before.due_at(session_ttl)
            if due_at > version.read_at and not now:
                raise NotDueError(f"session-key {step}: not due yet{_when(due_at, version.read_at)}")

            def write() -> None:
                # The operator may have taken minutes to confirm; the step counts from now.
                written_at = version.read_at + time.monotonic() - read_at
                stage.secret.replace(version, dataclasses.replace(after, since=written_at).to_content())

            return Plan(_list_changes(before, after), write, warning)

        options.change(make_plan, f"session-key {step}: done; redeemctl session-key status shows the next step")


def _list_changes(before: Rotation, after: Rotation) -> list[Change]:
    keys_shown = [(keys.fingerprint(key), key) for key in dict.fromkeys([*before.keys, *after.keys])]
    changes = [
        Change(
            f"session key {name}",
            before.role(key) if key in before.keys else "",
            after.role(key) if key in after.keys else "",
        )
        for name, key in keys_shown
    ]
    return [change for change in changes if change.current != change.new]


def _when(due_at: float, now: float) -> str:
    if due_at <= now:
        return " (due now)" if due_at else ""
    at = datetime.fromtimestamp(due_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f" (due at {at} UTC, in {math.ceil(due_at - now)} s)"

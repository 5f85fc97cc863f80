"""The stage's secret: conditional writes, and the rotation of its session keys with the commands `session-key`.

Secrets Manager has no conditional PutSecretValue. So a new version is first stored under a label of our own. Then the
label AWSCURRENT is moved from the version that was read to the new one. AWS refuses this if AWSCURRENT is no longer at
the version that was read:
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html

A rotation has three steps. 1. `add` a key that only verifies (second in the list). 2. `use` it: it signs new sessions
(first in the list). 3. `retire` the previous key. Instances cache the secret. So a key signs only after every instance
knows it, and is removed only when the last session that an instance may have signed with it has expired.

The secret's member `pending_key`, which the service ignores, is the fingerprint of the key that does not sign yet. Each
step waits from the time when the secret's current version was created, whatever that version changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError

from chalicelib.credentials import MAX_AGE_SECONDS, parse_credentials
from redeemctl.errors import CommandError, ConflictError, NotDueError
from redeemctl.options import GlobalGroup, GlobalOptions, pass_options
from redeemctl.output import print_json
from redeemctl.rows import Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from redeemctl.stage import Stage

CURRENT = "AWSCURRENT"
LABEL = "redeemctl"
"""Holds a new version until it becomes AWSCURRENT. One label for all writers: AWS allows 20 labels in a secret."""

MAX_BYTES = 65_536
"""Limit of Secrets Manager for a value. Checked here, because AWS may repeat a value in the message that refuses it."""

_CONFLICT_CODES = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"})
"""What AWS may report if AWSCURRENT has moved on; the last one if a version has been deleted meanwhile."""

MARGIN_SECONDS = 300
"""The largest difference between this machine's clock and AWS's: with a larger one, AWS refuses requests."""

PROPAGATION_SECONDS = math.ceil(MAX_AGE_SECONDS) + MARGIN_SECONDS
"""After this time every instance uses the changed list of keys."""

ADD, USE, RETIRE = "add", "use", "retire"
BLOCKED_BY = {ADD: RETIRE, RETIRE: USE}
"""`add` is refused while `retire` is the next step, and `retire` while `use` is. Any other step that is not next has
been taken already, which is no error."""


@dataclass(frozen=True)
class SecretVersion:
    """A version of the secret.

    `apps` are the app secrets by app_id; the first of `session_keys` signs. `created_at` is in epoch seconds of AWS's
    clock. `content` is the whole JSON object, with the members that the service does not know. A secret without a value
    has an empty version.
    """

    version_id: str = ""
    created_at: float = 0.0
    apps: Mapping[str, str] = field(default_factory=dict, repr=False)
    session_keys: Sequence[str] = field(default=(), repr=False)
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)


class SecretStore:
    """Reads and replaces the secret `name`."""

    def __init__(self, client: SecretsManagerClient, name: str) -> None:
        self._client = client
        self._name = name

    def read(self) -> SecretVersion:
        """Return the current version; raises ConfigurationError if it is malformed."""
        try:
            response: Any = self._client.get_secret_value(SecretId=self._name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            # Secrets Manager reports a missing value and a missing secret with the same code; this fails for a secret.
            self._client.describe_secret(SecretId=self._name)
            return SecretVersion()
        seen = SecretVersion(response["VersionId"], response["CreatedDate"].timestamp())
        text = response.get("SecretString")
        if not text:
            return seen
        found = parse_credentials(text)
        return replace(seen, apps=found.apps, session_keys=found.session_keys, content=json.loads(text))

    def replace(self, seen: SecretVersion, content: dict[str, Any]) -> None:
        """Replace the version that was read; raises ConflictError if it is not the current one any more."""
        text = json.dumps({**seen.content, **content}, ensure_ascii=False)
        # Never write what the service would refuse.
        parse_credentials(text)
        if len(text.encode()) > MAX_BYTES:
            raise CommandError(f"the secret would have {len(text.encode()):,} bytes; AWS allows {MAX_BYTES:,}")
        response = self._client.put_secret_value(SecretId=self._name, SecretString=text, VersionStages=[LABEL])
        version_id = response["VersionId"]
        try:
            # AWS attaches AWSCURRENT to the first version of a secret by itself.
            if CURRENT not in response["VersionStages"]:
                self._make_current(version_id, seen.version_id)
        finally:
            # Another writer may have moved the label already.
            with contextlib.suppress(ClientError):
                self._client.update_secret_version_stage(
                    SecretId=self._name, VersionStage=LABEL, RemoveFromVersionId=version_id
                )

    def _make_current(self, version_id: str, seen_version_id: str) -> None:
        # Without RemoveFromVersionId, AWS refuses to move a label that is attached to any version.
        condition: Any = {"RemoveFromVersionId": seen_version_id} if seen_version_id else {}
        try:
            self._client.update_secret_version_stage(
                SecretId=self._name, VersionStage=CURRENT, MoveToVersionId=version_id, **condition
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _CONFLICT_CODES:
                raise
            # If the response of a first attempt was lost, botocore's second attempt fails although ours is current.
            if self._client.get_secret_value(SecretId=self._name)["VersionId"] != version_id:
                raise ConflictError from None


def open_secret(stage: Stage) -> SecretStore:
    """Return the secret of a stage."""
    return SecretStore(stage.client("secretsmanager"), stage.settings.secret_name)


def read_secret(stage: Stage) -> SecretVersion:
    """Return the current version of a stage's secret; raises ConfigurationError if it is malformed."""
    return open_secret(stage).read()


def get_app_secret(stage: Stage, app_id: str) -> str:
    """Return an app's secret; raises CommandError if the app is not in the stage's secret."""
    apps = read_secret(stage).apps
    if app_id not in apps:
        known = ", ".join(apps) or "none"
        raise CommandError(f"app {app_id} not found (apps: {known}); to add it: redeemctl app add {app_id}")
    return apps[app_id]


@dataclass(frozen=True)
class Rotation:
    """The session keys (the first one signs), and the fingerprint of one that does not sign yet, or an empty text.

    `since` is the time of the last change, in epoch seconds.
    """

    keys: tuple[str, ...]
    pending: str
    since: float

    @property
    def next_step(self) -> str:
        """The step that continues the rotation, or starts a new one."""
        if self.pending:
            return USE
        return RETIRE if len(self.keys) > 1 else ADD

    def due_at(self, session_ttl: int) -> float:
        """Return when the next step is due, in epoch seconds."""
        waits = {ADD: 0, USE: PROPAGATION_SECONDS, RETIRE: session_ttl + PROPAGATION_SECONDS}
        return self.since + waits[self.next_step]

    def role(self, key: str) -> str:
        """Describe what a key does; return an empty text if there is no such key."""
        if key not in self.keys:
            return ""
        if key == self.keys[0]:
            return "signs and verifies"
        return "verifies, does not sign yet" if fingerprint(key) == self.pending else "verifies, to be retired"

    def take_step(self, new_key: str) -> Rotation:
        """Return the state after the next step; `new_key` is added if that is the step."""
        if self.next_step == ADD:
            return replace(self, keys=(*self.keys, new_key), pending=fingerprint(new_key))
        if self.next_step == USE:
            pending = [key for key in self.keys if fingerprint(key) == self.pending]
            return replace(self, keys=(*pending, *(key for key in self.keys if key not in pending)), pending="")
        # All keys but the one that signs are removed.
        return replace(self, keys=self.keys[:1])

    def to_content(self) -> dict[str, Any]:
        """Return the members of the secret that hold this state."""
        return {"session_keys": list(self.keys), "pending_key": self.pending}


def read_rotation(version: SecretVersion) -> Rotation:
    """Return the state of the rotation in a version of the secret.

    The recorded fingerprint counts only if it is that of a key that does not sign.
    """
    keys = tuple(version.session_keys)
    recorded = version.content.get("pending_key")
    pending = next((name for name in map(fingerprint, keys[1:]) if name == recorded), "")
    return Rotation(keys, pending, version.created_at)


def new_key() -> str:
    """Return a random session key."""
    return secrets.token_hex(32)


def fingerprint(secret: str) -> str:
    """Return a short hash that identifies a secret without revealing it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def masked(secret: str | None) -> str:
    """Return the fingerprint of a secret for display, or "" if there is none."""
    return f"…{fingerprint(secret)}" if secret else ""


_now_option = click.option("--now", is_flag=True, help="Do not wait until the step is due.")


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
        rotation = read_rotation(_read_version(stage))
        due_at = rotation.due_at(stage.settings.session_ttl)
    keys = [{"fingerprint": fingerprint(key), "role": rotation.role(key)} for key in rotation.keys]
    if options.as_json:
        due_in = max(0, math.ceil(due_at - time.time()))
        print_json({"keys": keys, "next_step": rotation.next_step, "due_at": math.ceil(due_at), "due_in": due_in})
        return
    options.show(("fingerprint", "role"), keys)
    click.echo(f"next step: redeemctl session-key {rotation.next_step} ({_when(due_at)})")


@session_key.command("add")
@pass_options
def add_key(options: GlobalOptions) -> None:
    """Step 1: add a key that verifies sessions but does not sign them yet."""
    _take_step(options, ADD)


@session_key.command("use")
@_now_option
@pass_options
def use_key(options: GlobalOptions, *, now: bool) -> None:
    """Step 2: sign new sessions with the added key."""
    warning = "Instances that do not know the new key yet refuse its sessions for some seconds." if now else ""
    _take_step(options, USE, now, warning)


@session_key.command("retire")
@_now_option
@pass_options
def retire_key(options: GlobalOptions, *, now: bool) -> None:
    """Step 3: remove the previous key. Use --now only if the key has leaked: its sessions end within five minutes."""
    warning = "All sessions that were signed with a removed key end." if now else "The previous key is removed."
    _take_step(options, RETIRE, now, warning)


def _read_version(stage: Stage) -> SecretVersion:
    """Return the secret's current version; raises CommandError if it has no session key yet."""
    version = read_secret(stage)
    if not version.session_keys:
        raise CommandError("there is no session key yet; the first app creates it: redeemctl app add APP_ID")
    return version


def _take_step(options: GlobalOptions, step: str, now: bool = False, warning: str = "") -> None:
    """Take a step if it is due; nothing changes if it has been taken already."""
    with options.open_stage() as stage:
        version = _read_version(stage)
        before = after = read_rotation(version)
        if before.next_step == BLOCKED_BY.get(step):
            raise CommandError(f"the rotation is not complete; next step: redeemctl session-key {before.next_step}")
        if before.next_step == step:
            due_at = before.due_at(stage.settings.session_ttl)
            if due_at > time.time() and not now:
                raise NotDueError(f"session-key {step}: not due yet ({_when(due_at)})")
            after = before.take_step(new_key())
        keys = dict.fromkeys([*before.keys, *after.keys])
        changes = [Change(f"session key {fingerprint(key)}", before.role(key), after.role(key)) for key in keys]
        options.change(
            [change for change in changes if change.current != change.new],
            lambda: open_secret(stage).replace(version, after.to_content()),
            f"session-key {step}: done; redeemctl session-key status shows the next step",
            warning=warning,
        )


def _when(due_at: float) -> str:
    seconds = math.ceil(due_at - time.time())
    at = datetime.fromtimestamp(due_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"due at {at} UTC, in {seconds} s" if seconds > 0 else "due now"

"""The stage's secret: conditional writes, and the rotation of its session keys with the commands `session-key`.

Secrets Manager has no conditional PutSecretValue, so a new version is first stored under a label of our own. Then the
label AWSCURRENT is moved from the version that was read to the new one. AWS refuses this if AWSCURRENT is no longer at
the version that was read:
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import Any

import click
import msgspec
from botocore.exceptions import ClientError

from chalicelib.credentials import Credentials, parse_credentials
from redeemctl.command_line import CommandLine, pass_command_line
from redeemctl.errors import CHANGED_MEANWHILE, CommandError, ConflictError
from redeemctl.merchant_rows import Change
from redeemctl.stage import Stage

CURRENT = "AWSCURRENT"
LABEL = "redeemctl"
"""The label of the newest version that this program has written. The next version takes it over, because AWS allows
only 20 labels."""

MAX_BYTES = 65_536
"""Limit of Secrets Manager for a value, in bytes. It is checked here, because AWS's message may repeat the value."""

_CONFLICT_CODES = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"})
"""AWS may report these codes if AWSCURRENT is at another version by now; the last one if a version was deleted."""

KEPT_KEYS = 2
"""The number of former session keys that still verify after a rotation. By default, a session lasts two hours. A second
rotation within this time ends no session."""


class SecretVersion(Credentials, frozen=True):
    """A version of the secret. A secret without a value has an empty version."""

    apps: dict[str, str] = msgspec.field(default_factory=dict)
    session_keys: list[str] = msgspec.field(default_factory=list)
    version_id: str = ""
    #: The whole JSON object, with the members that the service does not know.
    content: dict[str, Any] = msgspec.field(default_factory=dict)

    def get_app_secret(self, app_id: str) -> str:
        """Return an app's secret, "" for one of a service provider; raises CommandError for an unknown app."""
        if app_id not in self.apps:
            app_ids = ", ".join(self.apps) or "none"
            raise CommandError(f"app {app_id} not found (apps: {app_ids}); to add it: redeemctl app add {app_id}")
        return self.apps[app_id]


def read_secret_version(stage: Stage) -> SecretVersion:
    """Return the current version of a stage's secret; raises ConfigurationError if it is malformed."""
    client, name = stage.aws_account.client("secretsmanager"), stage.service_settings.secret_name
    try:
        response = client.get_secret_value(SecretId=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        # Secrets Manager reports a missing value and a missing secret with the same code. This call fails only if the
        # secret is missing.
        client.describe_secret(SecretId=name)
        return SecretVersion()
    text = response.get("SecretString", "")
    credentials = msgspec.structs.asdict(parse_credentials(text))
    return SecretVersion(**credentials, version_id=response["VersionId"], content=json.loads(text))


def replace_secret(stage: Stage, seen: SecretVersion, new_members: dict[str, Any]) -> None:
    """Replace the version that was read (`seen`) by one in which these members are new.

    Raises ConflictError if the version that was read is no longer the current one.
    """
    content = {**seen.content, **new_members}
    if not content.get("external_tokens", True):
        del content["external_tokens"]
    text = json.dumps(content, ensure_ascii=False)
    # Never write what the service would refuse.
    parse_credentials(text)
    if len(text.encode()) > MAX_BYTES:
        raise CommandError(f"the secret would have {len(text.encode()):,} bytes; AWS allows {MAX_BYTES:,}")
    client, name = stage.aws_account.client("secretsmanager"), stage.service_settings.secret_name
    written = client.put_secret_value(SecretId=name, SecretString=text, VersionStages=[LABEL])
    version_id = written["VersionId"]
    # AWS attaches AWSCURRENT to the first version of a secret by itself.
    if CURRENT in written["VersionStages"]:
        return
    # Without RemoveFromVersionId, AWS refuses to move a label that is attached to any version.
    condition = {"RemoveFromVersionId": seen.version_id} if seen.version_id else {}
    try:
        client.update_secret_version_stage(SecretId=name, VersionStage=CURRENT, MoveToVersionId=version_id, **condition)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _CONFLICT_CODES:
            raise
        # If the response to the first attempt was lost, botocore tries again. This attempt fails, although our version
        # is current.
        if client.get_secret_value(SecretId=name)["VersionId"] != version_id:
            raise ConflictError(CHANGED_MEANWHILE) from None


def new_key() -> str:
    """Return a random session key."""
    return secrets.token_hex(32)


def fingerprint(text: str | None) -> str:
    """Return a short hash that identifies a secret text without revealing it, or "" if there is none."""
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""


@click.group("session-key")
def session_key() -> None:
    """Rotate the keys that sign sessions."""


@session_key.command("rotate")
@click.option("--revoke", is_flag=True, help="Keep no former key. For a key that has leaked: all sessions end.")
@pass_command_line
def rotate_key(cli: CommandLine, *, revoke: bool) -> None:
    """Sign sessions with a new key from now on.

    The two former keys still verify, so no session ends, unless this is the third rotation within its lifetime.
    """
    with cli.open_stage() as stage:
        seen = read_secret_version(stage)
        before = seen.session_keys
        if not before:
            raise CommandError("there is no session key yet; the first app creates it: redeemctl app add APP_ID")
        after = [new_key(), *([] if revoke else before[:KEPT_KEYS])]
        keys = dict.fromkeys([*before, *after])
        changes = [Change(f"session key {fingerprint(key)}", _role(key, before), _role(key, after)) for key in keys]
        cli.change(
            changes,
            lambda: replace_secret(stage, seen, {"session_keys": after}),
            "session-key rotate: done; instances use the new key within five minutes",
            warning="All sessions end within five minutes." if revoke else "",
        )


def _role(key: str, keys: Sequence[str]) -> str:
    """Describe what a key does in a list of keys; an empty text if it is not there."""
    if key not in keys:
        return ""
    return "signs and verifies" if key == keys[0] else "verifies"

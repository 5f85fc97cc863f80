"""The stage's secret in Secrets Manager: read it, and replace it by compare-and-set.

Secrets Manager has no conditional PutSecretValue. So a new version is first stored under a label of our own. Then the
label AWSCURRENT is moved from the version that was read to the new one. AWS refuses this if AWSCURRENT is no longer at
the version that was read:
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from chalicelib.credentials import Credentials, parse_credentials
from redeemctl.changes import WriteConflictError
from redeemctl.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT = "AWSCURRENT"
LABEL = "redeemctl"
"""Holds a new version until it becomes AWSCURRENT. One label for all writers: AWS allows 20 labels in a secret."""

MAX_BYTES = 65_536
"""Limit of Secrets Manager for a value."""


_CONFLICT_CODES = frozenset({"InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"})
"""What AWS may report if AWSCURRENT has moved on; the last one if a version has been deleted meanwhile."""


@dataclass(frozen=True)
class SecretVersion:
    """A version of the secret.

    `content` is the whole JSON object, with the members that the service does not know. `created_at` and `read_at` are
    epoch seconds of AWS's clock. `credentials` is None and `version_id` may be empty if there is no value yet.
    """

    version_id: str
    credentials: Credentials | None
    created_at: float
    read_at: float
    content: dict[str, Any] = field(repr=False)

    @property
    def apps(self) -> dict[str, str]:
        """The app secrets by app_id."""
        return {} if self.credentials is None else self.credentials.apps

    @property
    def session_keys(self) -> list[str]:
        """The session keys; the first one signs."""
        return [] if self.credentials is None else self.credentials.session_keys


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
            # Secrets Manager reports a missing value and a missing secret with the same code.
            if error.response["Error"]["Code"] != "ResourceNotFoundException" or not self.exists():
                raise
            return SecretVersion("", None, 0.0, time.time(), {})
        text = response.get("SecretString", "")
        return SecretVersion(
            response["VersionId"],
            parse_credentials(text) if text else None,
            response["CreatedDate"].timestamp(),
            aws_time(response),
            json.loads(text) if text else {},
        )

    def exists(self) -> bool:
        """Return whether the secret exists, with or without a value."""
        try:
            self._client.describe_secret(SecretId=self._name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return False
        return True

    def replace(self, seen: SecretVersion, content: dict[str, Any]) -> None:
        """Replace the version that was read; raises WriteConflictError if it is not the current one any more."""
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
                raise WriteConflictError from None


def aws_time(response: Any) -> float:
    """Return the time of AWS's clock in a response: the machines of two operators may differ."""
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    parsed = email.utils.parsedate_tz(date)
    return time.time() if parsed is None else float(email.utils.mktime_tz(parsed))

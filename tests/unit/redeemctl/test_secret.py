"""The secret's conditional writes, where AWS differs from the emulated one."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.errors import ConfigurationError
from redeemctl.errors import CommandError, ConflictError
from redeemctl.secret import CURRENT, LABEL, MAX_BYTES, SecretVersion, read_secret_version, replace_secret

KEY = "k" * 32
VALUE = f'{{"apps": {{"tt1": "s"}}, "session_keys": ["{KEY}"], "later": 1}}'


class FakeClient:
    """Secrets Manager with one secret: versions, and the version that each label is at.

    `move_error` is what UpdateSecretVersionStage answers for AWSCURRENT, after moving it or not.
    """

    def __init__(self, *values: str) -> None:
        self.versions = {f"v{number}": value for number, value in enumerate(values)}
        self.labels = {CURRENT: list(self.versions)[-1]} if values else {}
        self.move_error: str | None = None
        self.moves_before_error = False
        self.stage: Any = SimpleNamespace(
            aws_account=SimpleNamespace(client=lambda _: self),
            service_settings=SimpleNamespace(secret_name="secret"),
        )

    def get_secret_value(self, **_: Any) -> Any:
        if CURRENT not in self.labels:
            raise client_error("ResourceNotFoundException")
        version = self.labels[CURRENT]
        return {"VersionId": version, "SecretString": self.versions[version]}

    def describe_secret(self, **_: Any) -> Any:
        return {}

    def put_secret_value(self, *, SecretString: str, VersionStages: list[str], **_: Any) -> Any:  # noqa: N803
        version = f"v{len(self.versions)}"
        self.versions[version] = SecretString
        stages = [*VersionStages, *([CURRENT] if not self.labels else [])]
        self.labels |= dict.fromkeys(stages, version)
        return {"VersionId": version, "VersionStages": stages}

    def update_secret_version_stage(self, **arguments: Any) -> None:
        if self.move_error is None or self.moves_before_error:
            assert arguments.get("RemoveFromVersionId") == self.labels.get(CURRENT)
            self.labels[CURRENT] = arguments["MoveToVersionId"]
        if self.move_error:
            raise client_error(self.move_error)


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "x")


def replace(client: FakeClient, content: Any) -> None:
    """Replace the version that is read."""
    replace_secret(client.stage, read_secret_version(client.stage), content)


def test_a_version_is_read() -> None:
    seen = read_secret_version(FakeClient(VALUE).stage)
    assert seen == SecretVersion({"tt1": "s"}, [KEY], version_id="v0", content=json.loads(VALUE))


def test_the_first_version_of_a_secret_is_current_at_once() -> None:
    client = FakeClient()
    assert read_secret_version(client.stage) == SecretVersion()
    replace(client, {"apps": {}, "session_keys": [KEY]})
    assert client.labels == {CURRENT: "v0", LABEL: "v0"}


@pytest.mark.parametrize("lost_response", [None, "InvalidParameterException"])
def test_members_that_are_not_changed_are_kept(lost_response: str | None) -> None:
    """A write whose response was lost is no conflict."""
    client = FakeClient(VALUE)
    client.move_error, client.moves_before_error = lost_response, True
    replace(client, {"apps": {}})
    assert client.versions["v1"] == f'{{"apps": {{}}, "session_keys": ["{KEY}"], "later": 1}}'
    assert client.labels == {CURRENT: "v1", LABEL: "v1"}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("InvalidParameterException", ConflictError),
        ("InvalidRequestException", ConflictError),
        ("ResourceNotFoundException", ConflictError),
        ("AccessDeniedException", ClientError),
    ],
)
def test_only_a_version_that_is_no_longer_current_is_a_conflict(code: str, error: type[Exception]) -> None:
    client = FakeClient(VALUE)
    client.move_error = code
    with pytest.raises(error):
        replace(client, {"apps": {}})
    assert client.labels[CURRENT] == "v0"


def test_a_value_that_the_service_would_refuse_is_never_written() -> None:
    client = FakeClient(VALUE)
    with pytest.raises(ConfigurationError):
        replace(client, {"session_keys": []})
    with pytest.raises(CommandError, match="65,536"):
        replace(client, {"apps": {"tt1": "x" * MAX_BYTES}})
    assert list(client.versions) == ["v0"]


def test_a_version_does_not_show_its_content() -> None:
    assert "planted" not in repr(SecretVersion({"a": "planted"}, ["planted"], content={"session_keys": ["planted"]}))

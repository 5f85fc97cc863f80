"""The secret's conditional writes, where AWS differs from the emulated one, and the key rotation."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.credentials import parse_credentials
from chalicelib.errors import ConfigurationError
from redeemctl.errors import CommandError, ConflictError
from redeemctl.secret import (
    ADD,
    CURRENT,
    LABEL,
    MAX_BYTES,
    RETIRE,
    USE,
    Rotation,
    SecretStore,
    SecretVersion,
    fingerprint,
    read_rotation,
)
from tests.unit.fakes import NOW

VALUE = '{"apps": {"tt1": "s"}, "session_keys": ["k"], "later": 1}'


class FakeClient:
    """Secrets Manager with one secret: versions, and the version that each label is at.

    `move_error` is what UpdateSecretVersionStage answers for AWSCURRENT, after moving it or not.
    """

    def __init__(self, *values: str) -> None:
        self.versions = {f"v{number}": value for number, value in enumerate(values)}
        self.labels = {CURRENT: list(self.versions)[-1]} if values else {}
        self.move_error: str | None = None
        self.moves_before_error = False

    def get_secret_value(self, **_: Any) -> Any:
        if CURRENT not in self.labels:
            raise client_error("ResourceNotFoundException")
        version = self.labels[CURRENT]
        created = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
        return {"VersionId": version, "SecretString": self.versions[version], "CreatedDate": created}

    def describe_secret(self, **_: Any) -> Any:
        return {}

    def put_secret_value(self, *, SecretString: str, VersionStages: list[str], **_: Any) -> Any:  # noqa: N803
        version = f"v{len(self.versions)}"
        self.versions[version] = SecretString
        stages = [*VersionStages, *([CURRENT] if not self.labels else [])]
        self.labels |= dict.fromkeys(stages, version)
        return {"VersionId": version, "VersionStages": stages}

    def update_secret_version_stage(self, **arguments: Any) -> None:
        if arguments["VersionStage"] == LABEL:
            del self.labels[LABEL]
            return
        if self.move_error is None or self.moves_before_error:
            assert arguments.get("RemoveFromVersionId") == self.labels.get(CURRENT)
            self.labels[CURRENT] = arguments["MoveToVersionId"]
        if self.move_error:
            raise client_error(self.move_error)


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "x")


def make_store(client: Any) -> SecretStore:
    return SecretStore(client, "secret")


def test_a_version_is_read_with_the_time_of_its_creation() -> None:
    seen = make_store(FakeClient(VALUE)).read()
    assert (seen.version_id, seen.apps, seen.session_keys, seen.created_at) == ("v0", {"tt1": "s"}, ["k"], NOW)


def test_the_first_version_of_a_secret_is_current_at_once() -> None:
    client = FakeClient()
    store = make_store(client)
    seen = store.read()
    assert seen == SecretVersion()
    store.replace(seen, {"apps": {}, "session_keys": ["k"]})
    assert client.labels == {CURRENT: "v0"}


def test_members_that_are_not_changed_are_kept() -> None:
    client = FakeClient(VALUE)
    store = make_store(client)
    store.replace(store.read(), {"apps": {}})
    assert client.versions["v1"] == '{"apps": {}, "session_keys": ["k"], "later": 1}'
    assert client.labels == {CURRENT: "v1"}


@pytest.mark.parametrize("code", ["InvalidParameterException", "InvalidRequestException", "ResourceNotFoundException"])
def test_a_version_that_is_no_longer_current_is_a_conflict(code: str) -> None:
    client = FakeClient(VALUE)
    client.move_error = code
    store = make_store(client)
    with pytest.raises(ConflictError):
        store.replace(store.read(), {"apps": {}})
    assert client.labels == {CURRENT: "v0"}


def test_a_write_whose_response_was_lost_is_no_conflict() -> None:
    client = FakeClient(VALUE)
    client.move_error, client.moves_before_error = "InvalidParameterException", True
    store = make_store(client)
    store.replace(store.read(), {"apps": {}})
    assert client.labels == {CURRENT: "v1"}


def test_another_error_of_aws_is_not_hidden() -> None:
    client = FakeClient(VALUE)
    client.move_error = "AccessDeniedException"
    store = make_store(client)
    with pytest.raises(ClientError, match="AccessDenied"):
        store.replace(store.read(), {"apps": {}})


def test_a_value_that_the_service_would_refuse_is_never_written() -> None:
    client = FakeClient(VALUE)
    store = make_store(client)
    seen = store.read()
    with pytest.raises(ConfigurationError):
        store.replace(seen, {"session_keys": []})
    with pytest.raises(CommandError, match="65,536"):
        store.replace(seen, {"apps": {"tt1": "x" * MAX_BYTES}})
    assert list(client.versions) == ["v0"]


TTL = 7200
CACHE_SECONDS = 300


def make_version(session_keys: list[str], pending_key: Any = None, created_at: float = NOW) -> SecretVersion:
    content = {"apps": {}, "session_keys": session_keys, "pending_key": pending_key}
    return SecretVersion("v1", created_at, {}, session_keys, content)


def write(rotation: Rotation, created_at: float) -> Rotation:
    """Return the rotation as it is read after it was written at a time."""
    return read_rotation(make_version(**rotation.to_content(), created_at=created_at))


def test_a_rotation_survives_between_its_steps() -> None:
    rotation = read_rotation(make_version(["old"]))
    assert (rotation.next_step, rotation.due_at(TTL)) == (ADD, NOW)

    rotation = write(rotation.take_step("new"), NOW + 1)
    assert rotation == Rotation(("old", "new"), fingerprint("new"), NOW + 1)
    assert rotation.next_step == USE
    assert rotation.due_at(TTL) > NOW + 1 + CACHE_SECONDS, "every instance has read the new key"

    rotation = write(rotation.take_step(""), NOW + 1000)
    assert rotation == Rotation(("new", "old"), "", NOW + 1000)
    assert rotation.next_step == RETIRE
    assert rotation.due_at(TTL) > NOW + 1000 + CACHE_SECONDS + TTL, "the last session of the old key has expired"

    rotation = write(rotation.take_step(""), NOW + 20_000)
    assert (rotation.keys, rotation.next_step) == (("new",), ADD)


def test_the_roles_of_the_keys_are_described() -> None:
    added = Rotation(("a",), "", NOW).take_step("b")
    assert [added.role(key) for key in "abc"] == ["signs and verifies", "verifies, does not sign yet", ""]
    used = added.take_step("")
    assert [used.role(key) for key in used.keys] == ["signs and verifies", "verifies, to be retired"]


@pytest.mark.parametrize("pending", [None, {}, "", "other", fingerprint("a")])
def test_a_pending_key_that_does_not_fit_the_keys_does_not_count(pending: Any) -> None:
    assert read_rotation(make_version(["a", "b"], pending)) == Rotation(("a", "b"), "", NOW)


def test_the_service_ignores_the_pending_key_and_it_is_no_secret() -> None:
    content = Rotation(("k",), "", NOW).take_step("new").to_content()
    assert "new" not in content["pending_key"]
    assert parse_credentials(json.dumps({"apps": {}, **content})).session_keys == ["k", "new"]


def test_a_version_does_not_show_its_content() -> None:
    assert "planted" not in repr(make_version(["planted"]))

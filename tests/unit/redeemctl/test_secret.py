"""The secret's conditional writes, where AWS differs from the emulated one."""

import contextlib
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError

from chalicelib.errors import ConfigurationError
from redeemctl.errors import CommandError, ConflictError
from redeemctl.secret import CURRENT, LABEL, MAX_BYTES, SecretVersion, read_secret_version, replace_secret

KEY = "k" * 32
VALUE = f'{{"apps": {{"tt1": "s"}}, "session_keys": ["{KEY}"], "later": 1}}'
SEEN = SecretVersion({"tt1": "s"}, [KEY], version_id="v0", content=json.loads(VALUE))


def make_client(current: str = "v0") -> Mock:
    """Return a client of Secrets Manager. `current` is the version that AWSCURRENT is at; v1 is the one that is put."""
    client = Mock()
    client.get_secret_value.return_value = {"VersionId": current, "SecretString": VALUE}
    client.put_secret_value.return_value = {"VersionId": "v1", "VersionStages": [LABEL]}
    return client


def stage_of(client: Mock) -> Any:
    return SimpleNamespace(
        aws_account=SimpleNamespace(client=lambda _: client), service_settings=SimpleNamespace(secret_name="secret")
    )


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "x")


def test_the_version_that_was_read_is_replaced_and_members_that_are_not_changed_are_kept() -> None:
    client = make_client()
    assert read_secret_version(stage_of(client)) == SEEN
    replace_secret(stage_of(client), SEEN, {"apps": {}})
    text = f'{{"apps": {{}}, "session_keys": ["{KEY}"], "later": 1}}'
    client.put_secret_value.assert_called_once_with(SecretId="secret", SecretString=text, VersionStages=[LABEL])
    client.update_secret_version_stage.assert_called_once_with(
        SecretId="secret", VersionStage=CURRENT, MoveToVersionId="v1", RemoveFromVersionId="v0"
    )


def test_the_first_version_of_a_secret_is_current_at_once() -> None:
    client = make_client()
    client.get_secret_value.side_effect = client_error("ResourceNotFoundException")
    assert read_secret_version(stage_of(client)) == SecretVersion()
    client.put_secret_value.return_value["VersionStages"] = [LABEL, CURRENT]
    replace_secret(stage_of(client), SecretVersion(), {"apps": {}, "session_keys": [KEY]})
    client.update_secret_version_stage.assert_not_called()


@pytest.mark.parametrize(
    ("code", "current", "error"),
    [
        ("InvalidParameterException", "v0", ConflictError),
        ("InvalidRequestException", "v0", ConflictError),
        ("ResourceNotFoundException", "v0", ConflictError),
        ("AccessDeniedException", "v0", ClientError),
        # Only the response to the first attempt was lost.
        ("InvalidParameterException", "v1", None),
    ],
)
def test_only_a_version_that_is_no_longer_current_is_a_conflict(
    code: str, current: str, error: type[Exception] | None
) -> None:
    client = make_client(current)
    client.update_secret_version_stage.side_effect = client_error(code)
    with pytest.raises(error) if error else contextlib.nullcontext():
        replace_secret(stage_of(client), SEEN, {"apps": {}})


def test_a_value_that_the_service_would_refuse_is_never_written() -> None:
    client = make_client()
    with pytest.raises(ConfigurationError):
        replace_secret(stage_of(client), SEEN, {"session_keys": []})
    with pytest.raises(CommandError, match="65,536"):
        replace_secret(stage_of(client), SEEN, {"apps": {"tt1": "x" * MAX_BYTES}})
    client.put_secret_value.assert_not_called()


def test_a_version_does_not_show_its_content() -> None:
    assert "planted" not in repr(SecretVersion({"a": "planted"}, ["planted"], content={"session_keys": ["planted"]}))

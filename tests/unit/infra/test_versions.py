"""Which versions of a function are published and kept."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import pytest

from infra import versions
from infra.bundle import Build
from infra.stage_settings import StageError
from tests.unit.infra.fake_lambda import FakeLambda, build_archive

NAME = "douyin-redemption-dev"
ARCHIVE = build_archive("0.1.0")
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


def publish(client: FakeLambda, build: Build | None = None, hours: int = 0) -> None:
    versions.publish(client, NAME, build, now=lambda: NOW + timedelta(hours=hours))


@pytest.fixture
def client() -> FakeLambda:
    """Lambda with a function that serves version 0.1.0, of which no version is published."""
    client = FakeLambda()
    client.deploy(NAME, ARCHIVE)
    return client


def test_a_deployment_publishes_version_commit_and_time(client: FakeLambda) -> None:
    publish(client, Build("0.1.0", "0123456789ab+"))
    assert client.published(NAME) == ["version 0.1.0, commit 0123456789ab+, 2026-11-25T10:00:00Z"]
    assert versions.read_history(client, NAME).published[0].commit == "0123456789ab+"


def test_the_same_code_and_settings_are_published_once(client: FakeLambda) -> None:
    publish(client, Build("0.1.0", "a" * 12))
    publish(client, Build("0.1.0", "a" * 12), hours=1)
    assert len(client.published(NAME)) == 1
    client.deploy(NAME, ARCHIVE, {"SESSION_TTL_SECONDS": "60"})
    publish(client, Build("0.1.0", "a" * 12), hours=2)
    assert len(client.published(NAME)) == 2, "a rollback needs the variables that the code had last"


def test_what_runs_before_the_first_publication_is_of_an_unknown_commit(client: FakeLambda) -> None:
    publish(client)
    assert client.published(NAME)[0].startswith("version unknown, commit unknown,")
    assert versions.read_history(client, NAME).published[0].commit is None


def test_code_of_another_deployment_is_not_labelled_with_this_ones_commit(client: FakeLambda) -> None:
    other = versions.code_hash(build_archive("0.2.0"))
    with pytest.raises(StageError, match=f"function {NAME} serves other code than was just deployed"):
        versions.publish(client, NAME, Build("0.2.0", "b" * 12), other)
    assert client.published(NAME) == []
    versions.publish(client, NAME, Build("0.1.0", "a" * 12), versions.code_hash(ARCHIVE))
    assert len(client.published(NAME)) == 1


def test_the_last_ten_versions_are_kept(client: FakeLambda) -> None:
    for number in range(12):
        client.deploy(NAME, build_archive(str(number)))
        publish(client, Build(str(number), None))
    assert [text.split(",")[0] for text in client.published(NAME)] == [f"version {n}" for n in range(2, 12)]


def test_code_that_arrives_incomplete_is_refused_without_its_address(client: FakeLambda) -> None:
    publish(client)
    [version] = versions.read_history(client, NAME).published
    response = SimpleNamespace(status_code=200, content=b"incomplete")
    with mock.patch("requests.get", return_value=response), pytest.raises(StageError) as raised:
        versions.download(client, NAME, version)
    assert "https" not in str(raised.value)

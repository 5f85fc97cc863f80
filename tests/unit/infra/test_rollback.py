"""Which build a rollback restores, in which order, and what it refuses."""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from botocore.exceptions import ClientError

from infra import rollback, smoke, versions
from infra.bundle import Build, read_build
from infra.stage_settings import StageError, settings_path
from tests.unit.infra.fake_lambda import FakeLambda, build_archive

API, OTHERS = "douyin-redemption-dev", ("douyin-redemption-dev-refresh_tokens", "douyin-redemption-dev-another")
COMMITS = {"1": "aaaaaaaaaaaa", "2": "bbbbbbbbbbbb", "3": "cccccccccccc+", "1 edited": "aaaaaaaaaaaa+"}


class Stage:
    """A stage with three functions, to which builds are deployed; `checked` has the build of each smoke test."""

    def __init__(self, project: Path) -> None:
        self.client = FakeLambda()
        self.project = project
        self.report: list[str] = []
        self.checked: list[Build] = []
        self.options: dict[str, Any] = {}
        self.account: Any = SimpleNamespace(
            endpoint_url=None,
            id="123456789012",
            region="us-east-1",
            client=lambda _: self.client,
            api_url=lambda api_id, stage: f"{api_id}/{stage}",
        )

    def deploy(self, version: str, **values: Any) -> None:
        archive = build_archive(version, COMMITS[version])
        for name in (API, *OTHERS):
            self.client.deploy(name, archive, **values)
        versions.publish(self.client, API, Build(version, COMMITS[version]), versions.code_hash_of(archive))

    def deploy_each(self, versions: str) -> None:
        for version in versions:
            self.deploy(version)

    def rollback(self, commit: str | None = None, **options: bool) -> None:
        self.report.clear()
        rollback.rollback(self.account, self.project, "dev", self.report.append, commit, **options)

    def running(self) -> set[str | None]:
        """Return the versions that the functions serve."""
        return {read_build(io.BytesIO(function["archive"])).version for function in self.client.functions.values()}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    settings_path(tmp_path, "dev").parent.mkdir(parents=True)
    settings_path(tmp_path, "dev").write_text("")
    stage = Stage(tmp_path)

    def check(_account: Any, _stage: str, build: Build, _url: str, _domain: Any, **options: Any) -> str:
        stage.options = options
        stage.checked.append(build)
        return "smoke test: passed"

    monkeypatch.setattr(requests, "get", stage.client.download)
    monkeypatch.setattr(smoke, "check", check)
    monkeypatch.setattr(rollback, "find_rest_api", lambda *_: "abc")
    return stage


@pytest.mark.parametrize("deployed", ["123", "121"])
def test_a_rollback_goes_one_build_back_for_all_functions(stage: Stage, deployed: str) -> None:
    """Also to what ran between two deployments of the same build."""
    stage.deploy_each(deployed)
    for version in ("2", "1"):
        stage.rollback()
        assert stage.running() == {version}
        assert stage.report[-1] == "smoke test: passed"
    assert stage.checked == [Build("2", COMMITS["2"]), Build("1", COMMITS["1"])]
    with pytest.raises(StageError, match="TO=<commit>"):
        stage.rollback()


def test_a_build_that_was_rolled_back_does_not_come_back_without_its_commit(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.rollback()
    stage.deploy("3")
    stage.rollback()
    assert stage.running() == {"1"}, "what ran before the deployment"
    with pytest.raises(StageError, match="no older build"):
        stage.rollback()
    stage.rollback(COMMITS["2"])
    assert stage.running() == {"2"}


def test_a_build_of_edited_files_is_not_that_of_its_commit(stage: Stage) -> None:
    for build in ("1", "1 edited", "2"):
        stage.deploy(build)
    stage.rollback("aaaaaaaaaaaa")
    assert stage.running() == {"1"}
    stage.rollback("aaaaaaaaaaaa+")
    assert stage.running() == {"1 edited"}


def test_a_commit_names_an_older_or_a_newer_build(stage: Stage) -> None:
    stage.deploy_each("123")
    for commit, build in (("aaaaaaa", "1"), (COMMITS["2"] + "0" * 28, "2"), ("cccccccccccc", "3")):
        stage.rollback(commit)
        assert stage.running() == {build}
    for commit in ("ddddddd", "+"):
        with pytest.raises(StageError, match=re.escape(f"no build of commit {commit}")):
            stage.rollback(commit)


def test_a_dry_run_lists_the_builds_and_changes_nothing(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.rollback(dry_run=True)
    assert stage.report[1:] == [
        "build version 2, commit bbbbbbbbbbbb, 2026-11-25T10:00:00 (runs now)",
        "build version 1, commit aaaaaaaaaaaa, 2026-11-25T10:00:00",
        "rollback to version 1, commit aaaaaaaaaaaa",
    ]
    assert stage.client.calls == []


def test_a_deployment_of_the_same_code_with_other_settings_is_no_build_to_go_back_to(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.deploy("2", MemorySize=2048)
    stage.rollback()
    assert stage.running() == {"1"}


HALF_WAY = "half-way, so it is not known what ran before. Nothing was changed. TO=<commit> names a build"


@pytest.mark.parametrize("failed", [OTHERS[0], OTHERS[1], "publish"])
def test_after_a_rollback_that_ended_half_way_nothing_changes_until_a_build_is_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, failed: str
) -> None:
    stage.deploy("1")
    stage.deploy_each("23")
    with monkeypatch.context() as failing:
        stage.client.fails = f"UpdateFunctionCode {failed}"
        if failed == "publish":
            failing.setattr(stage.client, "publish_version", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises((ClientError, KeyboardInterrupt)):
            stage.rollback(COMMITS["1"])
    stage.client.fails = ""
    stage.client.calls.clear()
    with pytest.raises(StageError, match=HALF_WAY):
        stage.rollback()
    assert stage.client.calls == []
    assert len([line for line in stage.report if line.startswith("build ")]) == 3
    stage.rollback(COMMITS["1"])
    assert stage.running() == {"1"}


def test_after_a_deployment_that_ended_half_way_nothing_changes_until_a_build_is_named(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.client.deploy(OTHERS[0], build_archive("3", COMMITS["3"]))
    with pytest.raises(StageError, match=HALF_WAY):
        stage.rollback()
    stage.rollback(COMMITS["2"])
    assert stage.running() == {"2"}


def test_from_code_that_no_deployment_has_published_a_rollback_goes_to_the_newest_build(stage: Stage) -> None:
    """For example after `chalice deploy` alone, or a deployment of a new build that failed before its end."""
    stage.deploy("1")
    for name in (API, *OTHERS):
        stage.client.deploy(name, build_archive("2", COMMITS["2"]))
    stage.rollback()
    assert stage.running() == {"1"}


def test_a_build_with_another_runtime_is_refused_before_any_change(stage: Stage) -> None:
    stage.deploy("1", Runtime="python3.12")
    stage.deploy("2")
    with pytest.raises(
        StageError, match=r"has python3\.12, not python3\.11: git checkout aaaaaaaaaaaa, then make deploy"
    ):
        stage.rollback()
    assert stage.client.calls == []


def test_a_smoke_test_that_fails_after_a_rollback_names_the_way_from_there(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.rollback(tolerates_outage=True)
    assert "If the platform does not answer, no further rollback helps" in stage.options["advice"]
    assert "git checkout aaaaaaaaaaaa, then make deploy STAGE=dev" in stage.options["advice"]
    assert stage.options["tolerates_outage"]


def test_before_the_first_deployment_there_is_nothing_to_roll_back(stage: Stage) -> None:
    with pytest.raises(StageError, match="stage dev has no function or no API"):
        stage.rollback()


def test_code_that_arrives_incomplete_is_refused_without_its_address(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.deploy_each("12")
    monkeypatch.setattr(requests, "get", lambda *_, **__: SimpleNamespace(status_code=200, content=b"incomplete"))
    with pytest.raises(StageError) as raised:
        stage.rollback()
    assert "https" not in str(raised.value)
    assert stage.client.calls == []


def test_code_of_another_deployment_fails_this_one(stage: Stage) -> None:
    stage.deploy("1")
    with pytest.raises(StageError, match=f"function {API} serves other code than was just deployed"):
        versions.check_code(stage.client, API, versions.code_hash_of(build_archive("2")))

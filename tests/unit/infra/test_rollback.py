"""Which build a rollback restores, in which order, and what it refuses."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from botocore.exceptions import ClientError

from infra import rollback, smoke, versions
from infra.bundle import ROOT, Build, read_build
from infra.rollback import read_routes
from infra.stage_settings import StageError, settings_path
from tests.unit.infra.fake_lambda import ROUTES, FakeLambda, build_archive

API, REFRESH = "douyin-redemption-dev", "douyin-redemption-dev-refresh_tokens"
COMMITS = {"1": "aaaaaaaaaaaa", "2": "bbbbbbbbbbbb", "3": "cccccccccccc+"}


class Stage:
    """A stage to which builds are deployed; `checked` has the build of each smoke test, `tested` its URL."""

    def __init__(self, project: Path) -> None:
        self.client = FakeLambda()
        self.project = project
        self.report: list[str] = []
        self.checked: list[Build] = []
        self.tested: str | None = None
        self.options: dict[str, Any] = {}
        self.gateway = Mock()
        self.gateway.get_rest_api.return_value = {}
        self.api: str | None = "abc"
        self.account: Any = SimpleNamespace(
            endpoint_url=None,
            id="123456789012",
            region="us-east-1",
            client={"lambda": self.client, "apigateway": self.gateway}.get,
            api_url=lambda api_id, stage: f"{api_id}/{stage}",
        )

    def deploy(self, version: str, app: str = ROUTES, **values: Any) -> None:
        archive = build_archive(version, COMMITS[version], app)
        for name in (REFRESH, API):
            if name in self.client.functions:
                versions.publish(self.client, name)
            self.client.deploy(name, archive, **values)
            versions.publish(self.client, name, Build(version, COMMITS[version]))

    def deploy_each(self, versions: str) -> None:
        for version in versions:
            self.deploy(version)

    def rollback(self, commit: str | None = None, **options: bool) -> None:
        self.report.clear()
        rollback.rollback(self.account, self.project, "dev", self.report.append, commit, **options)

    def running(self) -> dict[str, str | None]:
        """Return the version that each function serves."""
        functions = self.client.functions.items()
        return {name: read_build(io.BytesIO(function["archive"])).version for name, function in functions}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    settings_path(tmp_path, "dev").parent.mkdir(parents=True)
    settings_path(tmp_path, "dev").write_text("")
    stage = Stage(tmp_path)

    def check(_account: Any, _stage: str, build: Build, url: str | None, **options: Any) -> str:
        stage.tested, stage.options = url, options
        stage.checked.append(build)
        return "smoke test: passed"

    monkeypatch.setattr(requests, "get", stage.client.download)
    monkeypatch.setattr(smoke, "check", check)
    monkeypatch.setattr(rollback, "find_rest_api", lambda *_: stage.api)
    monkeypatch.setattr(rollback, "list_routes", lambda *_: {("/v1/health", "GET")})
    return stage


def test_a_rollback_goes_one_build_back_for_both_functions_and_a_second_one_needs_a_commit(stage: Stage) -> None:
    stage.deploy_each("123")
    stage.rollback()
    assert stage.running() == {API: "2", REFRESH: "2"}
    assert stage.report[-1] == "smoke test: passed"
    with pytest.raises(StageError, match=r"a rollback, .* followed the last deployment; TO=<commit>"):
        stage.rollback()
    stage.rollback(COMMITS["1"])
    assert stage.running() == {API: "1", REFRESH: "1"}
    assert stage.checked == [Build("2", COMMITS["2"]), Build("1", COMMITS["1"])]
    with pytest.raises(StageError, match="TO=<commit>"):
        stage.rollback()


def test_a_build_that_was_rolled_back_does_not_come_back_without_its_commit(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.rollback()
    stage.deploy("3")
    stage.rollback()
    assert stage.running()[API] == "1", "what ran before the deployment"
    stage.deploy("1")
    with pytest.raises(StageError, match="no older build"):
        stage.rollback()
    stage.rollback(COMMITS["2"])
    assert stage.running()[API] == "2"


def test_the_same_code_is_never_the_build_before(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.deploy("2", variables={"SESSION_TTL_SECONDS": "60"})
    with pytest.raises(StageError, match=r"other environment variables \(SESSION_TTL_SECONDS\).*aaaaaaaaaaaa"):
        stage.rollback()


def test_a_commit_names_an_older_or_a_newer_build(stage: Stage) -> None:
    stage.deploy_each("123")
    for commit, build in (("aaaaaaa", "1"), (COMMITS["2"] + "0" * 28, "2"), (COMMITS["3"], "3")):
        stage.rollback(commit)
        assert stage.running()[API] == build
    for commit, message in (("cccccccc", "runs already"), ("ddddddd", "no kept build"), ("abc", "at least 7")):
        with pytest.raises(StageError, match=message):
            stage.rollback(commit)


def test_a_dry_run_lists_the_builds_and_changes_nothing(stage: Stage) -> None:
    stage.deploy("1", variables={"OLD": "1"})
    stage.deploy("2")
    stage.deploy("3")
    stage.rollback(dry_run=True)
    marks = [line.partition("(")[2] for line in stage.report[1:4]]
    assert marks == ["runs now)", "", "other environment variables than deployed)"]
    assert stage.report[4].startswith("rollback to version 2, commit bbbbbbbbbbbb, ")
    assert stage.client.calls == []


def test_other_routes_than_deployed_are_refused_before_any_change(stage: Stage) -> None:
    stage.deploy("1", '@app.route("/v1/old")\ndef old(): ...\n')
    stage.deploy("2")
    with pytest.raises(StageError, match=r"\(GET /v1/health, GET /v1/old\).*git checkout aaaaaaaaaaaa"):
        stage.rollback()
    assert stage.client.calls == []


def test_code_that_only_one_function_has_is_refused(stage: Stage) -> None:
    stage.deploy_each("12")
    for configuration, _ in stage.client.functions[REFRESH]["versions"].values():
        configuration["Runtime"] = "python3.12"
    with pytest.raises(StageError, match=f"{REFRESH} has no kept version"):
        stage.rollback()
    assert stage.client.calls == []


CHANGES = [f"UpdateFunctionCode {REFRESH}", f"UpdateFunctionCode {API}"]
"""Of a rollback, in this order."""


@pytest.mark.parametrize("commit", [None, COMMITS["2"]])
@pytest.mark.parametrize("failed", CHANGES)
def test_after_a_failure_at_each_step_the_next_run_completes_the_same_rollback(
    stage: Stage, failed: str, commit: str | None
) -> None:
    """The architecture comes back with the code."""
    stage.deploy("1", Architectures=["arm64"])
    stage.deploy("2", Architectures=["arm64"])
    stage.deploy("3")
    stage.client.fails = failed
    with pytest.raises(ClientError):
        stage.rollback(commit)
    assert [*stage.client.calls, failed] == CHANGES[: len(stage.client.calls) + 1]
    stage.client.fails = ""
    stage.rollback(commit)
    assert stage.running() == {API: "2", REFRESH: "2"}
    for function in stage.client.functions.values():
        assert function["latest"]["Architectures"] == ["arm64"]


def test_from_code_that_no_deployment_has_published_a_rollback_goes_to_the_newest_build(stage: Stage) -> None:
    """For example after `chalice deploy` alone."""
    stage.deploy("1")
    for name in (API, REFRESH):
        stage.client.deploy(name, build_archive("2", COMMITS["2"]))
    stage.rollback()
    assert stage.running()[API] == "1"


def test_without_the_default_endpoint_no_request_is_sent(stage: Stage) -> None:
    """Except at the domain."""
    stage.deploy_each("12")
    stage.gateway.get_rest_api.return_value = {"disableExecuteApiEndpoint": True}
    certificate = "arn:aws:acm:us-east-1:123456789012:certificate/x"
    domain = f'[domain]\nname = "api.example.com"\ncertificate_arn = "{certificate}"\n'
    settings_path(stage.project, "dev").write_text(domain)
    stage.rollback()
    assert (stage.checked, stage.tested) == ([Build("1", COMMITS["1"])], None)
    assert stage.options["domain"].name == "api.example.com"


def test_a_build_with_another_runtime_is_refused_before_any_change(stage: Stage) -> None:
    stage.deploy("1", Runtime="python3.12")
    stage.deploy("2")
    with pytest.raises(
        StageError, match=r"has python3\.12, not python3\.11; git checkout aaaaaaaaaaaa, then make deploy"
    ):
        stage.rollback()
    assert stage.client.calls == []


def test_without_an_answer_of_the_platform_no_further_rollback_is_advised(stage: Stage) -> None:
    stage.deploy_each("12")
    stage.rollback(no_platform=True)
    advice = stage.options["way_back"]
    assert advice.startswith(f"the former code runs, version 1, commit {COMMITS['1']}, ")
    assert "no further rollback" in advice
    assert stage.options["no_platform"]


def test_a_missing_function_or_api_is_named(stage: Stage) -> None:
    with pytest.raises(StageError, match=f"function {REFRESH} does not exist"):
        stage.rollback()
    stage.deploy_each("12")
    stage.api = None
    with pytest.raises(StageError, match="stage dev has no API"):
        stage.rollback()


def test_routes_are_read_from_the_source() -> None:
    """Also those of this app."""
    more = '@app.route("/x")\ndef x(): ...\n@app.route("/y", methods=["GET", "POST"])\ndef y(): ...\n'
    assert read_routes(build_archive("1", app=(ROOT / "app.py").read_text(encoding="utf-8") + more)) == {
        ("/v1/health", "GET"),
        ("/v1/sessions", "POST"),
        ("/v1/merchants/{account_id}/stores", "GET"),
        ("/v1/merchants/{account_id}/stores/{poi_id}/certificates", "GET"),
        ("/x", "GET"),
        ("/y", "GET"),
        ("/y", "POST"),
    }

"""The HTTP contract: API Gateway events in, responses out, with real sockets to the platform and to AWS."""

import json
import re
from pathlib import Path

import pytest

from chalicelib import __version__, settings
from tests.harness import JSON_HEADERS, LIST_MEMBER, Api, Platform


@pytest.mark.parametrize("commit", [None, "0123456789ab+"])
def test_health_is_version_and_commit_and_needs_no_configuration(
    commit: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TABLE_NAME", "SECRET_NAME"):
        monkeypatch.delenv(name, raising=False)
    if commit is not None:
        (tmp_path / "commit.txt").write_text(commit)
    monkeypatch.setattr(settings, "COMMIT_FILE", tmp_path / "commit.txt")
    response = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
    expected = {"status": "ok", "version": __version__} | ({"commit": commit} if commit else {})
    assert (response.status, response.text) == (200, json.dumps(expected, separators=(",", ":")))


def test_a_body_that_is_no_text_is_named(api: Api) -> None:
    problem = api.call("POST", "/v1/sessions", "\ud800", JSON_HEADERS).json
    assert problem["errors"] == [{"field": "body", "detail": "must be valid UTF-8"}]


def test_a_login_has_the_list_of_the_certificates_call_and_a_warm_one_makes_two_calls_and_none_to_aws(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    first = api.login(list=LIST_MEMBER).json
    assert list(first) == ["token", "expires_in", "list"]
    assert first["list"] == api.list().json
    capsys.readouterr()
    platform.server.calls.clear()
    assert api.login(list=LIST_MEMBER).json["list"] == first["list"]
    assert not re.search("dynamodb|secretsmanager", capsys.readouterr().out)
    assert [entry["call"] for entry in platform.server.calls] == ["jscode2session", "query_user_certificates"]

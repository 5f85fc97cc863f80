"""The HTTP contract: API Gateway events in, responses out, with real sockets to the platform and to AWS."""

import json
from pathlib import Path

import pytest

from chalicelib import __version__, settings
from tests.harness import JSON_HEADERS, Api, assert_problem


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
    problem = assert_problem(api.call("POST", "/v1/sessions", "\ud800", JSON_HEADERS), 400, "invalid_request")
    assert problem["errors"] == [{"field": "body", "detail": "must be valid UTF-8"}]

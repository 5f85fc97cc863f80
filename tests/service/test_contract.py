"""The HTTP contract: API Gateway events in, responses out, with real sockets to the platform and to AWS."""

import json
from pathlib import Path

import pytest

from chalicelib import __version__
from chalicelib import commit as commit_module
from sandbox import gateway
from sandbox.sample_data import APP_ID, POI_ID
from tests.harness import JSON_HEADERS, LIST_URL, MERCHANT_ROW, Api, Aws, assert_problem


@pytest.mark.parametrize("commit", [None, "0123456789ab+"])
def test_health_is_version_and_commit_and_needs_no_configuration(
    commit: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TABLE_NAME", "SECRET_NAME"):
        monkeypatch.delenv(name, raising=False)
    if commit is not None:
        (tmp_path / "commit.txt").write_text(commit)
    monkeypatch.setattr(commit_module, "COMMIT_FILE", tmp_path / "commit.txt")
    response = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
    expected = {"status": "ok", "version": __version__} | ({"commit": commit} if commit else {})
    assert (response.status, response.text) == (200, json.dumps(expected, separators=(",", ":")))


def test_an_invalid_request_names_its_input(api: Api) -> None:
    """`tests/unit/api/test_validation.py` has what is wrong with each field."""
    api.login()
    api.platform.server.calls.clear()
    response = api.call("GET", f"{LIST_URL}?biz_type=1&biz_type=2&cursor=planted")
    assert api.platform.server.calls == []
    [error] = assert_problem(response, 400, "invalid_request")["errors"]
    assert error == {"field": "biz_type", "detail": "must be given once"}


def test_a_body_that_is_no_text_is_named(api: Api) -> None:
    problem = assert_problem(api.call("POST", "/v1/sessions", "\ud800", JSON_HEADERS), 400, "invalid_request")
    assert problem["errors"] == [{"field": "body", "detail": "must be valid UTF-8"}]


def test_a_malformed_store_is_left_out_and_its_certificates_are_listed(api: Api, aws: Aws) -> None:
    aws.put(MERCHANT_ROW, app_id=APP_ID, stores={POI_ID: 7, "6602": "b"})
    assert api.call("GET", gateway.stores_url()).json["stores"] == [{"poi_id": "6602", "name": "b"}]
    api.login()
    assert api.list().status == 200


def test_a_malformed_secret_is_an_internal_error_and_the_log_names_it_without_a_value(
    api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.secretsmanager.put_secret_value(SecretId=aws.secret, SecretString='{"apps": {"a": "the-value"}}')
    assert_problem(api.login(), 500, "internal_error")
    out = capsys.readouterr().out
    assert "session_keys" in out
    assert "the-value" not in out

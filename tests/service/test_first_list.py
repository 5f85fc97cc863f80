"""A login with a list: one response with both, and a list that never costs the session."""

import re

import pytest

from tests.harness import LIST_MEMBER, Api, Platform


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

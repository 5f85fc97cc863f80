"""A login with a list: one response with both, and a list that never costs the session."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import WANTED, Api, Platform
from tests.scripted_server import Received, ScriptedServer, certificates_body, http_response


def test_a_login_has_the_list_of_the_certificates_call_and_a_warm_one_makes_two_calls_and_none_to_aws(
    api: Api, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    first = api.login(list=WANTED).json
    assert list(first) == ["token", "expires_in", "list"]
    assert first["list"] == api.list().json
    capsys.readouterr()
    platform.server.calls.clear()
    assert api.login(list=WANTED).json["list"] == first["list"]
    assert not re.search("dynamodb|secretsmanager", capsys.readouterr().out)
    assert [entry["call"] for entry in platform.server.calls] == ["jscode2session", "query_user_certificates"]


def test_the_connection_of_the_first_page_is_opened_while_the_code_is_exchanged_and_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login API responds only after the open API has been connected to."""
    connected = threading.Event()

    def login_api(_: Received) -> Iterator[Any]:
        yield http_response('{"err_no":0,"data":{"openid":"o"}}' if connected.wait(5) else '{"err_no":40018}')

    def open_api(request: Received) -> Iterator[Any]:
        if request.method == "HEAD":
            yield http_response(b"", "404 Not Found")
            connected.set()
        elif request.path.startswith("/oauth/client_token"):
            yield http_response('{"data":{"access_token":"clt.new","expires_in":7200},"message":"success"}')
        else:
            yield http_response(certificates_body("c"))

    with ScriptedServer(login_api) as login_server, ScriptedServer(open_api) as open_server:
        monkeypatch.setenv("DOUYIN_LOGIN_API", login_server.url)
        monkeypatch.setenv("DOUYIN_OPEN_API", open_server.url)
        for _ in range(2):
            body = api.login(code="code", list=WANTED).json
            assert [view["certificate_id"] for view in body["list"]["certificates"]] == ["c"]
        assert open_server.requests[-1].headers["access-token"] == "clt.new"
        assert open_server.connections == 1
        # A warm login needs neither another connection nor another token.
        assert [request.method for request in open_server.requests] == ["HEAD", "POST", "POST", "POST"]

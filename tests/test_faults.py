"""Under fault: an answer in time whatever the other side does, and nothing lost of what it said."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import app as application
from tests.conftest import APP, OTHER_APP, OTHER_MERCHANT
from tests.test_contract import assert_problem, certificate, ids, order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Api, Aws, Platform

    Script = Callable[[socket.socket], None]
    Put = Callable[[Script], None]


class RawServer:
    """A server of bytes: `script` is handed each connection after the request has come."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            self._script(connection)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def raw(aws: Aws, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Puts a server of bytes in the platform's place, for a customer who is logged in and a token that is there."""
    servers: list[RawServer] = []

    def put(script: Script) -> None:
        server = RawServer(script)
        servers.append(server)
        monkeypatch.setenv("DOUYIN_OPEN_API", server.url)
        aws.put(f"TOKEN#{APP}", access_token="clt.live", expires_at=int(time.time()) + 3600)
        api.login()

    yield put
    for server in servers:
        server.close()


def drip(head: bytes, endless: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(endless)
            time.sleep(0.02)

    return script


JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "script",
    [
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        drip(JSON_HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
        drip(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["status line", "a header", "headers", "body", "chunks"],
)
def test_a_drip_is_cut_wherever_it_drips(api: Api, raw: Put, script: Script) -> None:
    raw(script)
    begun = time.monotonic()
    answer = api.list(milliseconds=2500)
    assert answer.status in (503, 504), answer.text
    assert time.monotonic() - begun < 2.5


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_without_end_is_not_read_to_it(api: Api, raw: Put, encoding: str) -> None:
    bomb = b"[" + b" " * 30_000_000
    body = gzip.compress(bomb) if encoding == "gzip" else bomb

    def script(connection: socket.socket) -> None:
        head = JSON_HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body)

    raw(script)
    assert_problem(api.list(), 502, "upstream_malformed")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00\x01\x02",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_unavailable_or_malformed(
    api: Api, raw: Put, reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.upstream.FIRST_WAIT_SECONDS", 0.0)
    raw(lambda connection: connection.sendall(reply))
    answer = api.list(milliseconds=4000)
    assert answer.json["code"] in ("upstream_unavailable", "upstream_malformed"), answer.text


class TestTooOften:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("chalicelib.upstream.FIRST_WAIT_SECONDS", 0.0)

    def test_it_is_remembered_and_the_platform_left_alone(
        self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login()
        platform.fail("code", code=2119003, times=4)
        assert_problem(api.list(), 429, "rate_limited")
        platform.server.calls.clear()
        answer = api.list()
        problem = assert_problem(answer, 429, "rate_limited")
        assert problem["upstream"]["error_code"] == 2119003, "what it said is remembered with it"
        assert int(answer.headers["retry-after"]) >= 1
        assert platform.server.calls == []
        lists = application.parts().certificates
        monkeypatch.setattr(lists._limited, "_clock", lambda: time.time() + 4)
        assert api.list().status == 200

    def test_the_platforms_own_wish_is_kept(
        self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login()
        platform.fail("http", status=429, headers={"Retry-After": "30"})
        answer = api.list()
        assert answer.headers["retry-after"] == "30"
        assert len(platform.calls("query_user_certificates")) == 1, "nobody waits half a minute for a retry"
        platform.server.plan.faults.clear()
        limited = application.parts().certificates._limited
        monkeypatch.setattr(limited, "_clock", lambda: time.time() + 25)
        assert_problem(api.list(), 429, "rate_limited")
        monkeypatch.setattr(limited, "_clock", lambda: time.time() + 31)
        assert api.list().status == 200

    def test_another_app_is_not_bound_by_it(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.fail("code", code=2119003, times=4)
        assert_problem(api.list(), 429, "rate_limited")
        api.login("qian", OTHER_APP)
        assert api.list(merchant=OTHER_MERCHANT, store="6606").status == 200


class TestOneBadPartHidesNoGood:
    """Wrong types at every level: the certificate that holds them is left out, and the good one beside it stays."""

    GOOD = certificate("good")

    @pytest.mark.parametrize(
        "bad",
        [
            None, 7, "text", [], {}, {"certificate_id": None}, {"certificate_id": ""}, {"certificate_id": []},
            {"certificate_id": True}, certificate("bad", sku_info=7), certificate("bad", sku_info={"title": []}),
            certificate("bad", amount={"pay_amount": "much"}), certificate("bad", amount={"pay_amount": 1.5}),
            certificate("bad", amount={"pay_amount": 10**30}), certificate("bad", start_time={}),
            certificate("bad", code=7), certificate("bad", times_card_info={"total_times_serial_nums": [None]}),
            certificate("bad", off_peak_discount_detail={"off_peak_time": {"week_day_list": "Mon"}}),
            {"certificate_id": "bad", "expire_time": []},
        ],
    )  # fmt: skip
    def test_in_a_certificate(self, api: Api, platform: Platform, bad: Any) -> None:
        api.login()
        entry = order("1", self.GOOD)
        entry["order"]["certificates"].append(bad)
        platform.bought("lin", entry)
        assert ids(api.list()) == ["good"]

    @pytest.mark.parametrize(
        "bad",
        [None, 7, "text", [], {}, {"order_id": None, "can_use": True}, {"order_id": "", "can_use": True},
         {"order_id": "2", "can_use": True, "certificates": {}}, {"order_id": {}, "can_use": True}],
    )  # fmt: skip
    def test_in_an_order(self, api: Api, platform: Platform, bad: Any) -> None:
        api.login()
        good = {"order_id": "1", "can_use": True, "certificates": [self.GOOD]}
        platform.fail("patch", patch={"orders": [bad, good, bad], "total": 1})
        assert ids(api.list()) == ["good"]

    @pytest.mark.parametrize("title", [b'"\\ud800"', b'"\xff\xfe"'], ids=["half a surrogate pair", "no UTF-8"])
    def test_in_the_very_bytes(self, api: Api, raw: Put, title: bytes) -> None:
        body = b'{"data":{"orders":[{"order_id":"1","can_use":true,"certificates":[{"certificate_id":"odd",'
        body += b'"sku_info":{"title":' + title + b'}},{"certificate_id":"good"}]}],"total":2},"extra":{}}'
        raw(lambda connection: connection.sendall(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body))
        assert ids(api.list()) == ["good", "odd"]

    def test_null_lists_are_empty_lists_within_an_order(self, api: Api, platform: Platform) -> None:
        api.login()
        orders = [
            {"order_id": "1", "can_use": True, "certificates": None},
            {"order_id": "2", "can_use": True},
            {"order_id": "3", "can_use": True, "certificates": [self.GOOD | {"times_card_info": None}]},
        ]
        platform.fail("patch", patch={"orders": orders, "total": 1})
        assert ids(api.list()) == ["good"]

    def test_deep_nesting_in_what_is_not_read_does_no_harm(self, api: Api, platform: Platform) -> None:
        api.login()
        deep: Any = 1
        for _ in range(200):
            deep = [deep]
        platform.bought("lin", order("1", self.GOOD | {"novelty": deep}))
        assert ids(api.list()) == ["good"]


class TestSlowStorage:
    @pytest.fixture
    def storage(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
        """AWS that takes every connection and answers nothing."""
        del api
        server = RawServer(lambda _: time.sleep(20))
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server
        server.close()

    @pytest.mark.usefixtures("storage")
    def test_silence_is_unavailable_in_time(self, api: Api) -> None:
        begun = time.monotonic()
        answer = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP, "code": "c"}), milliseconds=3000)
        assert_problem(answer, 503, "unavailable")
        assert time.monotonic() - begun < 3

    def test_throttling_passes(self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        del platform
        api.login()
        client = application.parts().tokens._table._client
        get_item, throttled = client.get_item, iter([True, False, True, False])

        def sometimes(**arguments: Any) -> Any:
            if next(throttled, False):
                raise client.exceptions.ProvisionedThroughputExceededException(
                    {"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetItem"
                )
            return get_item(**arguments)

        monkeypatch.setattr(client, "get_item", sometimes)
        assert api.list().status == 200

    def test_recovery_needs_no_restart(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        api.login()
        table = application.parts().tokens._table
        name = table._name
        monkeypatch.setattr(table, "_name", "no-such-table")
        assert_problem(api.list(), 503, "unavailable")
        monkeypatch.setattr(table, "_name", name)
        assert api.list().status == 200

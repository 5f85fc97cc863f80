"""Faults of other services on the wire: responses stay within the time limit, and valid data is never lost."""

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
from sandbox.sample_data import (
    APP_ID,
    CUSTOMER,
    CUSTOMER_WITH_TIMES_CARDS,
    OTHER_ACCOUNT_ID,
    OTHER_ACCOUNT_POI_ID,
    OTHER_APP_ID,
)
from tests.harness import (
    FAST_RETRIES,
    TOKEN_ROW,
    Api,
    Aws,
    Platform,
    assert_problem,
    certificate,
    certificate_ids,
    in_seconds,
    order,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Script = Callable[[socket.socket], None]
    StartServer = Callable[[Script], None]


class SocketServer:
    """Calls `script` with the connection of each request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._run_script, args=(connection,), daemon=True).start()

    def _run_script(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            self._script(connection)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def start_server(aws: Aws, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartServer]:
    """Replaces the platform's open API by a socket server; the customer is logged in and the token is valid."""
    servers: list[SocketServer] = []

    def start(script: Script) -> None:
        server = SocketServer(script)
        servers.append(server)
        monkeypatch.setenv("DOUYIN_OPEN_API", server.url)
        aws.put(TOKEN_ROW, access_token="clt.valid", expires_at=in_seconds(3600))
        api.login()

    yield start
    for server in servers:
        server.close()


def send_slowly(head: bytes, repeated: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(repeated)
            time.sleep(0.02)

    return script


JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "script",
    [
        send_slowly(b"", b"H"),
        send_slowly(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        send_slowly(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        send_slowly(JSON_HEAD + b"Content-Length: 100000\r\n\r\n", b" "),
        send_slowly(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["status line", "one header", "headers", "body", "chunks"],
)
def test_a_slow_response_ends_with_the_time_limit(api: Api, start_server: StartServer, script: Script) -> None:
    start_server(script)
    started = time.monotonic()
    response = api.list(milliseconds=1500)
    assert response.status in (503, 504), response.text
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_above_the_size_limit_is_malformed(api: Api, start_server: StartServer, encoding: str) -> None:
    large = b"[" + b" " * 30_000_000
    body = gzip.compress(large) if encoding == "gzip" else large

    def script(connection: socket.socket) -> None:
        head = JSON_HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body)

    start_server(script)
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
def test_a_response_that_is_not_http_is_unavailable_or_malformed(
    api: Api, start_server: StartServer, reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)
    start_server(lambda connection: connection.sendall(reply))
    response = api.list(milliseconds=4000)
    assert response.json["code"] in ("upstream_unavailable", "upstream_malformed"), response.text


class TestRateLimit:
    @pytest.fixture(autouse=True)
    def _fast_retries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)

    def test_a_rate_limit_is_cached_and_causes_no_platform_call(
        self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login()
        platform.fail("code", code=2119003, times=4)
        assert_problem(api.list(), 429, "rate_limited")
        platform.server.calls.clear()
        response = api.list()
        problem = assert_problem(response, 429, "rate_limited")
        assert problem["upstream"]["error_code"] == 2119003, "the platform's codes are cached too"
        assert int(response.headers["retry-after"]) >= 1
        assert platform.server.calls == []
        cache = application.components().lister.rate_limits._cache
        monkeypatch.setattr(cache, "_clock", lambda: time.time() + 4)
        assert api.list().status == 200

    def test_retry_after_of_the_platform_is_respected(
        self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login()
        platform.fail("http", status=429, headers={"Retry-After": "30"})
        response = api.list()
        assert response.headers["retry-after"] == "30"
        assert len(platform.calls("query_user_certificates")) == 1, "30 s are too long for a retry"
        platform.clear_faults()
        cache = application.components().lister.rate_limits._cache
        monkeypatch.setattr(cache, "_clock", lambda: time.time() + 25)
        assert_problem(api.list(), 429, "rate_limited")
        monkeypatch.setattr(cache, "_clock", lambda: time.time() + 31)
        assert api.list().status == 200

    def test_a_rate_limit_of_one_app_does_not_affect_another(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.fail("code", code=2119003, times=4)
        assert_problem(api.list(), 429, "rate_limited")
        api.login(CUSTOMER_WITH_TIMES_CARDS, OTHER_APP_ID)
        assert api.list(account_id=OTHER_ACCOUNT_ID, poi_id=OTHER_ACCOUNT_POI_ID).status == 200


class TestMalformedParts:
    """Wrong types at every level: only unreadable ids remove a certificate."""

    VALID = certificate("valid")

    @pytest.mark.parametrize(
        "malformed",
        [
            None, 7, "text", [], {}, {"certificate_id": None}, {"certificate_id": ""}, {"certificate_id": []},
            {"certificate_id": True},
        ],
    )  # fmt: skip
    def test_a_certificate_without_a_readable_id_is_omitted(self, api: Api, platform: Platform, malformed: Any) -> None:
        api.login()
        entry = order("1", self.VALID)
        entry["order"]["certificates"].append(malformed)
        platform.set_purchases(CUSTOMER, entry)
        assert certificate_ids(api.list()) == ["valid"]

    @pytest.mark.parametrize(
        "malformed",
        [
            certificate("x", sku_info=7), certificate("x", sku_info={"title": []}),
            certificate("x", amount={"pay_amount": "much"}), certificate("x", amount={"pay_amount": 1.5}),
            certificate("x", amount={"pay_amount": 10**30}), certificate("x", start_time={}),
            certificate("x", code=7), certificate("x", times_card_info={"total_times_serial_nums": [None]}),
            certificate("x", off_peak_discount_detail={"off_peak_time": {"week_day_list": "Mon"}}),
            {"certificate_id": "x", "expire_time": []},
        ],
    )  # fmt: skip
    def test_a_certificate_with_any_other_malformed_field_is_shown(
        self, api: Api, platform: Platform, malformed: Any
    ) -> None:
        api.login()
        entry = order("1", self.VALID)
        entry["order"]["certificates"].append(malformed)
        platform.set_purchases(CUSTOMER, entry)
        assert sorted(certificate_ids(api.list())) == ["valid", "x"]

    @pytest.mark.parametrize(
        "malformed",
        [None, 7, "text", [], {}, {"order_id": None, "can_use": True}, {"order_id": "", "can_use": True},
         {"order_id": "2", "can_use": True, "certificates": {}}, {"order_id": {}, "can_use": True}],
    )  # fmt: skip
    def test_a_malformed_order_is_omitted(self, api: Api, platform: Platform, malformed: Any) -> None:
        api.login()
        valid = {"order_id": "1", "can_use": True, "certificates": [self.VALID]}
        platform.fail("patch", patch={"orders": [malformed, valid, malformed], "total": 1})
        assert certificate_ids(api.list()) == ["valid"]

    @pytest.mark.parametrize("title", [b'"\\ud800"', b'"\xff\xfe"'], ids=["unpaired surrogate", "not UTF-8"])
    def test_a_title_with_invalid_characters_does_not_remove_its_certificate(
        self, api: Api, start_server: StartServer, title: bytes
    ) -> None:
        body = b'{"data":{"orders":[{"order_id":"1","can_use":true,"certificates":[{"certificate_id":"invalid title",'
        body += b'"sku_info":{"title":' + title + b'}},{"certificate_id":"valid"}]}],"total":2},"extra":{}}'
        start_server(
            lambda connection: connection.sendall(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        )
        assert certificate_ids(api.list()) == ["invalid title", "valid"]

    def test_null_lists_in_an_order_are_empty(self, api: Api, platform: Platform) -> None:
        api.login()
        orders = [
            {"order_id": "1", "can_use": True, "certificates": None},
            {"order_id": "2", "can_use": True},
            {"order_id": "3", "can_use": True, "certificates": [self.VALID | {"times_card_info": None}]},
        ]
        platform.fail("patch", patch={"orders": orders, "total": 1})
        assert certificate_ids(api.list()) == ["valid"]

    def test_deep_nesting_in_an_unknown_field_is_ignored(self, api: Api, platform: Platform) -> None:
        api.login()
        deep: Any = 1
        for _ in range(200):
            deep = [deep]
        platform.set_purchases(CUSTOMER, order("1", self.VALID | {"unknown_field": deep}))
        assert certificate_ids(api.list()) == ["valid"]


class TestSlowStorage:
    @pytest.fixture
    def silent_aws(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketServer]:
        """An AWS endpoint that accepts connections and sends nothing."""
        del api
        server = SocketServer(lambda _: time.sleep(20))
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server
        server.close()

    @pytest.mark.usefixtures("silent_aws")
    def test_no_response_from_aws_is_unavailable_within_the_time_limit(self, api: Api) -> None:
        started = time.monotonic()
        response = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP_ID, "code": "c"}), milliseconds=3000)
        assert_problem(response, 503, "unavailable")
        assert time.monotonic() - started < 3

    def test_throttling_is_retried(self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        del platform
        api.login()
        client = application.components().tokens._table._client
        get_item, throttled = client.get_item, iter([True, False, True, False])

        def get_item_or_throttle(**arguments: Any) -> Any:
            if next(throttled, False):
                raise client.exceptions.ProvisionedThroughputExceededException(
                    {"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetItem"
                )
            return get_item(**arguments)

        monkeypatch.setattr(client, "get_item", get_item_or_throttle)
        assert api.list().status == 200

    def test_the_instance_recovers_when_the_table_is_back(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        api.login()
        table = application.components().tokens._table
        name = table._name
        monkeypatch.setattr(table, "_name", "no-such-table")
        assert_problem(api.list(), 503, "unavailable")
        monkeypatch.setattr(table, "_name", name)
        assert api.list().status == 200

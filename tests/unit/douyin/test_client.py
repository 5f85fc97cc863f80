"""The platform's client over a fake transport: what is sent where, what is repeated, and what is logged."""

import contextlib
import itertools
from typing import Any
from unittest.mock import Mock, call

import pytest

from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.protocol import HttpReply
from chalicelib.douyin.transport import MAX_IDLE_SECONDS
from chalicelib.errors import ServiceError, UpstreamCodes, UpstreamError, UpstreamMalformedError, UpstreamTimeoutError
from infra.bundle import ROOT
from sandbox.mock_platform import CALL_PATHS, MockPlatform
from tests.platform_calls import SAMPLES, find_platform_calls
from tests.unit.fakes import Clock, json_reply, make_context

OPEN_API = "https://open.example"
LOGIN_API = "https://login.example"
PLATFORM_CALLS = find_platform_calls()


class Platform:
    """A client, its transport with the result of each attempt, and a clock that delays between attempts move."""

    def __init__(self, result: HttpReply | ServiceError) -> None:
        self.clock = Clock()
        self.context = make_context(clock=self.clock)
        self.transport = Mock()
        self.transport.send.side_effect = itertools.repeat(result)
        self.client = DouyinClient(self.transport, OPEN_API, LOGIN_API, self.clock.sleep)

    def send(self, name: str) -> Any:
        """Send the sample of a call, with the token headers that it needs."""
        headers = {"access-token": "clt.x", "Root": "8"} if PLATFORM_CALLS[name].needs_token else None
        return self.client.send(PLATFORM_CALLS[name], SAMPLES[name].body, self.context, headers)

    def logged(self) -> list[tuple[str, str, str]]:
        return [(entry.service, entry.name, entry.outcome) for entry in self.context.record.calls]


@pytest.mark.parametrize("name", PLATFORM_CALLS)
def test_each_call_is_sent_to_its_address_within_its_limits_and_logged(name: str) -> None:
    assert name in CALL_PATHS, "CALL_PATHS of sandbox/mock_platform.py has no row for this call"
    platform, platform_call = Platform(json_reply({"data": SAMPLES[name].data})), PLATFORM_CALLS[name]
    assert platform.send(name) == SAMPLES[name].result
    headers = {"content-type": "application/json"}
    headers |= {"access-token": "clt.x", "Root": "8"} if platform_call.needs_token else {}
    url = (LOGIN_API if name == "jscode2session" else OPEN_API) + CALL_PATHS[name]
    limits = platform.context.deadline, platform_call.max_bytes
    idle = MAX_IDLE_SECONDS if platform_call.is_repeatable else 0.0
    expected = call(url, SAMPLES[name].sent, headers, *limits, max_idle_seconds=idle)
    assert platform.transport.send.mock_calls == [expected]
    assert platform.logged() == [("douyin", name, "ok")]


@pytest.mark.parametrize("data", [SAMPLES["jscode2session"].data, {}, None])
def test_the_log_id_of_every_reply_is_logged_also_of_a_malformed_one(data: Any) -> None:
    platform = Platform(json_reply({"data": data, "extra": {"logid": "20260101L"}}))
    with contextlib.suppress(UpstreamMalformedError):
        platform.send("jscode2session")
    assert [entry.upstream for entry in platform.context.record.calls] == [UpstreamCodes(0, 0, "20260101L")]


def test_the_mock_platform_answers_every_call_and_its_page_has_each() -> None:
    special = {"client_token", "jscode2session", "code2session"}
    assert [name for name in CALL_PATHS.keys() - special if not hasattr(MockPlatform, name)] == []
    page = (ROOT / "sandbox" / "README.md").read_text(encoding="utf-8")
    assert [path for path in CALL_PATHS.values() if f"`POST {path}`" not in page] == []


@pytest.mark.parametrize("name", PLATFORM_CALLS)
def test_a_call_with_an_apps_token_is_not_sent_without_it_nor_another_one_with_it(name: str) -> None:
    platform = Platform(json_reply({}))
    headers = None if PLATFORM_CALLS[name].needs_token else {"access-token": "clt.x"}
    with pytest.raises(TypeError, match=f"{name}: AuthorizedCalls"):
        platform.client.send(PLATFORM_CALLS[name], SAMPLES[name].body, platform.context, headers)
    platform.transport.send.assert_not_called()


@pytest.mark.parametrize(
    ("name", "attempts"),
    [("query_user_certificates", 4), ("client_token", 1), ("jscode2session", 1), ("code2session", 1)],
)
@pytest.mark.parametrize(
    ("result", "outcome"),
    [(UpstreamTimeoutError("timeout"), "timeout"), (json_reply({}, 503), "http_503")],
    ids=["no response", "an error"],
)
def test_a_repeatable_call_is_sent_again_after_a_transient_error_and_a_login_or_mint_once(
    name: str, attempts: int, result: HttpReply | ServiceError, outcome: str
) -> None:
    """A code is valid once, and a mint invalidates older tokens."""
    platform = Platform(result)
    with pytest.raises(UpstreamError, match=outcome):
        platform.send(name)
    sent = platform.transport.send.mock_calls
    assert sent == [sent[0]] * attempts
    assert platform.logged() == [("douyin", name, outcome)] * attempts
    assert len(platform.clock.sleeps) == attempts - 1

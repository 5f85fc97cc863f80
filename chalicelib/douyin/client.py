"""The client of the platform's API: sends the calls of `calls` over the transport."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from chalicelib.context import RequestContext
from chalicelib.douyin.calls import PlatformCall
from chalicelib.douyin.protocol import open_envelope
from chalicelib.douyin.transport import MAX_IDLE_SECONDS, Transport
from chalicelib.retry import RetryPolicy, call_with_retries

T = TypeVar("T")

RETRY_POLICY = RetryPolicy(
    max_attempts=4,
    base_delay=0.1,
    min_seconds_left=0.3,
    # The platform's rate window is one second, and each attempt counts in it.
    rate_limited_delay=1.0,
)
"""The retries of a call that may be repeated."""


@dataclass(eq=False, repr=False)
class DouyinClient:
    """Sends calls. Several threads may use it: pages are read in parallel."""

    transport: Transport
    #: The base URL of tokens, certificates and code2session.
    open_api: str
    #: The base URL of jscode2session.
    login_api: str
    sleep: Callable[[float], None] = time.sleep

    def send(
        self,
        call: PlatformCall[T],
        body: Mapping[str, Any],
        context: RequestContext,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Send a call before the deadline, and return its result; raises UpstreamError.

        `headers` are for calls that need an app's token. In the service, only `authorized_calls` sends such calls.
        """
        if call.needs_token != (headers is not None):
            raise TypeError(f"{call.name}: AuthorizedCalls.send sends the calls with an app's token, and no others")
        url = (self.login_api if call.uses_login_api else self.open_api) + call.path
        content, all_headers = msgspec.json.encode(body), {"content-type": "application/json", **(headers or {})}
        # The peer may have dropped an idle connection without notice, so a call without retries opens a new connection.
        idle = MAX_IDLE_SECONDS if call.is_repeatable else 0.0

        def attempt() -> T:
            with context.record_call("douyin", call.name) as entry:
                reply = self.transport.send(
                    url, content, all_headers, context.deadline, call.max_bytes, max_idle_seconds=idle
                )
                envelope, entry.upstream = open_envelope(reply, call.error_table)
                return call.parse(envelope)

        if not call.is_repeatable:
            return attempt()
        return call_with_retries(attempt, RETRY_POLICY, context.deadline, sleep=self.sleep)

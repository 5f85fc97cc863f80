"""Warm-up during Lambda's init phase, when a function has a full CPU.

Reads the secret and the tokens, which also opens the connections to AWS, and begins to open a connection to the
platform. No token is minted here: a request does that, with its own deadline.
"""

from concurrent.futures import Executor

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.client import DouyinClient
from chalicelib.tokens.provider import TokenProvider

WARMUP_SECONDS = 2.0
"""Limit for the whole warm-up. The first request does what is missing."""

MAX_PRELOADED_APPS = 3
"""The tokens of the other apps are read when a request needs them."""


def warm_up(
    credentials: CredentialsCache,
    tokens: TokenProvider,
    douyin: DouyinClient,
    executor: Executor,
    context: RequestContext,
) -> None:
    """Fill the caches and open the connections that a first request needs; raises RedemptionError.

    It does not wait for the connection to the platform: a first login does not need this one yet. If it cannot be
    opened, the first request that needs it opens its own.
    """
    executor.submit(douyin.open_connection)
    for app_id in list(credentials.get(context).apps)[:MAX_PRELOADED_APPS]:
        tokens.preload(app_id, context)

"""What is done before the first request, while Lambda gives a function a whole processor and nobody waits yet.

The secret and the tokens are read, and with them the connections to AWS are open; the connection to the platform is
opened beside that. Nothing is minted: that belongs to a request, which knows how long it may take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from chalicelib.credentials import CredentialStore
    from chalicelib.scope import Scope
    from chalicelib.tokens import TokenStore
    from chalicelib.upstream import Douyin

READY_SECONDS = 2.0
"""The most that all of it may take: a start that waits longer helps nobody."""

GREETING_SECONDS = 1.0

FIRST_APPS = 3
"""How many apps' tokens are looked up; where there are more, each is when it is asked for."""


def make_ready(
    credentials: CredentialStore, tokens: TokenStore, douyin: Douyin, executor: Executor, scope: Scope
) -> None:
    """Fill the memories and open the connections that a first request needs; raises RedemptionError for what failed."""
    greeting = executor.submit(douyin.greet, GREETING_SECONDS)
    for app_id in list(credentials.current(scope).apps)[:FIRST_APPS]:
        tokens.recall(app_id, scope)
    greeting.result()

"""Reads what later steps need into the caches, and opens connections in advance. No result depends on it.

No token is minted: a request does that, with its own deadline, when a user has logged in.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from chalicelib.context import RequestContext
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.client import DouyinClient
from chalicelib.errors import RedemptionError, format_error
from chalicelib.merchants import MerchantRepository
from chalicelib.tokens.provider import TokenProvider


@dataclass(eq=False, repr=False)
class Warmup:
    """Warms up a new instance, and loads what a list needs while a login runs."""

    merchants: MerchantRepository
    tokens: TokenProvider
    credentials_cache: CredentialsCache
    douyin: DouyinClient
    executor: Executor

    def warm_up_instance(self, context: RequestContext) -> None:
        """Read the secret and a token, which opens the connections to AWS; raises RedemptionError.

        A connection to the platform's open API is opened meanwhile. If that fails, the first request that needs it
        opens its own.
        """
        with self._run_beside(lambda: self.douyin.ensure_connection(context.deadline), context):
            # The other apps' tokens are read when a request needs them.
            for app_id in list(self.credentials_cache.get(context).apps)[:1]:
                self.tokens.preload(app_id, context)

    @contextmanager
    def preload_for_list(self, account_id: str, context: RequestContext) -> Iterator[None]:
        """While the block runs, read the rows of a merchant and its token, and open a connection to the platform.

        If something fails here, the list does it again.
        """

        def preload() -> None:
            self.tokens.preload(self.merchants.get(account_id, context).app_id, context)
            self.douyin.ensure_connection(context.deadline)

        with self._run_beside(preload, context):
            yield

    @contextmanager
    def _run_beside(self, job: Callable[[], object], context: RequestContext) -> Iterator[None]:
        """Run a job while the block runs. A RedemptionError is ignored; any other error is a defect, and a warning."""
        running = self.executor.submit(job)
        try:
            yield
        finally:
            # Lambda freezes the instance after the response: nothing may be left running.
            wait([running])
            defect = running.exception()
            if defect is not None and not isinstance(defect, RedemptionError):
                context.record.warnings.append(f"warm-up: {format_error(defect)}")

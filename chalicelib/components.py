"""The objects that serve requests, and how they are connected."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from chalicelib.api.login import LoginHandler
from chalicelib.aws import Clients, Table, read_secret
from chalicelib.certificates.listing import CertificateLister
from chalicelib.certificates.paging import MAX_PAGES_PER_RESPONSE
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.transport import Transport
from chalicelib.merchants import MerchantRepository
from chalicelib.settings import Settings
from chalicelib.tokens.source import SharedTokenSource


class Components:
    """The objects that serve requests, created once per instance.

    They reach other services only through the clients of AWS and the transport.
    """

    def __init__(self, settings: Settings, clients: Clients, transport: Transport) -> None:
        table = Table(clients.dynamodb, settings.table_name)
        executor = ThreadPoolExecutor(MAX_PAGES_PER_RESPONSE, "worker")
        self.transport = transport
        self.credentials_cache = CredentialsCache(partial(read_secret, clients.secrets_manager, settings.secret_name))
        self.merchants = MerchantRepository(table)
        self.douyin = DouyinClient(transport, settings.open_api.rstrip("/"), settings.login_api.rstrip("/"))
        self.tokens = SharedTokenSource(table, self.douyin, self.credentials_cache)
        self.lister = CertificateLister(self.merchants, self.credentials_cache, self.douyin, self.tokens, executor)
        self.login = LoginHandler(
            self.credentials_cache, self.douyin, self.tokens, self.lister, settings.session_seconds
        )

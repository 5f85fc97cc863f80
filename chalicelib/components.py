"""The objects that serve requests, and how they are connected."""

import functools
from concurrent.futures import ThreadPoolExecutor

from chalicelib.api.login import LoginHandler
from chalicelib.app_client import AppClients
from chalicelib.aws import Clients, Table, read_secret
from chalicelib.certificates.listing import CertificateLister
from chalicelib.certificates.paging import PAGES_PER_RESPONSE
from chalicelib.credentials import CredentialsCache
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.transport import Transport
from chalicelib.merchants import MerchantRepository
from chalicelib.redaction import RedactedStruct
from chalicelib.settings import Settings
from chalicelib.tokens.provider import TokenProvider
from chalicelib.warmup import Warmup


class Components(RedactedStruct, frozen=True):
    """The objects that serve requests, created once per instance."""

    credentials_cache: CredentialsCache
    login: LoginHandler
    merchants: MerchantRepository
    lister: CertificateLister
    tokens: TokenProvider
    douyin: DouyinClient
    app_clients: AppClients
    warmup: Warmup
    #: The connections to the platform.
    transport: Transport


def build_components(settings: Settings, clients: Clients, transport: Transport) -> Components:
    """Build the components, which reach other services only through the clients of AWS and the transport."""
    dynamodb, secrets_manager = clients
    table = Table(dynamodb, settings.table_name)
    credentials_cache = CredentialsCache(functools.partial(read_secret, secrets_manager, settings.secret_name))
    douyin = DouyinClient(transport, settings.open_api, settings.login_api)
    merchants = MerchantRepository(table)
    tokens = TokenProvider(table, douyin, credentials_cache)
    app_clients = AppClients(douyin, tokens)
    executor = ThreadPoolExecutor(PAGES_PER_RESPONSE, "worker")
    lister = CertificateLister(merchants, credentials_cache, app_clients, executor)
    warmup = Warmup(merchants, tokens, credentials_cache, douyin, executor)
    login = LoginHandler(credentials_cache, douyin, app_clients, lister, warmup, settings.session_ttl)
    return Components(credentials_cache, login, merchants, lister, tokens, douyin, app_clients, warmup, transport)

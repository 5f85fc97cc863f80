"""Records that hold secrets show none of them."""

from typing import Any

import pytest

from chalicelib.api.login import LoginHandler, LoginView
from chalicelib.api.validation import LoginBody
from chalicelib.certificates.fetching import PageFetcher
from chalicelib.certificates.listing import CertificateLister
from chalicelib.credentials import Credentials
from chalicelib.douyin.client import DouyinClient
from chalicelib.douyin.models import Certificate, LoginData, ProviderLoginData
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Request, Response
from chalicelib.redaction import RedactedStruct
from chalicelib.sessions import Session
from chalicelib.tokens.lease import Lease, TokenRow
from chalicelib.tokens.provider import TokenProvider


def test_a_record_shows_its_type_and_no_field() -> None:
    token = MintedToken("planted-secret", 7200)
    assert f"{token} {[token]}" == "MintedToken(…) [MintedToken(…)]"


def test_every_record_that_holds_a_secret_is_shown_like_that() -> None:
    holders = {Session, LoginView, LoginBody, MintedToken, TokenRow, Request, Response, CertificatesQuery, Page}
    holders |= {Certificate, Credentials, LoginData, ProviderLoginData}
    assert set(RedactedStruct.__subclasses__()) == holders
    for record in holders:
        assert {"__repr__", "__str__"}.isdisjoint(vars(record)), record


@pytest.mark.parametrize(
    "component", [LoginHandler, CertificateLister, PageFetcher, DouyinClient, TokenProvider, Lease]
)
def test_a_component_is_shown_without_its_parts_and_compared_by_identity(component: Any) -> None:
    assert (component.__repr__, component.__eq__) == (object.__repr__, object.__eq__)

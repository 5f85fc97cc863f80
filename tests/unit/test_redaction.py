"""Records that hold secrets show none of them."""

from chalicelib.api.login import LoginView
from chalicelib.api.validation import LoginBody
from chalicelib.credentials import Credentials
from chalicelib.douyin.models import Certificate, LoginData, ProviderLoginData
from chalicelib.douyin.pages import Page
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Request, Response
from chalicelib.redaction import RedactedStruct
from chalicelib.sessions import Session
from chalicelib.tokens.lease import TokenRow


def test_a_record_shows_its_type_and_no_field() -> None:
    token = MintedToken("planted-secret", 7200)
    assert f"{token} {[token]}" == "MintedToken(…) [MintedToken(…)]"


def test_every_record_that_holds_a_secret_is_shown_like_that() -> None:
    holders = {Session, LoginView, LoginBody, MintedToken, TokenRow, Request, Response, CertificatesQuery, Page}
    holders |= {Certificate, Credentials, LoginData, ProviderLoginData}
    assert set(RedactedStruct.__subclasses__()) == holders
    for record in holders:
        assert {"__repr__", "__str__"}.isdisjoint(vars(record)), record

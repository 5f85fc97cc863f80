"""Records that hold secrets show none of them."""

from __future__ import annotations

import pytest

from chalicelib.api.validation import LoginRequest
from chalicelib.douyin.models import Certificate, LoginData, MintData
from chalicelib.douyin.protocol import CertificatesQuery, MintedToken, Page, Request, Response, Selection
from chalicelib.redaction import RedactedStruct
from chalicelib.sessions import Login, Session
from chalicelib.tokens.lease import TokenRow

PLANTED = "planted-secret"
RECORDS = [
    Session(PLANTED, PLANTED),
    Login(PLANTED, Session(PLANTED, PLANTED)),
    LoginRequest(PLANTED, PLANTED),
    MintedToken(PLANTED, 7200),
    TokenRow(PLANTED),
    Request(PLANTED, PLANTED.encode(), {PLANTED: PLANTED}),
    Response(200, {PLANTED: PLANTED}, PLANTED.encode()),
    CertificatesQuery(Selection("7"), PLANTED),
    Page([], 0, None, malformed={PLANTED: [PLANTED]}),
    Certificate(PLANTED, PLANTED),
    MintData(PLANTED, 7200),
    LoginData(PLANTED),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_shows_its_type_and_no_field(record: RedactedStruct) -> None:
    name = type(record).__name__
    assert repr(record) == f"{name}(…)"
    assert str(record) == f"{name}(…)"
    assert f"{[record]}" == f"[{name}(…)]"


def test_every_kind_of_record_is_listed_above() -> None:
    assert {type(record) for record in RECORDS} == set(RedactedStruct.__subclasses__())


def test_a_record_cannot_be_changed() -> None:
    session = Session("app", "user")
    with pytest.raises(AttributeError):
        session.open_id = "other"  # type: ignore[misc]

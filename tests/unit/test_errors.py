"""Errors: the message of an upstream error, and whether a call may be repeated."""

import pytest

from chalicelib.errors import UpstreamCodes, UpstreamError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UpstreamError("timeout"), "timeout"),
        (UpstreamError("7", upstream=UpstreamCodes(7, 8, "20260101")), "error_code=7 sub_error_code=8 logid=20260101"),
        (UpstreamError("7", upstream=UpstreamCodes(7, 0)), "error_code=7 sub_error_code=0 logid=-"),
        (UpstreamError("http_503", upstream=UpstreamCodes(0, 0, "20260101")), "http_503"),
    ],
)
def test_the_message_of_an_upstream_error_is_its_codes_or_its_reason(error: UpstreamError, message: str) -> None:
    assert str(error) == message

"""Errors: the message of an upstream error, and whether it may be retried."""

import pytest

from chalicelib.errors import ConfigurationError, Evidence, RedemptionError, StorageUnavailableError, UpstreamError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UpstreamError("timeout"), "timeout"),
        (UpstreamError("7", evidence=Evidence(7, 8, "20260101")), "error_code=7 sub_error_code=8 logid=20260101"),
        (UpstreamError("7", evidence=Evidence(7, 0)), "error_code=7 sub_error_code=0 logid=-"),
        (UpstreamError("http_503", evidence=Evidence(logid="20260101")), "http_503"),
    ],
)
def test_the_message_of_an_upstream_error_is_its_codes_or_its_reason(error: UpstreamError, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [ConfigurationError("x"), StorageUnavailableError("x"), UpstreamError("x")])
def test_an_error_is_not_retryable_unless_stated(error: RedemptionError) -> None:
    assert not error.retryable
    assert error.retry_after is None

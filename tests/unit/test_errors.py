"""Messages of errors, and which of them a caller may repeat."""

from __future__ import annotations

import pytest

from chalicelib import errors
from chalicelib.errors import Evidence, RateLimitedError, StorageUnavailableError, UpstreamError, UpstreamTimeoutError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UpstreamTimeoutError("timeout"), "timeout"),
        (RateLimitedError("http_429"), "http_429"),
        (UpstreamError("7", evidence=Evidence(7, 8, "20260101")), "error_code=7 sub_error_code=8 logid=20260101"),
        (UpstreamError("7", evidence=Evidence(7)), "error_code=7 sub_error_code=0 logid=-"),
    ],
)
def test_the_message_of_an_upstream_error_is_its_codes_or_its_reason(error: UpstreamError, message: str) -> None:
    assert str(error) == message


def test_errors_are_not_retryable_unless_stated() -> None:
    assert not UpstreamTimeoutError("budget").retryable
    assert UpstreamTimeoutError("timeout", retryable=True).retryable
    assert not StorageUnavailableError("budget").retryable
    assert StorageUnavailableError("Throttling", retryable=True).retryable
    assert not errors.ConfigurationError("x").retryable
    assert errors.ConfigurationError("x").retry_after is None


def test_an_error_has_what_it_was_made_with() -> None:
    evidence = Evidence(7, 8, "9")
    error = RateLimitedError("7", retryable=True, evidence=evidence, retry_after=30.0)
    assert (error.reason, error.retryable, error.evidence, error.retry_after) == ("7", True, evidence, 30.0)
    assert errors.TokenUnavailableError("no new token in time", evidence).evidence == evidence
    assert errors.TokenUnavailableError("no new token in time").evidence is None


def test_the_docstring_shows_the_whole_family() -> None:
    def family(error: type[Exception]) -> set[str]:
        return {error.__name__}.union(*(family(child) for child in error.__subclasses__()))

    shown = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}
    assert shown == family(errors.RedemptionError)

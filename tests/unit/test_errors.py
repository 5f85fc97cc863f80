"""Errors: the message of an upstream error, and the list of all errors in the docstring."""

from __future__ import annotations

import pytest

from chalicelib import errors
from chalicelib.errors import ConfigurationError, Evidence, StorageUnavailableError, UpstreamError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UpstreamError("timeout"), "timeout"),
        (UpstreamError("7", evidence=Evidence(7, 8, "20260101")), "error_code=7 sub_error_code=8 logid=20260101"),
        (UpstreamError("7", evidence=Evidence(7)), "error_code=7 sub_error_code=0 logid=-"),
    ],
)
def test_the_message_of_an_upstream_error_is_its_codes_or_its_reason(error: UpstreamError, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [ConfigurationError("x"), StorageUnavailableError("x"), UpstreamError("x")])
def test_an_error_is_not_retryable_unless_stated(error: errors.RedemptionError) -> None:
    assert not error.retryable
    assert error.retry_after is None


def test_the_docstring_shows_the_whole_family() -> None:
    def family(error: type[Exception]) -> set[str]:
        return {error.__name__}.union(*(family(child) for child in error.__subclasses__()))

    shown = {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}
    assert shown == family(errors.RedemptionError)

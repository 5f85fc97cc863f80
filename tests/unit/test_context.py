"""The deadline of a request, and its call log."""

import contextlib
from types import SimpleNamespace

import pytest

from chalicelib import context as context_module
from chalicelib import errors
from chalicelib.context import Call, RequestContext
from chalicelib.errors import UpstreamCodes
from tests.unit.fakes import Clock, LambdaContext, make_context

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("lambda_context", "options", "seconds"),
    [
        (LambdaContext(15_000), {}, 9.0),
        (LambdaContext(5_000), {}, 4.0),
        (None, {"max_seconds": INFINITE}, 59.0),
    ],
)
def test_the_deadline_is_before_lambdas_own_and_within_the_budget(
    lambda_context: LambdaContext | None, options: dict[str, float], seconds: float
) -> None:
    context = RequestContext.for_lambda(lambda_context, **options)
    assert seconds - 2 < context.deadline.remaining() <= seconds
    assert context.record.request_id == ("" if lambda_context is None else "lambda-id")


@pytest.mark.parametrize(("seconds", "expected"), [(3.0, 3.0), (30.0, 9.0)])
def test_a_timeout_only_shortens_the_deadline_and_the_record_is_shared(seconds: float, expected: float) -> None:
    clock = Clock()
    context = make_context(9.0, clock)
    limited = context.with_timeout(seconds)
    assert (limited.deadline.remaining(), context.deadline.remaining()) == (expected, 9.0)
    clock.now += 1
    assert limited.deadline.remaining() == expected - 1
    assert limited.record is context.record


EVIDENCE = UpstreamCodes(2119003, 12001, "20260101LOGID")


@pytest.mark.parametrize(
    ("error", "outcome", "upstream"),
    [
        (None, "ok", UpstreamCodes(0, 0)),
        (errors.RateLimitedError("12001", upstream=EVIDENCE), "12001", EVIDENCE),
        (errors.StorageUnavailableError("ThrottlingException"), "ThrottlingException", UpstreamCodes(0, 0)),
        (ZeroDivisionError("planted"), "ZeroDivisionError", UpstreamCodes(0, 0)),
    ],
)
def test_the_call_log_has_outcome_and_codes(
    error: Exception | None, outcome: str, upstream: UpstreamCodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([5.0, 7.5])
    monkeypatch.setattr(
        context_module, "time", SimpleNamespace(time=lambda: 1_800_000_123.0, perf_counter=lambda: next(ticks))
    )
    context = make_context()
    with (
        contextlib.nullcontext() if error is None else pytest.raises(type(error)),
        context.record_call("douyin", "client_token"),
    ):
        if error is not None:
            raise error
    [call] = context.record.calls
    assert call == Call("douyin", "client_token", 1_800_000_123.0, 2.5, outcome, upstream)


def test_without_time_left_no_call_is_made_or_recorded() -> None:
    context = make_context(0.0)
    with pytest.raises(errors.DeadlineExceededError, match="budget"), context.record_call("douyin", "client_token"):
        pytest.fail("the call is made")
    assert context.record.calls == []

"""The deadline of a request, and its call log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib import context as context_module
from chalicelib.context import ABANDONED, Deadline, RequestContext, RequestRecord
from chalicelib.errors import (
    Evidence,
    RateLimitedError,
    RedemptionError,
    StorageUnavailableError,
    TokenUnavailableError,
    UpstreamTimeoutError,
)
from tests.unit.fakes import Clock, make_context

INFINITE = float("inf")


@pytest.mark.parametrize(("passed", "remaining"), [(0, 5), (4.5, 0.5), (5, 0), (7, -2)])
def test_a_deadline_counts_down_past_zero(passed: float, remaining: float) -> None:
    clock = Clock()
    deadline = Deadline(5, clock)
    clock.now += passed
    assert deadline.remaining() == remaining


def test_a_cancelled_deadline_is_over() -> None:
    deadline = Deadline(5, Clock())
    states = [(deadline.is_cancelled, deadline.remaining())]
    deadline.cancel()
    states.append((deadline.is_cancelled, deadline.remaining()))
    assert states == [(False, 5), (True, -INFINITE)]


def test_a_deadline_that_is_over_is_not_cancelled() -> None:
    clock = Clock()
    deadline = Deadline(5, clock)
    clock.now += 1e9
    assert not deadline.is_cancelled


def test_a_cancellation_aborts_the_calls_under_way() -> None:
    deadline = Deadline(5, Clock())
    aborted: list[str] = []
    with deadline.aborting(lambda: aborted.append("outer")):
        with deadline.aborting(lambda: aborted.append("ended")):
            pass
        with deadline.aborting(lambda: aborted.append("inner")):
            assert aborted == []
            deadline.cancel()
            assert sorted(aborted) == ["inner", "outer"]


def test_a_call_that_failed_is_not_aborted_later() -> None:
    deadline = Deadline(5, Clock())
    aborted: list[str] = []
    with pytest.raises(ZeroDivisionError), deadline.aborting(lambda: aborted.append("failed")):
        raise ZeroDivisionError
    deadline.cancel()
    assert aborted == []


def test_a_call_that_starts_after_the_cancellation_is_aborted_at_once() -> None:
    deadline = Deadline(5, Clock())
    deadline.cancel()
    aborted: list[str] = []
    with deadline.aborting(lambda: aborted.append("late")):
        assert aborted == ["late"]


class LambdaContext:
    aws_request_id = "lambda-id"

    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@pytest.mark.parametrize(
    ("lambda_context", "options", "seconds"),
    [
        (LambdaContext(15_000), {}, 9.0),
        (LambdaContext(9_500), {}, 9.0),
        (LambdaContext(5_000), {}, 4.5),
        (LambdaContext(300), {}, -0.2),
        (LambdaContext(60_000), {"max_seconds": INFINITE}, 59.5),
        (LambdaContext(60_000), {"max_seconds": 2.0}, 2.0),
        (None, {}, 9.0),
        (None, {"max_seconds": INFINITE}, 59.5),
    ],
)
def test_the_deadline_is_before_lambdas_own_and_within_the_budget(
    lambda_context: LambdaContext | None, options: dict[str, float], seconds: float
) -> None:
    context = RequestContext.for_lambda(lambda_context, **options)
    assert context.deadline.remaining() == pytest.approx(seconds, abs=0.4)


@pytest.mark.parametrize(
    ("lambda_context", "request_id"), [(LambdaContext(1000), "lambda-id"), (None, ""), (object(), "")]
)
def test_the_request_id_is_lambdas(lambda_context: Any, request_id: str) -> None:
    assert RequestContext.for_lambda(lambda_context).record.request_id == request_id


@pytest.mark.parametrize("name", ["calls", "warnings"])
def test_records_do_not_share_a_list(name: str) -> None:
    first, second = RequestRecord(), RequestRecord()
    getattr(first, name).append("x")
    assert (getattr(first, name), getattr(second, name)) == (["x"], [])


@pytest.mark.parametrize(("seconds", "expected"), [(3.0, 3.0), (30.0, 9.0)])
def test_a_timeout_only_shortens_the_deadline_and_the_record_is_shared(seconds: float, expected: float) -> None:
    clock = Clock()
    context = make_context(9.0, clock)
    limited = context.with_timeout(seconds)
    assert (limited.deadline.remaining(), context.deadline.remaining()) == (expected, 9.0)
    clock.now += 1
    assert limited.deadline.remaining() == expected - 1
    assert limited.record is context.record
    limited.deadline.cancel()
    assert not context.deadline.is_cancelled


def test_nothing_can_be_written_to_one_part_of_a_request_only() -> None:
    with pytest.raises(AttributeError):
        make_context().account_id = "7"  # type: ignore[attr-defined]


EVIDENCE = Evidence(2119003, 12001, "20260101LOGID")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ("ok", 0, 0, "")),
        (RateLimitedError("12001", evidence=EVIDENCE), ("12001", 2119003, 12001, "20260101LOGID")),
        (UpstreamTimeoutError("timeout"), ("timeout", 0, 0, "")),
        (StorageUnavailableError("ThrottlingException"), ("StorageUnavailableError", 0, 0, "")),
        (TokenUnavailableError("no", EVIDENCE), ("TokenUnavailableError", 0, 0, "")),
    ],
)
def test_the_call_log_has_outcome_and_codes(
    error: RedemptionError | None, expected: tuple[str, int, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([5.0, 7.5])
    monkeypatch.setattr(
        context_module, "time", SimpleNamespace(time=lambda: 1_800_000_123.0, perf_counter=lambda: next(ticks))
    )
    context = make_context()
    raised: RedemptionError | None = None
    try:
        with context.record_call("douyin", "client_token"):
            if error is not None:
                raise error
    except RedemptionError as caught:
        raised = caught
    assert raised is error
    [call] = context.record.calls
    assert (call.service, call.name, call.started, call.seconds) == ("douyin", "client_token", 1_800_000_123.0, 2.5)
    assert (call.outcome, call.error_code, call.sub_error_code, call.logid) == expected


def test_a_call_is_in_the_log_while_it_runs_and_counts_as_abandoned() -> None:
    context = make_context()
    with context.record_call("douyin", "client_token") as call:
        assert context.record.calls == [call]
        assert (call.outcome, call.seconds, call.error_code, call.sub_error_code, call.logid) == (
            ABANDONED,
            0,
            0,
            0,
            "",
        )
    assert call.outcome == "ok"


@pytest.mark.parametrize("error", [None, UpstreamTimeoutError("timeout"), StorageUnavailableError("timeout")])
def test_a_call_that_was_aborted_counts_as_abandoned(error: RedemptionError | None) -> None:
    context = make_context()
    raised: RedemptionError | None = None
    try:
        with context.record_call("douyin", "query_user_certificates"):
            context.deadline.cancel()
            if error is not None:
                raise error
    except RedemptionError as caught:
        raised = caught
    assert raised is error
    assert [call.outcome for call in context.record.calls] == [ABANDONED]


def test_a_foreign_exception_passes_through_the_call_log() -> None:
    context = make_context()
    with pytest.raises(ZeroDivisionError), context.record_call("douyin", "client_token"):
        raise ZeroDivisionError
    assert len(context.record.calls) == 1

"""The alarms on synthetic traffic: what fires, what does not, and silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from infra.cloudformation import template_body
from tests.alarms import Metrics, evaluate, is_in_alarm, read_alarms

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE = "DouyinRedemption"
OWN = {"service": "douyin-redemption", "stage": "dev"}
API = {"FunctionName": "douyin-redemption-dev"}
SCHEDULE = {"FunctionName": "douyin-redemption-dev-refresh_tokens"}
GATEWAY = {"ApiName": "douyin-redemption-dev", "Stage": "api"}
HOURS = {"OpensAtUtc": "2", "ClosesAtUtc": "14"}
MAX_TEMPLATE_BYTES = 42_000
"""CloudFormation's limit is 51,200: the rest is for what comes."""

MAX_ALARMS = 14


def simulate(
    minutes: int, failing: Callable[[int], float], per_minute: int = 60, slow: Callable[[int], float] = lambda _: 0.0
) -> dict[str, list[int]]:
    """Return the minutes at which each alarm fires. `failing` and `slow` are shares of the lists, by minute."""
    metrics = Metrics()
    owed = {"ListFailed": 0.0, "ListSlow": 0.0}
    for minute in range(minutes):
        for name, share in (("ListFailed", failing(minute)), ("ListSlow", slow(minute))):
            owed[name] += share * per_minute
            bad = int(owed[name] + 1e-9)
            owed[name] -= bad
            metrics.add(minute, NAMESPACE, name, OWN, *[1.0] * bad, *[0.0] * (per_minute - bad))
        if minute % 10 == 0:
            add_run(metrics, minute)
    return find_fired(metrics, minutes)


def add_run(metrics: Metrics, minute: int, failures: float = 0.0) -> None:
    """Add a run of refresh_tokens. Lambda reports the number of failures of each run, also zero."""
    metrics.add(minute, "AWS/Lambda", "Invocations", SCHEDULE, 1.0)
    metrics.add(minute, "AWS/Lambda", "Errors", SCHEDULE, failures)


def find_fired(metrics: Metrics, minutes: int, **parameters: str) -> dict[str, list[int]]:
    alarms = read_alarms(parameters)
    fired = {
        name: [minute for minute in range(30, minutes) if is_in_alarm(name, alarms, metrics, minute)] for name in alarms
    }
    return {name: found for name, found in fired.items() if found}


def test_healthy_traffic_fires_nothing() -> None:
    assert simulate(400, lambda _: 0.003) == {}


def test_a_short_spike_does_not_fire() -> None:
    """Three minutes in which every third list fails use up 0.3 % of the month's error budget."""
    assert simulate(400, lambda minute: 0.33 if 100 <= minute < 103 else 0.0) == {}


def test_an_outage_fires_within_minutes_and_stops_soon_after_its_end() -> None:
    fired = simulate(300, lambda minute: 1.0 if 100 <= minute < 130 else 0.0)
    assert fired.keys() == {"availability-fast"}
    assert 106 <= fired["availability-fast"][0] <= 108
    assert fired["availability-fast"][-1] <= 145


def test_an_outage_with_few_customers_fires_within_half_an_hour() -> None:
    """One list in three minutes."""
    metrics = Metrics()
    for minute in range(0, 300, 3):
        metrics.add(minute, NAMESPACE, "ListFailed", OWN, 1.0 if minute >= 100 else 0.0)
    for minute in range(0, 300, 10):
        add_run(metrics, minute)
    fired = find_fired(metrics, 300)
    assert fired.keys() == {"availability-fast"}
    assert fired["availability-fast"][0] <= 130


@pytest.mark.parametrize(("share", "hours"), [(0.05, 7), (0.01, 7)])
def test_a_slow_leak_fires_only_the_slow_alarm(share: float, hours: int) -> None:
    """A steady failure rate of 1 % uses up a month's error budget in two weeks."""
    fired = simulate(600, lambda minute: share if minute >= 60 else 0.0)
    assert fired.keys() == {"availability-slow"}
    assert fired["availability-slow"][0] <= hours * 60


def test_failures_within_the_objective_do_not_fire_for_a_day() -> None:
    assert simulate(1440, lambda _: 0.005, per_minute=10) == {}


def test_one_failed_list_at_night_does_not_fire() -> None:
    """It is half of the lists of that hour."""
    metrics = Metrics()
    for minute in range(0, 400, 10):
        add_run(metrics, minute)
    metrics.add(200, NAMESPACE, "ListFailed", OWN, 1.0)
    metrics.add(220, NAMESPACE, "ListFailed", OWN, 0.0)
    assert find_fired(metrics, 400) == {}


def test_slow_lists_fire_when_they_are_many() -> None:
    assert simulate(300, lambda _: 0.0, slow=lambda _: 0.04) == {}
    fired = simulate(300, lambda _: 0.0, slow=lambda minute: 0.6 if minute >= 100 else 0.02)
    assert fired.keys() == {"latency"}
    assert fired["latency"][0] <= 130


def test_silence_fires_only_the_schedules_alarm() -> None:
    fired = find_fired(Metrics(), 200)
    assert fired.keys() == {"schedule"}


def test_a_schedule_that_stops_fires_after_half_an_hour() -> None:
    metrics = Metrics()
    for minute in range(0, 100, 10):
        add_run(metrics, minute)
    fired = find_fired(metrics, 200)
    assert fired["schedule"][0] == 121


def test_a_schedule_whose_runs_all_fail_fires_and_one_failed_run_does_not() -> None:
    for failing, expected in ((range(100, 300, 10), {"schedule"}), ([100], set())):
        metrics = Metrics()
        for minute in range(0, 300, 10):
            add_run(metrics, minute, failures=float(minute in failing))
        assert find_fired(metrics, 300).keys() == expected


@pytest.mark.parametrize(
    ("alarm", "metric", "dimensions", "quiet", "loud"),
    [
        ("refused", "Problems", {**OWN, "code": "app_not_permitted"}, [], [1.0]),
        ("refused", "Problems", {**OWN, "code": "app_misconfigured"}, [], [1.0]),
        ("stale-secret", "StaleSecret", OWN, [], [1.0]),
        ("token-expiring", "TokenSecondsLeft", OWN, [1300.0], [1100.0]),
        ("errors", "Errors", API, [0.0], [1.0]),
        ("errors", "Problems", {**OWN, "code": "internal_error"}, [], [1.0]),
        ("throttles", "Throttles", API, [0.0], [1.0]),
        ("api-errors", "ApiErrors", OWN, [], [1.0]),
        ("api-throttled", "ApiThrottled", OWN, [1.0] * 5, [1.0] * 11),
    ],
)
def test_a_cause_fires_its_alarm(
    alarm: str, metric: str, dimensions: dict[str, str], quiet: list[float], loud: list[float]
) -> None:
    namespace = "AWS/Lambda" if "FunctionName" in dimensions else NAMESPACE
    for values, expected in ((quiet, False), (loud, True)):
        metrics = Metrics()
        for minute in range(100):
            metrics.add(minute, namespace, metric, dimensions, *values)
        assert is_in_alarm(alarm, read_alarms(), metrics, 90) is expected


def test_a_single_throttled_minute_does_not_fire() -> None:
    metrics = Metrics()
    metrics.add(50, "AWS/Lambda", "Throttles", API, 5.0)
    assert not [minute for minute in range(40, 60) if is_in_alarm("throttles", read_alarms(), metrics, minute)]


def test_one_failure_of_each_kind_fires_nothing() -> None:
    """So it does not make doctor fail."""
    metrics = Metrics()
    for minute in range(0, 300, 10):
        add_run(metrics, minute)
    for minute in range(300):
        metrics.add(minute, NAMESPACE, "ListFailed", OWN, float(minute == 100))
    for code in ("app_not_permitted", "app_misconfigured", "internal_error", "token_unavailable", "unavailable"):
        metrics.add(100, NAMESPACE, "Problems", {**OWN, "code": code}, 1.0)
    for name in ("ApiErrors", "ApiThrottled", "StaleSecret"):
        metrics.add(100, NAMESPACE, name, OWN, 1.0)
    metrics.add(100, "AWS/Lambda", "Errors", API, 1.0)
    metrics.add(100, "AWS/Lambda", "Throttles", API, 1.0)
    assert find_fired(metrics, 300) == {}


def test_no_requests_fire_within_the_opening_hours_only() -> None:
    alarms = read_alarms(HOURS)
    metrics = Metrics()
    for minute in range(24 * 60):
        if not 300 <= minute < 420 and 120 <= minute < 840:
            metrics.add(minute, "AWS/ApiGateway", "Count", GATEWAY, 1.0)
    fired = [m for m in range(60, 24 * 60) if is_in_alarm("no-requests", alarms, metrics, m)]
    assert fired
    assert 358 <= fired[0] <= 362, "an hour after the last request"
    assert fired[-1] <= 422
    late = Metrics()
    for minute in range(24 * 60 - 20):
        late.add(minute, "AWS/ApiGateway", "Count", GATEWAY, 1.0)
    assert not [m for m in range(60, 24 * 60) if is_in_alarm("no-requests", alarms, late, m)], (
        "data that is 20 min late"
    )


def test_no_alarm_but_the_optional_one_takes_late_data_for_zero() -> None:
    assert [name for name, alarm in read_alarms(HOURS).items() if "FILL(" in str(alarm)] == ["no-requests"]


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ("IF(a >= 5, 100 * a / b, 0)", {"a": 5.0, "b": 50.0}, 10.0),
        ("IF(a >= 5, 100 * a / b, 0)", {"a": 4.0, "b": 50.0}, 0.0),
        ("IF(a >= 5, 100 * a / b, 0)", {"a": None, "b": 50.0}, None),
        ("SUM(METRICS())", {"a": 1.0, "b": None}, 1.0),
        ("SUM(METRICS())", {"a": None, "b": None}, None),
        ("a - b", {"a": 3.0, "b": 1.0}, 2.0),
        ("FILL(a, 0) == 0", {"a": None}, 1.0),
        ("IF(HOUR(a) >= 2 AND HOUR(a) < 4, 1, 0)", {"a": 1.0}, 1.0),
    ],
)
def test_the_evaluator(expression: str, values: dict[str, Any], expected: float | None) -> None:
    assert evaluate(expression, values, hour=3) == expected


def test_the_template_fits_cloudformations_limit() -> None:
    assert len(template_body().encode()) <= MAX_TEMPLATE_BYTES


def test_the_stack_has_few_alarms() -> None:
    """Each alarm costs money and a runbook entry."""
    assert len(read_alarms(HOURS)) <= MAX_ALARMS

"""The checker of `tests.token_rules`: each rule has histories that violate it, and some that it must accept.

The simulation of test_lease_model_clocks.py fails when it accepts less: there, rows expire and instances are stopped.
"""

import pytest

from tests.token_rules import (
    CallFault,
    Committed,
    Event,
    FaultsEnded,
    FaultsStarted,
    InstanceContinued,
    InstanceKilled,
    InstanceStarted,
    InstanceStopped,
    Minted,
    RequestEnded,
    RequestStarted,
    RowExpired,
    TokensRevoked,
    find_violations,
)


def renewed(at: float, token: str, instance: str = "A") -> list[Event]:
    """An instance mints and stores a token."""
    return [Minted(at, instance, token), Committed(at + 0.1, instance, token)]


def disturbed(fault: Event, name: str = "0") -> list[Event]:
    """Instance A mints a token and does not store it. The fault happens during its request."""
    return [RequestStarted(0, "A"), Minted(0.1, "A", name), fault, RequestEnded(0.5, "A", "ok")]


def request(start: float, end: float, instance: str = "A", code: str = "ok") -> list[Event]:
    return [RequestStarted(start, instance), RequestEnded(end, instance, code)]


def stopped_request(stopped: str) -> list[Event]:
    begin, end = request(0, 14)
    return [begin, InstanceStopped(1, stopped), InstanceContinued(6, stopped), end]


TWO_MINTS: list[Event] = [Minted(1, "A", "1"), *renewed(2, "2", "B")]
THREE_MINTS: list[Event] = [Minted(1, "A", "1"), Minted(2, "B", "2"), *renewed(3, "3", "C")]
STARTED: list[Event] = [InstanceStarted(0, "A"), InstanceStarted(0, "B"), FaultsStarted(0)]
RECOVERED: list[Event] = [*STARTED, FaultsEnded(1), *request(2, 3), *request(2, 3, "B")]


@pytest.mark.parametrize(
    ("history", "rule"),
    [
        pytest.param([*TWO_MINTS, Committed(4, "A", "1")], "token order", id="older over newer"),
        pytest.param(TWO_MINTS, None, id="two mints"),
        pytest.param(THREE_MINTS, "mints per renewal", id="three mints"),
        pytest.param([*renewed(1, "1"), *THREE_MINTS[:2]], "mints per renewal", id="two late mints"),
        pytest.param([*TWO_MINTS, TokensRevoked(3), Minted(4, "A", "3"), *renewed(5, "4")], None, id="revoked"),
        pytest.param([Minted(1, "A", "1"), RowExpired(2), *THREE_MINTS], "mints per renewal", id="expired meanwhile"),
        pytest.param([*disturbed(CallFault(0.2, "A")), *TWO_MINTS], None, id="one disturbed by a failed call"),
        pytest.param([*disturbed(InstanceStopped(0.2, "A")), *TWO_MINTS], None, id="one disturbed by a stop"),
        pytest.param([*disturbed(InstanceContinued(0.2, "A")), *TWO_MINTS], None, id="one stopped before the request"),
        pytest.param([*disturbed(InstanceKilled(0.2, "A")), *TWO_MINTS], None, id="one disturbed by a kill"),
        pytest.param([*disturbed(CallFault(0.2, "B")), *TWO_MINTS], "mints per renewal", id="another one's fault"),
        pytest.param([*disturbed(Committed(0.2, "A", "0")), *TWO_MINTS], "mints per renewal", id="stored in time"),
        pytest.param([*renewed(0, "x"), *disturbed(CallFault(0.2, "A"), "y"), *disturbed(CallFault(0.2, "A"), "z"),
                      *TWO_MINTS], None, id="two disturbed mints invalidate the row's token"),
        pytest.param(request(0, 10.1), "response time", id="more than ten seconds"),
        pytest.param(stopped_request("B"), "response time", id="another one was stopped"),
        pytest.param([RequestStarted(0, "A"), FaultsStarted(11)], "response time", id="no response"),
        pytest.param([RequestStarted(0, "A"), InstanceKilled(1, "A"), FaultsStarted(11)], None, id="killed"),
        pytest.param([*STARTED, FaultsEnded(1), *request(2, 3), *request(15, 16.1, "B")], "recovery", id="too late"),
        pytest.param([*STARTED, FaultsEnded(1), *request(2, 3)], "recovery", id="never"),
        pytest.param([*STARTED, FaultsEnded(1), *request(2, 3), FaultsStarted(4), *request(5, 6, "B")], "recovery",
                     id="only with the next faults"),
        pytest.param([*STARTED, InstanceKilled(0, "B"), FaultsEnded(1), *request(2, 3)], None, id="killed before"),
        pytest.param([*RECOVERED, *request(16, 17, "B", "unavailable")], "recovery", id="fails again without a fault"),
        pytest.param([*RECOVERED, *request(8, 9, "B", "unavailable")], None, id="fails again, but recovers in time"),
    ],
)  # fmt: skip
def test_a_history_that_violates_a_rule_is_found(history: list[Event], rule: str | None) -> None:
    assert {violation.rule for violation in find_violations(history)} == ({rule} if rule else set())

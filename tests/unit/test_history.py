"""The checker of `benchmarks.history`: each rule has histories that it accepts and histories that violate it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import history as h
from benchmarks.history import (
    FaultsEnded,
    FaultsStarted,
    InstanceContinued,
    InstanceKilled,
    InstanceStarted,
    InstanceStopped,
    Minted,
    MintLost,
    RequestEnded,
    RequestStarted,
    RowWrite,
    TableFault,
    TokensRevoked,
)

if TYPE_CHECKING:
    from benchmarks.history import Event


def committed(at: float, token: str, instance: str = "A") -> RowWrite:
    return RowWrite(at, instance, "commit", token=token)


def renewed(at: float, token: str, instance: str = "A") -> list[Event]:
    """An instance mints and stores a token."""
    return [Minted(at, instance, token), committed(at + 0.1, token, instance)]


def disturbed(at: float, token: str, fault: Event, instance: str) -> list[Event]:
    """An instance mints a token, and a fault keeps it from storing it."""
    return [
        RequestStarted(at, instance, int(at * 1000)),
        Minted(at + 0.01, instance, token),
        fault,
        RequestEnded(at + 0.5, instance, int(at * 1000), 0.5, 200, "ok"),
    ]


def served(at: float, instance: str, status: int = 200, code: str = "ok") -> list[Event]:
    return [
        RequestStarted(at - 0.1, instance, int(at * 1000)),
        RequestEnded(at, instance, int(at * 1000), 0.1, status, code),
    ]


def violated_rules(history: list[Event]) -> list[str]:
    return [violation.rule for violation in h.find_violations(history)]


@pytest.mark.parametrize(
    ("history", "is_violation"),
    [
        pytest.param([*renewed(1, "1"), *renewed(2, "2")], False, id="newer over older"),
        pytest.param(
            [Minted(1, "A", "1"), Minted(2, "B", "2"), committed(3, "2", "B"), committed(4, "1")],
            True,
            id="older over newer",
        ),
        pytest.param(
            [
                Minted(1, "A", "1"),
                Minted(2, "B", "2"),
                committed(3, "2", "B"),
                RowWrite(4, "A", "commit", is_applied=False, token="1"),
            ],
            False,
            id="older over newer refused",
        ),
        pytest.param([*renewed(1, "1"), committed(2, "1")], False, id="the same token twice"),
        pytest.param([committed(1, "9")], True, id="a token that was not minted"),
    ],
)
def test_token_order(history: list[Event], is_violation: bool) -> None:
    assert violated_rules(history) == ["token order"] * is_violation


THREE: list[Event] = [Minted(1, "A", "1"), Minted(2, "B", "2"), *renewed(3, "3", "C")]


@pytest.mark.parametrize(
    ("history", "is_violation"),
    [
        pytest.param(renewed(1, "1"), False, id="one mint"),
        pytest.param([Minted(1, "A", "1"), *renewed(2, "2", "B")], False, id="two mints"),
        pytest.param(THREE, True, id="three mints"),
        pytest.param([MintLost(2.5, "1"), *THREE], False, id="three mints, one lost"),
        pytest.param([*renewed(1, "1"), Minted(2, "B", "2"), Minted(3, "C", "3")], True, id="two late mints"),
        pytest.param(
            [Minted(1, "A", "1"), *renewed(2, "2"), TokensRevoked(3), Minted(4, "A", "3"), *renewed(5, "4")],
            False,
            id="two renewals with two mints each",
        ),
        pytest.param(
            [*renewed(1, "1"), RowWrite(2, "operator", "expire"), Minted(3, "A", "2"), *renewed(4, "3")],
            False,
            id="an expired row starts a renewal",
        ),
        pytest.param(
            [Minted(1, "A", "1"), RowWrite(2, "operator", "expire"), Minted(3, "A", "2"), *renewed(4, "3")],
            True,
            id="a row that has no usable token starts no second renewal",
        ),
        pytest.param(
            [TokensRevoked(0), Minted(1, "A", "1"), TokensRevoked(2), Minted(3, "A", "2"), *renewed(4, "3")],
            False,
            id="revoked before it was stored",
        ),
        pytest.param(
            [*renewed(1, "1"), Minted(2, "B", "2"), Minted(400, "A", "3"), *renewed(401, "4")],
            False,
            id="the stored token runs out after a newer mint",
        ),
        pytest.param(
            [
                *disturbed(1, "1", InstanceStopped(1.1, "A"), "A"),
                *disturbed(2, "2", TableFault(2.1, "B", "UpdateItem", "drop"), "B"),
                *renewed(3, "3", "C"),
            ],
            False,
            id="three mints, two disturbed",
        ),
        pytest.param(
            [
                *disturbed(1, "1", InstanceKilled(1.1, "A"), "A"),
                Minted(2, "B", "2"),
                *renewed(3, "3", "C"),
            ],
            True,
            id="three mints, one disturbed",
        ),
        pytest.param(
            [
                *disturbed(1, "1", TableFault(1.1, "A", "GetItem", "drop"), "A"),
                *disturbed(2, "2", TableFault(2.1, "A", "UpdateItem", "drop"), "B"),
                *renewed(3, "3", "C"),
            ],
            True,
            id="faults of reads and of other instances do not disturb",
        ),
        pytest.param(
            [
                InstanceStopped(0.5, "A"),
                *disturbed(1, "1", InstanceContinued(1.1, "A"), "A"),
                *disturbed(2, "2", InstanceKilled(2.1, "B"), "B"),
                *renewed(3, "3", "C"),
            ],
            False,
            id="stopped before the request",
        ),
        pytest.param(
            [
                RequestStarted(1, "A", 1),
                Minted(1.1, "A", "1"),
                TableFault(1.2, "A", "UpdateItem", "lose"),
                committed(1.3, "1"),
                TokensRevoked(2),
                Minted(3, "B", "2"),
                Minted(4, "C", "3"),
                *renewed(5, "4", "B"),
            ],
            True,
            id="a stored mint was not disturbed",
        ),
    ],
)
def test_mints_per_renewal(history: list[Event], is_violation: bool) -> None:
    assert violated_rules(history) == ["mints per renewal"] * is_violation


@pytest.mark.parametrize(
    ("history", "is_violation"),
    [
        pytest.param([RequestStarted(0, "A", 1), RequestEnded(10, "A", 1, 10, 200, "ok")], False, id="ten seconds"),
        pytest.param([RequestStarted(0, "A", 1), RequestEnded(10.1, "A", 1, 10.1, 503, "x")], True, id="more"),
        pytest.param(
            [
                RequestStarted(0, "A", 1),
                InstanceStopped(1, "A"),
                InstanceContinued(6, "A"),
                RequestEnded(14, "A", 1, 14, 200, "ok"),
            ],
            False,
            id="stopped for a part of it",
        ),
        pytest.param(
            [
                RequestStarted(0, "A", 1),
                InstanceStopped(1, "B"),
                InstanceContinued(6, "B"),
                RequestEnded(14, "A", 1, 14, 200, "ok"),
            ],
            True,
            id="another one was stopped",
        ),
        pytest.param([RequestStarted(0, "A", 1), *served(11, "B")], True, id="no response"),
        pytest.param([RequestStarted(0, "A", 1), InstanceKilled(1, "A"), *served(11, "B")], False, id="killed"),
    ],
)
def test_response_time(history: list[Event], is_violation: bool) -> None:
    assert violated_rules(history) == ["response time"] * is_violation


STARTED: list[Event] = [InstanceStarted(0, "A"), InstanceStarted(0, "B"), FaultsStarted(0)]


@pytest.mark.parametrize(
    ("history", "is_violation"),
    [
        pytest.param([FaultsEnded(1), *served(2, "A"), *served(15.9, "B")], False, id="in time"),
        pytest.param([FaultsEnded(1), *served(2, "A"), *served(16.1, "B")], True, id="too late"),
        pytest.param([FaultsEnded(1), *served(2, "A")], True, id="never"),
        pytest.param([InstanceKilled(0, "B"), FaultsEnded(1), *served(2, "A")], False, id="killed before"),
        pytest.param(
            [FaultsEnded(1), *served(2, "A"), FaultsStarted(3), *served(4, "B")], True, id="only with the next faults"
        ),
        pytest.param(
            [FaultsEnded(1), *served(2, "A"), *served(2, "B"), *served(17, "B", 503, "token_unavailable")],
            True,
            id="fails again without a fault",
        ),
        pytest.param(
            [FaultsEnded(1), *served(2, "A"), *served(2, "B"), *served(9, "B", 503, "token_unavailable")],
            False,
            id="fails again, but recovers in time",
        ),
    ],
)
def test_recovery(history: list[Event], is_violation: bool) -> None:
    assert violated_rules([*STARTED, *history]) == ["recovery"] * is_violation


@pytest.mark.parametrize(
    ("history", "is_violation"),
    [
        pytest.param(served(1, "A", 503, "token_unavailable"), False, id="problem"),
        pytest.param(served(1, "A", 500, "internal_error"), True, id="internal error"),
        pytest.param(served(1, "A", 0, "function_error"), True, id="function error"),
        pytest.param([InstanceKilled(0.95, "A"), *served(1, "A", 0, "killed")], False, id="killed"),
        pytest.param(served(1, "A", 0, "killed"), True, id="died by itself"),
    ],
)
def test_errors(history: list[Event], is_violation: bool) -> None:
    assert violated_rules(history) == ["errors"] * is_violation


def test_events_can_be_stored() -> None:
    events: list[Event] = [*renewed(1, "1"), *STARTED, MintLost(2, "1"), TokensRevoked(3)]
    assert [h.decode(h.encode(event)) for event in events] == events
    assert h.encode(TokensRevoked(3.0)) == b'{"event":"TokensRevoked","at":3.0}'

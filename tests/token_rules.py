"""The token rules, as a checker of histories; `tests/unit/tokens/test_lease_model_clocks.py` uses it.

A history is a list of events in the order in which they took effect. `at` is in seconds, on one clock for all events.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_RESPONSE_SECONDS = 10.0
MAX_RECOVERY_SECONDS = 15.0
MAX_MINTS = 2
"""Undisturbed mints per renewal: instances whose clocks differ may decide differently."""


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    at: float


@dataclass(frozen=True)
class InstanceEvent(Event):
    """Something that happened to an instance, or that it did."""

    instance: str


class InstanceStarted(InstanceEvent):
    """An instance starts."""


class InstanceStopped(InstanceEvent):
    """An instance stalls."""


class InstanceContinued(InstanceEvent):
    """A stalled instance continues."""


class InstanceKilled(InstanceEvent):
    """An instance dies."""


class CallFault(InstanceEvent):
    """A fault hit a mint of this instance, or its write to the token's row."""


class FaultsStarted(Event):
    """A period with faults starts."""


class FaultsEnded(Event):
    """All faults are off, and all instances run, until the next FaultsStarted."""


class TokensRevoked(Event):
    """The platform invalidated all tokens."""


class RowExpired(Event):
    """The operator set the row's expires_at to the past, or removed it."""


class MintCalled(InstanceEvent):
    """An instance asked the platform for a token."""


@dataclass(frozen=True)
class Minted(InstanceEvent):
    """The platform minted a token for an instance."""

    token: str


@dataclass(frozen=True)
class Committed(InstanceEvent):
    """An instance stored a token in the row: the conditional write was applied."""

    token: str


class RequestStarted(InstanceEvent):
    """A customer's request was sent to an instance, which handles one at a time."""


@dataclass(frozen=True)
class RequestEnded(InstanceEvent):
    """The response to a request. `code` is `ok` or the problem's code."""

    code: str


class Violation(NamedTuple):
    """A rule that the history violates. `at` is the time of the event that shows it."""

    rule: str
    at: float
    message: str


@dataclass
class Renewal:
    """The undisturbed mints of one renewal."""

    started: float
    mints: list[str] = field(default_factory=list)


def find_violations(history: Sequence[Event]) -> list[Violation]:
    """Return all violations, in the order of the rules."""
    return [
        *_check_token_order(history),
        *_check_mints(history),
        *_check_response_times(history),
        *_check_recovery(history),
    ]


def find_renewals(history: Sequence[Event]) -> list[Renewal]:
    """Return the renewals of a history.

    The row's token is usable while it is one of the two newest, was not revoked, and the row does not say that it has
    expired. A renewal starts at the begin of the history and whenever the row's token becomes unusable. A revocation
    during a renewal starts another one: what was minted before is lost. Mints that come after a token was stored
    belong to the same renewal: their instances were too late.

    A mint is disturbed when its token was never stored and a fault hit its instance during the request. It needs a
    replacement, so it does not count.
    """
    stored = {event.token for event in history if isinstance(event, Committed)}
    renewals = [Renewal(history[0].at if history else 0.0)]
    newest: list[str] = []
    in_row: str | None = None
    for event in history:
        was_usable = in_row in newest
        is_revoked = isinstance(event, TokensRevoked) and bool(newest)
        match event:
            case TokensRevoked():
                newest = []
            case RowExpired():
                in_row = None
            case Committed():
                in_row = event.token
            case Minted():
                newest = [*newest[-1:], event.token]
                if event.token in stored or not _is_disturbed(history, event):
                    renewals[-1].mints.append(event.token)
            case _:
                pass
        if is_revoked or (was_usable and in_row not in newest):
            renewals.append(Renewal(event.at))
    return renewals


def _is_disturbed(history: Sequence[Event], mint: Minted) -> bool:
    """Return whether a fault hit the instance during the request in which it minted."""
    own = [event for event in history if isinstance(event, InstanceEvent) and event.instance == mint.instance]
    position = own.index(mint)
    first = max((n for n in range(position) if isinstance(own[n], RequestStarted)), default=0)
    last = next((n for n in range(position, len(own)) if isinstance(own[n], RequestEnded)), len(own))
    faults = (InstanceStopped, InstanceContinued, InstanceKilled, CallFault)
    return any(isinstance(event, faults) for event in own[first:last])


def find_response_seconds(history: Sequence[Event]) -> list[tuple[RequestStarted, float]]:
    """Return how long each request took, without the time in which its instance was stopped.

    A request without response took until the end of the history, unless its instance was killed.
    """
    stopped_at: dict[str, float] = {}
    stopped: defaultdict[str, float] = defaultdict(float)
    pending: dict[str, tuple[RequestStarted, float]] = {}
    results: list[tuple[RequestStarted, float]] = []

    def running_seconds(instance: str, now: float) -> float:
        return stopped_at.get(instance, now) - stopped[instance]

    for event in history:
        match event:
            case InstanceStopped():
                stopped_at.setdefault(event.instance, event.at)
            case InstanceContinued():
                stopped[event.instance] += event.at - stopped_at.pop(event.instance, event.at)
            case InstanceKilled():
                pending.pop(event.instance, None)
            case RequestStarted():
                pending[event.instance] = event, running_seconds(event.instance, event.at)
            case RequestEnded() if event.instance in pending:
                request, start = pending.pop(event.instance)
                results.append((request, running_seconds(event.instance, event.at) - start))
            case _:
                pass
    end = history[-1].at if history else 0.0
    return results + [(request, running_seconds(name, end) - start) for name, (request, start) in pending.items()]


def _check_token_order(history: Sequence[Event]) -> Iterator[Violation]:
    """Find writes that replace a newer token by an older one, in the order in which the platform minted them."""
    order: dict[str, int] = {}
    in_row = -1
    for event in history:
        if isinstance(event, Minted):
            order[event.token] = len(order)
        elif isinstance(event, Committed):
            number = order.get(event.token, -1)
            if number < in_row:
                yield Violation("token order", event.at, f"{event.instance} stored {event.token} over a newer token")
            in_row = number


def _check_mints(history: Sequence[Event]) -> Iterator[Violation]:
    """Find renewals with too many mints."""
    for renewal in find_renewals(history):
        if len(renewal.mints) > MAX_MINTS:
            yield Violation("mints per renewal", renewal.started, f"{len(renewal.mints)} mints")


def _check_response_times(history: Sequence[Event]) -> Iterator[Violation]:
    """Find responses that took too long."""
    for request, seconds in find_response_seconds(history):
        if seconds > MAX_RESPONSE_SECONDS:
            yield Violation("response time", request.at, f"{request.instance}: {seconds:.1f} s")


def _check_recovery(history: Sequence[Event]) -> Iterator[Violation]:
    """Find instances that do not serve MAX_RECOVERY_SECONDS after the end of all faults, or that fail again later."""
    living: set[str] = set()
    waiting: set[str] = set()
    deadline: float | None = None
    for event in history:
        match event:
            case InstanceStarted():
                living.add(event.instance)
            case InstanceKilled():
                living.discard(event.instance)
            case FaultsEnded():
                deadline, waiting = event.at + MAX_RECOVERY_SECONDS, set(living)
            case FaultsStarted():
                yield from (Violation("recovery", event.at, f"{name} was not served") for name in sorted(waiting))
                deadline, waiting = None, set()
            case RequestEnded() if deadline is not None:
                if event.code == "ok" and event.at <= deadline:
                    waiting.discard(event.instance)
                elif event.code != "ok" and event.at > deadline:
                    yield Violation("recovery", event.at, f"{event.instance}: {event.code} without a fault")
            case _:
                pass
    yield from (Violation("recovery", history[-1].at, f"{name} was not served") for name in sorted(waiting))

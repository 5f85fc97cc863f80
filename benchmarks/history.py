"""The history of a fault run, and the checker that finds violations of the token rules in it.

A history is a list of events in the order in which they took effect. `at` is in seconds since the start of the run, on
one clock for all events. Tokens have short names (not their values). The checker is a pure function.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_RESPONSE_SECONDS = 10.0
MAX_RECOVERY_SECONDS = 15.0
MAX_MINTS = 2
"""Mints per renewal, when at most one of them was disturbed."""

PREVIOUS_TOKEN_SECONDS = 300.0
"""A token stays valid for this time after the next one was minted."""


class _Event(msgspec.Struct, tag_field="event", tag=True, frozen=True):
    at: float


class InstanceStarted(_Event, frozen=True):
    """A process was started. Its wall clock is `clock_offset` seconds ahead."""

    instance: str
    clock_offset: float = 0.0


class InstanceStopped(_Event, frozen=True):
    """A process was stopped (SIGSTOP)."""

    instance: str


class InstanceContinued(_Event, frozen=True):
    """A stopped process was continued (SIGCONT)."""

    instance: str


class InstanceKilled(_Event, frozen=True):
    """A process was killed (SIGKILL)."""

    instance: str


class FaultsStarted(_Event, frozen=True):
    """A period with faults starts."""


class FaultsEnded(_Event, frozen=True):
    """All faults are off, and all instances run, until the next FaultsStarted."""


class FaultSet(_Event, frozen=True):
    """A fault was switched on or off. `description` is for the reader."""

    description: str


class TableFault(_Event, frozen=True):
    """A DynamoDB fault hit a call of an instance."""

    instance: str
    operation: str
    kind: str


class TokensRevoked(_Event, frozen=True):
    """The platform invalidated all tokens."""


class Minted(_Event, frozen=True):
    """The platform minted a token for an instance."""

    instance: str
    token: str


class MintLost(_Event, frozen=True):
    """The response with this token did not reach the instance: the mint failed."""

    token: str


class RowRead(_Event, frozen=True):
    """An instance read the token row."""

    instance: str
    version: int | None
    token: str | None


class RowWrite(_Event, frozen=True):
    """A write to the token row.

    `action` is `acquire` (also for an extension of the lease), `commit` (stores `token`), `release` (after a failed
    mint) or `expire` (by the run itself: expires_at is set to the past or removed). `is_applied` is false when the
    condition failed.
    """

    instance: str
    action: Literal["acquire", "commit", "release", "expire"]
    is_applied: bool = True
    version: int | None = None
    token: str | None = None


class RequestStarted(_Event, frozen=True):
    """A customer's request was sent to an instance, which handles one at a time."""

    instance: str
    request: int


class RequestEnded(_Event, frozen=True):
    """The response, or the function error, of a request.

    `code` is `ok`, the problem's code, `function_error`, or `killed` when the instance was killed during the request.
    """

    instance: str
    request: int
    seconds: float
    status: int
    code: str


Event = (
    InstanceStarted
    | InstanceStopped
    | InstanceContinued
    | InstanceKilled
    | FaultsStarted
    | FaultsEnded
    | FaultSet
    | TableFault
    | TokensRevoked
    | Minted
    | MintLost
    | RowRead
    | RowWrite
    | RequestStarted
    | RequestEnded
)


class Violation(msgspec.Struct, frozen=True):
    """A rule that the history violates. `at` is the time of the event that shows it."""

    rule: Literal["token order", "mints per renewal", "response time", "recovery", "errors"]
    at: float
    message: str


class Renewal(msgspec.Struct):
    """The mints of one renewal; see `find_renewals`. `ended` is None when no usable token was stored."""

    started: float
    reason: str
    ended: float | None = None
    mints: list[str] = []
    disturbed: list[str] = []

    @property
    def max_mints(self) -> int:
        """The number of mints that this renewal may need."""
        return max(MAX_MINTS, 1 + len(self.disturbed))


def encode(event: Event) -> bytes:
    """Return an event as one line of JSON, without the line end."""
    return msgspec.json.encode(event)


def decode(line: bytes | str) -> Event:
    """Return the event of one line of JSON; raises msgspec.ValidationError."""
    return msgspec.json.decode(line, type=Event)  # type: ignore[no-any-return]


def find_violations(history: Sequence[Event]) -> list[Violation]:
    """Return all violations, in the order of the rules."""
    return [
        *_check_token_order(history),
        *_check_mints(history),
        *_check_response_times(history),
        *_check_recovery(history),
        *_check_errors(history),
    ]


def find_renewals(history: Sequence[Event]) -> list[Renewal]:
    """Return the renewals of a history.

    The row's token is usable while the platform accepts it and the row does not say that it has expired. The platform
    accepts the newest token, and the previous one for PREVIOUS_TOKEN_SECONDS, unless they were revoked.

    - A renewal starts when the row's token becomes unusable: at the start of the history (there is no token), when all
      tokens are revoked, when the row's expires_at is set to the past or removed, and when too many or too old mints
      have made the platform reject the row's token. Tokens that are revoked before the renewal has ended start another
      one: what was minted before is lost.
    - It ends when a usable token is stored. Mints after the end, before the next renewal starts, belong to it too:
      they are mints of instances that were too late.
    - Mints whose response was lost have failed and do not count.
    - A mint is disturbed when its token was never stored because of a fault: during its request the instance was
      stopped or killed, or a DynamoDB fault hit one of its writes. Each disturbed mint needs a replacement. So a
      renewal may have 1 + (number of disturbed mints) mints, and always 2: with clocks that differ, two instances may
      come to different decisions.
    """
    lost = {event.token for event in history if isinstance(event, MintLost)}
    disturbed = _find_disturbed_mints(history)
    renewals = [Renewal(history[0].at if history else 0.0, "no token")]
    state = _TokenState()
    for event in history:
        was_usable = state.is_usable(event.at)
        if renewals[-1].ended is not None and not was_usable:
            renewals.append(Renewal(event.at, "the previous token ran out"))
        match event:
            case TokensRevoked():
                if state.newest is not None:
                    renewals.append(Renewal(event.at, "revoked"))
                state.revoke()
            case Minted():
                if event.token not in lost:
                    renewals[-1].mints.append(event.token)
                    renewals[-1].disturbed += [event.token] if event.token in disturbed else []
                state.mint(event.token, event.at)
                if was_usable and not state.is_usable(event.at):
                    renewals.append(Renewal(event.at, "replaced by newer mints"))
            case RowWrite(action="expire", is_applied=True):
                state.is_expired = True
                if was_usable:
                    renewals.append(Renewal(event.at, "expired"))
            case RowWrite(action="commit", is_applied=True):
                state.store(event.token)
                if state.is_usable(event.at) and renewals[-1].ended is None:
                    renewals[-1].ended = event.at
            case _:
                pass
    return renewals


def find_recovery_seconds(history: Sequence[Event]) -> list[tuple[float, str, float | None]]:
    """Return (end of the faults, instance, seconds until its first success) for each living instance and period.

    The seconds are None when there was no success before the next FaultsStarted.
    """
    results: list[tuple[float, str, float | None]] = []
    for ended, next_start in _find_quiet_periods(history):
        successes: dict[str, float] = {}
        for event in history:
            if isinstance(event, RequestEnded) and event.status == 200 and ended <= event.at < next_start:
                successes.setdefault(event.instance, event.at - ended)
        results += [(ended, instance, successes.get(instance)) for instance in sorted(_find_living(history, ended))]
    return results


class Stop(NamedTuple):
    """A time in which an instance was stopped."""

    instance: str
    start: float
    end: float


def find_stops(history: Sequence[Event]) -> list[Stop]:
    """Return all times in which an instance was stopped."""
    stopped: dict[str, float] = {}
    stops: list[Stop] = []
    for event in history:
        if isinstance(event, InstanceStopped):
            stopped.setdefault(event.instance, event.at)
        elif isinstance(event, (InstanceContinued, InstanceKilled)) and event.instance in stopped:
            stops.append(Stop(event.instance, stopped.pop(event.instance), event.at))
    return stops + [Stop(instance, start, math.inf) for instance, start in stopped.items()]


def stopped_seconds(stops: Sequence[Stop], instance: str, start: float, end: float) -> float:
    """Return how long an instance was stopped between two times."""
    return sum(max(0.0, min(end, stop.end) - max(start, stop.start)) for stop in stops if stop.instance == instance)


class _TokenState:
    """Which tokens the platform accepts, and which one the row holds."""

    def __init__(self) -> None:
        self.newest: str | None = None
        self.is_expired = False
        self._previous: str | None = None
        self._previous_until = 0.0
        self._stored: str | None = None

    def is_usable(self, now: float) -> bool:
        """Return whether the row's token is usable."""
        if self._stored is None or self.is_expired:
            return False
        return self._stored == self.newest or (self._stored == self._previous and now < self._previous_until)

    def mint(self, token: str, now: float) -> None:
        self._previous, self._previous_until = self.newest, now + PREVIOUS_TOKEN_SECONDS
        self.newest = token

    def store(self, token: str | None) -> None:
        self._stored, self.is_expired = token, False

    def revoke(self) -> None:
        self.newest = self._previous = None


def _check_token_order(history: Sequence[Event]) -> Iterator[Violation]:
    """Find writes that replace a newer token by an older one, in the order in which the platform minted them."""
    order: dict[str, int] = {}
    stored = -1
    for event in history:
        if isinstance(event, Minted):
            order[event.token] = len(order)
        elif isinstance(event, RowWrite) and event.action == "commit" and event.is_applied:
            number = order.get(event.token or "", -1)
            if number < 0:
                yield Violation("token order", event.at, f"{event.instance} stored an unknown token")
            elif number < stored:
                yield Violation("token order", event.at, f"{event.instance} stored {event.token} over a newer token")
            stored = max(stored, number)


def _check_mints(history: Sequence[Event]) -> Iterator[Violation]:
    """Find renewals with too many mints."""
    for renewal in find_renewals(history):
        if len(renewal.mints) > renewal.max_mints:
            text = f"{len(renewal.mints)} mints from {renewal.mints[0]} on, {len(renewal.disturbed)} disturbed"
            yield Violation("mints per renewal", renewal.started, f"{text}, after: {renewal.reason}")


def _check_response_times(history: Sequence[Event]) -> Iterator[Violation]:
    """Find responses that took too long, not counting the time in which the instance was stopped."""
    stops = find_stops(history)
    killed = {event.instance for event in history if isinstance(event, InstanceKilled)}
    pending: dict[int, RequestStarted] = {}
    requests: list[tuple[str, float, float]] = []
    for event in history:
        if isinstance(event, RequestStarted):
            pending[event.request] = event
        elif isinstance(event, RequestEnded):
            started = pending.pop(event.request, None)
            begin = event.at - event.seconds if started is None else started.at
            requests += [] if event.code == "killed" else [(event.instance, begin, event.at)]
    # These had no response until the end of the history.
    requests += [
        (event.instance, event.at, history[-1].at) for event in pending.values() if event.instance not in killed
    ]
    for instance, begin, end in requests:
        seconds = end - begin - stopped_seconds(stops, instance, begin, end)
        if seconds > MAX_RESPONSE_SECONDS:
            yield Violation("response time", end, f"{instance}: {seconds:.1f} s")


def _check_recovery(history: Sequence[Event]) -> Iterator[Violation]:
    """Find instances that do not serve MAX_RECOVERY_SECONDS after the end of all faults, or that fail again later."""
    for ended, instance, seconds in find_recovery_seconds(history):
        if seconds is None or seconds > MAX_RECOVERY_SECONDS:
            yield Violation("recovery", ended, f"{instance} did not serve within {MAX_RECOVERY_SECONDS:g} s")
    for ended, next_start in _find_quiet_periods(history):
        for event in history:
            is_late = ended + MAX_RECOVERY_SECONDS < event.at < next_start
            if is_late and isinstance(event, RequestEnded) and event.status != 200:
                yield Violation("recovery", event.at, f"{event.instance}: {event.code} without a fault")


def _check_errors(history: Sequence[Event]) -> Iterator[Violation]:
    """Find internal errors and function errors. `killed` is no error when the instance really was killed."""
    killed: set[str] = set()
    for event in history:
        if isinstance(event, InstanceKilled):
            killed.add(event.instance)
        elif isinstance(event, RequestEnded) and (
            event.code in ("internal_error", "function_error")
            or (event.code == "killed" and event.instance not in killed)
        ):
            yield Violation("errors", event.at, f"{event.instance}: {event.code}")


def _find_disturbed_mints(history: Sequence[Event]) -> set[str]:
    """Return the tokens that were never stored because of a fault; see `find_renewals`."""
    stored = {event.token for event in history if isinstance(event, RowWrite) and event.is_applied}
    unstored: dict[str, list[str]] = {}
    has_fault: set[str] = set()
    stopped: set[str] = set()
    disturbed: set[str] = set()

    def end_request(instance: str) -> None:
        tokens = unstored.pop(instance, [])
        if instance in has_fault:
            disturbed.update(tokens)
        has_fault.discard(instance)

    for event in history:
        match event:
            case RequestStarted():
                end_request(event.instance)
                if event.instance in stopped:
                    has_fault.add(event.instance)
            case Minted() if event.token not in stored:
                unstored.setdefault(event.instance, []).append(event.token)
            case InstanceStopped():
                stopped.add(event.instance)
                has_fault.add(event.instance)
            case InstanceContinued():
                stopped.discard(event.instance)
            case TableFault(operation="UpdateItem"):
                has_fault.add(event.instance)
            case InstanceKilled():
                has_fault.add(event.instance)
                end_request(event.instance)
            case RequestEnded():
                end_request(event.instance)
            case _:
                pass
    for instance in list(unstored):
        end_request(instance)
    return disturbed


def _find_quiet_periods(history: Sequence[Event]) -> Iterator[tuple[float, float]]:
    """Yield the times of each FaultsEnded and of the FaultsStarted after it (infinity for the last)."""
    ended: float | None = None
    for event in history:
        if isinstance(event, FaultsEnded):
            ended = event.at
        elif isinstance(event, FaultsStarted) and ended is not None:
            yield ended, event.at
            ended = None
    if ended is not None:
        yield ended, math.inf


def _find_living(history: Sequence[Event], at: float) -> set[str]:
    living: set[str] = set()
    for event in history:
        if event.at > at:
            break
        if isinstance(event, InstanceStarted):
            living.add(event.instance)
        elif isinstance(event, InstanceKilled):
            living.discard(event.instance)
    return living

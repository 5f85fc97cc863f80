"""One log line, the metrics and the trace of a request or a scheduled run, all drawn from its journal.

Nothing here sees a token, a secret, an open_id or a coupon code: the journal does not hold them.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import time
import traceback
from collections import Counter
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, cast

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from chalicelib.errors import RedemptionError
from chalicelib.settings import is_traced

if TYPE_CHECKING:
    from aws_lambda_powertools import Tracer

    from chalicelib.scope import Call, Scope
    from chalicelib.settings import TelemetrySettings

# At DEBUG these write headers and bodies, and so every secret there is; no log level may switch that on.
_TALKATIVE = ("botocore", "boto3", "urllib3", "requests", "chalice")

_NAMESPACES = {"douyin": "remote"}


class _Stdout(io.TextIOBase):
    """Standard output as it is when a line is written, not as it was when this module was loaded."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


class Telemetry:
    """What this instance tells of itself."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        self._logger = Logger(service=settings.service, location=None, stream=cast("IO[str]", _Stdout()))
        self._cold = True
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)

    def report(self, what: str, outcome: str, scope: Scope, error: BaseException | None, **fields: Any) -> None:
        """Tell of one request or run: `what` it was and its outcome, `ok` or a problem code."""
        cold, self._cold = self._cold, False
        self._log(what, outcome, scope, error, cold_start=cold, **fields)
        self._measure(outcome, scope, cold=cold)
        if is_traced(os.environ):
            self._trace(what, outcome, scope)

    def tell_unready(self, error: BaseException, scope: Scope) -> None:
        """Tell that a start went wrong somewhere; the requests that follow try again by themselves."""
        self._log("start", "unready", scope, error)

    def _log(self, what: str, outcome: str, scope: Scope, error: BaseException | None, **fields: Any) -> None:
        entry: dict[str, Any] = {
            **fields,
            "account_id": scope.account_id,
            "poi_id": scope.poi_id,
            "user": scope.user,
            "outcome": outcome,
            "ms": round((time.time() - scope.started) * 1000, 1),
            "pages": scope.pages or None,
            "certificates": scope.returned,
            "malformed": scope.malformed or None,
            "lost_page": None if scope.lost_page is None else str(scope.lost_page),
            "calls": [_told(call) for call in scope.calls],
            "error": None if error is None else _described(error),
        }
        level = self._logger.info if error is None else self._logger.warning
        if error is not None and not isinstance(error, RedemptionError):
            level = self._logger.error
        level(what, extra={name: value for name, value in entry.items() if value not in (None, "", [])})

    def _measure(self, outcome: str, scope: Scope, *, cold: bool) -> None:
        metrics = self._metrics
        if cold:
            metrics.add_metric("ColdStart", MetricUnit.Count, 1)
        if scope.returned is not None:
            metrics.add_metric("CertificatesReturned", MetricUnit.Count, scope.returned)
            metrics.add_metric("CertificatesMalformed", MetricUnit.Count, scope.malformed)
        if scope.token_seconds_left is not None:
            metrics.add_metric("TokenSecondsLeft", MetricUnit.Seconds, scope.token_seconds_left)
        upstream = [call for call in scope.calls if call.service == "douyin"]
        for call in upstream:
            if call.name == "client_token":
                name = "TokenMints" if call.outcome == "ok" else "TokenMintFailures"
                metrics.add_metric(name, MetricUnit.Count, 1)
            metrics.add_metric("UpstreamLatency", MetricUnit.Milliseconds, round(call.seconds * 1000, 1))
        if metrics.metric_set:
            metrics.flush_metrics()
        failures = Counter(call.outcome for call in upstream if call.outcome != "ok")
        for reason, count in failures.items():
            self._measure_by("UpstreamErrors", count, error_code=reason)
        if outcome != "ok":
            self._measure_by("Problems", 1, code=outcome)

    def _measure_by(self, name: str, count: int, **dimension: str) -> None:
        """Count under service and stage, and under these with one more dimension."""
        metrics = self._metrics
        metrics.add_metric(name, MetricUnit.Count, count)
        metrics.add_dimensions(service=self._settings.service, **dimension)
        metrics.flush_metrics()

    @cached_property
    def _metrics(self) -> EphemeralMetrics:
        # Flushing empties it down to its default dimensions.
        stage = {"stage": self._settings.stage} if self._settings.stage else {}
        return EphemeralMetrics(
            namespace=self._settings.namespace, service=self._settings.service, default_dimensions=stage
        )

    @cached_property
    def _tracer(self) -> Tracer | None:
        # The X-Ray SDK behind it takes longer to load than anything else here: only where a request is sampled.
        from aws_lambda_powertools import Tracer  # noqa: PLC0415

        try:
            return Tracer(service=self._settings.service, auto_patch=False)
        except ImportError:
            self._logger.warning("tracing is on but the X-Ray SDK is not in the bundle: was it made by `make bundle`?")
            return None

    def _trace(self, what: str, outcome: str, scope: Scope) -> None:
        """Write the subsegments after the fact, from the journal: no client is patched, no thread needs a context."""
        if self._tracer is None:
            return
        recorder: Any = self._tracer.provider
        root = recorder.begin_subsegment(f"## {what}")
        if root is None:
            return
        root.start_time = scope.started
        annotations = {"account_id": scope.account_id, "poi_id": scope.poi_id, "outcome": outcome}
        for name, value in annotations.items():
            if value:
                self._tracer.put_annotation(name, value)
        for call in scope.calls:
            subsegment = recorder.begin_subsegment(
                f"{call.service} {call.name}", namespace=_NAMESPACES.get(call.service, "aws")
            )
            subsegment.start_time = call.started
            subsegment.put_annotation("outcome", call.outcome)
            if call.logid:
                subsegment.put_annotation("logid", call.logid)
            if call.outcome != "ok":
                subsegment.add_fault_flag()
            recorder.end_subsegment(call.started + call.seconds)
        if outcome != "ok":
            root.add_error_flag()
        recorder.end_subsegment()


def _told(call: Call) -> dict[str, Any]:
    told: dict[str, Any] = {
        "call": f"{call.service}.{call.name}",
        "ms": round(call.seconds * 1000, 1),
        "outcome": call.outcome,
        "error_code": call.error_code,
        "sub_error_code": call.sub_error_code,
        "logid": call.logid,
    }
    return {name: value for name, value in told.items() if value}


def _described(error: BaseException) -> str:
    """An error of ours by its message; any other by its type and where it came from, since its message may quote."""
    if isinstance(error, RedemptionError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return f"{type(error).__name__} at " + " < ".join(
        f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames[::-1]
    )

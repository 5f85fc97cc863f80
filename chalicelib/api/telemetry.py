"""Telemetry: one log line, the metrics and the trace of each request or scheduled run, from its record.

The record's fields hold no token, secret, open_id or coupon code. The message of an exception that is not a
ServiceError may quote one, so the log has only its type and location.
"""

import io
import logging
import os
import sys
import time
from functools import cached_property, partial
from typing import IO, Any, cast

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from chalicelib.context import Call, Outcome, RequestRecord
from chalicelib.errors import ServiceError, format_error
from chalicelib.settings import TelemetrySettings, is_traced

WITHHELD = "a message of another logger is withheld, because it may quote a secret: "


def _build_log_record(service: str, *arguments: Any, **options: Any) -> logging.LogRecord:
    """Build a log record. If its logger is not `service` or below it, the logger's name replaces the message.

    The messages of libraries may quote secrets: urllib3 logs the unparsed part of a header at WARNING, botocore and the
    http libraries log whole requests at DEBUG.
    """
    record = logging.LogRecord(*arguments, **options)
    if not f"{record.name}.".startswith(f"{service}."):
        record.msg = f"{WITHHELD}{record.name}"
        record.args = ()
        record.exc_info = record.stack_info = None
    return record


class _Stdout(io.TextIOBase):
    """Writes to the current `sys.stdout`: tests and runtimes replace it after this module is imported."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


class Telemetry:
    """Writes logs, metrics and traces of this instance.

    It logs the messages of the logger that has the service's name, and of the loggers below it (`a.b` is below `a`).
    These must never log a secret. The messages of all other loggers are withheld.
    """

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        # The factory serves all loggers, levels and handlers, also those that the runtime or a library adds later.
        logging.setLogRecordFactory(partial(_build_log_record, settings.service))
        self._logger = Logger(service=settings.service, location=None, stream=cast("IO[str]", _Stdout()))
        stage = {"stage": settings.stage} if settings.stage else {}
        self._metrics = EphemeralMetrics(
            namespace=settings.namespace, service=settings.service, default_dimensions=stage
        )
        self._cold = True

    def write(self, operation: str, record: RequestRecord, status: int | None = None) -> None:
        """Write log line, metrics and trace of one request or run. `status` is the HTTP status of a request."""
        self._log(operation, record, status=status, cold_start=self._cold)
        self._cold = False
        self._emit_metrics(record)
        if is_traced(os.environ):
            self._trace(operation, record)

    def warn(self, message: str) -> None:
        """Log a warning that belongs to no request."""
        self._logger.warning(message)

    def write_warmup_failure(self, record: RequestRecord, error: BaseException) -> None:
        """Log that the warm-up failed. The first request retries."""
        record.outcome = Outcome("failed", error=error)
        self._log("warmup", record)

    def _log(self, operation: str, record: RequestRecord, **fields: Any) -> None:
        errors = [outcome.error for outcome in _outcomes(record) if outcome.error is not None]
        log_fields: dict[str, Any] = {
            **record.ids,
            **fields,
            **msgspec.to_builtins(record.report, enc_hook=str),
            # Name each field of the record, so a new field, for example an open_id, is not logged by mistake.
            "request_id": record.request_id,
            "extended_request_id": record.extended_request_id,
            "app_id": record.app_id,
            "user": record.user,
            "probe": record.is_probe or None,
            "outcome": record.outcome.code,
            "list_outcome": None if record.list_outcome is None else record.list_outcome.code,
            "ms": round((time.time() - record.started) * 1000, 1),
            "warnings": record.warnings,
            "calls": [_format_call(call) for call in record.calls],
            "failed_calls": "; ".join(_format_failure(call) for call in record.calls if call.outcome != "ok"),
            "list_error": None if record.list_outcome is None else format_error(record.list_outcome.error),
            "error": format_error(record.outcome.error),
        }
        log = self._logger.warning if errors or record.warnings else self._logger.info
        if not all(isinstance(error, ServiceError) for error in errors):
            log = self._logger.error
        log(operation, extra={name: value for name, value in log_fields.items() if value not in (None, "", [], {})})

    def _emit_metrics(self, record: RequestRecord) -> None:
        if record.is_probe:
            return
        metrics = self._metrics
        for name, (unit, value) in record.report.metrics().items():
            metrics.add_metric(name, unit, value)
        if not record.is_job:
            problems = [outcome for outcome in _outcomes(record) if outcome.code != "ok"]
            if all(problem.is_failure for problem in problems):
                metrics.add_metric("RequestFailed", MetricUnit.Count, int(bool(problems)))
            if any(problem.is_refusal for problem in problems):
                metrics.add_metric("Refused", MetricUnit.Count, 1)
        if metrics.metric_set:
            metrics.flush_metrics()

    @cached_property
    def _tracer(self) -> Any:
        # Import the X-Ray SDK only when a request is sampled: no other import of this service takes longer.
        from aws_lambda_powertools import Tracer  # noqa: PLC0415

        return Tracer(service=self._settings.service, auto_patch=False)

    def _trace(self, operation: str, record: RequestRecord) -> None:
        """Write the subsegments from the record after the request.

        So the X-Ray SDK need not patch the clients, and threads need not pass its context on.
        """
        recorder: Any = self._tracer.provider
        root = recorder.begin_subsegment(f"## {operation}")
        if root is None:
            return
        root.start_time = record.started
        annotations = {
            **record.ids,
            "outcome": record.outcome.code,
            "list_outcome": "" if record.list_outcome is None else record.list_outcome.code,
        }
        for name, value in annotations.items():
            if value:
                self._tracer.put_annotation(name, value)
        for call in record.calls:
            namespace = "remote" if call.service == "douyin" else "aws"
            subsegment = recorder.begin_subsegment(f"{call.service} {call.name}", namespace=namespace)
            subsegment.start_time = call.started
            subsegment.put_annotation("outcome", call.outcome)
            if call.upstream.logid:
                subsegment.put_annotation("logid", call.upstream.logid)
            if call.outcome != "ok":
                subsegment.add_fault_flag()
            recorder.end_subsegment(call.started + call.seconds)
        if any(outcome.code != "ok" for outcome in _outcomes(record)):
            root.add_error_flag()
        recorder.end_subsegment()


def _outcomes(record: RequestRecord) -> list[Outcome]:
    """Return the outcome of the request, then the outcome of the list in a login."""
    return [record.outcome] if record.list_outcome is None else [record.outcome, record.list_outcome]


def _format_call(call: Call) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "call": f"{call.service}.{call.name}",
        "ms": round(call.seconds * 1000, 1),
        "outcome": call.outcome,
        **msgspec.structs.asdict(call.upstream),
    }
    return {name: value for name, value in fields.items() if value}


def _format_failure(call: Call) -> str:
    """Format a failed call as one text: a saved query cannot search all elements of a list."""
    codes = call.upstream
    reason = f"{codes.error_code}/{codes.sub_error_code}" if codes.has_code else call.outcome
    logid = f" logid {codes.logid}" if codes.logid else ""
    return f"{call.service}.{call.name} {reason}{logid}"

"""The report of an acceptance run, in Markdown and JSON, and the fixtures. No secret or personal data is in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redeemctl.acceptance.assumptions import ASSUMPTIONS, QUESTIONS, report_cut_orders
from redeemctl.acceptance.comparison import Comparison
from redeemctl.acceptance.fields import KNOWN_VALUES
from redeemctl.acceptance.recording import CODE_PLACES
from redeemctl.acceptance.sanitizer import Sanitizer
from redeemctl.errors import CommandError

if TYPE_CHECKING:
    from pathlib import Path

    from redeemctl.acceptance.recording import Exchange
    from redeemctl.acceptance.steps import Run

FORMAT = 1
MIN_LEAK_LENGTH = 8
QUERY_NAMES = ("page", "page_size", "page_dimension", "biz_type")
RESULTS = {True: "holds", False: "does not hold", None: "not observed"}


@dataclass(frozen=True)
class Result:
    """A finished run as JSON data: the report, and the fixtures by file name."""

    report: dict[str, Any]
    fixtures: dict[str, dict[str, Any]]

    @property
    def is_accepted(self) -> bool:
        """Whether every assumption that the service relies on holds."""
        accepted: bool = self.report["accepted"]
        return accepted


def evaluate(run: Run) -> Result:
    """Compare all replies with the documents, judge the assumptions, and sanitize."""
    comparison = Comparison()
    for exchange in run.exchanges:
        if exchange.status is not None:
            comparison.add(exchange.call, exchange.reply, is_success=exchange.is_success)
    report_cut_orders(run, comparison)
    replies = [(exchange.call, exchange.reply) for exchange in run.exchanges]
    sanitizer = Sanitizer(replies, run.secrets)
    names = _fixture_names(run)
    fixtures = {
        names[id(exchange)]: _fixture(step.name, exchange, sanitizer)
        for step in run.steps
        for exchange in step.exchanges
        if exchange.is_json
    }
    report = _clean(_report(run, comparison, names), sanitizer, _public_values(run))
    for name, fixture in fixtures.items():
        if any(sanitizer.finds_original(text, MIN_LEAK_LENGTH) for text in _texts(fixture)):
            raise CommandError(f"{name} would contain an original value; nothing was written")
    return Result(report, fixtures)


def write(result: Result, folder: Path) -> None:
    """Write report.md, report.json and the folder fixtures."""
    (folder / "fixtures").mkdir(parents=True, exist_ok=True)
    for name, fixture in result.fixtures.items():
        _write_json(folder / "fixtures" / name, fixture)
    _write_json(folder / "report.json", result.report)
    (folder / "report.md").write_text(to_markdown(result.report), encoding="utf-8")


def to_markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    held = sum(entry["result"] == RESULTS[True] for entry in report["assumptions"])
    verdict = "**Accepted**" if report["accepted"] else "**Not accepted**"
    return "\n".join(
        (
            "# Acceptance run",
            "",
            f"{report['started']}, app {report['app_id']}, merchant {report['account_id']}, store {report['poi_id']}.",
            f"Hosts: {', '.join(report['hosts'])}.",
            "",
            f"{verdict}: {held} of {len(report['assumptions'])} assumptions hold.",
            f"Deviations from the documents: {len(report['deviations'])}.",
            "",
            "## Assumptions",
            "",
            *_table(
                ("assumption", "result", "seen", "name"), report["assumptions"], ("text", "result", "seen", "name")
            ),
            "",
            "## Open questions",
            "",
            *_table(("question", "answer", "step"), report["questions"], ("text", "answer", "step")),
            "",
            "## Deviations from the documents",
            "",
            *_table(
                ("kind", "call", "field", "detail", "times"),
                report["deviations"],
                ("kind", "call", "path", "detail", "count"),
            ),
            "",
            "## Enumeration values",
            "",
            *_table(("field", "values (times)", "known values"), report["enum_values"], ("field", "shown", "known")),
            "",
            "## Documented optional fields that no reply had",
            "",
            *(f"- {entry['call']}: `{entry['path']}`" for entry in report["unseen_fields"]),
            *([] if report["unseen_fields"] else ["None."]),
            "",
            "## Calls",
            "",
            "The platform's support asks for time, path, code and logid.",
            "",
            *_table(
                ("step", "time", "path", "HTTP", "code", "logid", "ms", "fixture"),
                [{"step": step["name"], **call} for step in report["steps"] for call in step["calls"]],
                ("step", "time", "path", "status", "code", "logid", "milliseconds", "fixture"),
            ),
            "",
            "## Steps",
            "",
            *_table(("step", "what", "outcome", "detail"), report["steps"], ("name", "title", "outcome", "detail")),
            "",
        )
    )


def _report(run: Run, comparison: Comparison, names: dict[int, str]) -> dict[str, Any]:
    verdicts = [(assumption, assumption.check(run, comparison)) for assumption in ASSUMPTIONS]
    return {
        "format": FORMAT,
        "accepted": all(verdict.holds for _, verdict in verdicts),
        "started": _time(run.started),
        "app_id": run.options.app_id,
        "account_id": run.options.account_id,
        "poi_id": run.options.poi_id,
        "hosts": sorted({exchange.path.split("/")[2] for exchange in run.exchanges}),
        "steps": [
            {
                "name": step.name,
                "title": step.title,
                "effect": step.effect,
                "outcome": str(step.outcome),
                "detail": step.detail,
                "calls": [_call(exchange, names) for exchange in step.exchanges],
            }
            for step in run.steps
        ],
        "assumptions": [
            {"name": a.name, "text": a.text, "result": RESULTS[verdict.holds], "seen": verdict.seen}
            for a, verdict in verdicts
        ],
        "questions": [
            {"name": q.name, "text": q.text, "step": q.step, "answer": q.answer(run, comparison)} for q in QUESTIONS
        ],
        "deviations": [
            {**deviation._asdict(), "kind": str(deviation.kind), "count": count}
            for deviation, count in sorted(comparison.deviations.items())
        ],
        "enum_values": [
            {
                "field": name,
                "values": dict(sorted(values.items())),
                "shown": ", ".join(f"{value} ({count})" for value, count in sorted(values.items())),
                "known": ", ".join(map(str, sorted(KNOWN_VALUES.get(name, ())))) or "not published",
            }
            for name, values in sorted(comparison.enum_values.items())
        ],
        "unseen_fields": [{"call": call, "path": path} for call, path in comparison.unseen_fields()],
    }


def _call(exchange: Exchange, names: dict[int, str]) -> dict[str, Any]:
    codes = {".".join(place): exchange.codes.get(".".join(place)) for place in CODE_PLACES}
    return {
        "call": exchange.call,
        "time": _time(exchange.at),
        "path": exchange.path,
        "status": exchange.status if exchange.status is not None else exchange.failure,
        "codes": {place: code for place, code in codes.items() if code is not None},
        "code": next((code for code in codes.values() if code is not None), 0),
        "logid": exchange.logid,
        "milliseconds": exchange.milliseconds,
        "fixture": names.get(id(exchange), ""),
    }


def _fixture_names(run: Run) -> dict[int, str]:
    """Return the file name of each reply's fixture, by the exchange's identity."""
    return {
        id(exchange): f"{step.name}-{number}.json"
        for step in run.steps
        for number, exchange in enumerate(step.exchanges, 1)
        if exchange.is_json
    }


def _fixture(step: str, exchange: Exchange, sanitizer: Sanitizer) -> dict[str, Any]:
    query = {name: exchange.request[name] for name in QUERY_NAMES if name in exchange.request}
    query |= {name: True for name in ("poi_id", "time_range") if name in exchange.request}
    body = sanitizer.sanitize(exchange.call, exchange.reply)
    return {
        "format": FORMAT,
        "call": exchange.call,
        "step": step,
        "query": query,
        "status": exchange.status,
        "body": body,
    }


def _public_values(run: Run) -> set[str]:
    """Return what the report shows on purpose: the operator's own ids, and log ids."""
    ids = {run.options.app_id, run.options.account_id, run.options.poi_id, run.options.unauthorized_account_id}
    return ids | {exchange.logid for exchange in run.exchanges}


def _clean(value: Any, sanitizer: Sanitizer, public: set[str]) -> Any:
    """Remove original values from all texts, in case the platform has put one where none belongs."""
    if isinstance(value, dict):
        return {name: _clean(part, sanitizer, public) for name, part in value.items()}
    if isinstance(value, list):
        return [_clean(part, sanitizer, public) for part in value]
    return sanitizer.scrub(value, public) if isinstance(value, str) else value


def _texts(value: Any) -> list[str]:
    """Return all texts, names and numbers in JSON data."""
    if isinstance(value, dict):
        return [*value, *(text for part in value.values() for text in _texts(part))]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [str(value)]


def _table(headings: tuple[str, ...], rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[str]:
    if not rows:
        return ["None."]
    cells = [[" ".join(str(row[name]).split()).replace("|", "\\|") for name in names] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in ([*headings], ["---"] * len(headings), *cells)]


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

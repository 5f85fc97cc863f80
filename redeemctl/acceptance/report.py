"""The report of an acceptance run, and the fixtures. No secret or personal data is in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redeemctl.acceptance.points import POINTS
from redeemctl.acceptance.sanitizer import Sanitizer

if TYPE_CHECKING:
    from pathlib import Path

    from redeemctl.acceptance.recording import Exchange
    from redeemctl.acceptance.steps import Run

FORMAT = 2
MIN_SECRET_LENGTH = 4
"""A shorter text can occur in another one by chance."""

RESULTS = {True: "holds", False: "does not hold", None: "not observed"}
QUERY_NAMES = ("page", "page_size", "page_dimension", "biz_type")

SECTIONS = {
    "Assumptions": "points",
    "Fields: what is not as documented, and values of enumerations": "fields",
    "Calls: the platform's support asks for time, URL, code and logid": "calls",
    "Steps": "steps",
}
"""The sections of the Markdown report: heading to field of the report. The columns are the fields of its rows."""


def evaluate(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Judge every point, and sanitize the replies; return the report, and the fixtures by file name."""
    verdicts = [(point, point.judge(run)) for point in POINTS]
    sanitizer = Sanitizer((exchange.call, exchange.reply) for exchange in run.exchanges)
    calls, fixtures = [], {}
    for step in run.steps.values():
        for number, exchange in enumerate(step.exchanges, 1):
            name = f"{step.name}-{number}.json" if exchange.reply is not None else ""
            calls.append(_call(step.name, exchange, name))
            if name:
                fixtures[name] = _fixture(step.name, exchange, sanitizer)
    report = {
        "format": FORMAT,
        "accepted": all(verdict.holds for _, verdict in verdicts),
        "started": _time(run.started),
        "app_id": run.options.app_id,
        "account_id": run.options.account_id,
        "poi_id": run.options.poi_id,
        "points": [
            {
                "name": point.name,
                "result": RESULTS[verdict.holds],
                "seen": verdict.seen,
                "text": point.text,
            }
            for point, verdict in verdicts
        ],
        "fields": [note._asdict() for note in run.comparison.notes()],
        "calls": calls,
        "steps": [
            {"step": step.name, "outcome": str(step.outcome), "detail": step.detail, "what": step.title}
            for step in run.steps.values()
        ],
    }
    secrets = sorted((s for s in run.secrets if len(s) >= MIN_SECRET_LENGTH), key=len, reverse=True)
    return _without(secrets, report), _without(secrets, fixtures)


def write(report: dict[str, Any], fixtures: dict[str, Any], folder: Path) -> None:
    """Write report.md and the folder fixtures."""
    (folder / "fixtures").mkdir(parents=True, exist_ok=True)
    for name, fixture in fixtures.items():
        text = json.dumps(fixture, ensure_ascii=False, indent=2)
        (folder / "fixtures" / name).write_text(f"{text}\n", encoding="utf-8")
    (folder / "report.md").write_text(to_markdown(report), encoding="utf-8")


def to_markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    verdict = "**Accepted**: every assumption holds." if report["accepted"] else "**Not accepted**."
    what = f"app {report['app_id']}, merchant {report['account_id']}, store {report['poi_id']}"
    lines = ["# Acceptance run", "", f"{report['started']}, {what}.", "", verdict, ""]
    for heading, name in SECTIONS.items():
        lines += [f"## {heading}", "", *_table(report[name]), ""]
    return "\n".join(lines)


def _call(step: str, exchange: Exchange, fixture: str) -> dict[str, Any]:
    return {
        "step": step,
        "time": _time(exchange.at),
        "url": exchange.url,
        "HTTP": exchange.status or exchange.failure,
        "codes": exchange.codes,
        "logid": exchange.logid,
        "fixture": fixture,
    }


def _fixture(step: str, exchange: Exchange, sanitizer: Sanitizer) -> dict[str, Any]:
    query = {name: exchange.request[name] for name in QUERY_NAMES if name in exchange.request}
    query |= {name: True for name in ("poi_id", "time_range") if name in exchange.request}
    body = sanitizer.sanitize(exchange.call, exchange.reply)
    about = {"format": FORMAT, "call": exchange.call, "step": step, "query": query, "status": exchange.status}
    return {**about, "body": body}


def _without(secrets: list[str], value: Any) -> Any:
    """Remove secrets from all texts, in case the platform has put one where none belongs."""
    if isinstance(value, dict):
        return {name: _without(secrets, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(secrets, part) for part in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "…")
    return value


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["None."]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in ([*rows[0]], ["---"] * len(rows[0]), *cells)]


def _cell(value: Any) -> str:
    text = ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")

"""The report of an acceptance run, and the fixtures. No secret or personal data is in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redeemctl.acceptance.points import POINTS
from redeemctl.acceptance.sanitizer import Sanitizer

if TYPE_CHECKING:
    from pathlib import Path

    from redeemctl.acceptance.steps import Run, Verdict

RESULTS = {True: "holds", False: "does not hold", None: "not observed"}

SECTIONS = {
    "Assumptions": "points",
    "Fields: what is not as documented, and values of enumerations": "fields",
    "Calls: the platform's support asks for time, URL, code and logid": "calls",
    "Steps": "steps",
}
"""The sections of the Markdown report: heading to field of the report. The columns are the fields of its rows."""


def evaluate(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Judge every point, and sanitize the replies; return the report, and the fixtures by file name."""
    verdicts = [point.judge(run) for point in POINTS]
    sanitizer = Sanitizer((exchange.call, exchange.reply) for step in run.steps.values() for exchange in step.exchanges)
    calls, fixtures = [], {}
    for step in run.steps.values():
        for number, exchange in enumerate(step.exchanges, 1):
            name = f"{step.name}-{number}.json" if exchange.reply is not None else ""
            calls.append(
                {
                    "step": step.name,
                    "time": _time(exchange.at),
                    "url": exchange.url,
                    "HTTP": exchange.status or exchange.failure,
                    "codes": exchange.codes,
                    "logid": exchange.logid,
                    "fixture": name,
                }
            )
            if name:
                body = sanitizer.sanitize(exchange.call, exchange.reply)
                fixtures[name] = {"call": exchange.call, "status": exchange.status, "body": body}
    report = {
        "accepted": all(verdict.holds for verdict in verdicts),
        "started": _time(run.started),
        "app_id": run.app_id,
        "account_id": run.account_id,
        "poi_id": run.poi_id,
        "points": [_row(point.name, point.text, verdict) for point, verdict in zip(POINTS, verdicts, strict=True)],
        "fields": [note._asdict() for note in run.comparison.notes()],
        "calls": calls,
        "steps": [_row(step.name, step.text, step.verdict) for step in run.steps.values()],
    }
    return run.without_secrets(report), run.without_secrets(fixtures)


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


def _row(name: str, text: str, verdict: Verdict) -> dict[str, str]:
    return {"name": name, "result": RESULTS[verdict.holds], "seen": verdict.seen, "text": text}


def _table(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["None."]
    cells = [[" ".join(str(value).split()).replace("|", "\\|") for value in row.values()] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in ([*rows[0]], ["---"] * len(rows[0]), *cells)]


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")

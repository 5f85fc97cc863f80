"""The report of an acceptance run. No secret or personal data is in it."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from redeemctl.acceptance.points import POINTS
from redeemctl.acceptance.shapes import find_shape
from redeemctl.acceptance.steps import Run, Verdict

RESULTS = {True: "holds", False: "does not hold", None: "not observed"}

SECTIONS = {
    "Assumptions": "points",
    "Calls: the platform's support asks for time, URL, code and logid": "calls",
    "Steps": "steps",
    "Replies: the form of each field's values, and how often it occurs": "replies",
}
"""The sections of the Markdown report: heading to field of the report. The columns are the fields of its rows."""


def evaluate(run: Run) -> dict[str, Any]:
    """Judge every point and describe the replies; return the report."""
    verdicts = [point.judge(run) for point in POINTS]
    recorded = {
        f"{step.name}-{number}": recorded_call
        for step in run.steps.values()
        for number, recorded_call in enumerate(step.calls, 1)
    }
    report = {
        "accepted": all(verdict.holds for verdict in verdicts),
        "started": _time(run.started),
        "app_id": run.app_id,
        "account_id": run.account_id,
        "poi_id": run.poi_id,
        "points": [_row(point.name, point.text, verdict) for point, verdict in zip(POINTS, verdicts, strict=True)],
        "calls": [
            {
                "reply": name,
                "time": _time(recorded_call.at),
                "url": recorded_call.url,
                "HTTP": recorded_call.status or recorded_call.failure,
                "codes": recorded_call.codes,
                "logid": recorded_call.logid,
            }
            for name, recorded_call in recorded.items()
        ],
        "steps": [_row(step.name, step.text, step.verdict) for step in run.steps.values()],
        "replies": [
            {"reply": name, "field": path or "(whole)", "values": _count(forms)}
            for name, recorded_call in recorded.items()
            if recorded_call.reply is not None
            for path, forms in find_shape(recorded_call.reply).items()
        ],
    }
    cleaned: dict[str, Any] = run.without_secrets(report)
    return cleaned


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


def _count(forms: Counter[str]) -> str:
    return "; ".join(f"{form} ({count})" for form, count in sorted(forms.items()))


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")

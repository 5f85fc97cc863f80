"""Findings: the results of checks, how they are grouped, the exit code, and the summary."""

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

EXIT_FAILED = 1
EXIT_NOT_CHECKED = 6
"""No check failed, but at least one could not be made."""


class Status(enum.StrEnum):
    """The outcome of a check. A warning needs attention soon, but nothing is wrong yet."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `id` is the stable id of the check, `what` the checked resource. `text` says what was
    found, `advice` what to do; it is empty if the status is OK. Neither names the resource, so that
    `group` can group findings that differ only in it. `logid` is that of the platform's reply, if there is one.
    """

    id: str
    what: str
    status: Status
    text: str
    advice: str = ""
    logid: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON data."""
        data = {"id": self.id, "what": self.what, "outcome": self.status.value, "text": self.text}
        return data | {"advice": self.advice} | ({"logid": self.logid} if self.logid else {})


def ok(check_id: str, what: str, text: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(check_id, what, Status.OK, text)


def warning(check_id: str, what: str, text: str, advice: str) -> Finding:
    """Return the finding that something needs attention soon."""
    return Finding(check_id, what, Status.WARNING, text, advice)


def failed(check_id: str, what: str, text: str, advice: str, logid: str = "") -> Finding:
    """Return the finding of a check that failed."""
    return Finding(check_id, what, Status.FAILED, text, advice, logid)


def not_checked(check_id: str, what: str, reason: str, advice: str) -> Finding:
    """Return the finding that a check could not be made, and why."""
    return Finding(check_id, what, Status.NOT_CHECKED, f"not checked: {reason}", advice)


def deploy(stage: str) -> str:
    """Return the advice to deploy the stage."""
    return f"run make deploy STAGE={stage}"


def group(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group the findings that differ only in the resource and its logid."""
    groups: dict[tuple[str, Status, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.id, finding.status, finding.text, finding.advice), []).append(finding)
    return list(groups.values())


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the exit code of the command."""
    statuses = {finding.status for finding in findings}
    if Status.FAILED in statuses:
        return EXIT_FAILED
    return EXIT_NOT_CHECKED if Status.NOT_CHECKED in statuses else 0


def summarize(findings: Iterable[Finding]) -> str:
    """Return the last line of the output. It says that all is well only if everything was checked."""
    counts = Counter(finding.status for finding in findings)
    failures, warnings, unknown = counts[Status.FAILED], counts[Status.WARNING], counts[Status.NOT_CHECKED]
    checked = counts.total() - unknown
    if counts.total() == counts[Status.OK]:
        return f"all {checked} checks passed"
    parts = [f"checked: {checked}"]
    parts += [f"failed: {failures}", f"could not be checked: {unknown}"] if failures or unknown else ["nothing failed"]
    return ", ".join([*parts, *([f"warnings: {warnings}"] if warnings else [])])

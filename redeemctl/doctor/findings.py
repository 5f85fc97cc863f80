"""Findings: the results of checks, the exit code, and the summary."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

ENGLISH, CHINESE = "en", "zh"

EXIT_FAILED = 1
EXIT_NOT_CHECKED = 6
"""No check failed, but at least one could not be made."""


class Outcome(enum.StrEnum):
    """The outcome of a check. A warning needs attention soon, but nothing is wrong yet."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


class Text(NamedTuple):
    """The same text in both languages."""

    english: str
    chinese: str

    def translate(self, language: str) -> str:
        """Return the text in a language."""
        return self.chinese if language == CHINESE else self.english


NO_TEXT = Text("", "")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `id` is the stable id of the check (docs/operate.md lists them), `what` the checked resource. `text` says what was
    found, `advice` what to do; it is empty if the outcome is OK.
    """

    id: str
    what: str
    outcome: Outcome
    text: Text
    advice: Text = NO_TEXT

    def to_json(self, language: str) -> dict[str, Any]:
        """Return the finding as JSON data, with the advice in `language`."""
        return {
            "id": self.id,
            "what": self.what,
            "outcome": self.outcome.value,
            "english": self.text.english,
            "chinese": self.text.chinese,
            "advice": self.advice.translate(language),
        }


def ok(check_id: str, what: str, english: str, chinese: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(check_id, what, Outcome.OK, Text(english, chinese))


def warning(check_id: str, what: str, text: Text, advice: Text) -> Finding:
    """Return the finding that something needs attention soon."""
    return Finding(check_id, what, Outcome.WARNING, text, advice)


def failed(check_id: str, what: str, text: Text, advice: Text) -> Finding:
    """Return the finding of a check that failed."""
    return Finding(check_id, what, Outcome.FAILED, text, advice)


def not_checked(check_id: str, what: str, reason: Text, advice: Text = NO_TEXT) -> Finding:
    """Return the finding that a check could not be made, and why."""
    text = Text(f"not checked: {reason.english}", f"未检查：{reason.chinese}")
    return Finding(check_id, what, Outcome.NOT_CHECKED, text, advice)


def deploy(stage: str) -> Text:
    """Return the advice to deploy the stage."""
    return Text(f"run make deploy STAGE={stage}", f"执行 make deploy STAGE={stage}")


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the exit code of the command."""
    outcomes = {finding.outcome for finding in findings}
    if Outcome.FAILED in outcomes:
        return EXIT_FAILED
    return EXIT_NOT_CHECKED if Outcome.NOT_CHECKED in outcomes else 0


def summarize(findings: Iterable[Finding], skipped_merchants: int) -> Text:
    """Return the last line of the output. It says that all is well only if everything was checked."""
    counts = Counter(finding.outcome for finding in findings)
    checked = counts.total() - counts[Outcome.NOT_CHECKED]
    failures, warnings, unknown = counts[Outcome.FAILED], counts[Outcome.WARNING], counts[Outcome.NOT_CHECKED]
    if counts.total() == counts[Outcome.OK] and not skipped_merchants:
        english, chinese = f"all {checked} checks passed", f"全部 {checked} 项检查通过"
    elif not failures and not unknown:
        english, chinese = f"checked: {checked}, nothing failed", f"已检查 {checked} 项，未发现问题"
    else:
        english = f"checked: {checked}, failed: {failures}, could not be checked: {unknown}"
        chinese = f"已检查 {checked} 项，{failures} 项有问题，{unknown} 项无法检查"
    if skipped_merchants:
        english += f", merchants not in the sample: {skipped_merchants}"
        chinese += f"，抽样之外有 {skipped_merchants} 个商家未检查"
    if warnings:
        english += f", warnings: {warnings}"
        chinese += f"，{warnings} 项警告"
    return Text(english, chinese)

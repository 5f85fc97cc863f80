"""The command `redeemctl doctor`: its options, its output, and its exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress

from redeemctl.doctor.checks import Checks
from redeemctl.doctor.findings import CHINESE, ENGLISH, Finding, Outcome, Text, exit_code, summarize
from redeemctl.options import GlobalCommand, GlobalOptions, pass_options
from redeemctl.output import print_json, print_note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MARKS = {Outcome.OK: "✓", Outcome.WARNING: "!", Outcome.FAILED: "✗", Outcome.NOT_CHECKED: "?"}
MAX_SHOWN_MERCHANTS = 10


@click.command(cls=GlobalCommand)
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Query only N merchants instead of all.")
@click.option(
    "--language", type=click.Choice([ENGLISH, CHINESE]), help="Language of the output. Default: that of the system."
)
@pass_options
def doctor(options: GlobalOptions, *, sample: int | None, language: str | None) -> None:
    """Check a stage end to end.

    Reads AWS, the table and the secret, sends requests to the public endpoint, and calls the platform as the service
    does: a login with an invalid code, and a query for each merchant. A token is renewed only if it is missing or
    expires within 10 minutes; with --dry-run not even then. docs/operate.md lists the checks.

    Exit codes: 0 everything was checked and nothing failed, 1 a check failed, 6 no check failed but some could not be
    made.
    """
    language = language or system_language(os.environ)
    findings: list[Finding] = []
    with options.open_stage(describe=False) as stage:
        print_note(f"stage {stage.name}, region {stage.session.region_name}")
        for notice in stage.notices():
            print_note(notice)
        endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
        overrides = dict(stage.overrides)
        checks = Checks(stage, options.project, endpoint_url, overrides, sample, options.dry_run, _show_progress)
        for finding in checks.run():
            findings.append(finding)
            if not options.as_json and finding.id != "merchant":
                _print_finding(finding, language)
    if options.as_json:
        print_json([finding.to_json(language) for finding in findings])
    else:
        _print_merchants([finding for finding in findings if finding.id == "merchant"], language)
        click.echo(summarize(findings, checks.skipped).translate(language))
    sys.exit(exit_code(findings))


def system_language(environ: Mapping[str, str]) -> str:
    """Return the language of the system: Chinese if its locale is, otherwise English."""
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return CHINESE if locale.lower().startswith("zh") else ENGLISH


def _print_finding(finding: Finding, language: str) -> None:
    click.echo(" ".join(filter(None, (_MARKS[finding.outcome], finding.id, finding.what))))
    _print_texts(finding, language)


def _print_texts(finding: Finding, language: str) -> None:
    click.echo(f"    {finding.text.translate(language)}")
    if advice := finding.advice.translate(language):
        click.echo(f"    → {advice}")


def _print_merchants(findings: list[Finding], language: str) -> None:
    """Print merchants with the same finding together."""
    groups: dict[Any, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(_group_key(finding), []).append(finding)
    for group in groups.values():
        first = group[0]
        names = ", ".join(finding.what for finding in group[:MAX_SHOWN_MERCHANTS] if finding.what)
        rest = len(group) - MAX_SHOWN_MERCHANTS
        if rest > 0:
            names += Text(f" and {rest} more (--json lists all)", f" 等，另有 {rest} 个（--json 列出全部）").translate(
                language
            )
        count = f"({len(group)})" if len(group) > 1 else ""
        click.echo(" ".join(filter(None, (_MARKS[first.outcome], first.id, count, names))))
        _print_texts(first, language)


def _group_key(finding: Finding) -> Any:
    """Return what findings of the same kind have in common: the text without id and logid, which always differ."""
    english = finding.text.english.partition(" (logid ")[0]
    advice = finding.advice.english.replace(finding.what, "") if finding.what else finding.advice.english
    return finding.outcome, english, advice


def _show_progress(findings: Iterable[Finding], total: int) -> Iterator[Finding]:
    """Yield the findings, with a progress bar on stderr if that is a terminal."""
    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("merchants", total=total)
        for finding in findings:
            progress.advance(task)
            yield finding

"""The command `redeemctl doctor`: its options, its output, and its exit code."""

import sys
from itertools import groupby

import click

from redeemctl.doctor.checks import Checks
from redeemctl.doctor.findings import Finding, Outcome, exit_code, group, summarize
from redeemctl.options import GlobalOptions, pass_options
from redeemctl.output import print_json, print_note

_MARKS = {Outcome.OK: "✓", Outcome.WARNING: "!", Outcome.FAILED: "✗", Outcome.NOT_CHECKED: "?"}
MAX_SHOWN_RESOURCES = 10


@click.command()
@click.option("--all-merchants", is_flag=True, help="Ask for the lists of all merchants, not only of 20 at random.")
@pass_options
def doctor(options: GlobalOptions, *, all_merchants: bool) -> None:
    """Check a stage end to end.

    Reads AWS, the table and the secret, and sends requests to the public endpoint, among them for lists of 20 merchants
    as a user that does not exist. Logs in to the platform with an invalid code. A token is renewed only if it is
    missing or has expired; with --dry-run not even then. docs/operate.md lists the checks, and redeemctl --help the
    exit codes.
    """
    findings: list[Finding] = []
    with options.open_stage(describe=False) as stage:
        print_note(f"stage {stage.name}, region {stage.account.region}")
        checks = Checks(stage, options.project, options.dry_run, all_merchants)
        for _, found in groupby(checks.run(), key=lambda finding: finding.id):
            same_check = list(found)
            findings += same_check
            for same_text in group(same_check) if not options.as_json else ():
                _print(same_text)
    if options.as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        click.echo(summarize(findings))
    sys.exit(exit_code(findings))


def _print(findings: list[Finding]) -> None:
    """Print findings that say the same of different resources."""
    first, rest = findings[0], len(findings) - MAX_SHOWN_RESOURCES
    names = ", ".join(
        f"{f.what} (logid {f.logid})" if f.logid else f.what for f in findings[:MAX_SHOWN_RESOURCES] if f.what
    )
    more = f" and {rest} more (--json lists all)" if rest > 0 else ""
    count = f"({len(findings)})" if len(findings) > 1 else ""
    click.echo(" ".join(filter(None, (_MARKS[first.outcome], first.id, count, names))) + more)
    click.echo(f"    {first.text}")
    if first.advice:
        click.echo(f"    → {first.advice}")

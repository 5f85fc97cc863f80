"""The command `redeemctl doctor`: its options, its output, and its exit code."""

import sys
from itertools import groupby

import click

from redeemctl.doctor.checks import Checks
from redeemctl.doctor.findings import Finding, Status, exit_code, group, summarize
from redeemctl.options import ID, GlobalOptions, pass_options
from redeemctl.output import print_json, print_line, print_note

_MARKS = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗", Status.NOT_CHECKED: "?"}
MAX_SHOWN_RESOURCES = 10


@click.command()
@click.option("--merchant", metavar="ACCOUNT_ID", type=ID, help="Ask for the list of this merchant, and of no other.")
@pass_options
def doctor(options: GlobalOptions, *, merchant: str | None) -> None:
    """Check a stage end to end.

    Changes nothing. Reads AWS, the table and the secret, and sends requests to the public endpoint, among them for
    lists of at most 20 merchants as a user that does not exist. Logs in to the platform with an invalid code.
    `redeemctl --help` lists the exit codes.
    """
    findings: list[Finding] = []
    with options.open_stage(describe=False) as stage:
        print_note(f"stage {stage.name}, region {stage.account.region}")
        checks = Checks(stage, options.project, merchant)
        for _, found in groupby(checks.run(), key=lambda finding: finding.id):
            same_check = list(found)
            findings += same_check
            for same_text in group(same_check) if not options.as_json else ():
                _print(same_text)
    if options.as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        print_line(summarize(findings))
    sys.exit(exit_code(findings))


def _print(findings: list[Finding]) -> None:
    """Print findings that say the same of different resources."""
    first, rest = findings[0], len(findings) - MAX_SHOWN_RESOURCES
    names = ", ".join(filter(None, map(_describe, findings[:MAX_SHOWN_RESOURCES])))
    more = f" and {rest} more (--json lists all)" if rest > 0 else ""
    count = f"({len(findings)})" if len(findings) > 1 else ""
    print_line(" ".join(filter(None, (_MARKS[first.status], first.id, count, names))) + more)
    print_line(f"    {first.text}")
    if first.advice:
        print_line(f"    → {first.advice}")


def _describe(finding: Finding) -> str:
    return f"{finding.what} (logid {finding.logid})" if finding.logid else finding.what

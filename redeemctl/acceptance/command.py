"""The command `redeemctl acceptance`."""

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import click

from redeemctl.acceptance.report import evaluate, to_markdown
from redeemctl.acceptance.steps import Run
from redeemctl.errors import InvalidInputError
from redeemctl.options import ID, GlobalOptions, pass_options, read_hidden
from redeemctl.output import print_json, print_note
from redeemctl.secret import get_app_secret

FOLDER = click.Path(file_okay=False, path_type=Path)
UNKNOWN_MERCHANT = "7000000000000000001"
SIGNS = {True: "✓", False: "✗", None: "-"}


@click.command()
@click.option("--app", "app_id", type=ID, metavar="APP_ID", required=True, help="The mini-program.")
@click.option("--merchant", "account_id", type=ID, required=True, help="A merchant that has authorized it.")
@click.option("--store", "poi_id", type=ID, metavar="POI_ID", required=True, help="A store of the merchant.")
@click.option("--login", "has_code", is_flag=True, help="Log in with a code of tt.login. It is used up.")
@click.option("--unauthorized-merchant", type=ID, default=UNKNOWN_MERCHANT, help="One that has not authorized it.")
@click.option("--output", type=FOLDER, help="Folder of the report. Default: acceptance-<time> in the current folder.")
@pass_options
def acceptance(options: GlobalOptions, /, *, app_id: str, has_code: bool, output: Path | None, **ids: str) -> None:
    """Find out what the platform really does, and compare it with the documents and our assumptions.

    Takes a list of steps against the real platform or the sandbox, and writes a report (report.md). Of the replies it
    shows the fields and the form of their values, no value. It redeems nothing, and asks before each step that has an
    effect. Exits with code 0 only if every assumption that the service relies on holds.

    The code of --login is read from the variable REDEEMCTL_LOGIN_CODE, or from stdin, or from a prompt. It must not be
    older than 5 minutes.
    """
    folder = output or Path(datetime.now(UTC).strftime("acceptance-%Y%m%d-%H%M%S"))
    with options.open_stage() as stage:
        get_app_secret(stage, app_id)
        if options.dry_run:
            click.echo("dry run: no calls were made")
            return
        # Never an argument: other users of the machine can read those.
        code, source = read_hidden("REDEEMCTL_LOGIN_CODE", "login code") if has_code else ("", "")
        if has_code and not code:
            raise InvalidInputError(f"login code (from {source}): must not be empty")
        run = Run(stage, app_id, code, options.confirm, **ids)
        for step in run.take_all():
            print_note(f"{SIGNS[step.verdict.holds]} {step.name}: {step.verdict.seen}")
    report = evaluate(run)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "report.md"
    file.write_text(to_markdown(report), encoding="utf-8")
    if options.as_json:
        print_json(report)
    else:
        options.show(("name", "result", "seen"), report["points"])
        counts = Counter(point["result"] for point in report["points"])
        listed = ", ".join(f"{result}: {count}" for result, count in counts.items())
        click.echo(f"{'accepted' if report['accepted'] else 'not accepted'} ({listed})")
    print_note(f"report: {file}")
    sys.exit(0 if report["accepted"] else 1)

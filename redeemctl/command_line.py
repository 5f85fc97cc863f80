"""The parts that all commands share: options, the stage, the confirmation of a change, and the output."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from chalicelib.api import validation
from infra.account import check_target
from infra.stage_settings import list_stages
from redeemctl.errors import InvalidInputError, NotConfirmedError
from redeemctl.merchant_rows import Change
from redeemctl.output import escape, print_json, print_line, print_note, print_rows
from redeemctl.stage import Stage, connect_stage

PROJECT = Path(__file__).parent.parent


@dataclass
class CommandLine:
    """The global options, which may stand before or after the subcommand, and the dialog with the operator."""

    stage_name: str = field(default_factory=lambda: os.environ.get("REDEEM_STAGE", ""))
    project: Path = PROJECT
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False

    @contextmanager
    def open_stage(self, *, read_only: bool = False) -> Iterator[Stage]:
        """Open the stage. Show on stderr stage, account, region, and the environment's variables that change the stage.

        A `read_only` command uses `dev` if no stage is named. For any other command, the operator must name one. If an
        app is added to a second stage by mistake, both stages mint its tokens and end each other's.
        """
        if not self.stage_name and not read_only:
            stages = ", ".join(list_stages(self.project))
            raise InvalidInputError(f"no stage: set the variable REDEEM_STAGE, or --stage (stages: {stages})")
        with connect_stage(self.stage_name or "dev", self.project) as stage:
            check_target(stage.aws_account, self.project, stage.name, print_note)
            for name, value in stage.overrides.items():
                print_note(f"{name}={value} (from the environment)")
            yield stage

    def change(self, changes: list[Change], write: Callable[[], None], success_text: str, *, warning: str = "") -> None:
        """Show the changes, ask for confirmation if there is a `warning`, write the changes, and report.

        `write` raises ConflictError if somebody else has changed the data since it was read.
        """
        if changes:
            print_rows(("field", "current", "new"), [(c.field, c.current or "-", c.new or "-") for c in changes])
        if changes and not self.dry_run:
            self.confirm(warning)
            write()
            print_line(success_text)
        else:
            print_line("dry run: no changes were made" if changes else "nothing to change")

    def show(self, columns: Sequence[str], rows: Any) -> None:
        """Print rows as JSON (with --json), or these columns of the rows as a table."""
        if self.as_json:
            print_json(rows)
        else:
            print_rows(columns, [[_cell(row.get(column, "")) for column in columns] for row in rows])

    def confirm(self, warning: str) -> None:
        """Ask the operator if there is something to warn about; raises NotConfirmedError."""
        if not warning or self.yes:
            return
        try:
            click.confirm(f"{escape(warning)} Continue?", abort=True, err=True)
        except click.Abort:
            raise NotConfirmedError("not confirmed; nothing was changed (--yes confirms)") from None


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(len(value) if isinstance(value, list) else value)


def read_hidden(variable: str, what: str) -> tuple[str, str]:
    """Return a secret text and its source: a variable, a line of stdin, or a prompt without echo.

    It must not be an argument of the command, because other users of the machine can read arguments.
    """
    if variable in os.environ:
        return os.environ[variable], f"variable {variable}"
    if sys.stdin.isatty():
        return click.prompt(what, default="", show_default=False, hide_input=True, err=True), "prompt"
    return sys.stdin.readline().rstrip("\r\n"), "stdin"


class IdType(click.ParamType[str]):
    """An id of the platform."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the id; raises BadParameter if it cannot be one."""
        if not validation.ID.fullmatch(value):
            self.fail(f"{value!r}: {validation.ID_RULE}", param, ctx)
        return str(value)


ID = IdType()


def _set_global_option(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Set a global option in the CommandLine, if it is given here. Otherwise the value of an earlier level stays."""
    cli = context.find_root().ensure_object(CommandLine)
    if value not in (None, False):
        setattr(cli, parameter.name or "", value)


def add_global_options(command: click.Command) -> None:
    """Let a command, and each command of a group, accept the global options."""
    shared: dict[str, Any] = {"callback": _set_global_option, "expose_value": False, "is_eager": True}
    path = click.Path(file_okay=False, path_type=Path)
    stage_help = f"The stage: {', '.join(list_stages(PROJECT))}. Default: REDEEM_STAGE; where nothing is changed, dev."
    command.params += [
        click.Option(["--stage", "stage_name"], help=stage_help, **shared),
        click.Option(["--project"], type=path, hidden=True, **shared),
        click.Option(["--yes"], is_flag=True, help="Do not ask for confirmation.", **shared),
        click.Option(["--dry-run"], is_flag=True, help="Show the changes without making them.", **shared),
        click.Option(["--json", "as_json"], is_flag=True, help="Print what is read as JSON.", **shared),
    ]
    for part in command.commands.values() if isinstance(command, click.Group) else ():
        add_global_options(part)


pass_command_line = click.make_pass_decorator(CommandLine, ensure=True)

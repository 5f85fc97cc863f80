"""Print results: a table on a terminal, tab-separated lines in a pipe, or JSON. Everything else goes to stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def print_json(data: Any) -> None:
    """Print data as JSON to stdout."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], *, no_wrap: Iterable[str] = ()) -> None:
    """Print rows to stdout: as a table on a terminal, otherwise tab-separated with a header line.

    Columns in `no_wrap` (ids) are never shortened or wrapped. A terminal that is too narrow wraps the whole line.
    """
    console = Console(file=sys.stdout, soft_wrap=True)
    if not console.is_terminal:
        for row in (columns, *rows):
            click.echo("\t".join(" ".join(cell.split()) for cell in row))
        return
    console.print(make_table(columns, rows, no_wrap, console), crop=False)


def make_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], no_wrap: Iterable[str], console: Console
) -> Table:
    """Return a table that is wide enough for its ids, even if the console is not."""
    table = Table()
    rows, fixed = list(rows), set(no_wrap)
    for index, column in enumerate(columns):
        if column in fixed:
            width = max((Text(row[index]).cell_len for row in [columns, *rows]), default=0)
            table.add_column(column, no_wrap=True, min_width=width)
        else:
            table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not str: rich would read brackets in a name as markup.
        table.add_row(*(Text(cell) for cell in row))
    minimum = Measurement.get(console, console.options.update(max_width=10_000), table).minimum
    table.width = minimum if minimum > console.width else None
    return table


def print_note(text: str) -> None:
    """Print a line to stderr."""
    click.echo(text, err=True)

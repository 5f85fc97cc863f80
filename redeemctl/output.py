"""Print results: aligned columns on a terminal, tab-separated lines in a pipe, or JSON. The rest goes to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.cells import cell_len


def print_json(data: Any) -> None:
    """Print data as JSON to stdout."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a header line and rows to stdout. Nothing is shortened: a terminal that is too narrow wraps the line."""
    lines = [[" ".join(cell.split()) for cell in row] for row in (columns, *rows)]
    if not sys.stdout.isatty():
        for line in lines:
            click.echo("\t".join(line))
        return
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_note(text: str) -> None:
    """Print a line to stderr."""
    click.echo(text, err=True)

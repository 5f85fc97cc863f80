"""Print results: aligned columns on a terminal, tab-separated lines in a pipe, or JSON. The rest goes to stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.cells import cell_len


def print_json(data: Any) -> None:
    """Print data as JSON to stdout. What cannot be printed, or not in the encoding of stdout, is escaped."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    click.echo("".join(c if c == "\n" or _can_print(c) else json.dumps(c)[1:-1] for c in text))


def _can_print(character: str) -> bool:
    return character.isprintable() and bool(character.encode(sys.stdout.encoding, "ignore"))


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

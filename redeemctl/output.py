"""Print results to stdout: aligned columns on a terminal, tab-separated lines in a pipe, or JSON. Notes go to stderr.

Rows in DynamoDB may contain control characters, which a terminal would obey. So
everything printed passes `escape`: here, in `CommandLine.confirm` and in `CommandError`.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.cells import cell_len


def escape(text: str) -> str:
    """Return the text. Characters that a terminal may obey, or stdout cannot encode, become JSON's escape sequences."""
    return "".join(c if c in "\n\t\u3000" or _can_print(c) else json.dumps(c)[1:-1] for c in text)


def _can_print(character: str) -> bool:
    return character.isprintable() and bool(character.encode(sys.stdout.encoding, "ignore"))


def print_line(text: str) -> None:
    """Print text to stdout."""
    click.echo(escape(text))


def print_json(data: Any) -> None:
    """Print data as JSON to stdout."""
    print_line(json.dumps(data, ensure_ascii=False, indent=2))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a header line and rows to stdout. Nothing is shortened: a terminal that is too narrow wraps the line."""
    lines = [[escape(" ".join(cell.split())) for cell in row] for row in (columns, *rows)]
    if not sys.stdout.isatty():
        for line in lines:
            print_line("\t".join(line))
        return
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        print_line("  ".join(padded).rstrip())


def print_note(text: str) -> None:
    """Print a line to stderr."""
    click.echo(escape(text), err=True)

"""The commands and options of `redeemctl` that pages, messages, docstrings and the stack name exist."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from infra.bundle import ROOT
from redeemctl.cli import redeemctl
from tests.template import read_template
from tests.unit.test_documents import DOCUMENTS

WORD = r"[^\s`#|$\\]*[^\s`#|$\\,;:.()]"
# Pages also write `merchant add`, without `redeemctl`. A backslash continues a line.
NAMED = re.compile(rf"(?:\bredeemctl[\s\\]+|`(?=(?:{'|'.join(redeemctl.commands)}) ))({WORD}(?:[\s\\]+{WORD})*)")


def read_messages(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each string in the code of a folder."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "<>" for part in parts)
            yield str(path.relative_to(ROOT)), text


def read_texts() -> Iterator[tuple[str, str]]:
    """Yield each text that names commands, and its file. The change log also names removed ones."""
    for path in DOCUMENTS:
        if path.name != "CHANGELOG.md":
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    yield "infra/template.yaml", json.dumps(read_template(), ensure_ascii=False)
    for folder in ("chalicelib", "infra", "redeemctl", "sandbox"):
        yield from read_messages(folder)


def find_error(words: list[str]) -> str:
    """Return click's error message about an unknown command or option, or "". Missing arguments are no error."""
    command: click.Command = redeemctl
    try:
        while True:
            context = click.Context(command)
            _, words, _ = command.make_parser(context).parse_args(words)
            if not isinstance(command, click.Group) or not words:
                return ""
            _, found, words = command.resolve_command(context, words)
            command = found or command
    except click.BadOptionUsage:
        return ""  # the value of the last option is left out
    except click.UsageError as error:
        return error.format_message()


def test_every_command_that_a_text_names_exists_with_its_options() -> None:
    named = {(file, " ".join(words.split())) for file, text in read_texts() for words in NAMED.findall(text)}
    errors = {(file, f"redeemctl {words}", find_error(words.split())) for file, words in named}
    assert {error for error in errors if error[-1]} == set()


def test_the_installed_program_starts_from_any_folder(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("redeemctl"))
    run = subprocess.run([program, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.startswith("redeemctl, version "), run.stderr

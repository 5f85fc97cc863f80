"""Tables, tab-separated lines, and the variables of a stage."""

from collections.abc import Callable

import pytest

from infra.bundle import ROOT
from redeemctl.errors import CommandError
from redeemctl.output import print_json, print_line, print_note, print_rows

ACCOUNT_ID = "7100000000000000001"
ROWS = [(ACCOUNT_ID, "四季小馆 [bold]", "tt0123456789abcdef")]
COLUMNS = ("account_id", "name", "app_id")


def test_a_terminal_gets_aligned_columns_in_which_nothing_is_shortened(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_rows(COLUMNS, [*ROWS, ("1", "a\nb", "")])
    assert capsys.readouterr().out.splitlines() == [
        "account_id           name             app_id",
        f"{ACCOUNT_ID}  四季小馆 [bold]  tt0123456789abcdef",
        "1                    a b",
    ]


def test_a_pipe_gets_tab_separated_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [*ROWS, ("1", "a\tb\nc", "")])
    assert capsys.readouterr().out.splitlines() == [
        "account_id\tname\tapp_id",
        f"{ACCOUNT_ID}\t四季小馆 [bold]\ttt0123456789abcdef",
        "1\ta b c\t",
    ]


NASTY = "x\x1b]0;owned\x07\r\u202ey"
SHOWN = "x\\u001b]0;owned\\u0007"


@pytest.mark.parametrize("output", [print_line, print_note, print_json, lambda text: print_rows([text], [])])
def test_what_a_terminal_may_obey_is_escaped(output: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    output(NASTY)
    printed = "".join(capsys.readouterr())
    assert SHOWN in printed
    assert all(character.isprintable() for character in printed.rstrip("\n"))
    assert SHOWN in CommandError(NASTY).format_message()


def test_nothing_else_prints_what_was_read() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "redeemctl").rglob("*.py")}
    assert {name for name, text in texts.items() if "click.echo(" in text} == {"output.py"}

"""Tables and tab-separated lines."""

from __future__ import annotations

import pytest

from redeemctl.output import print_rows

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

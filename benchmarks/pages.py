"""The parts of the documents that are made from figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_part(path: Path, name: str, made: str) -> None:
    """Replace a generated part of a page, what stands between the two comments that name it."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, after = text.partition(begin)
    path.write_text(f"{before}{begin}\n\n{made}\n\n{end}{after.partition(end)[2]}", encoding="utf-8")

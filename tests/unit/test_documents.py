"""The documents: links lead to files and headings of this repository.

Where a page exists in two languages, each section has the same structure.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)
TABLE = re.compile(r"(?:^ *\|.*\n)+", re.MULTILINE)
GUIDES = ROOT / "miniprogram" / "docs"
FOLDERS = (".", "docs", "sandbox", "miniprogram", "miniprogram/docs", "miniprogram/src/**")
DOCUMENTS = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md"))
CHINESE = [path for path in DOCUMENTS if "zh-CN" in path.name]
PAPERS = {path.name for path in GUIDES.glob("*.zh-CN.md")} - {"go-live.zh-CN.md", "mini-program.zh-CN.md"}
"""For a shop: each is printed on one page."""


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    texts = [re.sub(r"[^\w\- ]", "", LINK.sub("]", heading).lower()).replace(" ", "-") for heading in headings]
    return {
        f"{text}-{texts[:place].count(text)}" if text in texts[:place] else text for place, text in enumerate(texts)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for link in LINK.findall(CODE.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        is_outside = "://" in link or link.startswith("mailto:")
        if not is_outside and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/engineer.md"])
def test_the_names_in_a_page_for_engineers_are_those_of_the_code(name: str) -> None:
    folders = ("chalicelib", "docs", "infra", "miniprogram/src", "miniprogram/tests", "redeemctl", "sandbox", "tests")
    paths = [ROOT / "app.py", ROOT / "Makefile", ROOT / "pyproject.toml", *(ROOT / "miniprogram").glob("*.*")]
    paths += [path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc"]
    texts = [path.read_text("utf-8") for path in paths if path.suffix in (".py", ".ts", ".yaml", ".toml", ".json", "")]
    names = {*re.findall(r"\w+", " ".join([*texts, *map(str, paths)]))}
    code = re.findall(r"`([^`\n]+)`", CODE.sub("", (ROOT / name).read_text(encoding="utf-8")))
    known = [str(path) for path in (*paths, *DOCUMENTS)]
    files = [text for text in code if re.fullmatch(r"[\w./-]+\.(py|ts|ttss|yaml|toml|md)", text)]
    assert [text for text in files if not any(path.endswith(f"/{text}") for path in known)] == []
    # Of a path, a call or a member, each part; not options of commands and examples with an ellipsis.
    used = {word for text in code if not re.search(r"[ …<]", text) for word in re.findall(r"[A-Za-z_]\w{2,}", text)}
    assert used - names == set()


def outline(document: Path) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """Yield each heading of a page, and the structure of its section, which is the same in both languages."""
    _, *parts = re.split(r"^(#+ .*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        prose, blocks = CODE.sub("", text), CODE.findall(text)
        tables = [table.splitlines() for table in TABLE.findall(prose)]
        yield (
            heading,
            {
                "level": heading.split()[:1],
                "list items": re.findall(r"^ *(-|\d+\.) ", prose, re.MULTILINE),
                "rows and columns of tables": [(len(rows), rows[0].count("|") - 1) for rows in tables],
                # The client's Chinese page has a part of the code: tests/deployed/test_miniprogram.py compares it.
                "code blocks": [block.splitlines()[0] for block in blocks if document.parent.name != "client"],
                "commands": re.findall(r"^ *\$ (.*?)(?: +#.*)?$", re.sub(r"<.*?>", "<>", text), re.MULTILINE),
                "links": sorted(re.sub(r"\.zh-CN|#.*", "", link) for link in LINK.findall(prose)),
            },
        )


@pytest.mark.parametrize("document", [path for path in CHINESE if path.parent != GUIDES], ids=lambda path: path.name)
def test_each_section_has_the_same_structure_in_both_languages(document: Path) -> None:
    chinese, english = list(outline(document)), list(outline(document.with_name(document.name.replace(".zh-CN", ""))))
    for (heading, parts), (other, other_parts) in zip(chinese, english, strict=False):
        for part, found in parts.items():
            assert found == other_parts[part], f"{part} of {heading!r} and {other!r}"
    assert len(chinese) == len(english)


def test_every_colour_of_the_pages_is_a_variable() -> None:
    styles = "".join(path.read_text("utf-8") for path in (ROOT / "miniprogram/src/coupons").rglob("*.ttss"))
    variable = re.compile(r"(--[\w-]+): [^;]+;")
    used = set(re.findall(r"var\((--[\w-]+)\)", styles))
    assert set(variable.findall(styles)) == used
    assert re.findall(r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl)a?\(", variable.sub("", styles)) == []

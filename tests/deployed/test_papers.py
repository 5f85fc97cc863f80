"""The papers for a shop, printed: an A4 page at 10 pt, or with larger text; the staff's card has half a page."""

import re

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from tests.unit.test_documents import PAPERS, ROOT

STYLE = """h2 { margin: 0; font-size: 14pt } p, ul, ol { margin: 4px 0 } h1 { margin: 0; font-size: 14pt }
table { border-collapse: collapse } td, th { padding: 1px 4px; border: 1px solid }"""
PAGE, HALF_A_PAGE = "size: A4; margin: 14mm", "size: 210mm 148mm; margin: 8mm 10mm"
CARDS = {"staff-card.zh-CN.md": (HALF_A_PAGE, "12pt", 1), "manager-card.zh-CN.md": (PAGE, "12pt", 1)}
"""The paper, the size of the text, and the number of pages."""


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_paper_has_its_size(browser: Browser, name: str) -> None:
    text = (ROOT / "miniprogram" / "docs" / name).read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    paper, size, sides = CARDS.get(name, (PAGE, "10pt", 1))
    page = browser.new_page()
    page.set_content(
        f"<!doctype html><style>@page {{ {paper} }} body {{ font: {size}/1.35 sans-serif }} {STYLE}</style>{html}"
    )
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == sides

"""The papers for a shop, printed: each is one page (A4) at 10 pt, a card half a page, and the staff's at 12 pt."""

import re

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from tests.unit.test_documents import PAPERS, ROOT

STYLE = """p, ul, ol { margin: 4px 0 } h1 { margin: 0; font-size: 14pt }
table { border-collapse: collapse } td, th { padding: 1px 4px; border: 1px solid }"""
PAGE, HALF_A_PAGE = "size: A4; margin: 14mm", "size: 210mm 148mm; margin: 8mm 10mm"


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_paper_is_one_page(browser: Browser, name: str) -> None:
    text = (ROOT / "miniprogram" / "docs" / name).read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    paper = HALF_A_PAGE if "-card" in name else PAGE
    size = "12pt" if name.startswith("staff-card") else "10pt"
    page = browser.new_page()
    page.set_content(
        f"<!doctype html><style>@page {{ {paper} }} body {{ font: {size}/1.35 sans-serif }} {STYLE}</style>{html}"
    )
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1

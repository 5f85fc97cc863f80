"""The papers for a shop, printed: one A4 page, at 10 pt or larger."""

import re

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from tests.unit.test_documents import PAPERS, ROOT

STYLE = """@page { size: A4; margin: 14mm } h1, h2 { margin: 0; font-size: 14pt } p, ul, ol { margin: 4px 0 }
table { border-collapse: collapse } td, th { padding: 1px 4px; border: 1px solid }"""
SIZES = {"staff-card.zh-CN.md": "22pt", "manager-card.zh-CN.md": "15pt", "pilot-sheet.zh-CN.md": "12pt"}
"""The size of the text."""


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_paper_has_its_size(browser: Browser, name: str) -> None:
    text = (ROOT / "miniprogram" / "docs" / name).read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    size = SIZES.get(name, "10pt")
    page = browser.new_page()
    page.set_content(f"<!doctype html><style>{STYLE} body {{ font: {size}/1.35 sans-serif }}</style>{html}")
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1

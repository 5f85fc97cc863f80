"""The papers for a shop, printed: each is one page (A4) at 10 pt, and the texts in its pictures can be read."""

import base64
import re
import struct

import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Browser

from tests.unit.test_documents import PAPERS, ROOT

STYLE = """@page { size: A4; margin: 14mm } body { font: 10pt/1.35 sans-serif } p, ul, ol { margin: 5px 0 }
h1 { margin: 0; font-size: 15pt } table { border-collapse: collapse } td, th { padding: 2px 4px; border: 1px solid }"""
SMALLEST_TEXT_PX = 16
"""Of a band."""
PIXEL_RATIO = 2
"""Of the pictures."""
MM_PER_PX = 25.4 / 96


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_paper_is_one_page_with_readable_pictures(browser: Browser, name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for picture, width in re.findall(r'<img src="([\w-]+\.png)" width="(\d+)"', text):
        content = (ROOT / "docs" / picture).read_bytes()
        [pixels] = struct.unpack(">I", content[16:20])
        assert SMALLEST_TEXT_PX * int(width) * PIXEL_RATIO / pixels * MM_PER_PX >= 4, picture
        text = text.replace(picture, f"data:image/png;base64,{base64.b64encode(content).decode()}")
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    page = browser.new_page()
    page.set_content(f"<!doctype html><style>{STYLE}</style>{html}")
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1

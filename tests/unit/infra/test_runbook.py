"""The operator's guide: the codes that it names exist, and so do its sections that messages name."""

import re

import pytest

from infra.bundle import ROOT
from tests.template import read_alarms
from tests.unit.fakes import PROBLEM_TYPES
from tests.unit.redeemctl.test_cli import read_messages

PAGES = {page: (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("run.md", "run.zh-CN.md")}


@pytest.mark.parametrize("page", PAGES)
def test_the_guide_says_what_to_do_by_each_code(page: str) -> None:
    cells = re.findall(r"^\| (.*?[(（]\d{3}.*?) \|", PAGES[page], re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    of_programmers = {"not_found", "method_not_allowed", "unsupported_media_type"}
    assert named == PROBLEM_TYPES.keys() - of_programmers


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_that_the_guide_names_exist(page: str) -> None:
    settings = (ROOT / "infra" / "stages" / "dev.toml").read_text(encoding="utf-8")
    [section] = re.findall(r"^## (?:Settings|配置)\n(.*?)^## ", PAGES[page], re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`\[?([a-z_]+)\]?`", section))
    assert len(named) > 2
    assert {name for name in named if not re.search(rf"^# \[?{name}\b", settings, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_each_block_with_the_operators_command_names_the_stage(page: str) -> None:
    blocks = [block for block in re.findall(r"```console\n(.*?)```", PAGES[page], re.DOTALL) if "redeemctl " in block]
    assert len(blocks) > 5
    assert [block for block in blocks if "REDEEM_STAGE=" not in block] == []


def test_each_section_that_a_message_names_exists() -> None:
    alarms = [str(alarm["AlarmDescription"]) for alarm in read_alarms().values()]
    texts = [*alarms, *(text for folder in ("infra", "redeemctl") for _, text in read_messages(folder))]
    named = {name for text in texts for name in re.findall(r'docs/run\.md, "?([A-Z][a-z ]+[a-z])', text)}
    headings = set(re.findall(r"^#+ (.+)$", PAGES["run.md"], re.MULTILINE))
    assert len(named) > 5
    assert named - headings == set()


def test_each_alarm_names_its_row_of_the_guide_and_notifies() -> None:
    for name, alarm in read_alarms().items():
        row = alarm["AlarmName"].removeprefix("douyin-redemption-dev-")
        assert f"docs/run.md, Alarms and queries, {row})" in alarm["AlarmDescription"], name
        assert all(f"\n| {row} | " in page for page in PAGES.values()), row
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) <= 1024

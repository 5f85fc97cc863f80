"""The runbook, in both languages, has what the code and the template have."""

import re
from unittest.mock import Mock

import pytest

from infra import api_gateway
from infra.bundle import ROOT
from infra.cloudformation import stack_name
from infra.stage_settings import Limits
from redeemctl.doctor.platform import CODE_ROWS
from tests.template import read_alarm_metrics, read_alarms
from tests.unit.fakes import PROBLEM_TYPES

both_languages = pytest.mark.parametrize("page", ["operate.md", "operate.zh-CN.md"])


def find_missing(text: str, names: set[str]) -> set[str]:
    """Return the names that have no row, with all cells filled, in the table of a page that has most of the names."""
    missing = []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        first_cells = " ".join(row[0] for row in rows if all(row))
        missing.append(names - {*re.findall(r"[\w-]*\w", first_cells, re.ASCII)})
    return min(missing, key=len)


@both_languages
def test_the_runbook_has_a_row_for_every_problem_every_platform_code_and_every_alarm(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert find_missing(text, set(PROBLEM_TYPES)) == set()
    assert find_missing(text, {str(code) for code in CODE_ROWS}) == set()
    alarms = {alarm["AlarmName"].removeprefix(f"{stack_name('dev')}-") for alarm in read_alarms().values()}
    assert find_missing(text, alarms) == set()
    metrics = {name for (namespace, name, _), _ in read_alarm_metrics() if namespace == "DouyinRedemption"}
    assert {name for name in metrics if f"`{name}`" not in text} == set()


def test_each_alarm_says_what_to_do_first_and_notifies() -> None:
    for name, alarm in read_alarms().items():
        assert "First:" in alarm["AlarmDescription"], name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"]) <= 1024


@both_languages
def test_the_limit_of_a_route_is_raised_where_the_deployment_sets_it(page: str) -> None:
    client = Mock()
    api_gateway.set_throttling(client, "abc", Limits())
    limited = {operation["path"] for operation in client.update_stage.call_args.kwargs["patchOperations"]}
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    [route] = re.findall(r"^\$ route='(.+)'$", text, re.MULTILINE)
    [sessions] = re.findall(r"`(/~1v1~1sessions/\w+)`", text)
    # The AWS CLI cannot parse the braces of a path without quotes.
    assert text.count("path='$route/throttling/") == 2
    for path in (route, sessions):
        assert {f"{path}/throttling/rateLimit", f"{path}/throttling/burstLimit"} <= limited

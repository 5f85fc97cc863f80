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


ROWS = {
    "problem": set(PROBLEM_TYPES),
    "platform code": {str(code) for code in CODE_ROWS},
    "alarm": {alarm["AlarmName"].removeprefix(f"{stack_name('dev')}-") for alarm in read_alarms().values()},
}


def read_names(table: str) -> set[str]:
    """Return the names in the first column of a table, of the rows in which all cells are filled."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {*re.findall(r"[\w-]*\w", " ".join(row[0] for row in rows if all(row)), re.ASCII)}


@both_languages
@pytest.mark.parametrize("kind", ROWS)
def test_the_runbook_has_a_row_for_each(kind: str, page: str) -> None:
    names = ROWS[kind]
    tables = re.findall(r"(?:^\|.*\n)+", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    missing = min((names - read_names(table) for table in tables), key=len)
    assert len(missing) < len(names) / 2, f"docs/{page} has no table of {kind}s"
    assert missing == set(), f"docs/{page}, table of {kind}s: rows that are missing, or have an empty cell"


@both_languages
def test_the_runbook_names_each_metric_of_an_alarm(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
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

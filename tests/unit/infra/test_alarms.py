"""The alarms of the template. `tests/service/test_monitoring.py` compares their metrics with what is emitted."""

from __future__ import annotations

from infra.cloudformation import template_body
from tests.template import read_alarms

MAX_TEMPLATE_BYTES = 42_000
"""CloudFormation's limit is 51,200: the rest is for what comes."""


def test_no_alarm_but_the_optional_one_takes_late_data_for_zero() -> None:
    assert [name for name, alarm in read_alarms().items() if "FILL(" in str(alarm)] == ["NoRequestsAlarm"]


def test_the_template_is_well_below_cloudformations_limit() -> None:
    assert len(template_body().encode()) <= MAX_TEMPLATE_BYTES

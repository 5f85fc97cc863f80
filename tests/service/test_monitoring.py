"""Alarms, dashboard and saved queries of the template name only what the service emits."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import app as application
from chalicelib.api.telemetry import Telemetry
from chalicelib.errors import StorageUnavailableError
from chalicelib.settings import TelemetrySettings
from infra.cloudformation import TEMPLATE
from sandbox.sample_data import CUSTOMER_WITH_MALFORMED_DATA, CUSTOMER_WITH_MANY_COUPONS, CUSTOMER_WITHOUT_COUPONS
from sandbox.stack import API_FUNCTION, RENEWAL_FUNCTION, STAGE
from tests.harness import LIST_MEMBER, TOKEN_PK, Api, Aws, Platform, in_seconds, run_refresh_tokens
from tests.template import Metric, read_alarm_metrics, read_resources

NAMESPACE = "DouyinRedemption"
OTHER_METRICS = {
    (namespace, name, frozenset(dimensions))
    for namespace, names, dimensions in (
        ("AWS/Lambda", ("Errors", "Throttles"), {"FunctionName"}),
        ("AWS/ApiGateway", ("Count", "4XXError", "5XXError", "Latency"), {"ApiName", "Stage"}),
        ("AWS/CertificateManager", ("DaysToExpiry",), {"CertificateArn"}),
    )
    for name in names
}
"""Metrics that the service does not emit itself."""

OWN_METRICS = {
    (NAMESPACE, name, frozenset({"service", "stage"}))
    for name in ("RequestFailed", "Refused", "CertificatesReturned", "TokenSecondsLeft")
}
"""Each costs 0.30 USD a month. Logs Insights counts everything else in the log."""

DIMENSION_VALUES: dict[str, Any] = {
    "service": {"douyin-redemption"},
    "stage": {STAGE},
    "FunctionName": {API_FUNCTION, RENEWAL_FUNCTION},
    "ApiName": {API_FUNCTION},
    "Stage": {"api"},
    "CertificateArn": [{"Ref": "CertificateArn"}],
}
QUERY_WORDS = {
    "fields", "filter", "sort", "limit", "stats", "and", "or", "by", "as", "desc", "asc", "ispresent", "count", "sum",
    "pct", "not", "in", "like", "coalesce", "count_distinct",
}  # fmt: skip
QUERIES = {
    logical_id: resource["Properties"]
    for logical_id, resource in read_resources().items()
    if resource["Type"] == "AWS::Logs::QueryDefinition"
}


@dataclass
class Emitted:
    """What the service emits: metrics, and the fields of its log lines."""

    metrics: set[Metric]
    fields: set[str]


def _fail(*_: object) -> Any:
    raise StorageUnavailableError("timeout")


@pytest.fixture
def emitted(
    api: Api, aws: Aws, platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Emitted:
    """From requests through the front door: lists, problems, a failed and a successful mint, a renewal."""
    telemetry = Telemetry(TelemetrySettings("douyin-redemption", NAMESPACE, STAGE))
    monkeypatch.setattr(application.app, "telemetry", telemetry)
    api.call("GET", "/v1/health")
    api.login()
    platform.fail("code", "client_token", code=10013)
    assert api.list().json["code"] == "token_unavailable"
    platform.clear_faults()
    aws.put(TOKEN_PK, access_token=platform.mint(), expires_at=in_seconds(60))
    run_refresh_tokens()
    platform.fail("code", code=2119005)
    assert "list_problem" in api.login(list=LIST_MEMBER).json
    assert api.list().status == 403
    platform.clear_faults()
    platform.fail("http", page=2, status=404)
    for customer in (CUSTOMER_WITH_MANY_COUPONS, CUSTOMER_WITH_MALFORMED_DATA):
        api.login(customer)
        assert api.list().status == 200
    # Former values that are used during an outage are warnings.
    with monkeypatch.context() as patch:
        patch.setattr("chalicelib.cache.is_within", lambda *_: False)
        patch.setattr(application.components().tokens.table, "get_item", _fail)
        assert api.list().status == 200
    # A list that ends before the platform's total.
    platform.clear_faults()
    platform.fail("edit", set_fields={"data.total": 9})
    api.login(CUSTOMER_WITHOUT_COUPONS)
    assert api.list().status == 200
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # A line with `_aws` is in CloudWatch's Embedded Metric Format (EMF); the others are the log.
    directives = [directive for entry in entries if "_aws" in entry for directive in entry["_aws"]["CloudWatchMetrics"]]
    return Emitted(
        {
            (directive["Namespace"], metric["Name"], frozenset(names))
            for directive in directives
            for names in directive["Dimensions"]
            for metric in directive["Metrics"]
        },
        {name for entry in entries if "_aws" not in entry for name in entry},
    )


def dashboard_metrics() -> Iterator[tuple[Metric, dict[str, str]]]:
    """Yield each metric of the dashboard, and the values of its dimensions, if it names them."""
    dashboard = json.loads(read_resources()["Dashboard"]["Properties"]["DashboardBody"])
    for widget in dashboard["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                parts = metric if isinstance(metric[-1], str) else metric[:-1]
                values = dict(zip(parts[2::2], parts[3::2], strict=True))
                yield (parts[0], parts[1], frozenset(values)), values


def test_the_service_has_four_metrics_of_its_own(emitted: Emitted) -> None:
    assert emitted.metrics == OWN_METRICS


def test_alarms_and_dashboard_watch_what_is_emitted(emitted: Emitted) -> None:
    for metric, values in (*read_alarm_metrics(), *dashboard_metrics()):
        assert metric in emitted.metrics | OTHER_METRICS
        assert not [name for name, value in values.items() if value not in DIMENSION_VALUES[name]]


def test_an_alarm_watches_each_function() -> None:
    """A further function needs one on its `Errors`, beside those on the metrics of its report."""
    functions: list[Any] = [*application.app.event_sources, *application.app.pure_lambda_functions]
    others = {f"{API_FUNCTION}-{function.name}" for function in functions}
    watched = {values.get("FunctionName") for _, values in read_alarm_metrics()}
    # The alarm tokens: its metric stops when the runs fail.
    assert others - {RENEWAL_FUNCTION} <= watched


def test_the_dashboard_shows_every_metric(emitted: Emitted) -> None:
    shown = {name for (namespace, name, _), _ in dashboard_metrics() if namespace == NAMESPACE}
    assert {name for _, name, _ in emitted.metrics} <= shown


def test_the_template_contains_no_partition_and_no_region() -> None:
    """The same template works in aws and in aws-cn."""
    text = TEMPLATE.read_text(encoding="utf-8")
    assert "arn:aws" not in text
    assert "us-east-1" not in text


def test_a_saved_query_uses_fields_that_are_logged(emitted: Emitted) -> None:
    for name, query in QUERIES.items():
        text = re.sub(r'"[^"]*"', "", query["QueryString"])
        used = set(re.findall(r"@?[a-z]\w*", text)) - QUERY_WORDS - set(re.findall(r"as (\w+)", text))
        assert used - {"@timestamp", "@message"} <= emitted.fields, name

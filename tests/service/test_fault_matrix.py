"""The generated tables in docs/reliability.md: what the service returns under each fault of the platform."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from chalicelib.douyin import codes
from infra.bundle import ROOT
from sandbox.faults import PLACES
from sandbox.sample_data import APP_ID, CUSTOMER_WITH_MANY_COUPONS
from tests.harness import (
    FAST_MINT_RETRIES,
    FAST_RETRIES,
    TOKEN_ROW,
    Api,
    Aws,
    Platform,
    assert_problem,
    in_seconds,
)

if TYPE_CHECKING:
    from sandbox.gateway import Response

# Hundreds of requests: other tests measure the coverage.
pytestmark = pytest.mark.no_cover

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- generated:faults -->\n\n", "\n<!-- /generated -->"
UNKNOWN_CODE = 987654321

TRANSPORT_FAULTS: dict[str, dict[str, Any]] = {
    "HTTP 500": {"kind": "http", "status": 500},
    "HTTP 503": {"kind": "http", "status": 503},
    "HTTP 429": {"kind": "http", "status": 429},
    "HTTP 404": {"kind": "http", "status": 404},
    "HTTP 302": {"kind": "http", "status": 302, "headers": {"Location": "/"}},
    "empty body": {"kind": "body", "body": ""},
    "HTML page": {"kind": "body", "body": "<html><body>502</body></html>"},
    "JSON that is not an object": {"kind": "body", "body": "[]"},
    "truncated response": {"kind": "truncate"},
    "connection reset": {"kind": "reset"},
    "no response": {"kind": "hang"},
    "response byte by byte": {"kind": "drip", "seconds": 0.05},
}


class FaultRunner:
    """Sends requests through the front door with one fault at a time."""

    def __init__(self, api: Api, platform: Platform, aws: Aws) -> None:
        self.api = api
        self.platform = platform
        self.aws = aws

    def reset(self) -> None:
        self.platform.clear_faults()
        self.platform.server.calls.clear()
        self.api.clear_rate_limits()
        self.aws.put(TOKEN_ROW, access_token=self.platform.mint(), expires_at=in_seconds(3600))
        self.api.clear_tokens()

    def first_page(self, **fault: Any) -> str:
        self.reset()
        self.platform.fail(**fault)
        response = self.api.list(milliseconds=time_limit(fault))
        return format_outcome(response, len(self.platform.calls("query_user_certificates")))

    def later_page(self, **fault: Any) -> str:
        self.reset()
        self.platform.fail(page=3, **fault)
        response = self.api.list(milliseconds=time_limit(fault))
        tries = sum(call["page"] == 3 for call in self.platform.calls("query_user_certificates"))
        assert response.status == 200, "a lost later page is not a problem"
        assert len(response.json["certificates"]) == 100, "the pages before it are returned"
        self.platform.clear_faults()
        self.api.clear_rate_limits()
        second = self.api.list(f"?cursor={response.json['next_cursor']}")
        assert len(second.json["certificates"]) == 200, "the next response starts with the lost page"
        return f"200, cursor ({format_tries(tries)})"

    def mint(self, **fault: Any) -> str:
        self.reset()
        self.aws.dynamodb.delete_item(TableName=self.aws.table, Key={"pk": {"S": TOKEN_ROW}})
        self.platform.fail(call="client_token", **fault)
        return format_outcome(self.api.list(milliseconds=time_limit(fault)), len(self.platform.calls("client_token")))

    def login(self, **fault: Any) -> str:
        self.reset()
        self.platform.fail(call="jscode2session", **fault)
        body = json.dumps({"app_id": APP_ID, "code": self.platform.issue_login_code()})
        response = self.api.call("POST", "/v1/sessions", body, milliseconds=time_limit(fault))
        return format_outcome(response, len(self.platform.calls("jscode2session")))


def time_limit(fault: dict[str, Any]) -> int:
    """Return the time limit in milliseconds: a short one for the faults that end only with the time limit."""
    return 1500 if fault["kind"] in ("hang", "drip") else 15_000


def format_outcome(response: Response, tries: int) -> str:
    assert_problem(response, response.status, response.json["code"])
    assert response.status != 500
    return f"{response.status} `{response.json['code']}` ({format_tries(tries)})"


def format_tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


@pytest.fixture
def runner(api: Api, platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> FaultRunner:
    monkeypatch.setattr("chalicelib.douyin.client.RETRY_POLICY", FAST_RETRIES)
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    monkeypatch.setattr("chalicelib.tokens.provider.MINT_RETRY_POLICY", FAST_MINT_RETRIES)
    return FaultRunner(api, platform, aws)


def codes_table(runner: FaultRunner) -> str:
    lines = ["| code | platform's description | first page | later page |", "|---|---|---|---|"]
    known = {row.code: row for row in (*codes.CERTIFICATE_CODES[::-1], *codes.COMMON_CODES)}
    rows: list[tuple[int, str, tuple[str, ...]]]
    rows = [(code, row.description, PLACES) for code, row in sorted(known.items())]
    rows += [(row.code, row.description, ("extra.sub_error_code",)) for row in codes.SUB_CODES]
    rows.append((UNKNOWN_CODE, "(in no document)", PLACES))
    for code, description, places in rows:
        first = {runner.first_page(kind="code", code=code, place=place) for place in places}
        later = {runner.later_page(kind="code", code=code, place=place) for place in places}
        assert len(first) == len(later) == 1, f"{code} has the same outcome in all places: {first} {later}"
        name = f"sub {code}" if len(places) == 1 else str(code)
        lines.append(f"| {name} | {description} | {first.pop()} | {later.pop()} |")
    return "\n".join(lines)


def transport_table(runner: FaultRunner) -> str:
    lines = [
        "| fault | certificates, first page | later page | client_token | jscode2session |",
        "|---|---|---|---|---|",
    ]
    for name, fault in TRANSPORT_FAULTS.items():
        cells = [runner.first_page(**fault), runner.later_page(**fault), runner.mint(**fault), runner.login(**fault)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_tables_show_what_the_service_returns(runner: FaultRunner) -> None:
    """With the variable UPDATE_FAULTS=1 it writes the tables."""
    tables = (
        f"### Error codes, in `{'`, `'.join(PLACES)}`\n\n{codes_table(runner)}\n\n"
        "### Transport\n\nFor the last two faults the request had 1.5 s instead of 9 s."
        f"\n\n{transport_table(runner)}\n"
    )
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    written, tail = rest.split(END, 1)
    if os.environ.get("UPDATE_FAULTS"):
        PAGE.write_text(f"{head}{BEGIN}{tables}{END}{tail}", encoding="utf-8")
        written = tables
    assert written == tables, "run UPDATE_FAULTS=1 make test T=tests/service/test_fault_matrix.py"

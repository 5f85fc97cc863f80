"""Every error code at every place, every transport fault in every call: `docs/faults.md` is what came of it.

`UPDATE_FAULTS=1 pytest tests/test_fault_matrix.py` writes the page anew; without it the page must be what comes out.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import app as application
from chalicelib import codes
from sandbox.faults import PLACES
from tests.conftest import APP
from tests.test_contract import assert_problem

if TYPE_CHECKING:
    from sandbox.gateway import Answer
    from tests.conftest import Api, Aws, Platform

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"

TRANSPORT: dict[str, dict[str, Any]] = {
    "HTTP 500": {"kind": "http", "status": 500},
    "HTTP 503": {"kind": "http", "status": 503},
    "HTTP 429": {"kind": "http", "status": 429},
    "HTTP 404": {"kind": "http", "status": 404},
    "HTTP 302": {"kind": "http", "status": 302, "headers": {"Location": "/"}},
    "an empty body": {"kind": "body", "body": ""},
    "HTML": {"kind": "body", "body": "<html><body>502</body></html>"},
    "JSON that is no envelope": {"kind": "body", "body": "[]"},
    "half an answer": {"kind": "truncate"},
    "connection reset": {"kind": "reset"},
    "no answer": {"kind": "hang"},
    "an answer that drips": {"kind": "drip", "seconds": 0.05},
}

HEAD = """# What comes of which fault

Written by `tests/test_fault_matrix.py` from what the service did; the test holds it true. "Later page" is any page of
an answer but its first: the answer then ends before it, and its `next_cursor` begins with it. "Tries" counts calls to
the platform for that page.

"""


class Bench:
    """Runs the whole handler under one fault at a time."""

    def __init__(self, api: Api, platform: Platform, aws: Aws) -> None:
        self.api = api
        self.platform = platform
        self.aws = aws

    def fresh(self) -> None:
        self.platform.server.plan.faults.clear()
        self.platform.server.calls.clear()
        self.api.forget_limits()
        self.aws.put(f"TOKEN#{APP}", access_token=self.platform.mint(), expires_at=int(time.time()) + 3600)
        self.api.forget_tokens()

    def first_page(self, **fault: Any) -> str:
        self.fresh()
        self.platform.fail(**fault)
        answer = self.api.list(milliseconds=budget(fault))
        return told(answer, len(self.platform.calls("query_user_certificates")))

    def later_page(self, **fault: Any) -> str:
        self.fresh()
        self.platform.fail(page=3, **fault)
        answer = self.api.list(milliseconds=budget(fault))
        tries = len([call for call in self.platform.calls("query_user_certificates") if call["page"] == 3])
        assert answer.status == 200, "a lost later page is no problem"
        assert len(answer.json["certificates"]) == 100, "what came before it is there"
        assert "next_cursor" in answer.json, "and it is not passed over"
        self.platform.server.plan.faults.clear()
        self.api.forget_limits()
        again = self.api.list(f"?cursor={answer.json['next_cursor']}")
        assert len(again.json["certificates"]) == 200, "the next answer starts with it"
        return f"200, cursor ({_times(tries)})"

    def mint(self, **fault: Any) -> str:
        self.fresh()
        self.aws.dynamodb.delete_item(TableName=self.aws.table, Key={"pk": {"S": f"TOKEN#{APP}"}})
        self.platform.fail(call="client_token", **fault)
        return told(self.api.list(milliseconds=budget(fault)), len(self.platform.calls("client_token")))

    def login(self, **fault: Any) -> str:
        self.fresh()
        self.platform.fail(call="jscode2session", **fault)
        code = self.platform.server.platform.issue_code(APP, "zhou")
        body = f'{{"app_id":"{APP}","code":"{code}"}}'
        answer = self.api.call("POST", "/v1/sessions", body, milliseconds=budget(fault))
        return told(answer, len(self.platform.calls("jscode2session")))


def budget(fault: dict[str, Any]) -> int:
    """Little time where nothing but its end ends the waiting, so that the page does not take minutes to write."""
    return 1500 if fault["kind"] in ("hang", "drip") else 15_000


def told(answer: Answer, tries: int) -> str:
    assert_problem(answer, answer.status, answer.json["code"])
    assert answer.status != 500
    return f"{answer.status} `{answer.json['code']}` ({_times(tries)})"


def _times(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


@pytest.fixture
def bench(api: Api, platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("chalicelib.upstream.FIRST_WAIT_SECONDS", 0.0)
    api.login("zhou")
    # The pauses between tries to mint are chance, and chance must not decide how many fit in.
    monkeypatch.setattr(application.parts().tokens, "_uniform", lambda least, _: least)
    return Bench(api, platform, aws)


def codes_table(bench: Bench) -> str:
    lines = ["| code | the platform's words | first page | later page |", "|---|---|---|---|"]
    known = {row.code: row for row in (*codes.DOCUMENTED[::-1], *codes.COMMON_CODES)}
    rows: list[tuple[int, str, tuple[str, ...]]]
    rows = [(code, row.description, PLACES) for code, row in sorted(known.items())]
    rows += [(row.code, row.description, ("extra.sub_error_code",)) for row in codes.SUB_CODES]
    rows += [(987654321, "unknown to all documents", PLACES)]
    for code, description, places in rows:
        first = {bench.first_page(kind="code", code=code, place=place) for place in places}
        later = {bench.later_page(kind="code", code=code, place=place) for place in places}
        assert len(first) == len(later) == 1, f"{code} means the same wherever it stands: {first} {later}"
        name = f"sub {code}" if len(places) == 1 else str(code)
        lines.append(f"| {name} | {description} | {first.pop()} | {later.pop()} |")
    return "\n".join(lines)


def transport_table(bench: Bench) -> str:
    lines = [
        "| fault | certificates, first page | later page | client_token | jscode2session |",
        "|---|---|---|---|---|",
    ]
    for name, fault in TRANSPORT.items():
        whole = [bench.first_page(**fault), bench.later_page(**fault), bench.mint(**fault), bench.login(**fault)]
        lines.append(f"| {name} | " + " | ".join(whole) + " |")
    return "\n".join(lines)


def test_the_page_of_faults_is_what_comes_out(bench: Bench) -> None:
    page = (
        f"{HEAD}## Error codes, in `{'`, `'.join(PLACES)}` alike\n\n{codes_table(bench)}\n\n"
        "## Transport\n\nNo answer and an answer that drips: with 1.5 s left for the request (the real budget is 9 s)."
        f"\n\n{transport_table(bench)}\n"
    )
    if os.environ.get("UPDATE_FAULTS"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page

"""Judge what customers got: their lists of the last 24 hours, as the service's log has them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from infra import smoke
from redeemctl.doctor.findings import Finding, Outcome, not_checked, ok

HOURS = 24
MAX_ROWS = 10_000
"""The limit of Logs Insights."""

_SMOKE_ID = smoke.UNKNOWN_MERCHANT.path.split("/")[3]

# A login without `list_outcome` has failed before its list. An unknown merchant also fails the call for its stores, and
# the pages then ask for no list.
QUERY = f"""filter ispresent(account_id) and not ispresent(probe) and account_id != "{_SMOKE_ID}"
    and (message like /certificates$/ or ispresent(list_outcome) or outcome = "merchant_not_found")
| stats count(*) as requests by account_id, outcome, list_outcome
| sort requests desc
| limit {MAX_ROWS}"""

_CALLERS_MISTAKES = ("invalid_request", "unauthenticated")
"""They say nothing about the merchant."""

_MISSING = (
    "is not in the table",
    'if it is yours: redeemctl merchant add, docs/operate.md, "Back up and restore", or correct the mini-program',
)
_SUSPENDED = ("is suspended", "if it is to be served: redeemctl merchant resume ACCOUNT_ID")


def judge_log(rows: Iterable[Iterable[Mapping[str, str]]], is_active: Mapping[str, bool]) -> Iterator[Finding]:
    """Judge the results of QUERY, as GetQueryResults returns them. `is_active` has the merchants of the table."""
    results = [{cell["field"]: cell["value"] for cell in row} for row in rows]
    codes = defaultdict[str, Counter[str]](Counter)
    for result in results:
        code = result.get("list_outcome") or result["outcome"]
        if code not in _CALLERS_MISTAKES:
            codes[result["account_id"]][code] += int(result["requests"])
    served = 0
    for account_id, counts in sorted(codes.items(), key=lambda entry: -entry[1].total()):
        if counts["merchant_not_found"] and not is_active.get(account_id):
            state, advice = _SUSPENDED if account_id in is_active else _MISSING
            text = f"customers asked for it in the last {HOURS} hours, and it {state}"
            yield Finding("merchant.log", account_id, Outcome.WARNING, text, advice, count=counts["merchant_not_found"])
        elif counts["ok"]:
            served += 1
        elif account_id in is_active:
            failures = ", ".join(code for code, _ in counts.most_common())
            text = f"all lists of the last {HOURS} hours have failed: {failures}"
            advice = "look up the code in docs/operate.md; redeemctl doctor --merchant ACCOUNT_ID asks for the list now"
            yield Finding("merchant.log", account_id, Outcome.FAILED, text, advice, count=counts.total())
    yield ok("merchant.log", f"{served} merchants", f"customers got lists in the last {HOURS} hours")
    if len(results) >= MAX_ROWS:
        advice = 'many invented ids? docs/deploy.md, "Limits"'
        yield not_checked("merchant.log", "", f"the log has more than {MAX_ROWS} combinations", advice)

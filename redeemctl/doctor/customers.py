"""Judge what customers got: their lists of the last 24 hours, as the service's log has them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from infra import smoke
from redeemctl.doctor.findings import Finding, Status, not_checked, ok

HOURS = 24

# A login without `list_outcome` has failed before its list. An unknown merchant also fails the call for its stores, and
# the pages then ask for no list. Without `limit`, there are up to 10,000 results.
QUERY = f"""filter ispresent(account_id) and account_id != "{smoke.UNKNOWN_MERCHANT.path.split("/")[3]}"
    and not ispresent(probe) and outcome != "unauthenticated" and outcome != "invalid_request"
    and (message like /certificates$/ or ispresent(list_outcome) or outcome = "merchant_not_found")
| stats count(*) as requests by account_id, outcome, list_outcome
| sort requests desc"""

_FAILED = "look up the code in docs/operate.md; redeemctl doctor --merchant ACCOUNT_ID asks for the list now"
_MISSING = 'if it is yours, see merchant_not_found in docs/operate.md, or "Back up and restore"'


def judge_log(reply: Any, active: Collection[str]) -> Iterator[Finding]:
    """Judge the reply of GetQueryResults to QUERY. `active` has the account_ids that are in the table and active."""
    if reply["status"] != "Complete":
        yield not_checked("merchant.log", "log", f"the query is {reply['status']}", "run doctor again later")
        return
    codes = defaultdict[str, Counter[str]](Counter)
    for row in reply["results"]:
        result = {cell["field"]: cell["value"] for cell in row}
        codes[result["account_id"]][result.get("list_outcome") or result["outcome"]] += int(result["requests"])
    for account_id, counts in codes.items():
        if account_id not in active and (count := counts["merchant_not_found"]):
            # An id that was never served may be invented.
            status = Status.FAILED if counts["ok"] else Status.WARNING
            text = f"customers asked for it in the last {HOURS} hours, but it is not in the table, or suspended"
            yield Finding("merchant.log", account_id, status, text, _MISSING, count=count)
        elif account_id in active and not counts["ok"]:
            text = f"all lists of the last {HOURS} hours have failed: {', '.join(sorted(+counts))}"
            yield Finding("merchant.log", account_id, Status.FAILED, text, _FAILED, count=counts.total())
    served = sum(counts["ok"] > 0 for counts in codes.values())
    yield ok("merchant.log", f"{served} merchants", f"had lists for customers in the last {HOURS} hours")

"""Explain the errors of the platform, and judge tokens.

The platform's own advice on its error codes (排查建议) is quoted.
"""

from chalicelib import errors
from chalicelib.douyin import codes
from chalicelib.errors import Evidence, RedemptionError
from chalicelib.tokens.rows import TokenRow
from redeemctl.doctor.findings import Finding, failed, ok, warning

SHORT_SECONDS = 20 * 60
"""The schedule renews a token 30 minutes before its end, and runs every 10 minutes."""

MAX_LIFETIME_SECONDS = 24 * 3600
"""Tokens live for two hours. A later expiry is an error."""

CODE_ROWS = {
    row.code: row
    for table in (codes.MINT_CODES, codes.LOGIN_CODES, codes.SUB_CODES, codes.COMMON_CODES, codes.QUERY_CODES)
    # A code that is listed twice keeps the first row, which has the advice.
    for row in reversed(table)
}

_SUPPORT = "contact the platform's support with the logid"

_WAIT = "wait for the platform; run doctor again later"

_OTHER_SYSTEM = "let that system write the row TOKEN#<app_id>. If the merchant has left: merchant remove, app remove"

_MEANINGS: dict[type[RedemptionError], tuple[str, str]] = {
    errors.AppMisconfiguredError: (
        "the platform refuses app id or app secret; a new secret is used within five minutes",
        "compare both with the platform's console, then redeemctl app add APP_ID",
    ),
    errors.MerchantNotAuthorizedError: (
        "the merchant has not authorized the app",
        "the merchant authorizes the app, then its provider accepts; for an own app, check the binding 商家自研服务",
    ),
    errors.AppNotPermittedError: (
        "the app lacks the capability or is banned",
        "the capability: miniprogram/docs/go-live.zh-CN.md, step D5; contact the platform if the app is banned",
    ),
    errors.QuotaExhaustedError: ("the app's quota is used up", "contact the platform to raise the quota"),
    errors.RateLimitedError: ("rate limited", "try again later; look for another system that calls it for this app"),
    errors.TokenRefusedError: (
        "the platform refuses the access token",
        "run redeemctl token renew APP_ID, and doctor again; refused again later: another system mints its tokens",
    ),
    errors.UpstreamRejectedError: (
        "the platform finds the request invalid",
        "check account_id and life_account_id with redeemctl merchant show",
    ),
    errors.UpstreamUnavailableError: ("the platform is busy", "try again later"),
}
"""Meaning and advice, by the class of the error."""


def explain(error: RedemptionError, host: str) -> tuple[str, str, str]:
    """Return what a failed call of the platform means, what to do, and the logid of the reply."""
    evidence = error.evidence
    if not evidence.has_code and error.reason.isdigit():
        evidence = Evidence(int(error.reason))
    if evidence.has_code:
        return (*explain_evidence(evidence), evidence.logid)
    return (*_explain_transport(error, host), evidence.logid)


def explain_evidence(evidence: Evidence) -> tuple[str, str]:
    """Return what the error codes of a reply mean, and what to do."""
    number = f"{evidence.error_code}" + (f"/{evidence.sub_error_code}" if evidence.sub_error_code else "")
    row = next((CODE_ROWS[code] for code in (evidence.sub_error_code, evidence.error_code) if code in CODE_ROWS), None)
    if row is None:
        return f"unknown platform error {number}", _SUPPORT
    # TokenUnavailableError carries the evidence of the mint: the code says which error it was.
    meaning, advice = _MEANINGS.get(row.error, ("the call failed", _SUPPORT))
    quoted = f" ({row.advice})" if row.advice else ""
    return f"platform error {number}: {meaning}", f"{advice}{quoted}"


def judge_token(app_id: str, row: TokenRow, now: float, *, is_foreign: bool) -> Finding:
    """Judge a token; `is_foreign`: another system makes it."""
    seconds = row.expires_at - int(now)
    if not is_foreign and row.failure.isdigit():
        text, advice = explain_evidence(Evidence(int(row.failure), 0))
        return failed("token", app_id, f"the last renewal has failed: {text}", advice)
    if not is_foreign and row.failure:
        return warning("token", app_id, f"the last renewal has failed ({row.failure})", "run doctor in ten minutes")
    if not is_foreign and row.access_token and 0 < seconds <= SHORT_SECONDS:
        advice = "see the log of refresh_tokens; then redeemctl token renew APP_ID"
        return warning("token", app_id, f"expires in {seconds} s, and the schedule has not renewed it", advice)
    if seconds > MAX_LIFETIME_SECONDS:
        advice = "write it again, with expires_at in epoch seconds; or redeemctl token renew APP_ID"
        return failed("token", app_id, "expires in more than a day", advice)
    if row.access_token and seconds > 0:
        return ok("token", app_id, "of another system, valid" if is_foreign else f"expires in {seconds} s")
    state = "has expired" if row.access_token else "is missing or malformed"
    advice = _OTHER_SYSTEM if is_foreign else "redeemctl token renew APP_ID shows the reason"
    return failed("token", app_id, f"the token {state}", advice)


def _explain_transport(error: RedemptionError, host: str) -> tuple[str, str]:
    if not isinstance(error, errors.UpstreamError):
        return f"no token could be obtained ({error})", "run doctor again in a minute; see redeemctl token show"
    if error.reason in ("malformed", "too_large"):
        return "the platform's response cannot be parsed", _SUPPORT
    if error.reason.startswith("http_"):
        return f"{host} answers HTTP {error.reason.removeprefix('http_')}", _WAIT
    advice = f"check network and DNS between this machine and {host}; if api.login is ✗ too, {_WAIT}"
    return f"no valid response from {host} ({error})", advice

"""Judge what the platform answers: login, tokens, and the query of each merchant.

The Chinese advice on the platform's error codes is quoted from its documents (排查建议).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chalicelib import errors
from chalicelib.douyin import codes
from redeemctl.doctor.findings import Finding, Text, failed, not_checked, ok, warning

if TYPE_CHECKING:
    from chalicelib.errors import RedemptionError
    from chalicelib.tokens.lease import TokenRow

SHORT_SECONDS = 20 * 60
"""The schedule renews a token 30 minutes before its end, and runs every 10 minutes."""

SHORT_WITHOUT_SCHEDULE_SECONDS = 60 * 60

CODE_ROWS = {
    row.code: row
    for table in (
        codes.MINT_CODES,
        codes.LOGIN_CODES,
        codes.SUB_CODES,
        codes.COMMON_CODES,
        codes.CERTIFICATE_CODES,
    )
    # A code that is listed twice keeps the first row, which has the advice.
    for row in reversed(table)
}

_SUPPORT = Text("contact the platform's support with the logid", "携带 logid 联系抖音技术支持")

_MEANINGS: dict[type[RedemptionError], tuple[str, str]] = {
    errors.MerchantNotAuthorizedError: (
        "the merchant has not authorized the app",
        "ask the merchant to authorize the app in its console, then accept in the service provider's console",
    ),
    errors.AppNotPermittedError: (
        "the app lacks the capability or is banned",
        "apply for the capability at open.douyin.com; contact the platform if the app is banned",
    ),
    errors.QuotaExhaustedError: ("the app's quota is used up", "contact the platform to raise the quota"),
    errors.RateLimitedError: (
        "rate limited",
        "run doctor again later; look for another system that calls the platform for this app",
    ),
    errors.TokenRefusedError: (
        "the platform refuses the access token",
        "run redeemctl token renew for the app; look for another system that mints its tokens",
    ),
    errors.UpstreamRejectedError: (
        "the platform finds the request invalid",
        "check account_id and life_account_id with redeemctl merchant show",
    ),
    errors.UpstreamUnavailableError: ("the platform is busy, or the code is unknown", "run doctor again later"),
}
"""English meaning and advice, by the class of the error."""


def app_misconfigured(app_id: str) -> Text:
    """Return the advice for a wrong app id or secret."""
    return Text(
        f"compare app id and secret with the platform's console, then redeemctl app add {app_id}",
        f"与平台控制台核对 app_id 和密钥，然后执行 redeemctl app add {app_id}",
    )


def explain(error: RedemptionError, app_id: str, host: str) -> tuple[Text, Text]:
    """Return what a failed call of the platform means, and what to do."""
    evidence = getattr(error, "evidence", None)
    if evidence is None:
        return _explain_transport(error, host)
    row = next((CODE_ROWS[code] for code in (evidence.sub_error_code, evidence.error_code) if code in CODE_ROWS), None)
    number = f"{evidence.error_code}" + (f"/{evidence.sub_error_code}" if evidence.sub_error_code else "")
    logid = f" (logid {evidence.logid})" if evidence.logid else ""
    chinese_logid = f"（logid {evidence.logid}）" if evidence.logid else ""
    # TokenUnavailableError carries the evidence of the mint: the code says which error it was.
    kind = type(error) if row is None else row.mapping.error
    if row is None:
        text = Text(f"unknown platform error {number}{logid}", f"平台返回未知错误码 {number}{chinese_logid}")
        return text, _SUPPORT
    chinese = f"平台返回 {number}：{row.description}{chinese_logid}"
    if kind is errors.AppMisconfiguredError:
        advice = app_misconfigured(app_id)
        text = Text(f"platform error {number}: the platform refuses app id or app secret{logid}", chinese)
        return text, Text(advice.english, f"排查建议：{row.advice}。{advice.chinese}")
    meaning, english_advice = _MEANINGS.get(kind, ("the call failed", _SUPPORT.english))
    text = Text(f"platform error {number}: {meaning}{logid}", chinese)
    return text, Text(english_advice, f"排查建议：{row.advice or '联系抖音处理'}")


def _explain_transport(error: RedemptionError, host: str) -> tuple[Text, Text]:
    if isinstance(error, errors.UpstreamMalformedError):
        return Text("the platform's response cannot be parsed", "无法解析平台的响应"), _SUPPORT
    if isinstance(error, errors.UpstreamError):
        return (
            Text(f"no valid response from {host} ({error})", f"{host} 没有正常响应（{error}）"),
            Text(f"check network and DNS between this machine and {host}", f"检查本机到 {host} 的网络和 DNS"),
        )
    text = Text(f"no token could be obtained ({error})", f"无法获取 token（{error}）")
    return text, Text(
        "run doctor again in a minute; see redeemctl token show", "一分钟后重新执行 doctor；查看 redeemctl token show"
    )


def judge_login(app_id: str, error: RedemptionError | None, host: str) -> Finding:
    """Judge a login with an invalid code: with a valid app id and secret, the platform refuses the code."""
    if isinstance(error, errors.LoginRefusedError):
        return ok("login", app_id, f"{host} accepts app id and secret", f"{host} 接受 app_id 和密钥")
    if error is None:
        text = Text("the platform accepted an invalid login code", "平台接受了无效的登录 code")
        return failed("login", app_id, text, Text(f"is {host} the platform?", f"{host} 是否为平台地址？"))
    text, advice = explain(error, app_id, host)
    return failed("login", app_id, text, advice)


def judge_token(token_id: str, row: TokenRow, now: float, *, renewed: bool, schedule_is_well: bool) -> Finding:
    """Judge the row of a token after the check, which may have renewed it."""
    seconds = row.expires_at - int(now)
    if renewed:
        return ok("token", token_id, f"renewed now, expires in {seconds} s", f"已续期，{seconds} 秒后过期")
    limit = SHORT_SECONDS if schedule_is_well else SHORT_WITHOUT_SCHEDULE_SECONDS
    if seconds <= limit:
        text = (
            Text(
                f"expires in {seconds} s, and the schedule has not renewed it", f"{seconds} 秒后过期，定时任务没有续期"
            )
            if schedule_is_well
            else Text(
                f"expires in {seconds} s, and the schedule does not run", f"{seconds} 秒后过期，而定时任务没有执行"
            )
        )
        return warning(
            "token",
            token_id,
            text,
            Text(
                f"see the checks schedule and schedule.last_run; then redeemctl token renew {token_id}",
                f"查看 schedule 和 schedule.last_run 的检查结果，然后执行 redeemctl token renew {token_id}",
            ),
        )
    return ok("token", token_id, f"expires in {seconds} s", f"{seconds} 秒后过期")


def judge_foreign_token(token_id: str, row: TokenRow, now: float) -> Finding:
    """Judge a token that another system renews."""
    seconds = row.expires_at - int(now)
    if row.access_token and seconds > 0:
        return ok(
            "token", token_id, f"of another system, expires in {seconds} s", f"由其他系统续期，{seconds} 秒后过期"
        )
    state = ("has expired", "已过期") if row.access_token else ("is missing or malformed", "不存在或格式错误")
    return failed(
        "token",
        token_id,
        Text(f"the token {state[0]}; another system renews it", f"token {state[1]}，由其他系统续期"),
        Text(
            f'let the other system write the row TOKEN#{token_id}; or merchant add --token-id "" to renew it here',
            f'让其他系统写入 TOKEN#{token_id}；或用 merchant add --token-id "" 改由本服务续期',
        ),
    )


def judge_unused_token(app_id: str, row: TokenRow) -> Finding:
    """Judge the row of an app whose merchants all use the token of another system."""
    if row.access_token is None:
        return ok("token", app_id, "not used: its merchants use another token", "未使用：商家都使用其他系统的 token")
    return warning(
        "token",
        app_id,
        Text(
            "its merchants use another system's token, which this service invalidates, because it still renews its own",
            "商家都使用其他系统的 token，但本服务仍在续期自己的 token，会使对方的 token 失效",
        ),
        Text(f"delete the row TOKEN#{app_id} (docs/operate.md)", f"删除 TOKEN#{app_id} 行（docs/operate.zh-CN.md）"),
    )


def judge_failed_renewal(app_id: str, error: RedemptionError, host: str, row: TokenRow, now: float) -> Finding:
    """Judge a renewal that failed; `row` is the row before it."""
    text, advice = explain(error, app_id, host)
    seconds = row.expires_at - int(now)
    if row.access_token and seconds > 0:
        english = f"{text.english}; the present token expires in {seconds} s"
        text = Text(english, f"{text.chinese}；当前 token 将在 {seconds} 秒后过期")
    return failed("token", app_id, text, advice)


def unknown_app(account_id: str, app_id: str) -> Finding:
    """Return the finding that a merchant's app is not in the secret."""
    return failed(
        "merchant",
        account_id,
        Text(
            f"its app {app_id} is not in the secret: customers cannot log in",
            f"密钥中没有小程序 {app_id}，顾客无法登录",
        ),
        Text(
            f"run redeemctl app add {app_id}, or correct the id: redeemctl merchant add {account_id} --app <app_id>",
            f"执行 redeemctl app add {app_id}；app_id 有误时执行 redeemctl merchant add {account_id} --app <app_id>",
        ),
    )


def malformed_row(account_id: str, error: Exception) -> Finding:
    """Return the finding that a merchant's row is malformed."""
    detail = str(error).removeprefix(f"merchant {account_id}: ")
    return failed(
        "merchant",
        account_id,
        Text(f"malformed row: {detail}", f"数据格式错误：{detail}"),
        Text(
            f"correct it in the DynamoDB console, or redeemctl merchant remove {account_id} and add it again",
            f"在 DynamoDB 控制台中修正，或执行 redeemctl merchant remove {account_id} 后重新添加",
        ),
    )


def no_token(account_id: str, token_id: str) -> Finding:
    """Return the finding that a merchant's query could not be made."""
    reason = Text(f"the token {token_id} is not available", f"token {token_id} 不可用")
    return not_checked("merchant", account_id, reason, Text("see the check token", "查看 token 的检查结果"))


def judge_query(account_id: str, error: RedemptionError | None, app_id: str, host: str) -> Finding:
    """Judge the query of a merchant."""
    if error is None:
        return ok("merchant", account_id, "query accepted by the platform", "平台接受了查询")
    text, advice = explain(error, app_id, host)
    return failed("merchant", account_id, text, advice)

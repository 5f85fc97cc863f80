"""Error mapping: the platform's error codes, and the exception that each one becomes.

`QUERY_ERRORS` is the error table in the document of `query_user_certificates`, with the document's order and
descriptions, except for the last row. (The document lists two codes twice.) The other tables come from the platform's
other documents. The documents give HTTP 200 for all codes.
"""

from chalicelib import errors

ErrorType = type[errors.UpstreamError]
ErrorTable = dict[int, ErrorType]

QUERY_ERRORS: ErrorTable = {
    2100001: errors.UpstreamUnavailableError,  # 未知错误
    2100004: errors.UpstreamUnavailableError,  # 系统繁忙,此时请开发者稍候再试
    2100005: errors.UpstreamRejectedError,  # 参数不合法
    2119001: errors.UpstreamRejectedError,  # 参数不合法
    2119002: errors.UpstreamUnavailableError,  # 系统繁忙,请稍候再试
    2119003: errors.RateLimitedError,  # 请求太过频繁,请稍后再试
    2119005: errors.MerchantNotAuthorizedError,  # 应用未获商家授权
    2190002: errors.TokenRefusedError,  # access_token无效
    2190004: errors.AppNotPermittedError,  # 应用未获得该能力, 请去https://open.douyin.com/申请
    2190008: errors.TokenRefusedError,  # access_token过期,请刷新或重新授权
    3000001: errors.UpstreamRejectedError,  # 根据实际业务错误返回
    5000001: errors.UpstreamUnavailableError,  # 根据实际业务错误返回
    4000001: errors.UpstreamRejectedError,  # 根据实际业务错误返回
    4000002: errors.UpstreamRejectedError,  # 根据实际业务错误返回
    28001005: errors.UpstreamUnavailableError,  # 系统内部错误,请重试
    28001003: errors.TokenRefusedError,  # access_token无效
    28001008: errors.TokenRefusedError,  # access_token过期,请刷新或重新授权
    28001016: errors.AppNotPermittedError,  # 当前应用已被封禁或下线
    28001006: errors.UpstreamUnavailableError,  # 网络调用错误,请重试
    28001014: errors.AppNotPermittedError,  # 应用未授权任何能力
    28001018: errors.AppNotPermittedError,  # 应用未获得该能力
    28003017: errors.QuotaExhaustedError,  # quota已用完
    28001019: errors.AppNotPermittedError,  # 应用该能力已被封禁
    28001007: errors.UpstreamRejectedError,  # 参数不合法
    10000: errors.UpstreamRejectedError,  # 参数错误
    13000: errors.UpstreamUnavailableError,  # 系统错误,请重试
    28003018: errors.RateLimitedError,  # 请求太过频繁 (from another document)
}

# These sub codes take precedence, because the main code beside them is often the generic 2100004.
SUB_CODE_ERRORS: ErrorTable = {
    11002: errors.TokenRefusedError,  # AccessToken非法,通常是过期
    11006: errors.MerchantNotAuthorizedError,  # 商家与服务商的授权关系不存在
    12001: errors.RateLimitedError,  # 请求太过频繁
}

_CLIENT_KEY_ERRORS: ErrorTable = {
    10003: errors.AppMisconfiguredError,  # client_key不存在
    10013: errors.AppMisconfiguredError,  # client_key或client_secret错误
}
_REFUSED_LOGINS: ErrorTable = {
    40014: errors.LoginRefusedError,  # code参数错误
    40018: errors.LoginRefusedError,  # code错误
    40019: errors.LoginRefusedError,  # anonymous_code错误
}

LOGIN_ERRORS: ErrorTable = {
    **_REFUSED_LOGINS,
    **_CLIENT_KEY_ERRORS,
    -1: errors.UpstreamUnavailableError,  # 系统错误
    40015: errors.AppMisconfiguredError,  # appid错误
    40017: errors.AppMisconfiguredError,  # secret错误
}

# A login in an app of a service provider passes the platform's gateway, like a list. The document of this call has only
# the gateway's codes (219xxxx and 2800xxxx). It has no code for a refused login, so we assume those of jscode2session.
PROVIDER_LOGIN_ERRORS: ErrorTable = {
    **{code: error for code, error in QUERY_ERRORS.items() if code // 10_000 in (219, 2800)},
    **_REFUSED_LOGINS,
}

MINT_ERRORS: ErrorTable = {
    **QUERY_ERRORS,
    **_CLIENT_KEY_ERRORS,
    10002: errors.UpstreamRejectedError,  # 参数错误
    10020: errors.RateLimitedError,  # 5分钟内调用超过500次
}


def decide_error(table: ErrorTable, reported: list[int], sub_code: int) -> tuple[int, ErrorType] | None:
    """Return the code that decides what a reply means, and its error class; None if no code is known.

    `table` maps the call's codes to errors. `reported` are the main codes of the reply in order of precedence.
    `sub_code` is its extra.sub_error_code. A sub code in SUB_CODE_ERRORS decides first, then the first main code in
    `table`, then a sub code in `table`.
    """
    if sub_code in SUB_CODE_ERRORS:
        return sub_code, SUB_CODE_ERRORS[sub_code]
    return next(((code, table[code]) for code in (*reported, sub_code) if code in table), None)

"""Error mapping: the platform's error codes, and the exception that each one becomes.

`QUERY_CODES` is the error table of the document of `query_user_certificates`, row by row and in its order (two
codes are listed twice there). `SUB_CODES`, `COMMON_CODES`, `LOGIN_CODES` and `MINT_CODES` come from the platform's
other documents. All of them are documented with HTTP 200.
"""

from typing import NamedTuple

from chalicelib import errors

ErrorType = type[errors.UpstreamError]
ErrorTable = dict[int, ErrorType]


class CodeRow(NamedTuple):
    """A row of the document's table: code, description, advice (排查建议); and the exception that the code becomes.

    `redeemctl doctor` quotes description and advice.
    """

    code: int
    description: str
    advice: str
    error: ErrorType


TRANSIENT = errors.UpstreamUnavailableError
RATE_LIMITED = errors.RateLimitedError
# The call is not repeated with the same token: the caller gets another token first.
TOKEN_REFUSED = errors.TokenRefusedError
REJECTED = errors.UpstreamRejectedError
MERCHANT_NOT_AUTHORIZED = errors.MerchantNotAuthorizedError
APP_NOT_PERMITTED = errors.AppNotPermittedError
QUOTA_EXHAUSTED = errors.QuotaExhaustedError
APP_MISCONFIGURED = errors.AppMisconfiguredError
LOGIN_REFUSED = errors.LoginRefusedError

QUERY_CODES: tuple[CodeRow, ...] = (
    CodeRow(2100001, "未知错误", "重试接口,重试3次仍报错联系抖音生活服务技术支持", TRANSIENT),
    CodeRow(2100004, "系统繁忙,此时请开发者稍候再试", "重试接口,重试3次仍报错联系抖音生活服务技术支持", TRANSIENT),
    CodeRow(2100005, "参数不合法", "更换参数", REJECTED),
    CodeRow(2119001, "参数不合法", "更换参数", REJECTED),
    CodeRow(2119002, "系统繁忙,请稍候再试", "重试", TRANSIENT),
    CodeRow(2119003, "请求太过频繁,请稍后再试", "重试", RATE_LIMITED),
    CodeRow(
        2119005, "应用未获商家授权", "联系合作商家在商家后台发起授权,并在服务商后台同意授权", MERCHANT_NOT_AUTHORIZED
    ),
    CodeRow(2190002, "access_token无效", "调用接口重新生成access_token", TOKEN_REFUSED),
    CodeRow(2190004, "应用未获得该能力, 请去https://open.douyin.com/申请", "应用申请接口权限", APP_NOT_PERMITTED),
    CodeRow(
        2190008,
        "access_token过期,请刷新或重新授权",
        "规范token刷新机制,检查是否有测试环境在同步刷新token",
        TOKEN_REFUSED,
    ),
    CodeRow(3000001, "根据实际业务错误返回", "对照接口文档规范参数并重试", REJECTED),
    CodeRow(5000001, "根据实际业务错误返回", "联系抖音处理", TRANSIENT),
    CodeRow(4000001, "根据实际业务错误返回", "补充参数", REJECTED),
    CodeRow(4000002, "根据实际业务错误返回", "对照接口文档规范参数并重试", REJECTED),
    CodeRow(28001005, "系统内部错误,请重试", "请求重试,若依然无解请向平台提交反馈", TRANSIENT),
    CodeRow(28001003, "access_token无效", "重新请求生成access_token", TOKEN_REFUSED),
    CodeRow(28001008, "access_token过期,请刷新或重新授权", "重新请求生成access_token", TOKEN_REFUSED),
    CodeRow(28001016, "当前应用已被封禁或下线", "clientKey被封禁或者下线", APP_NOT_PERMITTED),
    CodeRow(28001006, "网络调用错误,请重试", "重试即可", TRANSIENT),
    CodeRow(28001014, "应用未授权任何能力", "确认应用是否授权能力", APP_NOT_PERMITTED),
    CodeRow(28001018, "应用未获得该能力", "开通相关能力", APP_NOT_PERMITTED),
    CodeRow(28003017, "quota已用完", "联系平台处理", QUOTA_EXHAUSTED),
    CodeRow(28001019, "应用该能力已被封禁", "该能力被封禁,联系平台处理", APP_NOT_PERMITTED),
    CodeRow(28001007, "参数不合法", "根据错误信息检查请求参数是否填写正常", REJECTED),
    CodeRow(10000, "参数错误", "参数不符合规范。请根据提示检查参数。", REJECTED),
    CodeRow(13000, "系统错误,请重试", "内部错误,重试可解决", TRANSIENT),
    CodeRow(5000001, "服务器打瞌睡了,请稍后再试。", "", TRANSIENT),
    CodeRow(3000001, "以实际错误信息为准", "", REJECTED),
)

COMMON_CODES: tuple[CodeRow, ...] = (CodeRow(28003018, "请求太过频繁", "降低调用频率", RATE_LIMITED),)

# A sub code decides first: the main code beside it is often a generic 2100004.
SUB_CODES: tuple[CodeRow, ...] = (
    CodeRow(11002, "AccessToken非法,通常是过期", "重新生成access_token", TOKEN_REFUSED),
    CodeRow(11006, "商家与服务商的授权关系不存在", "联系商家授权", MERCHANT_NOT_AUTHORIZED),
    CodeRow(12001, "请求太过频繁", "降低调用频率", RATE_LIMITED),
)

CLIENT_KEY_CODES: tuple[CodeRow, ...] = (
    CodeRow(10003, "client_key不存在", "检查appid", APP_MISCONFIGURED),
    CodeRow(10013, "client_key或client_secret错误", "检查secret", APP_MISCONFIGURED),
)

# A login in an app of a service provider passes the platform's gateway, like a list. The document of this call has only
# the gateway's codes (219xxxx and 2800xxxx). It does not say which code a refused login code gets.
# These are likely, because jscode2session has them:
REFUSED_LOGIN_CODES: tuple[CodeRow, ...] = (
    CodeRow(40014, "code参数错误", "重新调用tt.login", LOGIN_REFUSED),
    CodeRow(40018, "code错误", "重新调用tt.login", LOGIN_REFUSED),
    CodeRow(40019, "anonymous_code错误", "重新调用tt.login", LOGIN_REFUSED),
)
GATEWAY_CODES = tuple(row for row in (*COMMON_CODES, *QUERY_CODES) if row.code // 10_000 in (219, 2800))

LOGIN_CODES: tuple[CodeRow, ...] = (
    *REFUSED_LOGIN_CODES,
    CodeRow(-1, "系统错误", "稍后重试", TRANSIENT),
    CodeRow(40015, "appid错误", "检查appid", APP_MISCONFIGURED),
    CodeRow(40017, "secret错误", "检查secret", APP_MISCONFIGURED),
    *CLIENT_KEY_CODES,
)

MINT_CODES: tuple[CodeRow, ...] = (
    CodeRow(10002, "参数错误", "检查请求参数", REJECTED),
    *CLIENT_KEY_CODES,
    CodeRow(10020, "5分钟内调用超过500次", "降低调用频率,检查是否有多处在刷新token", RATE_LIMITED),
)


def _index(*tables: tuple[CodeRow, ...]) -> ErrorTable:
    return {row.code: row.error for table in tables for row in table}


SUB_CODE_ERRORS = _index(SUB_CODES)
QUERY_ERRORS = _index(COMMON_CODES, QUERY_CODES)
LOGIN_ERRORS = _index(LOGIN_CODES)
PROVIDER_LOGIN_ERRORS = _index(GATEWAY_CODES, REFUSED_LOGIN_CODES)
MINT_ERRORS = {**QUERY_ERRORS, **_index(MINT_CODES)}


def decide_error(known: ErrorTable, reported: list[int], sub_code: int) -> tuple[int, ErrorType] | None:
    """Decide what a response means: return the code that decides, and its error. None without a known code.

    `known` has the errors of the endpoint's codes. `reported` are the error codes of the response in order of
    precedence, `sub_code` is its extra.sub_error_code. Precedence: a code of SUB_CODES, the first known code, the sub
    code as an ordinary code.
    """
    if sub_code in SUB_CODE_ERRORS:
        return sub_code, SUB_CODE_ERRORS[sub_code]
    return next(((code, known[code]) for code in (*reported, sub_code) if code in known), None)

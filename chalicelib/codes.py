"""The platform's error codes: what each means and what we do about it.

`DOCUMENTED` is the error table of the document of `query_user_certificates`, row by row and in its order (two codes
stand in it twice), so that it can be held beside the document line by line. `SUB_CODES`, `COMMON_CODES`,
`LOGIN_CODES` and `MINT_CODES` come from the platform's other documents.
All of them arrive with HTTP 200.
"""

from __future__ import annotations

from typing import NamedTuple

from chalicelib import errors


class Treatment(NamedTuple):
    """What we make of a code: the fact it states, and whether the same call may be tried again."""

    error: type[errors.UpstreamError]
    retried: bool


class Row(NamedTuple):
    """A row of the document's table: error code, its description, its advice (排查建议), and our treatment."""

    code: int
    description: str
    advice: str
    treatment: Treatment


PASSING = Treatment(errors.UpstreamUnavailableError, retried=True)
TOO_OFTEN = Treatment(errors.RateLimitedError, retried=True)
TOKEN = Treatment(errors.TokenRefusedError, retried=False)  # renewed once by `tokens`, not retried as it is
REJECTED = Treatment(errors.UpstreamRejectedError, retried=False)
UNAUTHORIZED = Treatment(errors.MerchantNotAuthorizedError, retried=False)
FORBIDDEN = Treatment(errors.AppNotPermittedError, retried=False)
QUOTA = Treatment(errors.QuotaExhaustedError, retried=False)
UNKNOWN = Treatment(errors.UpstreamUnavailableError, retried=False)
MISCONFIGURED = Treatment(errors.AppMisconfiguredError, retried=False)
LOGIN_REFUSED = Treatment(errors.LoginRefusedError, retried=False)

DOCUMENTED: tuple[Row, ...] = (
    Row(2100001, "未知错误", "重试接口,重试3次仍报错联系抖音生活服务技术支持", PASSING),
    Row(2100004, "系统繁忙,此时请开发者稍候再试", "重试接口,重试3次仍报错联系抖音生活服务技术支持", PASSING),
    Row(2100005, "参数不合法", "更换参数", REJECTED),
    Row(2119001, "参数不合法", "更换参数", REJECTED),
    Row(2119002, "系统繁忙,请稍候再试", "重试", PASSING),
    Row(2119003, "请求太过频繁,请稍后再试", "重试", TOO_OFTEN),
    Row(2119005, "应用未获商家授权", "联系合作商家在商家后台发起授权,并在服务商后台同意授权", UNAUTHORIZED),
    Row(2190002, "access_token无效", "调用接口重新生成access_token", TOKEN),
    Row(2190004, "应用未获得该能力, 请去https://open.douyin.com/申请", "应用申请接口权限", FORBIDDEN),
    Row(
        2190008,
        "access_token过期,请刷新或重新授权",
        "规范token刷新机制,检查是否有测试环境在同步刷新token",
        TOKEN,
    ),
    Row(3000001, "根据实际业务错误返回", "对照接口文档规范参数并重试", REJECTED),
    Row(5000001, "根据实际业务错误返回", "联系抖音处理", PASSING),
    Row(4000001, "根据实际业务错误返回", "补充参数", REJECTED),
    Row(4000002, "根据实际业务错误返回", "对照接口文档规范参数并重试", REJECTED),
    Row(28001005, "系统内部错误,请重试", "请求重试,若依然无解请向平台提交反馈", PASSING),
    Row(28001003, "access_token无效", "重新请求生成access_token", TOKEN),
    Row(28001008, "access_token过期,请刷新或重新授权", "重新请求生成access_token", TOKEN),
    Row(28001016, "当前应用已被封禁或下线", "clientKey被封禁或者下线", FORBIDDEN),
    Row(28001006, "网络调用错误,请重试", "重试即可", PASSING),
    Row(28001014, "应用未授权任何能力", "确认应用是否授权能力", FORBIDDEN),
    Row(28001018, "应用未获得该能力", "开通相关能力", FORBIDDEN),
    Row(28003017, "quota已用完", "联系平台处理", QUOTA),
    Row(28001019, "应用该能力已被封禁", "该能力被封禁,联系平台处理", FORBIDDEN),
    Row(28001007, "参数不合法", "根据错误信息检查请求参数是否填写正常", REJECTED),
    Row(10000, "参数错误", "参数不符合规范。请根据提示检查参数。", REJECTED),
    Row(13000, "系统错误,请重试", "内部错误,重试可解决", PASSING),
    Row(5000001, "服务器打瞌睡了,请稍后再试。", "", PASSING),
    Row(3000001, "以实际错误信息为准", "", REJECTED),
)

COMMON_CODES: tuple[Row, ...] = (Row(28003018, "请求太过频繁", "降低调用频率", TOO_OFTEN),)

# These three say more than the code above them (the parent is often a generic 2100004), so they decide first.
SUB_CODES: tuple[Row, ...] = (
    Row(11002, "AccessToken非法,通常是过期", "重新生成access_token", TOKEN),
    Row(11006, "商家与服务商的授权关系不存在", "联系商家授权", UNAUTHORIZED),
    Row(12001, "请求太过频繁", "降低调用频率", TOO_OFTEN),
)

LOGIN_CODES: tuple[Row, ...] = (
    Row(-1, "系统错误", "稍后重试", PASSING),
    Row(40014, "code参数错误", "重新调用tt.login", LOGIN_REFUSED),
    Row(40018, "code错误", "重新调用tt.login", LOGIN_REFUSED),
    Row(40019, "anonymous_code错误", "重新调用tt.login", LOGIN_REFUSED),
    Row(40015, "appid错误", "检查appid", MISCONFIGURED),
    Row(40017, "secret错误", "检查secret", MISCONFIGURED),
    Row(10003, "client_key不存在", "检查appid", MISCONFIGURED),
    Row(10013, "client_key或client_secret错误", "检查secret", MISCONFIGURED),
)

MINT_CODES: tuple[Row, ...] = (
    Row(10002, "参数错误", "检查请求参数", REJECTED),
    Row(10003, "client_key不存在", "检查appid", MISCONFIGURED),
    Row(10013, "client_key或client_secret错误", "检查secret", MISCONFIGURED),
    Row(10020, "5分钟内调用超过500次", "降低调用频率,检查是否有多处在刷新token", TOO_OFTEN),
)


def _index(*tables: tuple[Row, ...]) -> dict[int, Treatment]:
    return {row.code: row.treatment for table in tables for row in table}


BY_SUB_CODE = _index(SUB_CODES)
CERTIFICATES = _index(COMMON_CODES, DOCUMENTED)
LOGIN = _index(LOGIN_CODES)
MINT = _index(COMMON_CODES, DOCUMENTED, MINT_CODES)


def treatment_of(known: dict[int, Treatment], codes: tuple[int, ...], sub_code: int) -> tuple[Treatment, int]:
    """Decide which of the codes of one failed answer speaks, and what is to be done.

    `codes` are the answer's error codes in the order they are asked, `sub_code` its extra.sub_error_code; any may be
    0. The sub codes that name a cause of their own come first, then the first known code, then the sub code read as
    an ordinary one; when nobody knows any of them, the first that is not 0. Returns the treatment and that code.
    """
    if sub_code in BY_SUB_CODE:
        return BY_SUB_CODE[sub_code], sub_code
    present = [code for code in (*codes, sub_code) if code]
    for code in present:
        if code in known:
            return known[code], code
    return UNKNOWN, present[0]

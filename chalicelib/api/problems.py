"""Problem responses (RFC 9457): the one place where errors are mapped to HTTP.

`title` is English, for engineers. `detail` is Chinese, and the mini-program shows it to the customer as it is.
"""

import math

import msgspec

from chalicelib import errors
from chalicelib.context import Outcome
from chalicelib.errors import NO_CODES, UpstreamCodes


class ProblemType(msgspec.Struct, frozen=True):
    """What all problems with the same code share."""

    code: str
    status: int
    detail: str
    retryable: bool = False
    #: The seconds to wait before a retry. None: no wait is needed, or a retry does not help.
    retry_after: int | None = None
    #: Whether the platform, or a row of our own, turns the app, merchant or store away. The metric `Refused` counts it,
    #: because an operator must look, even if few requests are refused.
    is_refusal: bool = False

    @property
    def title(self) -> str:
        """The code as English text."""
        return self.code.replace("_", " ").capitalize()

    @property
    def is_failure(self) -> bool:
        """Whether the problem counts against the service level objective, in the metric `RequestFailed`.

        Of the 4xx, only the platform's rate limit and its refusal of the merchant do. Anybody can cause the others, for
        example with an invented id.
        """
        return self.status >= 500 or self.code in ("rate_limited", "merchant_not_authorized")


class InputErrorView(msgspec.Struct):
    """The error of one input: its dotted path, and an English text that does not quote the value."""

    field: str
    detail: str


class ProblemView(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a problem."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    retryable: bool
    #: The seconds to wait before a retry.
    retry_after: int | None = None
    #: What is wrong with the inputs; only of `invalid_request`.
    errors: list[InputErrorView] | None = None
    upstream: UpstreamCodes | None = None


INTERNAL_ERROR = ProblemType("internal_error", 500, "查券服务出现问题")

FRAMEWORK_PROBLEM_TYPES: dict[int, ProblemType] = {
    405: ProblemType("method_not_allowed", 405, "暂不支持该操作"),
    415: ProblemType("unsupported_media_type", 415, "暂不支持该操作"),
}
"""Problem types of the framework's own responses, by status."""

_BUSY = "系统繁忙，请稍后再试"
_STORAGE_BUSY = "服务繁忙，请稍后再试"
_CANNOT_LIST = "暂时无法查询您的券"

_UNAUTHENTICATED = ProblemType("unauthenticated", 401, "登录已失效，请重新登录")
_NO_TOKEN = ProblemType("token_unavailable", 503, "查券服务暂不可用，请稍后再试", retryable=True, retry_after=2)
_TIMEOUT = ProblemType("upstream_timeout", 504, _BUSY, retryable=True)

ERROR_PROBLEM_TYPES: dict[type[errors.ServiceError], ProblemType] = {
    errors.InvalidRequestError: ProblemType("invalid_request", 400, "页面信息有误，请重新打开小程序"),
    errors.UnauthenticatedError: _UNAUTHENTICATED,
    errors.LoginRefusedError: _UNAUTHENTICATED,
    errors.UnknownAppError: msgspec.structs.replace(_UNAUTHENTICATED, is_refusal=True),
    errors.WrongAppError: ProblemType("wrong_app", 403, "当前小程序不能查询该商家的券"),
    errors.MerchantNotAuthorizedError: ProblemType(
        "merchant_not_authorized", 403, "该商家暂未开通小程序查券", is_refusal=True
    ),
    errors.NotFoundError: ProblemType("not_found", 404, "未找到相关内容"),
    errors.MerchantNotFoundError: ProblemType("merchant_not_found", 404, "未找到该商家", is_refusal=True),
    errors.StoreNotFoundError: ProblemType("store_not_found", 404, "未找到该门店，请重新选择门店", is_refusal=True),
    errors.RateLimitedError: ProblemType("rate_limited", 429, _BUSY, retryable=True, retry_after=5),
    errors.ConfigurationError: INTERNAL_ERROR,
    errors.UpstreamRejectedError: ProblemType("upstream_rejected", 502, _CANNOT_LIST),
    errors.UpstreamMalformedError: ProblemType("upstream_malformed", 502, _BUSY, retryable=True),
    errors.UpstreamUnavailableError: ProblemType("upstream_unavailable", 503, _BUSY, retryable=True, retry_after=2),
    errors.TokenUnavailableError: _NO_TOKEN,
    errors.TokenRefusedError: _NO_TOKEN,
    errors.AppNotPermittedError: ProblemType("app_not_permitted", 503, _CANNOT_LIST, is_refusal=True),
    errors.AppMisconfiguredError: ProblemType("app_misconfigured", 503, "小程序暂时无法登录", is_refusal=True),
    errors.QuotaExhaustedError: ProblemType("quota_exhausted", 503, _CANNOT_LIST, is_refusal=True),
    errors.StorageUnavailableError: ProblemType("unavailable", 503, _STORAGE_BUSY, retryable=True, retry_after=2),
    errors.UpstreamTimeoutError: _TIMEOUT,
    errors.DeadlineExceededError: _TIMEOUT,
}


class Problem(msgspec.Struct, frozen=True):
    """A problem response."""

    #: The content of the body.
    view: ProblemView
    #: The outcome for the record. It has the error, which the log line shows, but the response does not.
    outcome: Outcome

    @property
    def body(self) -> str:
        """The body as JSON. It is encoded here, because Chalice would write Chinese characters as escapes."""
        return msgspec.json.encode(self.view).decode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that this problem has beside those of every response."""
        headers = {}
        if self.view.retry_after is not None:
            headers["Retry-After"] = str(self.view.retry_after)
        if self.view.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def problem_for_error(error: BaseException, request_id: str = "") -> Problem:
    """Build the problem response of an error.

    If ERROR_PROBLEM_TYPES does not have the error's class, its nearest base class decides. Any other exception is an
    internal error.
    """
    rows = (ERROR_PROBLEM_TYPES[each] for each in type(error).__mro__ if each in ERROR_PROBLEM_TYPES)
    return problem_for_type(next(rows, INTERNAL_ERROR), request_id, error)


def problem_for_type(problem_type: ProblemType, request_id: str = "", error: BaseException | None = None) -> Problem:
    """Build the problem response of a type. `error` is the error that caused it, if there is one."""
    upstream = getattr(error, "upstream", NO_CODES)
    # Unknown apps and refused codes get the same response, so a refused login has no `upstream`.
    has_upstream = upstream.has_code and not isinstance(error, errors.LoginRefusedError)
    retry_after = problem_type.retry_after
    if retry_after is not None:
        retry_after = max(retry_after, math.ceil(getattr(error, "retry_after", 0.0)))
    view = ProblemView(
        type="about:blank",
        title=problem_type.title,
        status=problem_type.status,
        code=problem_type.code,
        detail=problem_type.detail,
        request_id=request_id,
        retryable=problem_type.retryable,
        retry_after=retry_after,
        errors=[InputErrorView(error.field, error.rule)] if isinstance(error, errors.InvalidRequestError) else None,
        upstream=upstream if has_upstream else None,
    )
    outcome = Outcome(problem_type.code, problem_type.is_failure, error, problem_type.is_refusal)
    return Problem(view, outcome)

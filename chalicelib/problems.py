"""Errors as RFC 9457 problems: the one place where facts become HTTP.

`title` is for engineers, `detail` is Chinese text fit to be shown to a customer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from chalicelib import errors

if TYPE_CHECKING:
    from chalicelib.errors import Evidence


class Kind(msgspec.Struct, frozen=True):
    """A sort of problem. `retry_after` is in seconds; None where asking again soon is no remedy."""

    code: str
    status: int
    title: str
    detail: str
    retryable: bool = False
    retry_after: int | None = None


class UpstreamView(msgspec.Struct, omit_defaults=True):
    """What the platform answered, for whoever asks its support."""

    error_code: int
    sub_error_code: int
    logid: str = ""


class ProblemView(msgspec.Struct, omit_defaults=True):
    """The body of a problem."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    retryable: bool
    upstream: UpstreamView | None = None


INVALID_REQUEST = Kind("invalid_request", 400, "Invalid request", "请求参数有误，请返回重试")
UNAUTHENTICATED = Kind("unauthenticated", 401, "No valid session", "登录已失效，请重新登录")
WRONG_APP = Kind("wrong_app", 403, "The session belongs to another app", "当前小程序不能查询该商家的券")
MERCHANT_NOT_AUTHORIZED = Kind(
    "merchant_not_authorized", 403, "The merchant has not authorised the app", "商家尚未授权本小程序，请联系店员"
)
MERCHANT_NOT_FOUND = Kind("merchant_not_found", 404, "No such merchant", "未找到该商家，请联系店员")
STORE_NOT_FOUND = Kind("store_not_found", 404, "No such store of this merchant", "未找到该门店，请重新选择门店")
NOT_FOUND = Kind("not_found", 404, "No such resource", "请求的内容不存在")
METHOD_NOT_ALLOWED = Kind("method_not_allowed", 405, "Method not allowed", "不支持该请求方式")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported_media_type", 415, "Unsupported media type", "不支持该请求格式")
RATE_LIMITED = Kind("rate_limited", 429, "Too many requests upstream", "查询人数较多，请稍后再试", True, 5)
INTERNAL_ERROR = Kind("internal_error", 500, "Internal error", "服务出现问题，请稍后再试")
UPSTREAM_REJECTED = Kind(
    "upstream_rejected", 502, "The platform rejected the request", "抖音未接受本次查询，请联系店员"
)
UPSTREAM_MALFORMED = Kind(
    "upstream_malformed", 502, "The platform's answer is not readable", "抖音服务返回异常，请稍后再试", True
)
UPSTREAM_UNAVAILABLE = Kind(
    "upstream_unavailable", 503, "The platform is unavailable", "抖音服务繁忙，请稍后再试", True, 2
)
TOKEN_UNAVAILABLE = Kind(
    "token_unavailable", 503, "No valid merchant token", "商家服务暂不可用，请稍后再试或联系店员", True
)
APP_NOT_PERMITTED = Kind(
    "app_not_permitted", 503, "The app lacks a permission of the platform", "该功能暂未开通，请联系店员"
)
APP_MISCONFIGURED = Kind(
    "app_misconfigured", 503, "The platform refuses the app's credentials", "小程序配置有误，请联系店员"
)
QUOTA_EXHAUSTED = Kind("quota_exhausted", 503, "The app's quota is used up", "今日查询次数已用完，请联系店员")
UNAVAILABLE = Kind("unavailable", 503, "Storage is unavailable", "服务繁忙，请稍后再试", True, 2)
UPSTREAM_TIMEOUT = Kind(
    "upstream_timeout", 504, "The platform did not answer in time", "抖音服务响应超时，请稍后再试", True
)

KINDS: dict[type[errors.RedemptionError], Kind] = {
    errors.InvalidRequestError: INVALID_REQUEST,
    errors.UnauthenticatedError: UNAUTHENTICATED,
    errors.LoginRefusedError: UNAUTHENTICATED,
    errors.WrongAppError: WRONG_APP,
    errors.MerchantNotAuthorizedError: MERCHANT_NOT_AUTHORIZED,
    errors.MerchantNotFoundError: MERCHANT_NOT_FOUND,
    errors.StoreNotFoundError: STORE_NOT_FOUND,
    errors.RateLimitedError: RATE_LIMITED,
    errors.ConfigurationError: INTERNAL_ERROR,
    errors.UpstreamRejectedError: UPSTREAM_REJECTED,
    errors.UpstreamMalformedError: UPSTREAM_MALFORMED,
    errors.UpstreamUnavailableError: UPSTREAM_UNAVAILABLE,
    errors.UpstreamTimeoutError: UPSTREAM_TIMEOUT,
    errors.TokenUnavailableError: TOKEN_UNAVAILABLE,
    errors.TokenRefusedError: TOKEN_UNAVAILABLE,
    errors.AppNotPermittedError: APP_NOT_PERMITTED,
    errors.AppMisconfiguredError: APP_MISCONFIGURED,
    errors.QuotaExhaustedError: QUOTA_EXHAUSTED,
    errors.StorageUnavailableError: UNAVAILABLE,
}

FRAMEWORK_KINDS: dict[int, Kind] = {
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    415: UNSUPPORTED_MEDIA_TYPE,
}
"""How the framework's own answers are told."""


class Problem(msgspec.Struct, frozen=True):
    """A problem of one request, ready to be sent: its kind, its body, and its own headers."""

    kind: Kind
    body: str
    headers: dict[str, str]


def kind_of(error: BaseException) -> Kind:
    """What an error is in HTTP; whatever is not of the family is an internal error."""
    return KINDS.get(type(error), INTERNAL_ERROR)  # type: ignore[arg-type]


def problem_of(error: BaseException, request_id: str) -> Problem:
    """Tell an error as a problem."""
    # A refused login says nothing of the platform: it must look like a login to an app that is not ours.
    evidence = None if isinstance(error, errors.LoginRefusedError) else getattr(error, "evidence", None)
    wished = getattr(error, "retry_after", None)
    return _problem(kind_of(error), request_id, evidence, wished)


def problem_of_kind(kind: Kind, request_id: str) -> Problem:
    """Tell a problem that no error of ours stands behind."""
    return _problem(kind, request_id, None, None)


def _problem(kind: Kind, request_id: str, evidence: Evidence | None, wished: float | None) -> Problem:
    view = ProblemView("about:blank", kind.title, kind.status, kind.code, kind.detail, request_id, kind.retryable)
    if evidence is not None:
        view.upstream = UpstreamView(evidence.error_code, evidence.sub_error_code, evidence.logid)
    headers = {}
    if kind.retry_after is not None:
        headers["Retry-After"] = str(max(kind.retry_after, math.ceil(wished or 0)))
    if kind.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(kind, msgspec.json.encode(view).decode(), headers)

"""Exceptions of this service. They state facts; `api.problems` maps them to HTTP.

No message contains a token, a secret, an open_id or a coupon code.
"""

import traceback

import msgspec


class UpstreamCodes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reply of the platform has reported: error codes (0: none), and the `logid` for the platform's support.

    A problem has it as `upstream`.
    """

    error_code: int
    sub_error_code: int
    logid: str = ""

    @property
    def has_code(self) -> bool:
        """Whether the reply has an error code."""
        return self.error_code != 0 or self.sub_error_code != 0


NO_CODES = UpstreamCodes(0, 0)


class ServiceError(Exception):
    """Base class of the errors with which a request or a run can end.

    - `upstream`: the codes of the platform's reply.
    - `is_transient`: the same call may succeed a moment later, so this service may repeat it within a request. Each
      class has a default. (Whether the customer may try again is `retryable` in `api.problems`.)
    - `retry_after`: the seconds to wait before the next attempt, or 0.
    """

    is_transient = False

    def __init__(
        self, text: str, upstream: UpstreamCodes = NO_CODES, *, is_transient: bool | None = None, retry_after: float = 0
    ) -> None:
        super().__init__(text)
        self.upstream = upstream
        if is_transient is not None:
            self.is_transient = is_transient
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """The message. For a failed call it is a short label: a code, `timeout`, `malformed`, `http_503`."""
        return str(self.args[0])


class InvalidRequestError(ServiceError):
    """The caller's input is invalid.

    `field` is the dotted path of a query parameter, path parameter or body field, or `body`. `rule` says in English
    what it must be; it never contains the value.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field
        self.rule = rule


class UnauthenticatedError(ServiceError):
    """The session token is missing, invalid or expired."""


class UnknownAppError(UnauthenticatedError):
    """The secret does not have the app of a login."""


class WrongAppError(ServiceError):
    """The session was opened in another mini-program than the merchant's."""


class NotFoundError(ServiceError):
    """Nothing that the caller may see has this path or id."""


class MerchantNotFoundError(ServiceError):
    """There is no row for this account_id, or its `active` is false."""


class StoreNotFoundError(ServiceError):
    """The merchant's row lists its stores and this poi_id is not one of them."""


class StorageUnavailableError(ServiceError):
    """DynamoDB or Secrets Manager cannot be reached or refused the call."""

    is_transient = True


class ConfigurationError(ServiceError):
    """The environment, the secret or a table row is incomplete or malformed. The message names the part."""


class DeadlineExceededError(ServiceError):
    """The deadline has passed: during a call (`timeout`), or before it was sent (`budget`)."""


class TokenUnavailableError(ServiceError):
    """No valid access token of the app could be obtained. `upstream`: the codes of the failed mint or refusal."""


class UpstreamError(ServiceError):
    """A call to the platform failed."""


class UpstreamUnavailableError(UpstreamError):
    """The platform is busy, or the connection broke.

    Without a known error code, two other replies raise it, too:

    - an HTTP status other than 200 and 429: transient from 500 on;
    - HTTP 200 with an unknown error code: not transient.
    """

    is_transient = True


class UpstreamTimeoutError(UpstreamError):
    """The platform's reply was not complete within `douyin.transport.READ_SECONDS`.

    If the deadline comes first, DeadlineExceededError is raised instead.
    """

    is_transient = True


class UpstreamMalformedError(UpstreamError):
    """The reply cannot be used.

    `reason` is one of these:

    - `malformed`: it is not a JSON envelope; an error code cannot be read; the list or another required field is
      missing or malformed; the open_id is reserved.
    - `empty`: the page has no certificates and a total of 0, but earlier pages had certificates.
    - `too_large`: it has too many bytes or certificates. This one is not transient.
    """

    is_transient = True


class UpstreamRejectedError(UpstreamError):
    """The platform finds our request invalid. Repeating it does not help."""


class RateLimitedError(UpstreamError):
    """The platform limits the rate of our requests."""

    is_transient = True


class QuotaExhaustedError(UpstreamError):
    """The app's quota is used up until the platform raises or resets it."""


class TokenRefusedError(UpstreamError):
    """The platform refuses the access token: invalid or expired."""


class MerchantNotAuthorizedError(UpstreamError):
    """The merchant has not authorized the app."""


class AppNotPermittedError(UpstreamError):
    """The app lacks the capability or is banned. An operator must act."""


class AppMisconfiguredError(UpstreamError):
    """The platform refuses our app id or app secret."""


class LoginRefusedError(UpstreamError):
    """The login code is wrong, used, or older than five minutes."""


def format_error(error: BaseException | None) -> str:
    """Format an error for the log. A ServiceError has its type and message, any other exception its type and location.

    The message of another exception is left out, because it may quote a secret.
    """
    if error is None:
        return ""
    if isinstance(error, ServiceError):
        return f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return f"{type(error).__name__} at " + " < ".join(
        f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames[::-1]
    )

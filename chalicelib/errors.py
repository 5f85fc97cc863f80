"""What can go wrong, as facts; HTTP is not among them (`problems` maps them to it).

    RedemptionError
    ├── InvalidRequestError            the caller's input is not what the contract says
    ├── UnauthenticatedError           no session, or none that counts
    ├── WrongAppError                  the session belongs to another app than the merchant's
    ├── MerchantNotFoundError          no such merchant, or a suspended one
    ├── StoreNotFoundError             the merchant lists its stores and this is none of them
    ├── TokenUnavailableError          no valid merchant token could be had
    ├── StorageUnavailableError        DynamoDB or Secrets Manager cannot be reached, nothing usable is cached
    ├── ConfigurationError             a deployment's own mistake: environment, secret or table row
    └── UpstreamError                  the platform said no, or nothing; carries its evidence
        ├── UpstreamUnavailableError   busy, broken, or a code nobody knows
        ├── UpstreamTimeoutError       no answer in the time there was
        ├── UpstreamMalformedError     an answer that is none
        ├── UpstreamRejectedError      our request is wrong in the platform's eyes
        ├── RateLimitedError           too often
        ├── QuotaExhaustedError        the app's quota is used up
        ├── TokenRefusedError          the access token is not, or no longer, valid
        ├── MerchantNotAuthorizedError the merchant has not authorised the app
        ├── AppNotPermittedError       the app lacks the capability, or is blocked
        ├── AppMisconfiguredError      the platform refuses our app id or secret
        └── LoginRefusedError          the login code is not, or no longer, valid

No message of these errors carries a token, a secret, an open_id or a coupon code.
"""

from __future__ import annotations

import msgspec


class Evidence(msgspec.Struct, frozen=True):
    """What the platform answered: its codes, and the log id that its support asks for (empty when it gave none)."""

    error_code: int
    sub_error_code: int = 0
    logid: str = ""


class RedemptionError(Exception):
    """Root of the family."""


class InvalidRequestError(RedemptionError):
    """The caller's input is not what the contract says; the message names the part, never its value."""


class UnauthenticatedError(RedemptionError):
    """No session, a forged, foreign or ended one, or a login that cannot be accepted."""


class WrongAppError(RedemptionError):
    """The session was opened in another mini-program than the one the merchant belongs to."""


class MerchantNotFoundError(RedemptionError):
    """There is no row for this account_id, or its `active` is false."""


class StoreNotFoundError(RedemptionError):
    """The merchant's row lists its stores and this poi_id is not among them."""


class StorageUnavailableError(RedemptionError):
    """DynamoDB or Secrets Manager cannot be reached; `passing` says whether that may be over in a moment."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class ConfigurationError(RedemptionError):
    """The environment, the secret or a table row is missing something or malformed; the message names it."""


class TokenUnavailableError(RedemptionError):
    """No valid merchant access token could be had; `evidence` is what the platform said last, if it spoke."""

    def __init__(self, message: str, evidence: Evidence | None = None) -> None:
        super().__init__(message)
        self.evidence = evidence


class UpstreamError(RedemptionError):
    """A call to the platform failed.

    `reason` is a short, low-cardinality label (a platform code, `timeout`, `connection`, `malformed`, `http_503`);
    `passing` says whether the same call may succeed a moment later; `retry_after` is the platform's own wish in
    seconds, where it uttered one; `evidence` is there when the platform answered in its own format.
    """

    def __init__(
        self,
        reason: str,
        *,
        passing: bool = False,
        evidence: Evidence | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing
        self.evidence = evidence
        self.retry_after = retry_after

    def __str__(self) -> str:
        if self.evidence is None:
            return self.reason
        found = self.evidence
        return f"error_code={found.error_code} sub_error_code={found.sub_error_code} logid={found.logid or '-'}"


class UpstreamUnavailableError(UpstreamError):
    """Busy, refused or broken connections, HTTP 5xx, or a code that nobody knows."""


class UpstreamTimeoutError(UpstreamError):
    """The platform did not answer in the time there was."""


class UpstreamMalformedError(UpstreamError):
    """Not JSON, no envelope, or no list where the list belongs."""


class UpstreamRejectedError(UpstreamError):
    """The platform finds our request wrong; asking again the same way is pointless."""


class RateLimitedError(UpstreamError):
    """The platform says: too often."""


class QuotaExhaustedError(UpstreamError):
    """The app's quota is used up until the platform raises or resets it."""


class TokenRefusedError(UpstreamError):
    """The platform does not take the access token (any more)."""


class MerchantNotAuthorizedError(UpstreamError):
    """The merchant has not authorised the app."""


class AppNotPermittedError(UpstreamError):
    """The app lacks the capability or is blocked: an operator must act."""


class AppMisconfiguredError(UpstreamError):
    """The platform refuses our app id or app secret."""


class LoginRefusedError(UpstreamError):
    """The login code is wrong, used, or older than five minutes."""

"""Read from AWS for the checks. Whatever prevents a read becomes an `UnreadableError`: the check is "not checked"."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from chalicelib.context import Deadline
from chalicelib.timeouts import call_with_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redeemctl.stage import Stage

IDENTITY_SECONDS = 11.0
"""Limit for the first call, name resolution included: an unreachable AWS is reported within 15 s."""

CHECK_NETWORK = "check the network, the region and AWS_ENDPOINT_URL of this machine"
CHECK_CREDENTIALS = "log in to AWS again, or set the AWS credentials of this machine"

_IAM_PREFIXES = {"monitoring": "cloudwatch"}
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
     "UnauthorizedOperation", "UnauthorizedException"}
)  # fmt: skip
_INVALID_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException",
     "IncompleteSignature", "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)  # fmt: skip
_NO_CREDENTIALS = (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, TokenRetrievalError)


class UnreadableError(Exception):
    """Something could not be read. `reason` says why."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice


@dataclass
class AwsReader:
    """Reads from AWS with the clients of a stage. May be used by several threads.

    `policy` is the name of the operator's policy. `denied` collects the IAM actions that were refused.
    """

    stage: Stage
    policy: str
    denied: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stage.session.events.register("after-call", _name_action)

    def read_identity(self) -> dict[str, Any]:
        """Return the response of GetCallerIdentity, within IDENTITY_SECONDS; raises UnreadableError."""
        deadline = Deadline(IDENTITY_SECONDS)
        try:
            with self.reading():
                client = self.stage.client("sts")
                return dict(call_with_timeout(client.get_caller_identity, IDENTITY_SECONDS, deadline))
        except TimeoutError:
            raise _unreachable(f"no response within {IDENTITY_SECONDS:g} s") from None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn errors of AWS calls in the block into UnreadableError."""
        try:
            yield
        except ClientError as error:
            raise self._explain(error) from None
        except _NO_CREDENTIALS as error:
            raise UnreadableError(f"no AWS credentials ({type(error).__name__})", CHECK_CREDENTIALS) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise _unreachable(type(error).__name__) from None

    def deny(self, action: str) -> UnreadableError:
        """Record a refused action and return the error for it."""
        self.denied.add(action)
        return UnreadableError(f"permission {action} is missing", f"attach the policy {self.policy} to your role")

    def _explain(self, error: ClientError) -> UnreadableError:
        details: Any = error.response["Error"]
        code = details["Code"]
        if code in _DENIED:
            return self.deny(details["Action"])
        if code in _INVALID_CREDENTIALS:
            return UnreadableError(f"AWS refuses the credentials ({code})", CHECK_CREDENTIALS)
        return UnreadableError(f"AWS reported {code} for {error.operation_name}", "run doctor again later")


def read_all(client: Any, method: str, key: str, **parameters: Any) -> list[Any]:
    """Return the items of all pages."""
    return [item for page in client.get_paginator(method).paginate(**parameters) for item in page.get(key, [])]


def _name_action(parsed: Any, model: Any, **_: Any) -> None:
    """Add the IAM action of a call to its error."""
    if "Error" in parsed:
        service = model.service_model.signing_name
        action = "GET" if service == "apigateway" else model.name
        parsed["Error"]["Action"] = f"{_IAM_PREFIXES.get(service, service)}:{action}"


def _unreachable(detail: str) -> UnreadableError:
    return UnreadableError(f"AWS cannot be reached: {detail}", CHECK_NETWORK)

"""Read from AWS for the checks. Whatever prevents a read becomes an `UnreadableError`: the check is "not checked"."""

from __future__ import annotations

import email.utils
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.config import Config
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
from redeemctl.doctor.findings import NO_TEXT, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

AWS_CONFIG = Config(
    connect_timeout=2,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=8,
)

IDENTITY_SECONDS = 11.0
"""Limit for the first call, name resolution included: an unreachable AWS is reported within 15 s."""

_IAM_PREFIXES = {"monitoring": "cloudwatch"}
_MISSING = frozenset({"ResourceNotFoundException", "NotFoundException", "NotFound"})
_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
     "UnauthorizedOperation", "UnauthorizedException"}
)  # fmt: skip
_INVALID_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException",
     "IncompleteSignature", "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)  # fmt: skip
_NO_CREDENTIALS = (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, TokenRetrievalError)

CHECK_NETWORK = Text(
    "check the network, the region and AWS_ENDPOINT_URL of this machine", "检查本机的网络、区域和 AWS_ENDPOINT_URL"
)
CHECK_CREDENTIALS = Text(
    "log in to AWS again, or set the AWS credentials of this machine", "重新登录 AWS，或设置本机的 AWS 凭证"
)


class UnreadableError(Exception):
    """Something could not be read. `reason` says why."""

    def __init__(self, reason: Text, advice: Text = NO_TEXT) -> None:
        super().__init__(reason.english)
        self.reason = reason
        self.advice = advice


@dataclass
class AwsReader:
    """Reads from AWS. May be used by several threads.

    `denied` collects the IAM actions that were refused. `skew` is the difference of this machine's clock from AWS's in
    seconds, or None as long as no response was received.
    """

    session: Any
    policy: str
    denied: set[str] = field(default_factory=set)
    skew: float | None = None
    _clients: dict[str, Any] = field(default_factory=dict)
    _unreachable: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        """Return the client of a service."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.session.client(service, config=AWS_CONFIG)
            return self._clients[service]

    def read(self, service: str, method: str, **parameters: Any) -> Any:
        """Call AWS; return the response, or None if the resource does not exist. Raises UnreadableError."""
        with self.reading(service):
            try:
                return getattr(self.client(service), method)(**parameters)
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise

    def read_all(self, service: str, method: str, key: str, **parameters: Any) -> list[Any]:
        """Return the items of all pages; raises UnreadableError."""
        with self.reading(service):
            pages = self.client(service).get_paginator(method).paginate(**parameters)
            return [item for page in pages for item in page.get(key, [])]

    def read_identity(self) -> dict[str, Any]:
        """Return the response of GetCallerIdentity, within IDENTITY_SECONDS; raises UnreadableError."""
        deadline = Deadline(IDENTITY_SECONDS)
        try:
            identity = call_with_timeout(lambda: self.read("sts", "get_caller_identity"), IDENTITY_SECONDS, deadline)
        except TimeoutError:
            raise _unreachable("sts", f"no response within {IDENTITY_SECONDS:g} s") from None
        self._note_time(identity)
        return dict(identity)

    @contextmanager
    def reading(self, service: str) -> Iterator[None]:
        """Turn errors of AWS calls in the block into UnreadableError. A service is not waited for twice."""
        if service in self._unreachable:
            raise _unreachable(service, "an earlier call failed")
        try:
            yield
        except ClientError as error:
            self._note_time(error.response)
            raise self._explain(service, error) from None
        except _NO_CREDENTIALS as error:
            name = type(error).__name__
            raise UnreadableError(
                Text(f"no AWS credentials ({name})", f"没有 AWS 凭证（{name}）"), CHECK_CREDENTIALS
            ) from None
        except (BotoCoreError, ResponseParserError) as error:
            self._unreachable.add(service)
            raise _unreachable(service, type(error).__name__) from None

    def deny(self, action: str) -> UnreadableError:
        """Record a refused action and return the error for it."""
        self.denied.add(action)
        return UnreadableError(
            Text(f"permission {action} is missing", f"缺少权限 {action}"),
            Text(f"attach the policy {self.policy} to your role", f"为当前角色附加策略 {self.policy}"),
        )

    def _explain(self, service: str, error: ClientError) -> UnreadableError:
        code = error.response["Error"]["Code"]
        if code in _DENIED:
            return self.deny(self._action(service, error.operation_name))
        if code in _INVALID_CREDENTIALS:
            reason = Text(f"AWS refuses the credentials ({code})", f"AWS 拒绝了凭证（{code}）")
            return UnreadableError(reason, CHECK_CREDENTIALS)
        text = Text(f"AWS reported {code} for {error.operation_name}", f"AWS 对 {error.operation_name} 返回 {code}")
        return UnreadableError(text, Text("run doctor again later", "稍后重新执行 doctor"))

    def _action(self, service: str, operation: str) -> str:
        if service == "apigateway":
            return "apigateway:GET"
        name = self.client(service).meta.service_model.signing_name
        return f"{_IAM_PREFIXES.get(name, name)}:{operation}"

    def _note_time(self, response: Any) -> None:
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        parsed = email.utils.parsedate_tz(date)
        if parsed is not None:
            self.skew = time.time() - email.utils.mktime_tz(parsed)


def _unreachable(service: str, detail: str) -> UnreadableError:
    return UnreadableError(
        Text(f"AWS ({service}) cannot be reached: {detail}", f"无法访问 AWS（{service}）：{detail}"), CHECK_NETWORK
    )


def run_all(tasks: Sequence[Callable[[], T]], threads: int) -> Iterator[T]:
    """Run tasks in parallel; yield their results in the order of the tasks."""
    with ThreadPoolExecutor(threads) as executor:
        yield from executor.map(lambda task: task(), tasks)

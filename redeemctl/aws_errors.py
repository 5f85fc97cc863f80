"""Explain why AWS cannot be used."""

import re

from botocore import exceptions
from botocore.parsers import ResponseParserError

from chalicelib.errors import StorageUnavailableError
from infra.cloudformation import shared_name
from infra.stage_settings import StageError

AWS_ERRORS = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError, StorageUnavailableError)

CHECK_NETWORK = "check the network, the region and AWS_ENDPOINT_URL of this machine"
CHECK_CREDENTIALS = "log in to AWS again, or set AWS_PROFILE to a profile of ~/.aws/config"

_DENIED = re.compile("AccessDenied|Authorization|Unauthorized")
"""Parts of AWS's codes for a denied call."""

_CREDENTIALS = re.compile("Credential|Token|AccessKey|Signature|RequestExpired|UnrecognizedClient|SSO")
"""Parts of AWS's codes, and of the names of botocore's classes, for missing or expired credentials."""

_NETWORK = re.compile("Connect|Timeout|HTTPClient|SSLError|ResponseParser")
"""Parts of the names of botocore's classes for an endpoint that cannot be reached or understood."""

_MISSING = frozenset({"ResourceNotFoundException", "NotFound", "InvalidRequestException"})
"""AWS's codes for a missing table, secret or function; a missing topic; a secret that is scheduled for deletion."""


def is_missing(error: Exception) -> bool:
    """Return whether the error says that a resource does not exist."""
    return _code_and_operation(error)[0] in _MISSING


def explain(error: Exception, stage_name: str) -> tuple[str, str]:
    """Return why AWS cannot be used, and what to do."""
    if isinstance(error, StageError):
        text, _, advice = str(error).partition("\n")
        return text, advice
    code, operation = _code_and_operation(error)
    name = code or type(error).__name__
    text, advice = f"AWS: {error}", "run it again later; if it stays, this region may not have it"
    if _CREDENTIALS.search(name):
        text, advice = f"AWS credentials are missing or no longer valid ({name})", CHECK_CREDENTIALS
    elif _NETWORK.search(name):
        text, advice = f"AWS cannot be reached: {name}", CHECK_NETWORK
    elif not code:
        text, advice = f"AWS cannot be used: {error}", CHECK_CREDENTIALS
    elif _DENIED.search(code):
        text, policy = f"no permission for {operation}", f"{shared_name(stage_name)}-operator"
        advice = f"attach policy {policy} to your role (docs/run.md, Who may do what); if it is, check the region"
    elif code in _MISSING:
        text = f"it does not exist here, or is to be deleted: {error}"
        advice = f'run make deploy STAGE={stage_name}; if it was lost: docs/run.md, "Lost or changed by hand"'
    return text, advice


def _code_and_operation(error: Exception) -> tuple[str, str]:
    if isinstance(error, exceptions.ClientError):
        return error.response["Error"]["Code"], error.operation_name
    # chalicelib.aws, which a renewal of a token uses, raises StorageUnavailableError. Its text is AWS's code, or the
    # name of botocore's class.
    return (str(error), "a token's row or the secret") if isinstance(error, StorageUnavailableError) else ("", "")

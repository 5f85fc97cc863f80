"""Judge what prevents a check from reading AWS."""

from botocore import exceptions
from botocore.parsers import ResponseParserError

from chalicelib.errors import StorageUnavailableError
from infra.cloudformation import stack_name
from infra.comparison import repair_advice
from infra.stage_settings import StageError
from redeemctl.doctor.findings import Finding, deploy, failed, not_checked

AWS_ERRORS = (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError, StorageUnavailableError)

CHECK_NETWORK = "check the network, the region and AWS_ENDPOINT_URL of this machine"
CHECK_CREDENTIALS = "log in to AWS again, or set AWS_PROFILE to a profile of ~/.aws/config"

_DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
     "UnauthorizedOperation", "UnauthorizedException"}
)  # fmt: skip
_INVALID_CREDENTIALS = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException",
     "IncompleteSignature", "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)  # fmt: skip
_NO_CREDENTIALS = (
    exceptions.CredentialRetrievalError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.TokenRetrievalError,
)
_MISSING = frozenset({"ResourceNotFoundException", "NotFound", "InvalidRequestException"})
"""AWS's codes for a missing table, secret or function; a missing topic; a secret that is scheduled for deletion."""


def judge_error(check_id: str, what: str, error: Exception, stage: str, region: str) -> Finding:
    """Return the finding that the resource is missing, or that the check could not be made and why."""
    if _code_and_operation(error)[0] not in _MISSING:
        return not_checked(check_id, what, *explain(error, stage, region))
    if check_id in ("login", "token", "merchant"):
        return not_checked(check_id, what, "the table does not exist", "see the check table")
    advice = repair_advice(stage) if check_id in ("alarms.subscription", "merchant.log") else deploy(stage)
    if check_id in ("table", "secret"):
        advice += '; if it was lost: docs/operate.md, "A lost table, secret or role"'
    return failed(check_id, what, "it does not exist, or is to be deleted", advice)


def explain(error: Exception, stage: str, region: str) -> tuple[str, str]:
    """Return why AWS could not be read, and what to do."""
    if isinstance(error, StageError):
        return str(error), "use the credentials and region of this stage"
    if isinstance(error, _NO_CREDENTIALS):
        return f"no AWS credentials ({type(error).__name__})", CHECK_CREDENTIALS
    code, operation = _code_and_operation(error)
    if not code:
        return f"AWS cannot be reached: {type(error).__name__}", CHECK_NETWORK
    if code in _DENIED:
        advice = f"attach policy {stack_name(stage)}-operator to your role; if it is, {region} may be the wrong region"
        return f"no permission for {operation}", advice
    if code in _INVALID_CREDENTIALS:
        return f"AWS refuses the credentials ({code})", CHECK_CREDENTIALS
    return f"AWS reported {code} for {operation}", "run doctor again later; if it stays, this region may not have it"


def _code_and_operation(error: Exception) -> tuple[str, str]:
    if isinstance(error, exceptions.ClientError):
        return error.response["Error"]["Code"], error.operation_name
    # chalicelib.aws reads a token's row, and puts the code into its own error.
    return (str(error), "GetItem") if isinstance(error, StorageUnavailableError) else ("", "")

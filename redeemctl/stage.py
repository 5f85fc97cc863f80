"""An operator's access to a stage: AWS, its table, and the platform, through the service's own modules."""

import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from botocore.config import Config

from chalicelib import __version__
from chalicelib.aws import Clients
from chalicelib.components import Components
from chalicelib.context import Deadline, RequestContext
from chalicelib.douyin.transport import Transport
from chalicelib.errors import ServiceError
from chalicelib.settings import Settings
from infra.account import AwsAccount, open_account
from infra.stage_settings import OPTIONAL_VARIABLES, StageError, StageSettings, fixed_variables, read_stage_settings
from redeemctl.aws_errors import AWS_ERRORS, explain
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.table import MerchantTable

STEP_SECONDS = 15.0
"""Time limit for one step of a command: for all its calls of AWS and the platform, retries included."""

AWS_CONFIG = Config(connect_timeout=3, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""With these limits, a command reports within 15 s that AWS cannot be reached."""


@dataclass(frozen=True)
class Stage:
    """One stage. Create it with `connect_stage`."""

    name: str
    settings: StageSettings
    #: The configuration of the service: from the stage's settings, changed by `overrides`.
    service_settings: Settings
    aws_account: AwsAccount
    transport: Transport
    #: Variables of this process that change the service's configuration.
    overrides: Mapping[str, str]

    @functools.cached_property
    def components(self) -> Components:
        """The components of the service, for this stage's table, secret and platform."""
        clients = Clients(self.aws_account.client("dynamodb"), self.aws_account.client("secretsmanager"))
        return Components(self.service_settings, clients, self.transport)

    @functools.cached_property
    def merchants(self) -> MerchantTable:
        """The rows of merchants."""
        return MerchantTable(self.aws_account.client("dynamodb"), self.service_settings.table_name)

    def new_context(self) -> RequestContext:
        """Return a context with the time limit of one step."""
        return RequestContext(Deadline(STEP_SECONDS))


@contextmanager
def connect_stage(name: str, project: Path) -> Iterator[Stage]:
    """Connect to a stage of `project`. AWS errors and errors of the service become CommandError."""
    variables = {variable: os.environ[variable] for variable in OPTIONAL_VARIABLES if os.environ.get(variable)}
    transport = Transport(f"redeemctl/{__version__}", 1)
    with closing(transport.adapter), _translate_errors(name):
        settings = read_stage_settings(project, name)
        configured = fixed_variables(name) | settings.environment
        overrides = {variable: value for variable, value in variables.items() if value != configured.get(variable)}
        service_settings = Settings.from_env(configured | overrides)
        aws_account = open_account(project, name, AWS_CONFIG)
        yield Stage(name, settings, service_settings, aws_account, transport, overrides)


@contextmanager
def _translate_errors(stage_name: str) -> Iterator[None]:
    try:
        yield
    except StageError as error:
        raise InvalidInputError(str(error)) from None
    except AWS_ERRORS as error:
        raise CommandError(": ".join(explain(error, stage_name))) from None
    except ServiceError as error:
        wait = f"; try again in {error.retry_after:.0f} s" if error.retry_after else ""
        raise CommandError(f"{type(error).__name__}: {error}{wait}") from None

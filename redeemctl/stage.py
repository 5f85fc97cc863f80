"""An operator's access to a stage: AWS, its table, and the platform, through the service's own modules."""

import functools
import json
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
from chalicelib.douyin.transport import Transport, create_http_session
from chalicelib.errors import ServiceError
from chalicelib.settings import Settings
from infra.account import AwsAccount, open_account
from infra.stage_settings import OPTIONAL_VARIABLES, StageError
from redeemctl.aws_errors import AWS_ERRORS, explain
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.table import MerchantTable

CALL_SECONDS = 15.0
"""Time limit for one call to the table or the platform, retries included."""

AWS_CONFIG = Config(connect_timeout=3, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""With these limits, a command reports within 15 s that AWS cannot be reached."""


@dataclass(frozen=True)
class Stage:
    """One stage. Create it with `open_stage`.

    `overrides` are variables of the environment that change the stage's configuration.
    """

    name: str
    service_settings: Settings
    aws_account: AwsAccount
    transport: Transport
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

    def exchange_code(self, app_id: str, app_secret: str, code: str) -> str:
        """Exchange a login code for the open_id, as the service does."""
        return self.components.login.exchange_code(app_id, app_secret, code, self.new_context())

    def new_context(self) -> RequestContext:
        """Return a context with the time limit of one call."""
        return RequestContext(Deadline(CALL_SECONDS))


@contextmanager
def open_stage(name: str, project: Path) -> Iterator[Stage]:
    """Open a stage of `project`, configured by its .chalice/config.json.

    AWS errors and errors of the service become CommandError.
    """
    config = json.loads((project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    if name not in config["stages"]:
        raise InvalidInputError(f"--stage: stage {name} not found; stages: {', '.join(config['stages'])}")
    configured = config["stages"][name]["environment_variables"]
    variables = {variable: os.environ[variable] for variable in OPTIONAL_VARIABLES if os.environ.get(variable)}
    overrides = {variable: value for variable, value in variables.items() if value != configured.get(variable)}
    with closing(create_http_session(f"redeemctl/{__version__}", 1)) as http, _translate_errors(name):
        settings = Settings.from_env({**configured, **overrides})
        yield Stage(name, settings, open_account(project, name, AWS_CONFIG), Transport(http), overrides)


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

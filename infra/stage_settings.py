"""Settings of a stage, from `infra/stages/<stage>.toml`. `dev.toml` explains them."""

import logging
import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from aws_lambda_powertools.shared import constants as powertools

from chalicelib.errors import ConfigurationError
from chalicelib.settings import Settings

APP_NAME = "douyin-redemption"

OPTIONAL_VARIABLES = {f.encode_name: str(f.default) for f in msgspec.structs.fields(Settings) if not f.required}
"""The optional variables of `Settings`, with their defaults. A stage may set them. So may the environment in which
`redeemctl` runs."""

_STAGE_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
_POWERTOOLS_VARIABLES = frozenset(
    value for value in vars(powertools).values() if isinstance(value, str) and value.startswith("POWERTOOLS_")
)


class StageError(Exception):
    """A command on a stage is refused or has failed. The message says why, and what to do."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Limits(_Section, frozen=True):
    """The throttling limit of each route, for all callers together.

    `rate` is in requests per second; `burst` is the size of the token bucket. Twelve shops make about 60,000 lists a
    month. If somebody repeats lists all day, AWS charges at most `rate` requests per second.
    """

    rate: Annotated[float, msgspec.Meta(gt=0)] = 20
    burst: Annotated[int, msgspec.Meta(ge=1)] = 40


class Domain(_Section, frozen=True):
    """The custom domain and its ACM certificate in the same region."""

    name: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$")]
    certificate_arn: Annotated[str, msgspec.Meta(pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/.+$")]


class Network(_Section, frozen=True):
    """The subnets of a VPC in which the functions run."""

    subnet_ids: Annotated[tuple[Annotated[str, msgspec.Meta(pattern=r"^subnet-\w+$")], ...], msgspec.Meta(min_length=1)]
    security_group_ids: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^sg-\w+$")], ...], msgspec.Meta(min_length=1)
    ]


class StageSettings(_Section, frozen=True):
    """Settings of one stage. A missing setting has its default, or keeps what is deployed (`python`, `alarm_email`).

    Without `account` or `region`, any is accepted.
    """

    account: Annotated[str, msgspec.Meta(pattern=r"^\d{12}$")] | None = None
    region: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] | None = None
    alarm_email: Annotated[str, msgspec.Meta(pattern=r"^([^@\s]+@[^@\s]+)?$")] | None = None
    python: Literal["3.11", "3.12", "3.13", "3.14"] | None = None
    memory_mb: Annotated[int, msgspec.Meta(ge=128, le=10240)] = 1024
    tracing: bool = True
    limits: Limits = Limits()
    domain: Domain | None = None
    network: Network | None = None
    environment: dict[Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]*$")], str] = msgspec.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        fixed = fixed_variables("any")
        if names := fixed.keys() & self.environment.keys():
            raise ValueError(f"{', '.join(sorted(names))} cannot be set here")
        allowed = (_POWERTOOLS_VARIABLES | set(OPTIONAL_VARIABLES)) - fixed.keys()
        if unknown := self.environment.keys() - allowed:
            raise ValueError(
                f"[environment] {', '.join(sorted(unknown))}: unknown; the variables are {', '.join(sorted(allowed))}"
            )
        level = self.environment.get("POWERTOOLS_LOG_LEVEL", "INFO")
        # Powertools accepts lower case, too.
        if level.upper() not in logging.getLevelNamesMapping():
            raise ValueError(f"[environment] POWERTOOLS_LOG_LEVEL: {level} is no level of Python's logging")
        try:
            Settings.from_env(fixed | self.environment)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None


def fixed_variables(stage: str) -> dict[str, str]:
    """Return the functions' variables that the deployment sets."""
    return {
        "TABLE_NAME": f"{APP_NAME}-{stage}",
        "SECRET_NAME": f"{APP_NAME}/{stage}",
        "STAGE": stage,
        "POWERTOOLS_SERVICE_NAME": APP_NAME,
        "POWERTOOLS_METRICS_NAMESPACE": "DouyinRedemption",
    }


def settings_path(project: Path, stage: str) -> Path:
    """Return the path of a stage's settings file."""
    return project / "infra" / "stages" / f"{stage}.toml"


def list_stages(project: Path) -> list[str]:
    """Return the names of the stages: one for each settings file."""
    return sorted(path.stem for path in settings_path(project, "*").parent.glob("*.toml"))


def read_stage_settings(project: Path, stage: str) -> StageSettings:
    """Read a stage's settings; raises StageError that names the file and the setting at fault."""
    if not _STAGE_NAME.fullmatch(stage):
        raise StageError(f"stage {stage!r}: a stage's name is a lower-case letter and up to 15 letters or digits")
    path = settings_path(project, stage)
    name = path.relative_to(project)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=StageSettings)
    except FileNotFoundError:
        stages = ", ".join(list_stages(project)) or "none"
        raise StageError(f"{name} is missing (stages: {stages}); for a new stage, copy another stage's file") from None
    except ValueError as error:
        raise StageError(f"{name}: {error}") from None

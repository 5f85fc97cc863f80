"""Settings files: every mistake is named, and nothing is guessed."""

import re
from pathlib import Path

import msgspec
import pytest

from chalicelib.settings import MAX_SESSION_SECONDS, Settings
from infra.bundle import ROOT
from infra.stage_settings import (
    OPTIONAL_VARIABLES,
    Domain,
    Limits,
    StageError,
    StageSettings,
    read_stage_settings,
    settings_path,
)


def write(project: Path, text: str) -> None:
    path = settings_path(project, "dev")
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


CHINA = """
region = "cn-north-1"
memory_mb = 512
[limits]
rate = 50
[domain]
name = "api.example.com"
certificate_arn = "arn:aws-cn:acm:cn-north-1:123456789012:certificate/x-1"
[environment]
POWERTOOLS_LOG_LEVEL = "DEBUG"
"""


def test_what_a_file_does_not_set_has_its_default(tmp_path: Path) -> None:
    write(tmp_path, CHINA)
    certificate = "arn:aws-cn:acm:cn-north-1:123456789012:certificate/x-1"
    assert read_stage_settings(tmp_path, "dev") == StageSettings(
        region="cn-north-1",
        memory_mb=512,
        limits=Limits(50, 40),
        domain=Domain("api.example.com", certificate),
        environment={"POWERTOOLS_LOG_LEVEL": "DEBUG"},
    )


def test_a_log_level_may_be_in_lower_case_as_powertools_reads_it() -> None:
    assert StageSettings(environment={"POWERTOOLS_LOG_LEVEL": "debug"})


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("accounts = '1'", "accounts"),
        ("account = '12345'", "$.account"),
        ("region = 'us-east'", "$.region"),
        ("alarm_email = 'oncall'", "$.alarm_email"),
        ("python = '3.10'", "$.python"),
        ("memory_mb = 64", "$.memory_mb"),
        ("[limits]\nrate = 0", "$.limits.rate"),
        ("[limits]\nburst = 1.5", "$.limits.burst"),
        ("[domain]\nname = 'api.example.com'", "certificate_arn"),
        ("[domain]\nname = 'https://api.example.com'\ncertificate_arn = 'x'", "$.domain.name"),
        ("[domain]\nname = 'api.example.com'\ncertificate_arn = 'x'", "$.domain.certificate_arn"),
        ("[network]\nsubnet_ids = ['subnet-1']", "security_group_ids"),
        ("[network]\nsubnet_ids = []\nsecurity_group_ids = ['sg-1']", "$.network.subnet_ids"),
        ("[environment]\nTABLE_NAME = 'other'", "TABLE_NAME"),
        ("[environment]\nSESSION_TTL_SECONDS = 7200", "$.environment"),
        ("[environment]\nlower = 'x'", "$.environment"),
        ("[environment]\nPOWERTOOLS_LOG_LEVEL = 'VERBOSE'", "POWERTOOLS_LOG_LEVEL: VERBOSE"),
        ("[environment]\nSESSION_TTL_SECOND = '7200'", "SESSION_TTL_SECOND: unknown"),
        ("[environment]\nSESSION_TTL_SECOND = '7200'", "POWERTOOLS_TRACE_MIDDLEWARES, SESSION_TTL_SECONDS"),
        ("[environment]\nDOUYIN_OPEN_API = 'http://open.douyin.com'", "DOUYIN_OPEN_API is not an https base URL"),
        ("account = ", "Invalid value"),
    ],
)
def test_a_mistake_is_refused_with_the_file_and_the_setting(tmp_path: Path, text: str, named: str) -> None:
    write(tmp_path, text)
    with pytest.raises(StageError) as raised:
        read_stage_settings(tmp_path, "dev")
    assert str(raised.value).startswith("infra/stages/dev.toml: ")
    assert named in str(raised.value)


def test_each_setting_is_used() -> None:
    wiring = (ROOT / "chalicelib" / "components.py").read_text("utf-8")
    assert [name for name in Settings.__struct_fields__ if f"settings.{name}" not in wiring] == []


@pytest.mark.parametrize("variable", OPTIONAL_VARIABLES)
def test_the_example_and_the_guides_have_the_default_and_the_range_of_a_variable(variable: str) -> None:
    example = settings_path(ROOT, "dev").read_text("utf-8")
    is_seconds, default = variable.endswith("_SECONDS"), OPTIONAL_VARIABLES[variable]
    limits = f"1 to {MAX_SESSION_SECONDS}" if is_seconds else ""
    [line] = re.findall(rf"^# {variable} = .*", example, re.MULTILINE)
    assert f'"{default}"' in line
    assert limits in line
    for guide in (ROOT / "docs").glob("*.md"):
        # `NAME` (`default`; lowest to highest); the Chinese pages have their own words and brackets.
        for text in re.findall(rf"`{variable}` ?[（(](.*?)[)）]", guide.read_text("utf-8")):
            if not is_seconds:
                assert f"`{default}`" in text, guide.name
            else:
                assert re.findall(r"\d+", text) == re.findall(r"\d+", f"{default} {limits}"), guide.name


def test_a_stage_without_a_file_is_refused_with_the_known_stages(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(StageError, match=r"infra/stages/test\.toml is missing \(stages: dev\)"):
        read_stage_settings(tmp_path, "test")


@pytest.mark.parametrize("stage", ["", "Dev", "1dev", "dev-1", "../dev", "/etc/dev", "infra/stages/dev.toml", "a" * 17])
def test_a_name_that_is_no_stage_is_refused(tmp_path: Path, stage: str) -> None:
    with pytest.raises(StageError):
        read_stage_settings(tmp_path, stage)


def test_every_setting_has_an_example_in_dev_toml_that_is_valid() -> None:
    text = settings_path(ROOT, "dev").read_text(encoding="utf-8").replace("…", "x")
    examples = msgspec.toml.decode("\n".join(line.removeprefix("# ") for line in text.splitlines()[2:]))
    assert examples.keys() == set(StageSettings.__struct_fields__)
    msgspec.convert(examples, StageSettings)

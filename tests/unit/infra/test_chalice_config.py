"""Chalice's configuration follows from the stages' settings, and the committed files are up to date."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.bundle import ROOT
from infra.chalice_config import render, write
from infra.stage_settings import Network, StageSettings, list_stages, read_stage_settings, settings_path


def render_stage(settings: StageSettings) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(render({"dev": settings})["config.json"])["stages"]["dev"]
    return config


def read_actions(settings: StageSettings, name: str = "policy-dev.json") -> list[str]:
    policy = json.loads(render({"dev": settings})[name])
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def test_the_committed_files_are_up_to_date() -> None:
    stages = {stage: read_stage_settings(ROOT, stage) for stage in list_stages(ROOT)}
    files = render(stages)
    committed = {path.name for path in (ROOT / ".chalice").glob("*.json")}
    assert committed == files.keys()
    for name, content in files.items():
        assert (ROOT / ".chalice" / name).read_text(encoding="utf-8") == content, "run python -m infra.chalice_config"


def test_only_files_that_differ_are_written(tmp_path: Path) -> None:
    (tmp_path / ".chalice").mkdir()
    path = settings_path(tmp_path, "dev")
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert write(tmp_path) == ["config.json", "policy-dev.json", "policy-dev-refresh.json"]
    assert write(tmp_path) == []
    path.write_text("memory_mb = 512")
    assert write(tmp_path) == ["config.json"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (StageSettings(architecture="arm64"), {"lambda_architecture": "arm64"}),
        (StageSettings(memory_mb=512), {"lambda_memory_size": 512}),
        (StageSettings(tracing=False), {"xray": False}),
        (
            StageSettings(network=Network(("subnet-1",), ("sg-1",))),
            {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]},
        ),
    ],
)
def test_a_setting_reaches_chalice(settings: StageSettings, expected: dict[str, Any]) -> None:
    config = render_stage(settings)
    assert {key: config[key] for key in expected} == expected


def test_reserved_concurrency_is_for_the_http_function_only() -> None:
    functions = render_stage(StageSettings(reserved_concurrency=7))["lambda_functions"]
    assert functions["api_handler"] == {"reserved_concurrency": 7}
    assert "reserved_concurrency" not in functions["refresh_tokens"]


def test_the_stages_variables_are_added() -> None:
    variables = render_stage(StageSettings(environment={"SESSION_TTL_SECONDS": "60"}))["environment_variables"]
    assert variables["SESSION_TTL_SECONDS"] == "60"
    assert variables["TABLE_NAME"] == "douyin-redemption-dev"


def test_without_tracing_the_functions_may_not_send_traces() -> None:
    assert "xray:PutTraceSegments" in read_actions(StageSettings())
    assert not [action for action in read_actions(StageSettings(tracing=False)) if action.startswith("xray")]


def test_in_a_vpc_both_functions_may_use_network_interfaces() -> None:
    settings = StageSettings(network=Network(("subnet-1",), ("sg-1",)))
    for name in ("policy-dev.json", "policy-dev-refresh.json"):
        assert "ec2:CreateNetworkInterface" in read_actions(settings, name)
        assert not [action for action in read_actions(StageSettings(), name) if action.startswith("ec2")]

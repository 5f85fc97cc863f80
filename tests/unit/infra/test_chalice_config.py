"""Chalice's configuration follows from the stages' settings, and the committed files are up to date."""

import json
from typing import Any

from infra.bundle import ROOT
from infra.chalice_config import render
from infra.stage_settings import Network, StageSettings, list_stages, read_stage_settings

NETWORK = Network(("subnet-1",), ("sg-1",))


def test_the_committed_files_are_up_to_date() -> None:
    stages = {stage: read_stage_settings(ROOT, stage) for stage in list_stages(ROOT)}
    files = render(stages)
    committed = {path.name for path in (ROOT / ".chalice").glob("*.json")}
    assert committed == files.keys()
    for name, content in files.items():
        assert (ROOT / ".chalice" / name).read_text(encoding="utf-8") == content, "run python -m infra.chalice_config"


def test_each_setting_reaches_chalice() -> None:
    settings = StageSettings(
        memory_mb=512, tracing=False, network=NETWORK,
        environment={"SESSION_TTL_SECONDS": "60"},
    )  # fmt: skip
    config: dict[str, Any] = json.loads(render({"dev": settings})["config.json"])["stages"]["dev"]
    expected = {
        "lambda_memory_size": 512, "xray": False, "subnet_ids": ["subnet-1"],
        "security_group_ids": ["sg-1"],
    }  # fmt: skip
    assert config.items() >= expected.items()
    assert config["environment_variables"].items() >= {"SESSION_TTL_SECONDS": "60", "STAGE": "dev"}.items()


def test_in_a_vpc_a_function_may_use_network_interfaces_and_without_tracing_send_no_traces() -> None:
    """`test_policies.py` has the actions of the default settings."""
    policy = json.loads(render({"dev": StageSettings(network=NETWORK, tracing=False)})["policy-dev.json"])
    actions = [action for statement in policy["Statement"] for action in statement["Action"]]
    assert "ec2:CreateNetworkInterface" in actions
    assert not [action for action in actions if action.startswith("xray")]

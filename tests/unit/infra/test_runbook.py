"""Commands of the runbook that name what the code names, too."""

import re
from typing import Any, cast

import pytest

from infra import api_gateway
from infra.bundle import ROOT
from infra.stage_settings import Limits


class FakeStage:
    """Records the patch operations of UpdateStage."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def update_stage(self, patchOperations: list[dict[str, str]], **_: str) -> None:  # noqa: N803 - AWS's name
        self.paths |= {operation["path"] for operation in patchOperations}


@pytest.mark.parametrize("page", ["operate.md", "operate.zh-CN.md"])
def test_the_limit_of_a_route_is_raised_where_the_deployment_sets_it(page: str) -> None:
    stage = FakeStage()
    api_gateway.set_throttling(cast("Any", stage), "abc", Limits())
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    [route] = re.findall(r"^\$ route='(.+)'$", text, re.MULTILINE)
    [sessions] = re.findall(r"`(/~1v1~1sessions/\w+)`", text)
    # The AWS CLI cannot parse the braces of a path without quotes.
    assert text.count("path='$route/throttling/") == 2
    for path in (route, sessions):
        assert {f"{path}/throttling/rateLimit", f"{path}/throttling/burstLimit"} <= stage.paths

"""Commands of the runbook that name what the code names, too."""

import re
from unittest.mock import Mock

import pytest

from infra import api_gateway
from infra.bundle import ROOT
from infra.stage_settings import Limits


@pytest.mark.parametrize("page", ["operate.md", "operate.zh-CN.md"])
def test_the_limit_of_a_route_is_raised_where_the_deployment_sets_it(page: str) -> None:
    client = Mock()
    api_gateway.set_throttling(client, "abc", Limits())
    limited = {operation["path"] for operation in client.update_stage.call_args.kwargs["patchOperations"]}
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    [route] = re.findall(r"^\$ route='(.+)'$", text, re.MULTILINE)
    [sessions] = re.findall(r"`(/~1v1~1sessions/\w+)`", text)
    # The AWS CLI cannot parse the braces of a path without quotes.
    assert text.count("path='$route/throttling/") == 2
    for path in (route, sessions):
        assert {f"{path}/throttling/rateLimit", f"{path}/throttling/burstLimit"} <= limited

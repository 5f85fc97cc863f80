"""Which functions, rules and REST API a stage has, from what AWS lists."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from infra.chalice_state import find_functions, find_rest_api, write_state
from infra.stage_settings import StageError
from tests.unit.infra.fake_lambda import TAG, FakeLambda

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_several_apis_that_invoke_the_stages_function_are_refused_with_the_command_that_deletes_one() -> None:
    uri = "arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:aws:lambda:r:1:function:{}/invocations"
    apis, resources = [], {}
    for age, (api_id, name, function) in enumerate((
        ("other-function", "douyin-redemption-dev", "douyin-redemption-dev2"),
        ("other-name", "other", "douyin-redemption-dev"),
        ("newer", "douyin-redemption-dev", "douyin-redemption-dev"),
        ("older", "douyin-redemption-dev", "douyin-redemption-dev"),
        ("prod", "douyin-redemption-prod", "douyin-redemption-prod"),
    )):  # fmt: skip
        apis.append({"items": [{"id": api_id, "name": name, "createdDate": NOW - timedelta(minutes=age)}]})
        methods = {"GET": {"methodIntegration": {"uri": uri.format(function)}}}
        resources[api_id] = [{"items": [{"path": "/"}]}, {"items": [{"path": "/x", "resourceMethods": methods}]}]

    def list_resources(restApiId: str, embed: list[str]) -> Any:  # noqa: N803 - AWS's name
        assert embed == ["methods"]
        return resources[restApiId]

    paginators = {"get_rest_apis": Mock(), "get_resources": Mock()}
    paginators["get_rest_apis"].paginate.return_value = apis
    paginators["get_resources"].paginate = list_resources
    client = Mock(get_paginator=paginators.get)
    with pytest.raises(
        StageError, match=r"2 REST APIs: older \(created 2025[-\d :]+\), newer \((?s:.*)delete-rest-api"
    ):
        find_rest_api(client, "dev")


def test_every_function_and_rule_of_the_stage_is_in_chalices_state_and_none_of_another_app(tmp_path: Path) -> None:
    """Also one that the app has got since, or that another version of Chalice has deployed."""
    client, own = FakeLambda(), [f"douyin-redemption-dev{end}" for end in ("", "-refresh_tokens", "-new")]
    client.deploy(own[0], b"")
    client.deploy(own[1], b"", "version=1.40.0:stage=dev:app=douyin-redemption")
    client.deploy(own[2], b"")
    client.deploy("douyin-redemption-dev2", b"", TAG.replace("dev", "dev2"))
    client.deploy("douyin-redemption-dev-by-hand", b"", "")
    client.deploy("douyin-redemption-dev-reports", b"", "version=1.34.0:stage=reports:app=douyin-redemption-dev")
    client.deploy("douyin-redemption-dev-reports-dev", b"", TAG.replace("redemption", "redemption-dev-reports"))
    rules = Mock()
    rules.get_paginator.return_value.paginate.return_value = [
        {"Rules": [{"Name": f"{own[2]}-event"}, {"Name": f"{own[2]}-by-hand"}]},
        {"Rules": [{"Name": f"douyin-redemption-dev-{name}-event"} for name in ("reports", "reports-dev", "gone")]},
    ]
    account: Any = SimpleNamespace(client={"lambda": client, "events": rules}.get)
    write_state(account, tmp_path, "dev", find_functions(account, "dev"), "abc")
    state = json.loads((tmp_path / ".chalice" / "deployed" / "dev.json").read_text(encoding="utf-8"))["resources"]
    assert [resource["name"] for resource in state] == [
        "api_handler",
        "refresh_tokens",
        "new",
        "new-event",
        "rest_api",
    ]
    assert rules.get_paginator.return_value.paginate.call_args.kwargs == {"NamePrefix": "douyin-redemption-dev-"}

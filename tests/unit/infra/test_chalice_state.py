"""Which REST API a stage has, from what API Gateway lists."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.chalice_state import choose_rest_api, find_rest_apis
from infra.stage_settings import StageError, StageSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeApiGateway:
    """`apis` are lists of id, name, minutes since the first one, and the function that a method invokes."""

    def __init__(self, *apis: tuple[str, str, int, str]) -> None:
        self._apis = apis

    def get_paginator(self, operation: str) -> Any:
        paginate = {"get_rest_apis": self._list_apis, "get_resources": self._list_resources}[operation]
        return SimpleNamespace(paginate=paginate)

    def _list_apis(self) -> Iterator[Any]:
        for api_id, name, minutes, _ in self._apis:
            yield {"items": [{"id": api_id, "name": name, "createdDate": NOW + timedelta(minutes=minutes)}]}

    def _list_resources(self, restApiId: str, embed: list[str]) -> Iterator[Any]:  # noqa: N803 - AWS's name
        assert embed == ["methods"]
        [function] = [function for api_id, _, _, function in self._apis if api_id == restApiId]
        yield {"items": [{"path": "/"}]}
        uri = (
            f"arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:aws:lambda:r:1:function:{function}/invocations"
        )
        yield {"items": [{"path": "/x", "resourceMethods": {"GET": {"methodIntegration": {"uri": uri}}}}]}


def find(*apis: tuple[str, str, int, str]) -> list[str]:
    return [api["id"] for api in find_rest_apis(cast("Any", FakeApiGateway(*apis)), "dev")]


def test_the_api_that_invokes_the_stages_function_is_found() -> None:
    assert find(
        ("prod1", "douyin-redemption-prod", 0, "douyin-redemption-prod"),
        ("dev1", "douyin-redemption-dev", 1, "douyin-redemption-dev"),
        ("other", "other", 2, "douyin-redemption-dev"),
    ) == ["dev1"]


def test_a_function_whose_name_only_starts_like_the_stages_is_another_one() -> None:
    assert find(("x", "douyin-redemption-dev", 0, "douyin-redemption-dev2")) == []


def test_several_apis_are_listed_by_age() -> None:
    function = "douyin-redemption-dev"
    assert find(("b", function, 2, function), ("a", function, 1, function)) == ["a", "b"]


A: Any = {"id": "a", "createdDate": NOW}
B: Any = {"id": "b", "createdDate": NOW}


@pytest.mark.parametrize(
    ("apis", "chosen", "expected"),
    [([], None, None), ([A], None, "a"), ([A], "a", "a"), ([A, B], "b", "b")],
)
def test_a_clear_choice_is_made(apis: list[Any], chosen: str | None, expected: str | None) -> None:
    assert choose_rest_api(apis, "dev", StageSettings(rest_api_id=chosen), []) == expected


@pytest.mark.parametrize(
    ("apis", "serving", "chosen", "named"),
    [
        ([A, B], [], None, ["2 REST APIs: a (created 2026-01-01 00:00), b (", "infra/stages/dev.toml",
                            "keep a (it is the oldest)", "delete-rest-api --rest-api-id b"]),
        ([A, B], ["b"], None, ["keep b (it serves the domain)", "delete-rest-api --rest-api-id a"]),
        ([A], [], "c", ["rest_api_id c", "found: a"]),
        ([], [], "c", ["rest_api_id c", "found: none"]),
    ],
)  # fmt: skip
def test_an_unclear_choice_is_refused_with_the_ids_and_the_command_that_ends_it(
    apis: list[Any], serving: list[str], chosen: str | None, named: list[str]
) -> None:
    with pytest.raises(StageError) as raised:
        choose_rest_api(apis, "dev", StageSettings(rest_api_id=chosen), serving)
    assert [text for text in named if text not in str(raised.value)] == []

"""Chalice's state: the list of what it has deployed, rebuilt from AWS.

Chalice keeps its state in `.chalice/deployed/<stage>.json` on the machine that deployed, and writes it only after a
successful deployment. Without it, Chalice would create a second REST API. So this module rebuilds it before each run.
It finds functions by their tag, which names app and stage, and rules by the names of these functions. The API is the
one whose methods invoke the stage's function. Chalice deletes a resource that is in its state but not in the app.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from infra.account import AwsAccount
from infra.cloudformation import shared_name
from infra.stage_settings import APP_NAME, StageError

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient

API_HANDLER = "api_handler"
"""Chalice's name of the HTTP function."""


def find_functions(account: AwsAccount, stage: str) -> dict[str, str]:
    """Return the ARNs of the stage's functions that exist, by their names in Chalice.

    Chalice names the HTTP function `<app>-<stage>`, and every other function `<app>-<stage>-<name>`. The name of
    another app's function may begin with the same text, so Chalice's tag, which names app and stage, is checked, too.
    """
    client, functions = account.client("lambda"), {}
    for page in client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            before, _, name = f"{function['FunctionName']}-".partition(f"{shared_name(stage)}-")
            arn = str(function["FunctionArn"])
            if not before and _has_tag(client.list_tags(Resource=arn).get("Tags", {}).get("aws-chalice", ""), stage):
                functions[name.rstrip("-") or API_HANDLER] = arn
    return functions


def _has_tag(tag: str, stage: str) -> bool:
    """Return whether Chalice's tag is the stage's, such as "version=1.34.0:stage=dev:app=douyin-redemption"."""
    return {f"stage={stage}", f"app={APP_NAME}"} <= {*tag.split(":")}


def find_rules(account: AwsAccount, stage: str, functions: dict[str, str]) -> list[str]:
    """Return the names of the EventBridge rules that start these functions of the stage, as Chalice names them."""
    names = {f"{arn.rpartition(':')[2]}-event" for arn in functions.values()}
    pages = account.client("events").get_paginator("list_rules").paginate(NamePrefix=f"{shared_name(stage)}-")
    return [rule["Name"] for page in pages for rule in page["Rules"] if rule["Name"] in names]


def find_rest_api(client: APIGatewayClient, stage: str) -> str | None:
    """Return the id of the REST API that invokes the stage's function, or None if there is none yet.

    Raises StageError if there are several. The message lists them, the oldest first.
    """
    apis = [
        api
        for page in client.get_paginator("get_rest_apis").paginate()
        for api in page["items"]
        if api["name"] == shared_name(stage) and _invokes(client, api["id"], shared_name(stage))
    ]
    if len(apis) > 1:
        apis.sort(key=lambda api: api["createdDate"])
        created = ", ".join(f"{api['id']} (created {api['createdDate']:%Y-%m-%d %H:%M})" for api in apis)
        raise StageError(
            f"this stage has {len(apis)} REST APIs: {created}. `chalice deploy` creates another one in a clone that "
            "did not deploy the stage before\nkeep the one that your customers use (aws apigateway "
            "get-base-path-mappings --domain-name <domain> names it), without a domain probably the oldest, and delete "
            "the rest: aws apigateway delete-rest-api --rest-api-id <id>"
        )
    return apis[0]["id"] if apis else None


def write_state(account: AwsAccount, project: Path, stage: str, functions: dict[str, str], api_id: str | None) -> None:
    """Write Chalice's state: the stage's functions, their rules, and the API with this id."""
    resources = list(_find_resources(account, stage, functions))
    if api_id is not None:
        resources.append({"name": "rest_api", "resource_type": "rest_api", "rest_api_id": api_id})
    path = _state_path(project, stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"resources": resources, "schema_version": "2.0", "backend": "api"}
    path.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")


def read_rest_api_id(project: Path, stage: str) -> str:
    """Return the id of the REST API that Chalice has just deployed from `project`."""
    state = json.loads(_state_path(project, stage).read_text(encoding="utf-8"))
    return str(next(r["rest_api_id"] for r in state["resources"] if r["resource_type"] == "rest_api"))


def remove_state(project: Path, stage: str) -> None:
    """Remove Chalice's state of the stage."""
    _state_path(project, stage).unlink(missing_ok=True)


def _state_path(project: Path, stage: str) -> Path:
    return project / ".chalice" / "deployed" / f"{stage}.json"


def _find_resources(account: AwsAccount, stage: str, functions: dict[str, str]) -> Iterator[dict[str, str]]:
    for name, arn in functions.items():
        yield {"name": name, "resource_type": "lambda_function", "lambda_arn": arn}
    for rule in find_rules(account, stage, functions):
        name = rule.removeprefix(f"{shared_name(stage)}-")
        yield {"name": name, "resource_type": "cloudwatch_event", "rule_name": rule}


def _invokes(client: APIGatewayClient, api_id: str, function_name: str) -> bool:
    pages = client.get_paginator("get_resources").paginate(restApiId=api_id, embed=["methods"])
    return any(
        f":function:{function_name}/" in method.get("methodIntegration", {}).get("uri", "")
        for page in pages
        for resource in page["items"]
        for method in resource.get("resourceMethods", {}).values()
    )

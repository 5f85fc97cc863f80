"""ministack, and the behavior of AWS that this project needs and ministack lacks.

ministack reads its settings from the environment when it is imported. Docstrings and comments here say what AWS does,
and ministack 1.5.33 does not. Only `_activate_at_once` is for speed.
"""

import functools
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import ministack.app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import apigateway_v1 as v1
from ministack.services import dynamodb, lambda_svc, secretsmanager
from ministack.services.cloudformation import provisioners

app = ministack.app.app

_REQUEST_SECONDS = 15.0
"""A request to a function ends within this time."""


def _replaces(module: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Return a decorator that replaces a function of a module. The new function gets the old one as first argument."""
    return lambda function: setattr(module, name, functools.partial(function, getattr(module, name)))


@_replaces(v1, "handle_request")
async def _route_imports(handle: Any, method: str, path: str, *request: Any) -> Any:
    """ImportRestApi creates an API from a document, and PutRestApi replaces the routes of one."""
    _, body, query = request
    parts = path.strip("/").split("/")
    if parts[0] == "restapis" and (method, len(parts)) == ("POST", 1) and "mode" in query:
        types = {"types": query.get("endpointConfigurationTypes", ["REGIONAL"])}
        api_id = v1._import_rest_api(json.loads(body), {"endpointConfiguration": types})
        return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), 201)
    if parts[0] == "restapis" and (method, len(parts)) == ("PUT", 2):
        return _put_rest_api(parts[1], json.loads(body))
    return await handle(method, path, *request)


def _put_rest_api(api_id: str, spec: dict[str, Any]) -> Any:
    if api_id in v1._rest_apis:
        # On AWS the deployed version stays active until the next deployment. Here the change is active at once.
        resources = v1._resources[api_id]
        root = next(resource for resource in resources.values() if resource["path"] == "/")
        resources.clear()
        resources[root["id"]] = {**root, "resourceMethods": {}}
        for path, item in spec.get("paths", {}).items():
            v1._import_path_item(api_id, path, item)
    return v1._get_rest_api(api_id)


@_replaces(lambda_svc, "_schedule_state_transition")
def _activate_at_once(_schedule: Any, name: str, _delay: float) -> None:
    """AWS keeps a function pending after each change, and Chalice then waits 5 s. Here it is active at once."""
    active = {"State": "Active", "LastUpdateStatus": "Successful"}
    reasons = ("StateReason", "StateReasonCode", "LastUpdateStatusReason", "LastUpdateStatusReasonCode")
    lambda_svc._functions[name]["config"].update({**active, **dict.fromkeys(reasons, "")})


@_replaces(lambda_runtime, "kill_workers")
def _let_requests_complete(kill: Any, workers: Any) -> None:
    """After a change of a function, its old instances complete their requests."""

    def kill_when_idle() -> None:
        deadline = time.monotonic() + _REQUEST_SECONDS
        while any(worker and worker.in_use for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        kill(workers)

    threading.Thread(target=kill_when_idle, daemon=True).start()


@_replaces(lambda_svc, "_get_function")
def _get_function_version(get: Any, name: str, qualifier: str | None = None) -> Any:
    """GetFunction of a version returns the URL of this version's code."""
    status, headers, body = get(name, qualifier)
    if qualifier in lambda_svc._functions.get(name, {}).get("versions", {}):
        body = body.replace(f"/{name}?X-Amz".encode(), f"/{name}:{qualifier}?X-Amz".encode())
    return status, headers, body


@_replaces(lambda_svc, "serve_function_code")
def _serve_code_of_version(serve: Any, name: str, account_id: str | None = None, region: str | None = None) -> Any:
    """The URL of a version's code returns this code."""
    name, _, qualifier = name.partition(":")
    if not qualifier:
        return serve(name, account_id, region)
    function = lambda_svc._functions.get_scoped(account_id, region, name)
    return 200, {"Content-Type": "application/zip"}, function["versions"][qualifier]["code_zip"]


@_replaces(secretsmanager, "_create_secret")
def _create_secret_without_version(create: Any, data: dict[str, Any]) -> Any:
    """A secret that is created without a value has no version."""
    response = create(data)
    _, secret = secretsmanager._resolve(data.get("Name"))
    if secret and not {"SecretString", "SecretBinary"} & data.keys():
        secret["Versions"].clear()
    return response


@_replaces(secretsmanager, "_put_secret_value")
def _move_labels(put: Any, data: dict[str, Any]) -> Any:
    """A label is on one version only; PutSecretValue moves a custom label to the new version."""
    response = put(data)
    _, secret = secretsmanager._resolve(data.get("SecretId"))
    if secret:
        newest = list(secret["Versions"])[-1]
        for label in secret["Versions"][newest]["Stages"]:
            secretsmanager._remove_stage_everywhere(secret, label, except_version_id=newest)
    return response


@_replaces(iam_actions, "dynamodb_service_context")
def _complete_condition_keys(read: Any, body: bytes) -> Any:
    """IAM knows the condition keys of UpdateItem: keys, attributes and ReturnValues."""
    context, request = read(body), json.loads(body or b"{}")
    keys = request.get("Key", {})
    context["dynamodb:LeadingKeys"] = [value for key in keys.values() for value in key.values()]
    context["dynamodb:ReturnValues"] = request.get("ReturnValues", "NONE")
    expressions = f"{request.get('UpdateExpression', '')} {request.get('ConditionExpression', '')}"
    if expressions.strip():
        names = {*re.findall(r"(?<![:\w#])#?[a-z]\w*(?!\w|\()", expressions)}
        attributes = {request.get("ExpressionAttributeNames", {}).get(name, name) for name in names}
        context["dynamodb:Attributes"] = [*keys, *attributes]
    return context


@_replaces(provisioners, "_cw_metric_alarm_record")
def _watch_first_metric(record: Any, name: str, properties: dict[str, Any]) -> Any:
    """CloudFormation creates alarms on metric math. Here such an alarm watches its first metric."""
    if "Metrics" not in properties:
        return record(name, properties)
    first = next(m["MetricStat"] for m in properties["Metrics"] if "MetricStat" in m)
    simple = {key: value for key, value in properties.items() if key != "Metrics"}
    return record(name, simple | {**first["Metric"], "Period": first["Period"], "Statistic": first["Stat"]})


_handlers = provisioners._RESOURCE_HANDLERS


def _on_created(resource_type: str, change: Callable[[str], None]) -> None:
    create = _handlers[resource_type]["create"]

    def create_and_change(*arguments: Any) -> Any:
        result = create(*arguments)
        change(result[0])
        return result

    _handlers[resource_type]["create"] = create_and_change


# CloudFormation sets a table's point-in-time recovery.
_on_created("AWS::DynamoDB::Table", lambda name: dynamodb._pitr_settings.update({name: True}))
# CloudFormation creates a secret without a version, as CreateSecret does.
_on_created("AWS::SecretsManager::Secret", lambda name: secretsmanager._secrets[name]["Versions"].clear())
# CloudFormation creates saved queries. Here they are accepted and have no effect.
_handlers["AWS::Logs::QueryDefinition"] = {
    "create": lambda logical_id, properties, stack: (f"{stack}-{logical_id}", {}),  # noqa: ARG005
    "update": lambda physical_id, old, new, stack: (physical_id, {}),  # noqa: ARG005
    "delete": lambda physical_id, properties: None,  # noqa: ARG005
}

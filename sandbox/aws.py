"""An emulated AWS in one process: `python -m sandbox.aws --port N` (ministack with additions).

What this project needs and ministack lacks is added here:

- ministack can import REST APIs, but does not route ImportRestApi (`POST /restapis?mode=import`) and PutRestApi
  (`PUT /restapis/{id}`) to its importer.
- CloudFormation does not know `AWS::Logs::QueryDefinition`: here the resource is accepted and has no effect.
- CloudFormation does not know `AWS::ApiGateway::DomainName`.
- CloudFormation cannot create alarms on metric math: here such an alarm watches its first metric.
- PutSecretValue leaves a custom label on several versions; on AWS a label is on one version only.
- CloudFormation ignores a table's point-in-time recovery setting.
- A secret without a value has a version.
- ListSubscriptionsByTopic: AWS shows `PendingConfirmation` instead of the ARN of a subscription that is not confirmed.
- FilterLogEvents does not know alternatives (`?ERROR ?"Task timed out"`).
- GetFunction of a version returns the URL of the present code; here, the URL of the version's code.
- IAM is enforced, except for callers with the key `test`. It checks CreateFunction and the calls of EventBridge against
  other ARNs than AWS does.
- A function is pending for half a second after each change, and Chalice then waits 5 s: here it is active at once.
- A change of a function kills its instances: here, as on AWS, each completes its request first.
"""

import argparse
import asyncio
import json
import os
import shlex
import threading
import time
from typing import Any

REGION = "us-east-1"
_REQUEST_SECONDS = 15.0
"""A request to a function ends within this time."""


def serve(port: int) -> None:
    """Serve until the process ends."""
    # ministack reads these variables when it is imported.
    os.environ |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "LAMBDA_STRICT": "0"}
    os.environ |= {"AUTH": "true", "MINISTACK_REGION": REGION, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}

    import ministack.app  # noqa: PLC0415
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    # The functions inherit this environment, and Powertools would take its log level from it.
    del os.environ["LOG_LEVEL"]
    _add_rest_api_import()
    _activate_functions_at_once()
    _let_requests_complete()
    _serve_code_of_versions()
    _extend_cloudformation()
    _extend_secrets_manager()
    _show_pending_subscriptions()
    _extend_log_filters()
    _complete_resource_arns()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.backlog = 1024
    config.keep_alive_timeout = 75
    config.loglevel = "ERROR"
    asyncio.run(hypercorn_serve(ministack.app.app, config))


def _add_rest_api_import() -> None:
    from ministack.services import apigateway_v1 as v1  # noqa: PLC0415

    original = v1.handle_request

    async def handle_request(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
        parts = path.strip("/").split("/")
        if parts[0] == "restapis" and (method, len(parts)) == ("POST", 1) and "mode" in query:
            types = _first(query.get("endpointConfigurationTypes")) or "REGIONAL"
            spec = json.loads(body)
            api_id = v1._import_rest_api(spec, {"endpointConfiguration": {"types": [types]}})
            return _rest_api_response(v1, api_id, spec, 201)
        if parts[0] == "restapis" and (method, len(parts)) == ("PUT", 2):
            return _put_rest_api(v1, parts[1], json.loads(body))
        return await original(method, path, headers, body, query)

    v1.handle_request = handle_request


def _activate_functions_at_once() -> None:
    from ministack.services import lambda_svc  # noqa: PLC0415

    def activate(name: str, _delay: float) -> None:
        active = {"State": "Active", "LastUpdateStatus": "Successful"}
        reasons = ("StateReason", "StateReasonCode", "LastUpdateStatusReason", "LastUpdateStatusReasonCode")
        lambda_svc._functions[name]["config"].update({**active, **dict.fromkeys(reasons, "")})

    lambda_svc._schedule_state_transition = activate


def _let_requests_complete() -> None:
    from ministack.core import lambda_runtime  # noqa: PLC0415

    kill = lambda_runtime.kill_workers

    def kill_when_idle(workers: Any) -> None:
        deadline = time.monotonic() + _REQUEST_SECONDS
        while any(worker and worker.in_use for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        kill(workers)

    def kill_in_thread(workers: Any) -> None:
        threading.Thread(target=kill_when_idle, args=(workers,), daemon=True).start()

    lambda_runtime.kill_workers = kill_in_thread


def _serve_code_of_versions() -> None:
    from ministack.services import lambda_svc  # noqa: PLC0415

    get_function, serve_code = lambda_svc._get_function, lambda_svc.serve_function_code

    def get_function_version(name: str, qualifier: str | None = None) -> Any:
        status, headers, body = get_function(name, qualifier)
        if qualifier in lambda_svc._functions.get(name, {}).get("versions", {}):
            body = body.replace(f"/{name}?X-Amz".encode(), f"/{name}:{qualifier}?X-Amz".encode())
        return status, headers, body

    def serve_code_of_version(name: str, account_id: str | None = None, region: str | None = None) -> Any:
        name, _, qualifier = name.partition(":")
        if not qualifier:
            return serve_code(name, account_id, region)
        function = lambda_svc._functions.get_scoped(account_id, region, name)
        return 200, {"Content-Type": "application/zip"}, function["versions"][qualifier]["code_zip"]

    lambda_svc._get_function, lambda_svc.serve_function_code = get_function_version, serve_code_of_version


def _put_rest_api(v1: Any, api_id: str, spec: dict[str, Any]) -> Any:
    if api_id not in v1._rest_apis:
        return v1._get_rest_api(api_id)
    # On AWS the deployed version stays active until the next deployment. Here the change is active at once.
    resources = v1._resources[api_id]
    root = next(resource for resource in resources.values() if resource["path"] == "/")
    resources.clear()
    resources[root["id"]] = {**root, "resourceMethods": {}}
    for path, item in spec.get("paths", {}).items():
        v1._import_path_item(api_id, path, item)
    return _rest_api_response(v1, api_id, spec, 200)


def _rest_api_response(v1: Any, api_id: str, spec: dict[str, Any], status: int) -> Any:
    size = spec.get("x-amazon-apigateway-minimum-compression-size")
    if size not in (None, ""):
        v1._rest_apis[api_id]["minimumCompressionSize"] = int(size)
    return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), status)


def _first(value: str | list[str] | None) -> str | None:
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _extend_cloudformation() -> None:
    from ministack.services import dynamodb, secretsmanager  # noqa: PLC0415
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415

    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (f"{stack}-{logical_id}", {}),  # noqa: ARG005
        "update": lambda physical_id, old, new, stack: (physical_id, {}),  # noqa: ARG005
        "delete": lambda physical_id, properties: None,  # noqa: ARG005
    }
    provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::DomainName"] = {
        "create": lambda logical_id, properties, stack: _create_domain(properties),  # noqa: ARG005
        "update": lambda physical_id, old, new, stack: _create_domain(new),  # noqa: ARG005
        "delete": lambda physical_id, properties: _delete_domain(physical_id),  # noqa: ARG005
    }
    table_handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    original_create = table_handlers["create"]

    def create_table(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        result = original_create(logical_id, properties, stack)
        recovery = properties.get("PointInTimeRecoverySpecification", {})
        dynamodb._pitr_settings[result[0]] = bool(recovery.get("PointInTimeRecoveryEnabled"))
        return result

    table_handlers["create"] = create_table
    secret_handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create_with_version = secret_handlers["create"]

    def create_secret(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        result = create_with_version(logical_id, properties, stack)
        secretsmanager._secrets[result[0]]["Versions"].clear()
        return result

    secret_handlers["create"] = create_secret
    original_record = provisioners._cw_metric_alarm_record

    def create_alarm_record(name: str, properties: dict[str, Any]) -> Any:
        if "Metrics" in properties:
            first = next(m["MetricStat"] for m in properties["Metrics"] if "MetricStat" in m)
            simple = {key: value for key, value in properties.items() if key != "Metrics"}
            simple |= {**first["Metric"], "Period": first["Period"], "Statistic": first["Stat"]}
            return original_record(name, simple)
        return original_record(name, properties)

    provisioners._cw_metric_alarm_record = create_alarm_record


def _create_domain(properties: dict[str, Any]) -> tuple[str, dict[str, str]]:
    from ministack.services import apigateway_v1 as v1  # noqa: PLC0415

    name = properties["DomainName"]
    v1._create_domain_name({"domainName": name, "regionalCertificateArn": properties["RegionalCertificateArn"]})
    return name, {"RegionalDomainName": f"d-{name}.execute-api.{REGION}.amazonaws.com"}


def _delete_domain(name: str) -> None:
    from ministack.services import apigateway_v1 as v1  # noqa: PLC0415

    v1._delete_domain_name(name)


def _extend_secrets_manager() -> None:
    from ministack.services import secretsmanager  # noqa: PLC0415

    original_create, original_put = secretsmanager._create_secret, secretsmanager._put_secret_value

    def create_secret(data: dict[str, Any]) -> Any:
        response = original_create(data)
        _, secret = secretsmanager._resolve(data.get("Name"))
        if secret and not {"SecretString", "SecretBinary"} & data.keys():
            secret["Versions"].clear()
        return response

    def put_secret_value(data: dict[str, Any]) -> Any:
        response = original_put(data)
        _, secret = secretsmanager._resolve(data.get("SecretId"))
        if secret:
            newest = list(secret["Versions"])[-1]
            for label in secret["Versions"][newest]["Stages"]:
                secretsmanager._remove_stage_everywhere(secret, label, except_version_id=newest)
        return response

    secretsmanager._create_secret, secretsmanager._put_secret_value = create_secret, put_secret_value


def _show_pending_subscriptions() -> None:
    from ministack.services import sns  # noqa: PLC0415

    original = sns._list_subscriptions_by_topic

    def list_subscriptions(params: dict[str, Any]) -> Any:
        status, headers, body = original(params)
        text = body.decode() if isinstance(body, bytes) else body
        topic, _ = sns._get_topic(sns._p(params, "TopicArn"), "sns:ListSubscriptionsByTopic")
        for subscription in topic["subscriptions"] if topic else []:
            if not subscription["confirmed"]:
                text = text.replace(f"<SubscriptionArn>{subscription['arn']}<", "<SubscriptionArn>PendingConfirmation<")
        return status, headers, text.encode()

    sns._list_subscriptions_by_topic = list_subscriptions


def _extend_log_filters() -> None:
    from ministack.services import cloudwatch_logs  # noqa: PLC0415

    original = cloudwatch_logs._compile_filter_pattern

    def compile_pattern(raw: str) -> Any:
        if not raw.startswith("?"):
            return original(raw)
        terms = [term.removeprefix("?") for term in shlex.split(raw)]
        return lambda message: any(term in message for term in terms)

    cloudwatch_logs._compile_filter_pattern = compile_pattern


def _complete_resource_arns() -> None:
    from ministack.core import iam_actions  # noqa: PLC0415

    original = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, method: str, *request: Any) -> str:
        *_, body, _query, region, account_id = request
        arn = str(original(service, method, *request))
        if service == "events":
            rule = json.loads(body).get("Rule")
            return f"arn:aws:events:{region}:{account_id}:rule/{rule}" if rule else arn.replace("/default/", "/")
        if (service, method, arn) == ("lambda", "POST", "*"):
            return f"arn:aws:lambda:{region}:{account_id}:function:{json.loads(body)['FunctionName']}"
        return arn

    iam_actions.extract_resource_arn = extract_resource_arn


def main() -> None:
    """Serve the emulated AWS on a port of 127.0.0.1."""
    parser = argparse.ArgumentParser(description="Emulated AWS of the sandbox.")
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()

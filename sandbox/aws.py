"""An emulated AWS in one process: `python -m sandbox.aws --port N` (ministack, with what it lacks for this project).

ministack has an importer for REST APIs but routes neither ImportRestApi (`POST /restapis?mode=import`) nor
PutRestApi (`PUT /restapis/{id}`) to it. This module starts it with both. It knows no saved queries of CloudWatch Logs
and no alarms on an expression either: here a template may have both, and nothing comes of the queries, while such an
alarm watches its first metric. Of a table it forgets expiry and recovery.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import Any

REGION = "us-east-1"


def serve(port: int) -> None:
    """Serve until the process is ended."""
    # Read by ministack when it is imported.
    os.environ |= {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "LAMBDA_STRICT": "0"}
    os.environ |= {"MINISTACK_REGION": REGION, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}

    import ministack.app  # noqa: PLC0415
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    # The functions inherit this environment, and Powertools would read its level from there.
    del os.environ["LOG_LEVEL"]
    _route_rest_api_imports()
    _complete_cloudformation()
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.backlog = 1024
    config.keep_alive_timeout = 75
    config.loglevel = "ERROR"
    asyncio.run(hypercorn_serve(ministack.app.app, config))


def _route_rest_api_imports() -> None:
    from ministack.services import apigateway_v1 as v1  # noqa: PLC0415

    handle = v1.handle_request

    async def handle_imports_too(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
        parts = path.strip("/").split("/")
        if parts[0] == "restapis" and (method, len(parts)) == ("POST", 1) and "mode" in query:
            types = _first(query.get("endpointConfigurationTypes")) or "REGIONAL"
            spec = json.loads(body)
            api_id = v1._import_rest_api(spec, {"endpointConfiguration": {"types": [types]}})
            return _described(v1, api_id, spec, 201)
        if parts[0] == "restapis" and (method, len(parts)) == ("PUT", 2):
            return _overwritten(v1, parts[1], json.loads(body))
        return await handle(method, path, headers, body, query)

    v1.handle_request = handle_imports_too


def _complete_cloudformation() -> None:
    from ministack.services import dynamodb  # noqa: PLC0415
    from ministack.services.cloudformation import provisioners  # noqa: PLC0415

    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (f"{stack}-{logical_id}", {}),  # noqa: ARG005
        "update": lambda physical_id, old, new, stack: (physical_id, {}),  # noqa: ARG005
        "delete": lambda physical_id, properties: None,  # noqa: ARG005
    }
    table = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    create = table["create"]

    def create_whole(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        made = create(logical_id, properties, stack)
        expiry = properties.get("TimeToLiveSpecification", {})
        if expiry.get("Enabled"):
            attribute = expiry["AttributeName"]
            dynamodb._ttl_settings[made[0]] = {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}
        recovery = properties.get("PointInTimeRecoverySpecification", {})
        dynamodb._pitr_settings[made[0]] = bool(recovery.get("PointInTimeRecoveryEnabled"))
        return made

    table["create"] = create_whole
    record = provisioners._cw_metric_alarm_record

    def record_expressions_too(name: str, properties: dict[str, Any]) -> Any:
        if "Metrics" in properties:
            first = next(m["MetricStat"] for m in properties["Metrics"] if "MetricStat" in m)
            plain = {key: value for key, value in properties.items() if key != "Metrics"}
            plain |= {**first["Metric"], "Period": first["Period"], "Statistic": first["Stat"]}
            return record(name, plain)
        return record(name, properties)

    provisioners._cw_metric_alarm_record = record_expressions_too


def _overwritten(v1: Any, api_id: str, spec: dict[str, Any]) -> Any:
    if api_id not in v1._rest_apis:
        return v1._get_rest_api(api_id)
    # What is deployed goes on serving until the next deployment, as on AWS; here both happen within a second.
    resources = v1._resources[api_id]
    root = next(resource for resource in resources.values() if resource["path"] == "/")
    resources.clear()
    resources[root["id"]] = {**root, "resourceMethods": {}}
    for path, item in spec.get("paths", {}).items():
        v1._import_path_item(api_id, path, item)
    return _described(v1, api_id, spec, 200)


def _described(v1: Any, api_id: str, spec: dict[str, Any], status: int) -> Any:
    size = spec.get("x-amazon-apigateway-minimum-compression-size")
    if size not in (None, ""):
        v1._rest_apis[api_id]["minimumCompressionSize"] = int(size)
    return v1._v1_response(v1._rest_api_view(v1._rest_apis[api_id]), status)


def _first(value: str | list[str] | None) -> str | None:
    return value[0] if isinstance(value, list) and value else None if isinstance(value, list) else value


def main() -> None:
    """Serve the emulator on a port of 127.0.0.1."""
    parser = argparse.ArgumentParser(description="An emulated AWS for the sandbox.")
    parser.add_argument("--port", type=int, required=True)
    serve(parser.parse_args().port)


if __name__ == "__main__":
    main()

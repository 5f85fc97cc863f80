"""Compare the deployed resources of a stage with its settings and the template. Nothing is changed.

`make deploy` and `redeemctl doctor` report all differences. The smoke test reports those of functions and schedule.
A deployment corrects the differences that have no advice.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from infra.account import Account
from infra.api_gateway import access_log_settings, limits_by_path, list_mappings
from infra.chalice_config import API_STAGE
from infra.chalice_state import function_names, rule_name
from infra.cloudformation import access_log_group, none_if_not_found, read_template, stack_name
from infra.stage_settings import StageSettings
from infra.versions import code_hash

SCHEDULE = "rate(10 minutes)"


class Difference(NamedTuple):
    """How a resource differs: `text` never contains the value of a variable. `advice`: what to do, if not to deploy."""

    resource: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.resource}: {self.text}"


def repair_advice(stage: str) -> str:
    """Return the advice to restore what the stack has lost."""
    return f"run make deploy STAGE={stage} REPAIR=1, as an administrator"


@dataclass(frozen=True)
class Target:
    """A stage as it should be: its settings, and `.chalice` of `project`, which is generated from them.

    `api_id` is the stage's REST API, or None. `archive` is the bundle that the functions should have, None for any.
    `overrides` are variables that the functions have besides the configured ones.
    """

    account: Account
    project: Path
    stage: str
    settings: StageSettings
    api_id: str | None = None
    archive: Path | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)


def compare_stage(target: Target, *, has_stack: bool) -> list[Difference]:
    """Return every difference. Before the stack exists, nothing of it can be missing."""
    comparisons = [compare for kind, compare in COMPARISONS.items() if has_stack or kind not in ("table", "stack")]
    return [difference for compare in comparisons for difference in compare(target)]


def expected_functions(target: Target) -> dict[str, dict[str, Any]]:
    """Return how each function must be configured, by its name: values by AWS's names, as dotted paths."""
    config = json.loads((target.project / ".chalice" / "config.json").read_text(encoding="utf-8"))
    stage = config["stages"][target.stage]
    expected = {}
    for name, function_name in function_names(target.stage).items():
        own = stage["lambda_functions"].get(name, {})
        expected[function_name] = {
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Architectures": [stage["lambda_architecture"]],
            "Handler": f"app.{'app' if name == 'api_handler' else name}",
            "MemorySize": stage["lambda_memory_size"],
            "Timeout": own.get("lambda_timeout", config["lambda_timeout"]),
            "Environment.Variables": {**stage["environment_variables"], **target.overrides},
            "TracingConfig.Mode": "Active" if stage["xray"] else "PassThrough",
            "Concurrency.ReservedConcurrentExecutions": own.get("reserved_concurrency"),
            "VpcConfig.SubnetIds": sorted(stage.get("subnet_ids", ())),
            "VpcConfig.SecurityGroupIds": sorted(stage.get("security_group_ids", ())),
        }
        if target.archive is not None:
            expected[function_name]["CodeSha256"] = code_hash(target.archive.read_bytes())
        if target.settings.python is not None:
            expected[function_name]["Runtime"] = f"python{target.settings.python}"
    return expected


def compare_function(name: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare the response of GetFunction with the expected values, by AWS's names as dotted paths."""
    root = {**found["Configuration"], "Concurrency": found.get("Concurrency")}
    actual: dict[str, Any] = {}
    for path in expected:
        value: Any = root
        for key in path.split("."):
            value = (value or {}).get(key)
        # AWS keeps no order in its lists.
        actual[path] = sorted(value) if isinstance(value, list) else value
    yield from compare_values(f"function {name}", actual, expected)


def compare_functions(account: Account, functions: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    """Compare functions with the expected values of their configuration, by the function's name."""
    client = account.client("lambda")
    for name, expected in functions.items():
        found = none_if_not_found(client.get_function, FunctionName=name)
        if found is None:
            yield Difference(f"function {name}", "missing")
        else:
            yield from compare_function(name, found, expected)


def compare_roles(target: Target) -> Iterator[Difference]:
    """Compare the policies of the functions' roles with the files in `.chalice`."""
    client = target.account.client("iam")
    for name, suffix in (("api_handler", ""), ("refresh_tokens", "-refresh")):
        role, file = f"{stack_name(target.stage)}-{name}", f"policy-{target.stage}{suffix}.json"
        resource = f"role {role}"
        wanted = json.loads((target.project / ".chalice" / file).read_text(encoding="utf-8"))
        found = none_if_not_found(client.list_role_policies, RoleName=role)
        if found is None:
            yield Difference(resource, "missing")
            continue
        # Chalice names the policy after the role.
        attached = client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        names = [*found["PolicyNames"], *(policy["PolicyName"] for policy in attached)]
        if others := ", ".join(sorted({*names} - {role})):
            yield Difference(resource, f"it has other policies, too: {others}", repair_advice(target.stage))
        if role not in names or client.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"] != wanted:
            yield Difference(resource, f"the policy differs from .chalice/{file}")


def compare_schedule(account: Account, stage: str) -> Iterator[Difference]:
    """Compare the rule that starts `refresh_tokens`, and its permission."""
    events = account.client("events")
    rule, function = rule_name(stage), function_names(stage)["refresh_tokens"]
    resource = f"schedule {rule}"
    found = none_if_not_found(events.describe_rule, Name=rule)
    if found is None:
        yield Difference(resource, "missing")
        return
    arns = [target["Arn"] for target in events.list_targets_by_rule(Rule=rule)["Targets"]]
    actual = {
        "state": found.get("State"),
        "expression": found.get("ScheduleExpression"),
        "targets": [arn.partition(":function:")[2] for arn in arns],
    }
    yield from compare_values(resource, actual, {"state": "ENABLED", "expression": SCHEDULE, "targets": [function]})
    if not _may_invoke(account, function, "events", rule):
        yield Difference(resource, "EventBridge may not invoke the function")


def compare_api(target: Target) -> Iterator[Difference]:
    """Compare limits, access log and default endpoint of the API, and its permission to invoke the function."""
    client = target.account.client("apigateway")
    resource = f"api {target.api_id}"
    if target.api_id is None:
        yield Difference("api", "missing")
        return
    stage = none_if_not_found(client.get_stage, restApiId=target.api_id, stageName=API_STAGE)
    if stage is None:
        yield Difference(resource, f"no stage {API_STAGE}")
        return
    methods = {
        # API Gateway returns the path of a method as a JSON pointer, with or without a slash in front.
        path.replace("~1", "/").lstrip("/"): method
        for path, method in stage.get("methodSettings", {}).items()
    }
    for path, limit in limits_by_path(target.settings.limits).items():
        found = methods.get(path.lstrip("/"), {})
        name, actual = f"limit of {path}", (found.get("throttlingRateLimit"), found.get("throttlingBurstLimit"))
        yield from compare_values(resource, {name: actual}, {name: (limit.rate, limit.burst)})
    if stage.get("accessLogSettings", {}) != access_log_settings(target.account, target.stage):
        yield Difference(resource, "the access log has another group or format")
    if not _may_invoke(target.account, function_names(target.stage)["api_handler"], "apigateway", f":{target.api_id}/"):
        yield Difference(resource, "API Gateway may not invoke the function")
    domain = target.settings.domain
    api = client.get_rest_api(restApiId=target.api_id)
    disabled = domain is not None and not domain.default_endpoint
    if api.get("disableExecuteApiEndpoint", False) != disabled:
        yield Difference(resource, f"the default endpoint is {'enabled' if disabled else 'disabled'}")


def compare_domain(target: Target) -> Iterator[Difference]:
    """Compare the custom domain with the settings, if they have one."""
    domain, client = target.settings.domain, target.account.client("apigateway")
    if domain is None:
        return
    resource = f"domain {domain.name}"
    found = none_if_not_found(client.get_domain_name, domainName=domain.name)
    if found is None:
        yield Difference(resource, "missing", repair_advice(target.stage))
        return
    expected = {"domainNameStatus": "AVAILABLE", "regionalCertificateArn": domain.certificate_arn}
    yield from compare_values(resource, {"domainNameStatus": "AVAILABLE", **found}, expected)
    if target.api_id not in {mapping.get("restApiId") for mapping in list_mappings(client, domain.name)}:
        yield Difference(resource, f"not mapped to the API {target.api_id}")


def compare_table(target: Target) -> Iterator[Difference]:
    """Compare the key and the protections of the table with the template; `check_vital` has found it."""
    client, name = target.account.client("dynamodb"), stack_name(target.stage)
    resource, table = f"table {name}", client.describe_table(TableName=name)["Table"]
    if [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] != [("pk", "HASH")]:
        yield Difference(resource, "the partition key is not pk: this is another table", "check account and region")
        return
    if table["TableStatus"] not in ("ACTIVE", "UPDATING"):
        yield Difference(resource, f"it is in {table['TableStatus']}", "wait, then run the command again")
        return
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    protections = {
        "point-in-time recovery": recovery == "ENABLED",
        "deletion protection": table.get("DeletionProtectionEnabled", False),
    }
    if disabled := ", ".join(name for name, is_enabled in protections.items() if not is_enabled):
        advice = 'as an administrator, switch it on: docs/operate.md, "A lost table, secret or role"'
        yield Difference(resource, f"not enabled: {disabled}", advice)


def compare_stack(target: Target) -> Iterator[Difference]:
    """Report alarms, policies, log groups, topics and metric filters that the template has and the account does not.

    `cloudformation.check_vital` covers secret and roles, `compare_table` and `compare_domain` what they name. Nothing
    depends on dashboard and saved queries.
    """
    account, stage = target.account, target.stage
    logs = account.client("logs")
    arn = f"arn:{account.partition}:{{}}:{account.id}:{{}}"
    alarms = account.client("cloudwatch").get_paginator("describe_alarms")
    groups = logs.get_paginator("describe_log_groups")
    found = alarms.paginate(AlarmNamePrefix=f"{stack_name(stage)}-").build_full_result()
    names = {alarm["AlarmName"] for alarm in found.get("MetricAlarms", ())}
    for service in ("lambda", "apigateway"):
        found = groups.paginate(logGroupNamePrefix=f"/aws/{service}/{stack_name(stage)}").build_full_result()
        names |= {group["logGroupName"] for group in found.get("logGroups", ())}
    found = none_if_not_found(logs.describe_metric_filters, logGroupName=access_log_group(stage)) or {}
    names |= {metric_filter["filterName"] for metric_filter in found.get("metricFilters", ())}

    def find_policy(name: str) -> Any:
        return none_if_not_found(account.client("iam").get_policy, PolicyArn=arn.format("iam:", f"policy/{name}"))

    def find_topic(name: str) -> Any:
        topics, topic = account.client("sns"), arn.format(f"sns:{account.region}", name)
        return none_if_not_found(topics.get_topic_attributes, TopicArn=topic)

    lookups: dict[str, tuple[str, str, Callable[[str], Any]]] = {
        "AWS::CloudWatch::Alarm": ("alarm", "AlarmName", names.__contains__),
        "AWS::IAM::ManagedPolicy": ("policy", "ManagedPolicyName", find_policy),
        "AWS::Logs::LogGroup": ("log group", "LogGroupName", names.__contains__),
        "AWS::Logs::MetricFilter": ("metric filter", "FilterName", names.__contains__),
        "AWS::SNS::Topic": ("topic", "TopicName", find_topic),
    }
    conditions = {"HasOpeningHours": target.settings.opening_hours_utc, "HasDomain": target.settings.domain}
    absent = [name for name, setting in conditions.items() if setting is None]
    for resource in read_template()["Resources"].values():
        if resource["Type"] in lookups and resource.get("Condition") not in absent:
            kind, key, find = lookups[resource["Type"]]
            name = resource["Properties"][key]["Fn::Sub"].replace("${Stage}", stage)
            if not find(name):
                yield Difference(f"{kind} {name}", "missing", repair_advice(stage))


COMPARISONS: dict[str, Callable[[Target], Iterator[Difference]]] = {
    "functions": lambda target: compare_functions(target.account, expected_functions(target)),
    "roles": compare_roles,
    "rule": lambda target: compare_schedule(target.account, target.stage),
    "API": compare_api,
    "domain": compare_domain,
    "table": compare_table,
    "stack": compare_stack,
}


def compare_values(resource: str, actual: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare the values that are expected of a resource, by name. Of variables, only the names are shown.

    AWS leaves out what is empty, so a missing value is an empty one.
    """
    for name, value in expected.items():
        found = actual.get(name)
        if name == "Environment.Variables":
            if differing := sorted(dict((found or {}).items() ^ value.items())):
                yield Difference(resource, f"variables differ: {', '.join(differing)}")
        elif (found or None) != (value or None):
            yield Difference(resource, f"{name} is {found}, expected {value}")


def _may_invoke(account: Account, function: str, service: str, source: str) -> bool:
    """Return whether the function's policy lets a service invoke it for `source`, a part of an ARN."""
    policy = none_if_not_found(account.client("lambda").get_policy, FunctionName=function)
    return any(
        statement.get("Effect") == "Allow"
        and str(statement.get("Principal", {}).get("Service")).startswith(f"{service}.amazonaws.com")
        and source in json.dumps(statement.get("Condition", {"any": source}))
        for statement in (json.loads(policy["Policy"]) if policy else {}).get("Statement", [])
    )

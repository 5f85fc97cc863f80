"""The IAM policies of the functions, and the AWS calls that the app made, which they must allow."""

from __future__ import annotations

import fnmatch
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.bundle import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("dev", "prod", "cn")
FUNCTIONS = {"api_handler": "", "refresh_tokens": "-refresh"}
"""Function name to the suffix of its policy files."""


class AwsCall(NamedTuple):
    """An AWS call of the app: from which function, which action (as IAM names it), on which item."""

    function: str
    action: str
    key: str


current_function = "api_handler"
"""The function that runs now; `harness.run_refresh_tokens` changes it."""

aws_calls: list[AwsCall] = []
"""Every AWS call that the app made in this process so far."""

refused_calls: list[AwsCall] = []
"""Those of the present test that no policy statement allows. The fixture `observed_clients` fails the test."""


def read_statements(stage: str, function: str) -> list[dict[str, Any]]:
    """Return the statements of a function's policy file."""
    path = ROOT / ".chalice" / f"policy-{stage}{FUNCTIONS[function]}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))["Statement"])


def leading_keys(statement: dict[str, Any]) -> list[str]:
    """Return the key patterns that a statement is limited to."""
    keys: dict[str, list[str]] = statement.get("Condition", {}).get("ForAllValues:StringLike", {})
    return keys.get("dynamodb:LeadingKeys", [])


def is_allowed(statement: dict[str, Any], call: AwsCall) -> bool:
    """Return whether a statement allows a call."""
    patterns = leading_keys(statement) or ["*"]
    return call.action in statement["Action"] and any(fnmatch.fnmatchcase(call.key, key) for key in patterns)


def observe(create_clients: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Return a factory of the same clients that records every call, and separately the ones that IAM would refuse."""
    statements = {name: read_statements("prod", name) for name in FUNCTIONS}

    def create(*arguments: Any) -> tuple[Any, ...]:
        clients = create_clients(*arguments)
        for client in clients:
            client.meta.events.register("before-parameter-build", record)
        return clients

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        function = current_function
        key = params.get("Key", {}).get("pk", {}).get("S", "")
        call = AwsCall(function, f"{model.service_model.signing_name}:{model.name}", key)
        aws_calls.append(call)
        if not any(is_allowed(statement, call) for statement in statements[function]):
            refused_calls.append(call)

    return create

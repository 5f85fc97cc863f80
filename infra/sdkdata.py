"""What botocore has to know for the calls that the service makes, and nothing else, in the form of its own data folder.

botocore reads the models of a service whole, lists four hundred services to find one, and reads the endpoints of them
all. With this folder in their place its clients are made in a third of the time; the clients themselves are the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader

if TYPE_CHECKING:
    from pathlib import Path

OPERATIONS = {"dynamodb": ("GetItem", "UpdateItem"), "secretsmanager": ("GetSecretValue",)}

_WHOLE = ("partitions", "_retry", "sdk-default-configuration")


def write_sdk_data(folder: Path) -> None:
    """Write the data of the botocore that is installed here, cut down to OPERATIONS."""
    loader = Loader()
    for name in _WHOLE:
        _write(folder / f"{name}.json", loader.load_data(name))
    _write(folder / "endpoints.json", _endpoints(loader.load_data("endpoints")))
    for service, operations in OPERATIONS.items():
        version = loader.determine_latest_version(service, "service-2")
        model = loader.load_service_model(service, "service-2", version)
        _write(folder / service / version / "service-2.json", cut_model(model, operations))
        rules = loader.load_service_model(service, "endpoint-rule-set-1", version)
        _write(folder / service / version / "endpoint-rule-set-1.json", rules)


def cut_model(model: dict[str, Any], operations: tuple[str, ...]) -> dict[str, Any]:
    """A service's model with these operations, the shapes they need, and no documentation."""
    kept = {name: model["operations"][name] for name in operations}
    shapes: dict[str, Any] = {}
    waiting = [name for operation in kept.values() for name in _shapes_of(operation)]
    while waiting:
        name = waiting.pop()
        if name not in shapes:
            shapes[name] = model["shapes"][name]
            waiting += _shapes_of(shapes[name])
    parts = {**model, "operations": kept, "shapes": {name: shapes[name] for name in sorted(shapes)}}
    cut: dict[str, Any] = _undocumented(parts)
    return cut


def _shapes_of(value: Any) -> list[str]:
    """Every shape that a part of a model refers to."""
    if isinstance(value, list):
        return [name for part in value for name in _shapes_of(part)]
    if not isinstance(value, dict):
        return []
    own = [value["shape"]] if isinstance(value.get("shape"), str) else []
    return own + [name for part in value.values() for name in _shapes_of(part)]


def _undocumented(value: Any) -> Any:
    if isinstance(value, dict):
        # A shape's member may be called "documentation"; the text of that name is a string.
        return {
            name: _undocumented(part)
            for name, part in value.items()
            if not (name == "documentation" and isinstance(part, str))
        }
    return [_undocumented(part) for part in value] if isinstance(value, list) else value


def _endpoints(endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        **endpoints,
        "partitions": [
            {**partition, "services": {name: partition["services"].get(name, {}) for name in OPERATIONS}}
            for partition in endpoints["partitions"]
        ],
    }


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")

"""Fill the tables of docs/api.md from docs/openapi.yaml: `python -m docs.tools.api_tables`.

A table stands between the comments `<!-- generated:NAME -->` and `<!-- /generated -->`.
"""

import itertools
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent.parent
DOCUMENT = DOCS / "openapi.yaml"
PAGE = DOCS / "api.md"

_FIELDS = ("field", "type", "required", "description")
_PARAMETERS = ("parameter", "type", "description")
_CODES = ("code", "status", "retryable", "when", "`detail`")
_DESCRIBED = {"#/components/schemas/Certificate", "#/components/schemas/InputError"}
"""Elements of lists that have a table of their own, or are described with the list."""
_MARKERS = re.compile(r"(<!-- generated:([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


class DocumentError(Exception):
    """The document or a page lacks something. The message names it."""


def build_tables(document: Mapping[str, Any]) -> dict[str, str]:
    """Return every table as Markdown, by name. Raises DocumentError."""
    paths, schemas = document["paths"], document["components"]["schemas"]
    certificates = paths["/v1/merchants/{account_id}/stores/{poi_id}/certificates"]["get"]
    objects = {"list": schemas["List"], "certificate": schemas["Certificate"], "problem": schemas["Problem"]}
    tables = {name: _format_table(_FIELDS, field_rows(document, schema)) for name, schema in objects.items()}
    tables["parameters"] = _format_table(_PARAMETERS, _parameter_rows(document, certificates["parameters"]))
    tables["codes"] = _format_table(_CODES, _code_rows(schemas["Problem"]["properties"]["code"]))
    return tables


def fill_page(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with its tables replaced. Raises DocumentError unless it has a place for each table."""
    names = [name for _, name, _ in _MARKERS.findall(page)]
    if sorted(names) != sorted(tables):
        raise DocumentError(f"tables in the page: {sorted(names)}; in openapi.yaml: {sorted(tables)}")
    return _MARKERS.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", page)


def field_rows(document: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield a row for each property; `object.property` and `list[].property` follow their object or list."""
    for name, given in schema["properties"].items():
        field = _resolve(document, given)
        is_required = name in schema.get("required", ())
        yield (
            f"`{prefix}{name}`",
            _format_type(document, field),
            "yes" if is_required else "",
            _describe(field, f"{prefix}{name}"),
        )
        is_list = field.get("type") == "array"
        inner = _resolve(document, field["items"]) if is_list else field
        if "properties" in inner and not (is_list and field["items"].get("$ref") in _DESCRIBED):
            yield from field_rows(document, inner, f"{prefix}{name}{'[]' if is_list else ''}.")


def _parameter_rows(document: Mapping[str, Any], parameters: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each query parameter. All are optional."""
    for parameter in parameters:
        if parameter["in"] == "query":
            yield (
                f"`{parameter['name']}`",
                _format_type(document, _resolve(document, parameter["schema"])),
                _describe(parameter, parameter["name"]),
            )


def _code_rows(schema: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    codes = schema["x-codes"]
    if list(codes) != schema["enum"]:
        raise DocumentError("openapi.yaml: x-codes and enum of Problem.code differ")
    for code, facts in codes.items():
        retry = "yes" if facts["retry"] else ""
        if "retry_after" in facts:
            retry = f"yes, `Retry-After` ≥ {facts['retry_after']}"
        yield f"`{code}`", str(facts["status"]), retry, _describe(facts, code), facts["detail"]


def _resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with its reference replaced by the target. What stands beside the reference has precedence."""
    if "$ref" not in schema:
        return dict(schema)
    target: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _format_type(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{str(schema['const']).lower()}`"
    if "type" not in schema:
        return "string"
    if schema["type"] != "array":
        return str(schema["type"])
    return f"array of {_format_type(document, _resolve(document, schema['items']))}"


def _describe(schema: Mapping[str, Any], name: str) -> str:
    if "description" not in schema:
        raise DocumentError(f"openapi.yaml: {name} has no description")
    return str(schema["description"])


def _format_table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Format a table. Neighbouring rows that differ only in the name become one row."""
    groups = itertools.groupby(rows, key=lambda cells: cells[1:])
    merged = ((", ".join(cells[0] for cells in same), *others) for others, same in groups)
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (headings, *merged)]
    return "\n".join([lines[0], f"|{'---|' * len(headings)}", *lines[1:]])


def main() -> None:
    """Write the page."""
    try:
        tables = build_tables(yaml.safe_load(DOCUMENT.read_text(encoding="utf-8")))
        PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    except DocumentError as error:
        sys.exit(f"docs/{PAGE.name}: {error}")
    print(f"written: docs/{PAGE.name}")


if __name__ == "__main__":
    main()

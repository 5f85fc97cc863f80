"""Fill the tables of docs/api.md and docs/api.zh-CN.md from docs/openapi.yaml: `python -m docs.tools.api_tables`.

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
PAGES = {"en": DOCS / "api.md", "zh": DOCS / "api.zh-CN.md"}

_DESCRIPTION = {"en": "description", "zh": "x-description-zh"}
_HEADINGS = {
    "en": {
        "fields": ("field", "type", "required", "description"),
        "parameters": ("parameter", "type", "description"),
        "codes": ("code", "status", "retryable", "when"),
    },
    "zh": {
        "fields": ("字段", "类型", "必有", "说明"),
        "parameters": ("参数", "类型", "说明"),
        "codes": ("code", "状态码", "可重试", "触发条件"),
    },
}
_YES = {"en": "yes", "zh": "是"}
_RETRY_AFTER = {"en": "yes, `Retry-After` ≥ {seconds}", "zh": "是，`Retry-After` ≥ {seconds}"}
_ARRAY = {"en": "array of {items}", "zh": "{items} 数组"}
_DESCRIBED = {"#/components/schemas/Certificate", "#/components/schemas/InputError"}
"""Elements of lists that have a table of their own, or are described with the list."""
_MARKERS = re.compile(r"(<!-- generated:([\w-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


class DocumentError(Exception):
    """The document or a page lacks something. The message names it."""


def build_tables(document: Mapping[str, Any], language: str) -> dict[str, str]:
    """Return every table as Markdown, by name. `language` is `en` or `zh`. Raises DocumentError."""
    paths, schemas = document["paths"], document["components"]["schemas"]
    certificates = paths["/v1/merchants/{account_id}/stores/{poi_id}/certificates"]["get"]
    objects = {"list": schemas["List"], "certificate": schemas["Certificate"], "problem": schemas["Problem"]}
    headings = _HEADINGS[language]
    tables = {
        name: _format_table(headings["fields"], _field_rows(document, schema, language))
        for name, schema in objects.items()
    }
    parameters = _parameter_rows(document, certificates["parameters"], language)
    tables["parameters"] = _format_table(headings["parameters"], parameters)
    tables["codes"] = _format_table(headings["codes"], _code_rows(schemas["Problem"]["properties"]["code"], language))
    return tables


def fill_page(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with its tables replaced. Raises DocumentError unless it has a place for each table."""
    names = [name for _, name, _ in _MARKERS.findall(page)]
    if sorted(names) != sorted(tables):
        raise DocumentError(f"tables in the page: {sorted(names)}; in openapi.yaml: {sorted(tables)}")
    return _MARKERS.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", page)


def _field_rows(
    document: Mapping[str, Any], schema: Mapping[str, Any], language: str, prefix: str = ""
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each property; `object.property` and `list[].property` follow their object or list."""
    for name, given in schema["properties"].items():
        field = _resolve(document, given)
        is_required = name in schema.get("required", ())
        yield (
            f"`{prefix}{name}`",
            _format_type(document, field, language),
            _YES[language] if is_required else "",
            _describe(field, f"{prefix}{name}", language),
        )
        is_list = field.get("type") == "array"
        inner = _resolve(document, field["items"]) if is_list else field
        if "properties" in inner and not (is_list and field["items"].get("$ref") in _DESCRIBED):
            yield from _field_rows(document, inner, language, f"{prefix}{name}{'[]' if is_list else ''}.")


def _parameter_rows(
    document: Mapping[str, Any], parameters: list[dict[str, Any]], language: str
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each query parameter. All are optional."""
    for parameter in parameters:
        if parameter["in"] == "query":
            yield (
                f"`{parameter['name']}`",
                _format_type(document, _resolve(document, parameter["schema"]), language),
                _describe(parameter, parameter["name"], language),
            )


def _code_rows(schema: Mapping[str, Any], language: str) -> Iterator[tuple[str, ...]]:
    codes = schema["x-codes"]
    if list(codes) != schema["enum"]:
        raise DocumentError("openapi.yaml: x-codes and enum of Problem.code differ")
    for code, facts in codes.items():
        retry = _YES[language] if facts["retry"] else ""
        if "retry_after" in facts:
            retry = _RETRY_AFTER[language].format(seconds=facts["retry_after"])
        yield f"`{code}`", str(facts["status"]), retry, _describe(facts, code, language)


def _resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with its reference replaced by the target. What stands beside the reference has precedence."""
    if "$ref" not in schema:
        return dict(schema)
    target: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _format_type(document: Mapping[str, Any], schema: Mapping[str, Any], language: str) -> str:
    if "const" in schema:
        return f"`{str(schema['const']).lower()}`"
    if "type" not in schema:
        return "string"
    if schema["type"] != "array":
        return str(schema["type"])
    text = _ARRAY[language].format(items=_format_type(document, _resolve(document, schema["items"]), language))
    return text.replace("数组 数组", "二维数组")


def _describe(schema: Mapping[str, Any], name: str, language: str) -> str:
    key = _DESCRIPTION[language]
    if key not in schema:
        raise DocumentError(f"openapi.yaml: {name} has no {key}")
    return str(schema[key])


def _format_table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Format a table. Neighbouring rows that differ only in the name become one row."""
    groups = itertools.groupby(rows, key=lambda cells: cells[1:])
    merged = ((", ".join(cells[0] for cells in same), *others) for others, same in groups)
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (headings, *merged)]
    return "\n".join([lines[0], f"|{'---|' * len(headings)}", *lines[1:]])


def main() -> None:
    """Write the pages."""
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    for language, path in PAGES.items():
        try:
            tables = build_tables(document, language)
            path.write_text(fill_page(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
        except DocumentError as error:
            sys.exit(f"docs/{path.name}: {error}")
        print(f"written: docs/{path.name}")


if __name__ == "__main__":
    main()

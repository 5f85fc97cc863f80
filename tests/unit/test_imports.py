"""Imports run one way, and each outside library is imported in one place."""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "chalicelib"

# From the bottom up: a module may import modules of the lines above its own line, and no others of ours.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("commit", "errors", "redaction"),
    ("cache", "record", "settings"),
    ("context",),
    ("retry", "timeouts", "credentials", "douyin.codes", "douyin.models"),
    ("douyin.lenient",),
    ("aws", "douyin.connections", "douyin.protocol", "sessions"),
    ("douyin.pages", "douyin.transport", "merchants", "tokens.lease"),
    ("douyin.client",),
    ("tokens.provider",),
    ("tokens.renewal",),
    ("certificates.cursors", "certificates.views"),
    ("certificates.fetching",),
    ("certificates.paging",),
    ("certificates.listing",),
    ("api.problems", "api.validation"),
    ("api.login", "api.telemetry"),
    ("api.application",),
)

# A library that is not listed may not be imported.
LIBRARIES: dict[str, set[str]] = {
    "aws_lambda_powertools": {"api.telemetry"},
    "botocore": {"aws"},
    "certifi": {"douyin.transport"},
    "chalice": {"app", "api.application"},
    "itsdangerous": {"certificates.cursors", "sessions"},
    "mypy_boto3_dynamodb": {"aws"},
    "mypy_boto3_secretsmanager": {"aws"},
    "requests": {"app", "douyin.connections", "douyin.transport"},
    "urllib3": {"douyin.connections", "douyin.transport"},
}
ANYWHERE = {"msgspec", "chalicelib", *sys.stdlib_module_names}


FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
"""Each file by its dotted name below `chalicelib`, and `app`."""
FILES["app"] = ROOT / "app.py"
MODULES = {name for name in FILES if name != "app" and name.rpartition(".")[2] != "__init__"}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imported_names(name: str) -> set[str]:
    """Return every module that a module imports, and every name that it imports from one, with its module."""
    found: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(name: str) -> set[str]:
    """Return the modules below `chalicelib` that a module imports."""
    names = [f"{imported}." for imported in imported_names(name)]
    return {module for module in MODULES if any(imported.startswith(f"chalicelib.{module}.") for imported in names)}


def test_every_module_has_one_layer_and_imports_only_lower_ones() -> None:
    assert sorted(name for layer in LAYERS for name in layer) == sorted(MODULES)
    below: set[str] = set()
    wrong: dict[str, set[str]] = {}
    for layer in LAYERS:
        wrong |= {name: own_imports(name) - below for name in layer if not own_imports(name) <= below}
        below |= set(layer)
    assert wrong == {}


def test_packages_import_nothing() -> None:
    assert [name for name in FILES.keys() - MODULES - {"app"} if imported_names(name)] == []


def test_each_outside_library_is_imported_in_its_modules_and_in_no_others() -> None:
    used: dict[str, set[str]] = {}
    for name in FILES:
        for library in {imported.partition(".")[0] for imported in imported_names(name)} - ANYWHERE:
            used.setdefault(library, set()).add(name)
    assert used == LIBRARIES


def test_the_environment_is_only_passed_to_settings() -> None:
    """`os.environ` is an argument of functions of `settings`, which alone look up variables."""
    users = set()
    for name, tree in TREES.items():
        code = ast.unparse(tree)
        passed = re.findall(r"\b(?:from_env|is_lambda|is_traced)\(os\.environ\)", code)
        assert len(passed) == len(re.findall(r"\benvironb?\b|\bgetenvb?\b", code)), name
        users |= {name} if passed else set()
    assert users == {"app", "api.telemetry"}

"""Imports run one way, and each outside library is imported in one place."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "chalicelib"

# From the bottom up: a module may import modules of the lines above its own line, and no others of ours.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("commit", "errors", "redaction"),
    ("cache", "context", "settings"),
    ("retry", "timeouts", "credentials", "douyin.codes", "douyin.models"),
    ("douyin.lenient",),
    ("aws", "douyin.connections", "douyin.protocol", "sessions"),
    ("douyin.pages", "douyin.transport", "merchants", "tokens.lease"),
    ("douyin.client",),
    ("tokens.provider",),
    ("tokens.renewal",),
    ("certificates.cursors", "certificates.views"),
    ("certificates.fetching", "certificates.paging"),
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

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def module_name(path: Path) -> str:
    """Return the dotted name below `chalicelib`, or "app"."""
    if path == ROOT / "app.py":
        return "app"
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = {module_name(path): path for path in (ROOT / "app.py", *sorted(PACKAGE.rglob("*.py")))}
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
    found = set()
    for imported in imported_names(name):
        package, _, rest = imported.partition(".")
        if package == "chalicelib":
            found |= {module for module in MODULES if rest == module or rest.startswith(f"{module}.")}
    return found


def test_every_module_has_one_layer_and_imports_only_lower_ones() -> None:
    assert sorted(name for layer in LAYERS for name in layer) == sorted(MODULES)
    below: set[str] = set()
    wrong: dict[str, set[str]] = {}
    for layer in LAYERS:
        wrong |= {name: own_imports(name) - below for name in layer if not own_imports(name) <= below}
        below |= set(layer)
    assert wrong == {}


def test_packages_import_nothing() -> None:
    packages = {name for name in FILES if name.rpartition(".")[2] == "__init__"}
    assert packages == {"__init__", *(f"{name}.__init__" for name in ("api", "certificates", "douyin", "tokens"))}
    assert [name for name in packages if imported_names(name)] == []


def test_each_outside_library_is_imported_in_its_modules_and_in_no_others() -> None:
    used: dict[str, set[str]] = {}
    for name in FILES:
        for library in {imported.partition(".")[0] for imported in imported_names(name)} - ANYWHERE:
            used.setdefault(library, set()).add(name)
    assert used == LIBRARIES


def test_no_module_has_a_vague_name() -> None:
    assert [name for name in FILES if not VAGUE_NAMES.isdisjoint(name.split("."))] == []


def test_the_environment_is_only_passed_to_settings() -> None:
    """`os.environ` is an argument of functions of `settings`, which alone look up variables."""
    readers = {"from_env", "is_lambda", "is_traced"}
    users = set()
    for name, tree in TREES.items():
        nodes = list(ast.walk(tree))
        uses = [n for n in nodes if isinstance(n, ast.Attribute) and n.attr in ("environ", "environb", "getenv")]
        calls = [n for n in nodes if isinstance(n, ast.Call)]
        passed = [a for c in calls if ast.unparse(c.func).rpartition(".")[2] in readers for a in c.args if a in uses]
        assert len(passed) == len(uses), name
        assert not {f"os.{attribute}" for attribute in ("environ", "getenv")} & imported_names(name), name
        users |= {name} if uses else set()
    assert users == {"app", "api.telemetry"}

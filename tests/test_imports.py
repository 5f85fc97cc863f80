"""Imports run one way, and each outside library stands in one place."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
# From the bottom up: a module may import those in the lines above its own, and no others of ours.
LAYERS = (
    {"errors", "guarded"},
    {"codes", "settings", "scope", "memory", "wire"},
    {"douyin", "storage", "problems", "telemetry", "views"},
    {"transport"},
    {"upstream", "credentials", "merchants", "cursors", "lease"},
    {"sessions", "tokens"},
    {"certificates", "renewal", "readiness"},
    {"inputs", "edge"},
)
ALLOWED = {
    "chalice": {"app", "edge"},
    "aws_lambda_powertools": {"telemetry"},
    "requests": {"app", "transport"},
    "botocore": {"storage"},
    "tenacity": {"upstream", "storage"},
    "itsdangerous": {"sessions", "cursors"},
}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{name.name}" for name in node.names if node.module == "chalicelib"}
    return found


def test_imports_run_one_way() -> None:
    below: set[str] = set()
    for layer in LAYERS:
        for module in layer:
            ours = {
                name.split(".")[1]
                for name in imports(ROOT / "chalicelib" / f"{module}.py")
                if name.startswith("chalicelib.")
            }
            assert ours - {"__version__"} <= below, module
        below |= layer
    assert below == {path.stem for path in (ROOT / "chalicelib").glob("*.py")} - {"__init__"}


def test_outside_libraries_stand_in_their_place() -> None:
    for path in [ROOT / "app.py", *(ROOT / "chalicelib").glob("*.py")]:
        for name in imports(path):
            library = name.split(".")[0]
            assert library not in ("sandbox", "tests", "boto3")
            assert path.stem in ALLOWED.get(library, {path.stem}), f"{path.name} imports {library}"


def test_the_environment_is_read_in_one_place() -> None:
    """`os.environ` is handed to `settings`, which alone looks things up in it."""
    for path in (ROOT / "chalicelib").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "getenv" not in text
        assert path.stem == "telemetry" or "os.environ" not in text

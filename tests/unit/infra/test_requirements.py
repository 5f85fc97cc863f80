"""What the pipeline installs before it gets credentials: pinned as everywhere else, and complete."""

import ast
import re
import sys

import pytest
import yaml

from infra.bundle import LOCK, ROOT, VENDORED

PINS = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def read_pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {normalize(name): version for name, version in PINS.findall(text)}


def normalize(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_pipelines_requirements_are_those_of_constraints_with_hashes() -> None:
    deploy, constraints = read_pins("requirements-deploy.txt"), read_pins("constraints.txt")
    assert {name: version for name, version in deploy.items() if constraints.get(name, version) != version} == {}
    assert read_pins("requirements.txt").items() <= deploy.items()
    text = (ROOT / "requirements-deploy.txt").read_text(encoding="utf-8")
    assert all("--hash=sha256:" in part for part in re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:])


def test_the_bundles_lock_file_has_its_requirements_with_hashes_and_nothing_else() -> None:
    name, _, version = VENDORED.partition("==")
    assert read_pins(LOCK.name) == read_pins("requirements.txt") | {name: version}
    entries = re.split(r"^(?=[\w.-]+==)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_pipeline_installs_only_packages_with_hashes_and_before_it_gets_credentials() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8"))["jobs"]
    for stage in ("dev", "prod"):
        steps = [step.get("run") or step["uses"] for step in jobs[stage]["steps"]]
        install, credentials, deploy = steps[-3:]
        assert install.endswith(
            "pip install --require-hashes --only-binary=:all: --requirement requirements-deploy.txt"
        )
        assert credentials.startswith("aws-actions/configure-aws-credentials@")
        assert deploy.startswith(f".venv/bin/python -m infra.deploy {stage}")
        assert all(step.startswith("actions/") for step in steps[:-3])


@pytest.mark.parametrize("name", ["Makefile", ".github/workflows/deploy.yml", "infra/bundle.py"])
def test_what_is_installed_with_hashes_is_never_built_here(name: str) -> None:
    """A package runs its own code when it is built, with a build system that no hash covers."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if "--require-hashes" in line]
    assert lines
    assert [line for line in lines if "--only-binary=:all:" not in line] == []


def test_everything_that_infra_imports_is_required() -> None:
    nodes = [node for path in (ROOT / "infra").glob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    imported = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"infra", "chalicelib"}
    # The types are not imported at run time.
    needed = {
        "pyyaml" if name == "yaml" else name.replace("_", "-") for name in imported if not name.startswith("mypy_boto3")
    }
    assert needed <= read_pins("requirements-deploy.txt").keys()

"""The jobs of the pipeline, as the commands of their workflows: one build, compared by the tests, and deployed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from infra.bundle import ROOT, RUNTIME
from sandbox import stack
from tests import policies

BUILD_JOB = "build"


def read_jobs(workflow: str) -> Any:
    """Return the jobs of a workflow, by name."""
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{workflow}.yml").read_text(encoding="utf-8"))["jobs"]


def run_step(step: Any, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the commands of a step as GitHub does."""
    environment = {**os.environ, **variables}
    command = ["bash", "-e", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def find_step(job: Any, part: str) -> Any:
    """Return the step of a job whose commands contain this text."""
    [step] = [step for step in job["steps"] if part in step.get("run", "")]
    return step


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)  # noqa: S607
    return folder


@pytest.fixture(scope="module")
def sums(clone: Path) -> str:
    """The output of the job that builds, after its bundle was downloaded to build/bundle in the same clone."""
    output = clone.parent / "output"
    # `python` is that of setup-python.
    path = f"{clone.parent}:{os.environ['PATH']}"
    (clone.parent / "python").symlink_to(sys.executable)
    for step in read_jobs("build")[BUILD_JOB]["steps"]:
        if "run" in step:
            run = run_step(step, clone, GITHUB_OUTPUT=str(output), PATH=path)
            assert run.returncode == 0, run.stdout + run.stderr
    (clone / "build").mkdir()
    (clone / ".chalice" / "deployments").rename(clone / "build" / "bundle")
    _, lines = output.read_text(encoding="utf-8").split("sums<<END\n")
    return lines.removesuffix("END\n").rstrip()


def test_only_packages_with_hashes_are_installed_where_the_bundle_is_built_and_deployed() -> None:
    jobs = [read_jobs("build")[BUILD_JOB], *(read_jobs("deploy")[stage] for stage in ("dev", "prod"))]
    for job in jobs:
        installs = [step["run"] for step in job["steps"] if "install" in step.get("run", "")]
        assert len(installs) == 1
        assert "--require-hashes" in installs[0]
        assert not [step for step in job["steps"] if "make " in step.get("run", "")]


def test_no_other_job_builds_the_bundle_and_each_gets_the_hashes_of_the_one_that_does() -> None:
    for workflow, names in (("deploy", ("test", "dev", "prod")), ("ci", ("test", "release"))):
        jobs = read_jobs(workflow)
        assert jobs[BUILD_JOB]["uses"] == "./.github/workflows/build.yml"
        for name in names:
            assert BUILD_JOB in jobs[name]["needs"]
            checks = [step for step in jobs[name]["steps"] if "SUMS" in step.get("env", {})]
            assert [step["env"]["SUMS"] for step in checks] == ["${{ needs.build.outputs.sums }}"]
            assert not [step for step in jobs[name]["steps"] if "infra.bundle" in step.get("run", "")]


def test_the_tests_compare_their_own_build(clone: Path, sums: str) -> None:
    """A build with the packages of the tests, from another clone, has the same bytes."""
    folder = clone.parent / "tests"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)  # noqa: S607
    subprocess.run([sys.executable, "-m", "infra.bundle"], cwd=folder, check=True)
    for workflow in ("deploy", "ci"):
        step = find_step(read_jobs(workflow)["test"], "sha256sum")
        assert run_step(step, folder, SUMS=sums).returncode == 0
        [archive] = (folder / ".chalice" / "deployments").glob("*.zip")
        content = archive.read_bytes()
        archive.write_bytes(content + b"changed")
        assert run_step(step, folder, SUMS=sums).returncode != 0
        archive.unlink()
        assert run_step(step, folder, SUMS=sums).returncode != 0, "without an archive"
        archive.write_bytes(content)


def test_the_bundle_is_released_with_new_checksums(clone: Path, sums: str) -> None:
    step = find_step(read_jobs("ci")["release"], "sha256sum")
    files = clone.parent / "release" / "files"
    files.mkdir(parents=True)
    shutil.copytree(clone / "build" / "bundle", clone.parent / "bundle")
    (files / f"douyin-redemption-1.0.0-{RUNTIME}.zip").write_bytes(b"of the tests")
    (files / "SHA256SUMS").write_text("former")
    commands = {"run": step["run"].replace("python3.13", RUNTIME)}
    run = run_step(commands, clone.parent, SUMS=sums)
    assert run.returncode == 0, run.stderr
    assert sums.split(maxsplit=1)[0] in (files / "SHA256SUMS").read_text()
    assert run_step(commands, clone.parent, SUMS=f"{'0' * 64}  {sums.split()[1]}").returncode != 0


def test_the_bundle_is_deployed_to_dev_and_another_one_is_not(clone: Path, sums: str) -> None:
    """With the policy `deployer`, into an empty account, and by Chalice without what was installed for the tests."""
    job = read_jobs("deploy")["dev"]
    write_sums, deploy = find_step(job, "SHA256SUMS"), find_step(job, "infra.deploy")
    with stack.run_server("sandbox.aws") as aws:
        keys = policies.create_user(stack.emulated_account(aws.url).client("iam"), "DeployerPolicy", "dev")
        environment = {**stack.aws_environment(aws.url), **keys}
        assert run_step(write_sums, clone, SUMS=f"{'0' * 64}  x.zip").returncode == 0
        refused = run_step(deploy, clone, **environment)
        assert "this is not the archive that was built" in refused.stderr
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert run_step(write_sums, clone, SUMS=sums).returncode == 0
        run = run_step(deploy, clone, **environment)
        assert run.returncode == 0, run.stdout + run.stderr
        *_, tested, url = run.stdout.splitlines()
        assert tested == "smoke test: passed; no list was tried: there is no app yet"
        assert requests.get(f"{url}/v1/health", timeout=30).json()["commit"] in run.stdout

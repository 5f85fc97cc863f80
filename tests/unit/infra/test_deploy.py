"""Steps of a deployment that need no deployed stage."""

import contextlib
import re
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from infra import bundle, chalice_config, deploy
from infra.stage_settings import StageError, StageSettings
from redeemctl.errors import CommandError
from redeemctl.stage import open_stage
from tests.unit.infra.fake_lambda import FakeLambda, build_archive

API = "douyin-redemption-dev"


def account_of(client: Any) -> Any:
    """Return an account in which this is the client of each service."""
    return SimpleNamespace(client=lambda _: client)


def test_without_credentials_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(SystemExit, match="Unable to locate credentials: set AWS_PROFILE"), deploy.exit_on_error():
        raise NoCredentialsError
    with (
        pytest.raises(CommandError, match=r"AWS credentials are missing .*set AWS_PROFILE"),
        open_stage("dev", bundle.ROOT),
    ):
        raise NoCredentialsError


def pack(archive: Path, files: dict[str, str]) -> Path:
    """Write an archive with these files; return it."""
    with zipfile.ZipFile(archive, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return archive


def read_app() -> dict[str, str]:
    """Return the app's files as they are in a bundle."""
    paths = [bundle.ROOT / "app.py", *(bundle.ROOT / "chalicelib").rglob("*.py")]
    return {path.relative_to(bundle.ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"app.py": "import chalicelib.x\n", "chalicelib/x.py": "\nimport nowhere\n"},
         r"^chalicelib/x\.py, line 2: ModuleNotFoundError: No module named 'nowhere'\. .* Nothing was changed$"),
        ({"app.py": "x = (\n"}, r"^app\.py, line 1: SyntaxError: .*Nothing was changed$"),
        ({"app.py": "app = lambda event, context: {'body': '{\"status\":500}'}\n"},
         r"^a login with a list gives \{'status': 500\}\. .*Nothing was changed$"),
    ],
)  # fmt: skip
def test_an_app_that_cannot_be_imported_or_gives_no_list_is_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(StageError, match=message):
        deploy.check_bundle(pack(tmp_path / "x.zip", files), {})


@pytest.mark.parametrize("has_platform", [True, False])
def test_the_app_is_tried_with_the_packages_of_the_bundle_where_they_fit_else_with_those_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_platform: bool
) -> None:
    monkeypatch.setattr(deploy, "EXTENSION_SUFFIXES", [bundle.EXTENSION_SUFFIX] if has_platform else [])
    files = read_app() | {"requests/__init__.py": "raise ImportError('that of the bundle')"}
    variables = chalice_config.render_environment("dev", StageSettings())
    refusal = pytest.raises(StageError, match=r"^chalicelib/\S+, line \d+: ImportError: that of the bundle\.")
    with refusal if has_platform else contextlib.nullcontext():
        deploy.check_bundle(pack(tmp_path / "x.zip", files), variables)


@pytest.mark.parametrize(
    ("module", "broken", "said"),
    [
        ("certificates/views", "build_view = None", r"TypeError at views\.py:"),
        (
            "certificates/views",
            "_KINDS = {2: 'voucher', 3: 'times_card'}",
            r"gives \['voucher', 'other', 'times_card', 'ot",
        ),
    ],
)
def test_a_build_that_fails_behind_an_accepted_code_or_in_the_view_of_a_coupon_is_refused(
    tmp_path: Path, module: str, broken: str, said: str
) -> None:
    files = read_app()
    files[f"chalicelib/{module}.py"] += f"\n{broken}\n"
    variables = chalice_config.render_environment("dev", StageSettings())
    with pytest.raises(StageError, match=rf"{said}.* Nothing was changed$"):
        deploy.check_bundle(pack(tmp_path / "x.zip", files), variables)


def test_the_app_is_imported_with_the_variables_of_the_stage(tmp_path: Path) -> None:
    archive, variables = pack(tmp_path / "x.zip", read_app()), chalice_config.render_environment("dev", StageSettings())
    deploy.check_bundle(archive, variables)
    with pytest.raises(StageError, match=r"Unknown level: 'VERBOSE'\. The app does not work"):
        deploy.check_bundle(archive, {**variables, "POWERTOOLS_LOG_LEVEL": "VERBOSE"})


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "Scan"), "AccessDeniedException"),
        (StageError("User: x is not authorized to perform: iam:CreateRole"), "iam:CreateRole"),
        (StageError("the stage's settings"), "the stage's settings"),
        (KeyboardInterrupt(), "interrupted: run the same command again"),
    ],
)
def test_an_error_is_one_message_with_what_to_do(error: BaseException, named: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(named)), deploy.exit_on_error():
        raise error


FLAGS = {"DRY_RUN": "dry-run", "NO_PLATFORM": "no-platform"}


@pytest.mark.parametrize(("value", "is_set"), [("1", True), ("0", False), ("no", False)])
def test_a_flag_of_make_that_says_no_means_no(value: str, *, is_set: bool) -> None:
    for target in ("deploy", "rollback"):
        command = ["make", "--dry-run", target, "STAGE=dev", *(f"{name}={value}" for name in FLAGS)]
        run = subprocess.run(command, cwd=bundle.ROOT, capture_output=True, text=True, check=True)
        [line] = [line for line in run.stdout.splitlines() if f"-m infra.{target}" in line]
        assert set(re.findall(r"--\S+", line)) == ({f"--{option}" for option in FLAGS.values()} if is_set else set())


@pytest.mark.parametrize(
    ("setting", "deployed", "refusal"),
    [
        (None, None, None),
        (None, "3.13", None),
        (
            None,
            "3.12",
            "the deployed function: Python 3.12, but this is Python 3.13. To keep it: make … PYTHON=python3.12",
        ),
        ("3.13", "3.12", None),
        ("3.12", "3.13", "the stage's settings: Python 3.12, but this is Python 3.13."),
    ],
)
def test_another_python_is_refused_until_the_settings_name_it(
    monkeypatch: pytest.MonkeyPatch, setting: Any, deployed: str | None, refusal: str | None
) -> None:
    """The runtime of the deployed function is not changed by a developer who has another Python."""
    client = FakeLambda()
    if deployed is not None:
        client.deploy(API, build_archive("1"), Runtime=f"python{deployed}")
    monkeypatch.setattr(bundle, "RUNTIME", "python3.13")
    with contextlib.nullcontext() if refusal is None else pytest.raises(StageError, match=refusal):
        deploy._check_runtime(account_of(client), "dev", StageSettings(python=setting), lambda _: None)


@pytest.mark.parametrize(("runtime", "lines"), [("python3.11", 1), ("python3.13", 0)])
def test_a_runtime_that_aws_will_soon_not_update_is_named(
    monkeypatch: pytest.MonkeyPatch, runtime: str, lines: int
) -> None:
    client = FakeLambda()
    client.deploy(API, build_archive("1"), Runtime=runtime)
    monkeypatch.setattr(bundle, "RUNTIME", runtime)
    report: list[str] = []
    deploy._check_runtime(account_of(client), "dev", StageSettings(), report.append)
    assert len(report) == lines
    assert all("mid-2027" in line and "infra/stages/dev.toml" in line for line in report)

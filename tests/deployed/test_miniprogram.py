"""The mini-program: its own tests against the deployed app, and its client's npm package, as another project uses it.

The package is packed, installed into an empty project, compiled and run.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chalicelib import __version__
from sandbox import preview, stack
from sandbox.sample_data import ACCOUNT_ID

pytestmark = pytest.mark.usefixtures("mini_program")

TSC = preview.MINIPROGRAM_FOLDER / "node_modules" / "typescript" / "bin" / "tsc"
COMPILER_OPTIONS = {
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "skipLibCheck": False,
    "types": [],
    "target": "ES2015",
    "lib": ["ES2015"],
    "outDir": "out",
    "jsx": "preserve",
}
FRAMEWORKS = """
declare namespace JSX { interface Element { type: unknown } interface ElementChildrenAttribute { children: unknown } }
declare module "react" { export function useState<T>(): [T | undefined, (value: T) => void]; }
declare module "@tarojs/components" { export function View(props: { key?: string; children: unknown }): JSX.Element; }
declare module "@tarojs/taro" { export function useDidShow(callback: () => void): void; }
declare module "vue" { export function ref<T>(): { value: T | undefined }; }
declare module "@dcloudio/uni-app" { export function onShow(hook: () => void): void; }
"""
NEWER_SERVICE = """
import type { Certificate, Problem } from "douyin-redemption-client";
export const kind: Certificate["kind"] = "subscription";
export const code: Problem["code"] = "on_vacation";
"""
RUN = """
const problem = { code: "upstream_timeout", status: 504, detail: "请稍后再试", retryable: true, retry_after: 1 };
let session = { token: "t", expires_in: 7200, list_problem: { ...problem, request_id: "r" } };
globalThis.tt = {
  login: ({ success }) => success({ code: "c" }),
  request: ({ success }) => (success({ statusCode: 200, header: {}, data: session }), { abort() {} }),
  getStorageSync: () => "",
  setStorageSync: () => {},
  removeStorageSync: () => {},
};
globalThis.Page = (page) => {
  page.setData = (data) => console.log(JSON.stringify(data));
  page.onShow();
};
require("./native.js");
"""


def run(folder: Path, *command: str, **environment: str) -> str:
    """Run a command in a folder and return its output."""
    program = shutil.which(command[0])
    assert program is not None
    process = subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_the_mini_programs_own_tests_pass_against_the_deployed_app(deployed: stack.Sandbox) -> None:
    urls = {"API_URL": deployed.api_url, "SANDBOX_URL": deployed.platform.url}
    output = run(preview.MINIPROGRAM_FOLDER, "npm", "test", **urls)
    # The sign in front depends on the version of Node.js.
    assert " fail 0\n" in output
    assert " skipped 0\n" in output


def test_the_mini_program_has_no_dependencies_and_its_sample_config_only_a_merchant_of_the_sample_data() -> None:
    assert "dependencies" not in json.loads((preview.DIST_FOLDER / "package.json").read_text(encoding="utf-8"))
    config = run(preview.DIST_FOLDER, "node", "-p", "JSON.stringify(require('./coupons/config.js').config)")
    assert json.loads(config) == {
        "api": "https://coupons.example.com",
        "account_id": ACCOUNT_ID,
        "basePath": "/coupons",
        "appId": "tt0123456789abcdef",
    }


def test_one_module_of_the_pages_calls_tt() -> None:
    folder = preview.MINIPROGRAM_FOLDER / "src" / "coupons"
    modules = [*(folder / "pages").rglob("*.ts"), *(folder / "visit").glob("*.ts")]
    assert [path.name for path in modules if re.search(r"\btt\b[.,;]", path.read_text("utf-8"))] == ["device.ts"]


def test_only_buttons_can_be_tapped() -> None:
    """A keyboard, a switch and a screen reader reach nothing else."""
    tags = set[str]()
    for path in (preview.DIST_FOLDER / "coupons").rglob("*.ttml"):
        tags.update(re.findall(r'<([\w-]+)(?:[^<>"]|"[^"]*")*\bbindtap=', path.read_text("utf-8")))
    assert tags == {"button"}


def test_every_style_is_below_the_class_of_the_folder() -> None:
    for path in (preview.DIST_FOLDER / "coupons").rglob("*.ttss"):
        css = re.sub(
            r"/\*.*?\*/|@import [^;]+;|@keyframes coupons-\w+ \{\s*[\d%]+ \{[^}]*\}\s*\}",
            "",
            path.read_text("utf-8"),
            flags=re.DOTALL,
        )
        selectors = [selector.strip() for rule in re.findall(r"([^{}]+)\{", css) for selector in rule.split(",")]
        assert [s for s in selectors if not re.match(r"\.coupons\b|@media", s)] == [], path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project that has installed the package, without a network."""
    folder = tmp_path_factory.mktemp("project")
    tarball = run(folder, "npm", "pack", "--silent", str(preview.MINIPROGRAM_FOLDER / "build" / "client")).strip()
    (folder / "package.json").write_text('{"name": "shop", "private": true}', "utf-8")
    run(folder, "npm", "install", "--offline", "--no-audit", "--no-fund", f"./{tarball}")
    return folder


def code_blocks(readme: str) -> list[tuple[str, str]]:
    """Return language and code of each block of a README of the package."""
    text = (preview.MINIPROGRAM_FOLDER / "src" / "coupons" / "client" / readme).read_text("utf-8")
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def examples() -> dict[str, str]:
    """The code blocks of the README by language."""
    blocks = code_blocks("README.md")
    (_, coupons), (_, uni) = [block for block in blocks if block[0] == "ts"]
    return {**dict(blocks), "ts": coupons, "uni": uni}


def compile_project(project: Path, **options: object) -> None:
    """Compile all files of the project with the strictest options."""
    settings = {"compilerOptions": {**COMPILER_OPTIONS, **options}, "include": ["*.ts", "*.tsx"]}
    (project / "tsconfig.json").write_text(json.dumps(settings), "utf-8")
    run(project, "node", str(TSC), "--project", ".")


def test_the_package_has_one_module_its_types_and_no_dependencies(project: Path) -> None:
    package = project / "node_modules" / "douyin-redemption-client"
    files = {path.name for path in package.iterdir()}
    types = {"api.d.ts", "body.d.ts", "client.d.ts", "problem.d.ts", "tt.d.ts", "user.d.ts"}
    assert files == {"client.js", *types, "package.json", "README.md", "README.zh-CN.md", "LICENSE"}
    manifest = json.loads((package / "package.json").read_text("utf-8"))
    assert manifest["version"] == __version__
    assert not {"dependencies", "peerDependencies", "scripts"} & set(manifest)


@pytest.mark.parametrize(
    "options",
    [
        {"module": "CommonJS", "moduleResolution": "Node10"},
        {"module": "Node16", "moduleResolution": "Node16"},
        {"module": "ESNext", "moduleResolution": "Bundler"},
    ],
    ids=["CommonJS", "Node16", "bundler"],
)
def test_the_examples_of_the_readme_compile(project: Path, examples: dict[str, str], options: dict[str, str]) -> None:
    """With small declarations of the frameworks: the test has no network."""
    (project / "frameworks.d.ts").write_text(FRAMEWORKS, "utf-8")
    (project / "newer.ts").write_text(NEWER_SERVICE, "utf-8")
    (project / "coupons.ts").write_text(examples["ts"], "utf-8")
    (project / "taro.tsx").write_text(examples["tsx"], "utf-8")
    (project / "uni.ts").write_text(examples["uni"], "utf-8")
    compile_project(project, **options)


def test_the_code_of_the_chinese_readme_is_that_of_the_english_one() -> None:
    english, chinese = [
        [(language, re.sub(r" *#.*| *//(?!/).*|/\*\*.*?\*/", "", code)) for language, code in code_blocks(readme)]
        for readme in ("README.md", "README.zh-CN.md")
    ]
    assert english[: len(chinese)] == chinese


def test_the_native_example_runs(project: Path, examples: dict[str, str]) -> None:
    (project / "coupons.ts").write_text(examples["ts"], "utf-8")
    compile_project(project, module="CommonJS", moduleResolution="Node10")
    (project / "out" / "native.js").write_text(examples["js"], "utf-8")
    (project / "out" / "run.js").write_text(RUN, "utf-8")
    shown, enabled = [json.loads(line) for line in run(project / "out", "node", "run.js").splitlines()]
    assert shown["outcome"]["problem"]["code"] == "upstream_timeout"
    assert (shown["button"], shown["isWaiting"], enabled) == ("重试", True, {"isWaiting": False})

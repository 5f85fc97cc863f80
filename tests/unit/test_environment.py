"""The environment is read in one place, and a token sent by one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FILES = [ROOT / "app.py", *(ROOT / "chalicelib").rglob("*.py")]


def test_the_environment_is_only_passed_to_settings() -> None:
    """`os.environ` is an argument of functions of `settings`, which alone look up variables."""
    users = set()
    for path in FILES:
        code = ast.unparse(ast.parse(path.read_text(encoding="utf-8")))
        passed = re.findall(r"\b(?:from_env|is_lambda|is_traced)\(os\.environ\)", code)
        assert len(passed) == len(re.findall(r"\benvironb?\b|\bgetenvb?\b", code)), path
        users |= {path.name} if passed else set()
    assert users == {"app.py", "telemetry.py"}


def test_only_authorized_calls_send_a_token() -> None:
    """So each call with a token has its replacement and the merchant's root account."""
    senders = [path.name for path in FILES if "access-token" in path.read_text(encoding="utf-8")]
    assert senders == ["authorized_calls.py"]

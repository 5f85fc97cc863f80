"""The packages of the bundle are pinned with hashes."""

import re

from infra.bundle import LOCK, ROOT, VENDORED

PINS = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def read_pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {normalize(name): version for name, version in PINS.findall(text)}


def normalize(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bundles_lock_file_has_its_requirements_with_hashes_and_nothing_else() -> None:
    name, _, version = VENDORED.partition("==")
    assert read_pins(LOCK.name) == read_pins("requirements.txt") | {name: version}
    entries = re.split(r"^(?=[\w.-]+==)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)

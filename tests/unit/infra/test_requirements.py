"""The packages of the bundle are pinned with hashes, in the versions of the development environment."""

import re

from infra.bundle import LOCK, ROOT

PINS = re.compile(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", re.MULTILINE)


def read_pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {normalize(name): version for name, version in PINS.findall(text)}


def normalize(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bundle_has_the_tested_versions_with_hashes_and_no_second_botocore() -> None:
    locked, required, tested = map(read_pins, (LOCK.name, "requirements.txt", "constraints.txt"))
    assert required | locked == {name: tested[name] for name in required | locked}
    assert required.keys() - locked.keys() == {"boto3"}
    assert "botocore" not in locked
    entries = re.split(r"^(?=[\w.-]+==)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)

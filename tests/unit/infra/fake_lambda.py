"""Lambda's functions, their published versions, and their code, as far as deployment and rollback use them."""

import io
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from botocore.exceptions import ClientError

from infra import versions

ACCOUNT = "arn:aws:lambda:us-east-1:123456789012:function:"
TAG = "version=1.34.0:stage=dev:app=douyin-redemption"
"""Chalice's tag, `aws-chalice`."""


def build_archive(version: str, commit: str | None = None) -> bytes:
    """Return a bundle with the parts that identify a build: the same bytes at any time, as the real one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("chalicelib/__init__.py"), f'"""Doc."""\n\n__version__ = "{version}"\n')
        if commit is not None:
            archive.writestr(zipfile.ZipInfo("commit.txt"), commit)
    return packed.getvalue()


class FakeLambda:
    """Functions by name. `calls` has the changes, such as "UpdateFunctionCode name"; `fails` names one that fails."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.fails = ""

    def deploy(self, name: str, archive: bytes, tag: str = TAG, **values: Any) -> None:
        """Change a function as Chalice does, or create it."""
        function = self.functions.setdefault(name, {"versions": {}, "tag": tag})
        function["latest"] = {
            "Version": "$LATEST", "CodeSha256": versions.code_hash_of(archive), "Runtime": "python3.11",
            "State": "Active",
            "LastUpdateStatus": "Successful", "LastModified": "2026-11-25T10:00:00", **values,
        }  # fmt: skip
        function["archive"] = archive

    def get_paginator(self, operation: str) -> Any:
        calls = {"list_versions_by_function": self._list_versions, "list_functions": self._list_functions}
        return SimpleNamespace(paginate=calls[operation])

    def _list_functions(self) -> Iterator[Any]:
        for name in self.functions:
            yield {"Functions": [{"FunctionName": name, "FunctionArn": f"{ACCOUNT}{name}"}]}

    def list_tags(self, Resource: str) -> Any:  # noqa: N803 - AWS's name
        tag = self.functions[Resource.rpartition(":")[2]]["tag"]
        return {"Tags": {"aws-chalice": tag} if tag else {}}

    def _list_versions(self, FunctionName: str) -> Iterator[Any]:  # noqa: N803 - AWS's name
        function = self.functions[FunctionName.rpartition(":")[2]]
        for configuration in (function["latest"], *(found for found, _ in function["versions"].values())):
            yield {"Versions": [configuration]}

    def get_waiter(self, name: str) -> Any:
        return {"function_active_v2": Mock(), "function_updated_v2": Mock()}[name]

    def get_function(self, FunctionName: str, Qualifier: str = "$LATEST") -> Any:  # noqa: N803 - AWS's names
        name = FunctionName.rpartition(":")[2]
        if name not in self.functions:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetFunction")
        function = self.functions[name]
        configuration = function["latest"] if Qualifier == "$LATEST" else function["versions"][Qualifier][0]
        return {"Configuration": configuration, "Code": {"Location": f"https://code/{name}/{Qualifier}"}}

    def get_function_configuration(self, FunctionName: str) -> Any:  # noqa: N803 - AWS's name
        return self.get_function(FunctionName)["Configuration"]

    def publish_version(self, FunctionName: str, CodeSha256: str, Description: str) -> None:  # noqa: N803 - AWS's names
        """Publish what a function serves, unless its code and configuration are those of the newest version."""
        function = self.functions[FunctionName.rpartition(":")[2]]
        assert function["latest"]["CodeSha256"] == CodeSha256
        versions, served = function["versions"], function["latest"]
        newest = [configuration for configuration, _ in versions.values()][-1:]
        if [{**served, "Version": v["Version"], "Description": v["Description"]} for v in newest] == newest != []:
            return
        number = str(len(versions) + 1)
        versions[number] = {**served, "Version": number, "Description": Description}, function["archive"]

    def update_function_code(self, FunctionName: str, ZipFile: bytes) -> None:  # noqa: N803 - AWS's names
        name = FunctionName.rpartition(":")[2]
        call = f"UpdateFunctionCode {name}"
        if call == self.fails:
            raise ClientError({"Error": {"Code": "ServiceException"}}, "UpdateFunctionCode")
        self.calls.append(call)
        self.functions[name]["latest"] |= {"CodeSha256": versions.code_hash_of(ZipFile)}
        self.functions[name]["archive"] = ZipFile

    def download(self, url: str, timeout: float) -> Any:
        """Serve the addresses of `get_function`, in place of `requests.get`."""
        assert timeout > 0
        name, qualifier = url.removeprefix("https://code/").split("/")
        return SimpleNamespace(status_code=200, content=self.functions[name]["versions"][qualifier][1])

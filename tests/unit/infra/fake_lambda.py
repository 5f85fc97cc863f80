"""Lambda's functions, their published versions, and their code, as far as deployment and rollback use them."""

import io
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from botocore.exceptions import ClientError

from infra import versions

ROUTES = '@app.route("/v1/health", methods=["GET"])\ndef health(): ...\n'


def build_archive(version: str, commit: str | None = None, app: str = ROUTES) -> bytes:
    """Return a bundle with the parts that identify a build: the same bytes at any time, as the real one."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), app)
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

    def deploy(self, name: str, archive: bytes, variables: dict[str, str] | None = None, **values: Any) -> None:
        """Change a function as Chalice does, or create it."""
        function = self.functions.setdefault(name, {"versions": {}, "next": 1})
        function["latest"] = {
            "Version": "$LATEST", "CodeSha256": versions.code_hash(archive), "Runtime": "python3.11",
            "Architectures": ["x86_64"], "Environment": {"Variables": variables or {}}, "State": "Active",
            "LastUpdateStatus": "Successful", **values,
        }  # fmt: skip
        function["archive"] = archive

    def published(self, name: str) -> list[str]:
        """Return the descriptions of a function's versions, the oldest first."""
        return [configuration["Description"] for configuration, _ in self.functions[name]["versions"].values()]

    def get_paginator(self, operation: str) -> Any:
        return {"list_versions_by_function": SimpleNamespace(paginate=self._list_versions)}[operation]

    def _list_versions(self, FunctionName: str) -> Iterator[Any]:  # noqa: N803 - AWS's name
        self.get_function(FunctionName)
        function = self.functions[FunctionName]
        for configuration in (function["latest"], *(found for found, _ in function["versions"].values())):
            yield {"Versions": [configuration]}

    def get_waiter(self, name: str) -> Any:
        return {"function_active_v2": Mock(), "function_updated_v2": Mock()}[name]

    def get_function(self, FunctionName: str, Qualifier: str = "$LATEST") -> Any:  # noqa: N803 - AWS's names
        if FunctionName not in self.functions:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetFunction")
        function = self.functions[FunctionName]
        configuration = function["latest"] if Qualifier == "$LATEST" else function["versions"][Qualifier][0]
        return {"Configuration": configuration, "Code": {"Location": f"https://code/{FunctionName}/{Qualifier}"}}

    def publish_version(self, FunctionName: str, CodeSha256: str, Description: str) -> None:  # noqa: N803 - AWS's names
        function = self.functions[FunctionName]
        assert function["latest"]["CodeSha256"] == CodeSha256
        assert len(Description) <= 256, "Lambda's limit"
        number, function["next"] = str(function["next"]), function["next"] + 1
        configuration = {**function["latest"], "Version": number, "Description": Description}
        function["versions"][number] = configuration, function["archive"]

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803 - AWS's names
        del self.functions[FunctionName]["versions"][Qualifier]

    def update_function_code(self, FunctionName: str, ZipFile: bytes, Architectures: list[str]) -> Any:  # noqa: N803 - AWS's names
        call = f"UpdateFunctionCode {FunctionName}"
        if call == self.fails:
            raise ClientError({"Error": {"Code": "ServiceException"}}, "UpdateFunctionCode")
        self.calls.append(call)
        latest = self.functions[FunctionName]["latest"]
        latest |= {"CodeSha256": versions.code_hash(ZipFile), "Architectures": Architectures}
        self.functions[FunctionName]["archive"] = ZipFile
        return latest

    def download(self, url: str, timeout: float) -> Any:
        """Serve the addresses of `get_function`, in place of `requests.get`."""
        assert timeout > 0
        name, qualifier = url.removeprefix("https://code/").split("/")
        return SimpleNamespace(status_code=200, content=self.functions[name]["versions"][qualifier][1])

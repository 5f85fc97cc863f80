"""Fixtures of the service and deployed tests."""

import asyncio
import contextlib
import functools
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore import session

import app as application
from chalicelib import aws as app_aws
from infra.sdkdata import write_sdk_data
from infra.stage_settings import settings_path
from sandbox import server, stack
from tests.harness import STAGE, Api, Aws, Platform, built_archive, stop


@pytest.fixture(scope="session", autouse=True)
def service_models() -> Iterator[None]:
    """Let botocore find and decode its service models once, instead of once for each session of boto3."""
    with mock.patch.object(session, "create_loader", functools.cache(session.create_loader)):
        yield


@pytest.fixture(scope="session")
def shared_platform() -> Iterator[Platform]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port, mock_server, stop_server = asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    yield Platform(f"http://127.0.0.1:{port}", mock_server)

    async def end() -> None:
        await stop_server()
        await loop.shutdown_asyncgens()

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="session")
def shared_aws() -> Iterator[Aws]:
    with stack.run_server("sandbox.aws") as aws, contextlib.ExitStack() as resources:
        client = stack.emulated_account(aws.url).client
        stack.create_stack_with_sample_data(aws.url, STAGE)
        yield Aws(
            aws.url,
            resources.enter_context(contextlib.closing(client("dynamodb"))),
            resources.enter_context(contextlib.closing(client("secretsmanager"))),
        )


@pytest.fixture(scope="session")
def archive() -> Path:
    """The Lambda bundle as `make bundle` builds it, up to date."""
    return built_archive()


@pytest.fixture(scope="session")
def bundle(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Lambda bundle, unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def deployed(archive: Path) -> Iterator[stack.Sandbox]:
    """A sandbox with the app deployed into it. Its mock platform is another one than the fixture `platform`."""
    del archive
    with stack.run_sandbox() as running:
        yield running


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    """The mock platform, with the sample data."""
    shared_platform.reset()
    return shared_platform


@pytest.fixture
def aws(shared_aws: Aws, platform: Platform) -> Aws:
    """The emulated AWS, with the sample merchants."""
    del platform
    shared_aws.reset()
    return shared_aws


@pytest.fixture
def environment(platform: Platform, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment variables of the app, set in this process."""
    variables = stack.function_environment(aws.url, platform.url, aws.secret, aws.table)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def project(environment: dict[str, str], tmp_path: Path) -> Path:
    """A folder for `redeemctl --project`, with the settings of one stage."""
    lines = [f'{name} = "{environment[name]}"' for name in ("DOUYIN_OPEN_API", "DOUYIN_LOGIN_API")]
    settings_path(tmp_path, STAGE).parent.mkdir(parents=True)
    settings_path(tmp_path, STAGE).write_text("\n".join(["[environment]", *lines]), encoding="utf-8")
    return tmp_path


@pytest.fixture
def api(platform: Platform, environment: dict[str, str], shared_clients: None) -> Iterator[Api]:  # noqa: ARG001
    """The app's front door in this process, as a new instance."""
    application.components.cache_clear()
    yield Api(platform)
    if application.components.cache_info().currsize:
        stop(application.components())


@pytest.fixture(scope="session")
def sdk_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reduced botocore data, as the bundle has it."""
    folder = tmp_path_factory.mktemp("sdk-data")
    write_sdk_data(folder)
    return folder


@pytest.fixture(scope="session")
def aws_clients() -> dict[Any, tuple[Any, ...]]:
    """The app's AWS clients, by the environment that they were created in."""
    return {}


@pytest.fixture
def shared_clients(aws_clients: dict[Any, tuple[Any, ...]], sdk_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the app create its AWS clients from the reduced data, once for each environment.

    Creating them takes a quarter of a test.
    """

    def create_clients_once(*arguments: Any) -> tuple[Any, ...]:
        environment = tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith("AWS_"))
        if environment not in aws_clients:
            aws_clients[environment] = app_aws.create_clients(*arguments)
        return aws_clients[environment]

    monkeypatch.setattr(app_aws, "SDK_DATA", sdk_data)
    monkeypatch.setattr(application, "create_clients", create_clients_once)

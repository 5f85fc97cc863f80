"""Token renewal by instances whose clocks differ, and by instances of two versions of this service."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from infra.bundle import ROOT
from sandbox.sample_data import APP_ID
from tests.fleet import Fleet, TimedResponse, assert_served, request, request_in_thread, run_fleet, wait_until
from tests.harness import IS_NIGHTLY, TOKEN_ROW, in_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Api, Aws, Platform

INSTANCES = 12 if IS_NIGHTLY else 8
REPOSITORY = ROOT
"""The git repository with the released version, for a copy of the project that has none."""

RELEASED_COMMIT = "08d0093"
HOUR = 3600


@pytest.fixture
def headers(api: Api) -> dict[str, str]:
    api.login()
    return dict(api.headers)


@pytest.fixture(scope="module")
def released_bundle(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with the released version of the app."""
    folder = tmp_path_factory.mktemp("released") / "bundle"
    shutil.copytree(bundle, folder)
    shutil.rmtree(folder / "chalicelib")
    command = ["git", "-C", str(REPOSITORY), "archive", RELEASED_COMMIT, "app.py", "chalicelib"]
    archive = subprocess.run(command, capture_output=True, check=False)
    if archive.returncode:
        reason = archive.stderr.decode().strip()
        pytest.fail(f"the repository must have commit {RELEASED_COMMIT} (a full clone): {reason}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    # The released version needs this package; this version's bundle does not have it.
    tenacity = importlib.util.find_spec("tenacity")
    assert tenacity is not None
    assert tenacity.origin is not None
    shutil.copytree(Path(tenacity.origin).parent, folder / "tenacity", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def spread(seconds: float, count: int = INSTANCES) -> list[float]:
    """Return clock offsets from -seconds to +seconds."""
    return [seconds * (2 * number / (count - 1) - 1) for number in range(count)]


class TestStorm:
    """All instances need another token at the same moment."""

    @pytest.fixture(params=[60, 3], ids=["60 s", "3 s"])
    def clock_offsets(self, request: pytest.FixtureRequest) -> list[float]:
        return spread(request.param)

    def test_a_missing_token_is_minted_at_most_twice(
        self,
        clock_offsets: list[float],
        bundle: Path,
        environment: dict[str, str],
        headers: dict[str, str],
        platform: Platform,
    ) -> None:
        with run_fleet(environment, *[bundle] * INSTANCES, clock_offsets=clock_offsets) as fleet:
            assert_served(platform, fleet.list_certificates(headers), max_mints=2)

    @pytest.mark.parametrize("expired_seconds", [120, 0], ids=["expired on every clock", "expired on half of them"])
    def test_an_expired_token_is_minted_at_most_twice(
        self,
        expired_seconds: int,
        clock_offsets: list[float],
        bundle: Path,
        environment: dict[str, str],
        headers: dict[str, str],
        platform: Platform,
        aws: Aws,
    ) -> None:
        token = platform.mint()
        platform.server.platform.revoke_tokens(APP_ID)
        with run_fleet(environment, *[bundle] * INSTANCES, clock_offsets=clock_offsets) as fleet:
            aws.put(TOKEN_ROW, access_token=token, expires_at=in_seconds(-expired_seconds), version=3)
            assert_served(platform, fleet.list_certificates(headers), max_mints=2)
        assert aws.row(TOKEN_ROW)["access_token"]["S"] == platform.newest_token()

    def test_a_revoked_token_is_minted_at_most_twice(
        self,
        clock_offsets: list[float],
        bundle: Path,
        environment: dict[str, str],
        headers: dict[str, str],
        platform: Platform,
        aws: Aws,
    ) -> None:
        put_token(platform, aws, in_seconds(7000))
        with run_fleet(environment, *[bundle] * INSTANCES, clock_offsets=clock_offsets) as fleet:
            assert {timed.code for timed in fleet.list_certificates(headers)} == {"ok"}
            assert platform.calls("client_token") == []
            platform.server.platform.revoke_tokens(APP_ID)
            assert_served(platform, fleet.list_certificates(headers), max_mints=2)
        assert aws.row(TOKEN_ROW)["access_token"]["S"] == platform.newest_token()


class TestWrongClockInTheRow:
    """Times that an instance with a wrong clock has written do not block the other instances."""

    @pytest.fixture
    def fleet(self, bundle: Path, environment: dict[str, str]) -> Iterator[Fleet]:
        with run_fleet(environment, *[bundle] * 3, clock_offsets=[-60, 0, 60]) as fleet:
            yield fleet

    @pytest.mark.parametrize("pause_seconds", [None, 2, 30, HOUR])
    def test_a_failure_that_is_one_hour_ahead_is_ignored(
        self, pause_seconds: int | None, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        until = in_seconds(HOUR)
        pause = {} if pause_seconds is None else {"failed_at": (until - pause_seconds) * 1000}
        aws.put(TOKEN_ROW, version=7, failed_until=until * 1000, failure="http_503", **pause)
        responses = fleet.list_certificates(headers)
        assert_served(platform, responses, max_mints=1)
        assert max(timed.seconds for timed in responses) < 3
        assert "failed_until" not in aws.row(TOKEN_ROW)

    @pytest.mark.parametrize("lease_seconds", [HOUR, 4, -90], ids=["one hour ahead", "in step", "behind"])
    def test_the_lease_of_a_dead_holder_is_replaced_within_ten_seconds(
        self, lease_seconds: int, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        aws.put(TOKEN_ROW, version=7, lease_owner="dead", lease_until=in_seconds(lease_seconds) * 1000)
        responses = fleet.list_certificates(headers)
        assert_served(platform, responses, max_mints=1)
        assert max(timed.seconds for timed in responses) < 10
        assert aws.row(TOKEN_ROW)["version"] == {"N": "9"}

    def test_a_lease_that_ended_an_hour_ago_is_replaced_at_once(
        self, fleet: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        aws.put(TOKEN_ROW, version=7, lease_owner="dead", lease_until=in_seconds(-HOUR) * 1000)
        responses = fleet.list_certificates(headers)
        assert_served(platform, responses, max_mints=1)
        assert max(timed.seconds for timed in responses) < 3


def test_an_early_renewal_delays_one_request_only(
    bundle: Path, environment: dict[str, str], headers: dict[str, str], platform: Platform, aws: Aws
) -> None:
    """The token expires in five minutes and the schedule does not run: one request renews, the others use it."""
    old = put_token(platform, aws, in_seconds(300))
    platform.fail("delay", "client_token", seconds=2)
    with run_fleet(environment, *[bundle] * 8) as fleet:
        bursts = fleet.each(lambda instance: [request(instance, headers) for _ in range(4)])
    responses = [timed for burst in bursts for timed in burst]
    assert_served(platform, responses, max_mints=1)
    slow = [timed for timed in responses if timed.seconds >= 1]
    assert len(slow) == 1
    assert 2 <= slow[0].seconds < 4
    row = aws.row(TOKEN_ROW)
    assert row["access_token"]["S"] == platform.newest_token() != old
    assert int(row["expires_at"]["N"]) - int(row["minted_at"]["N"]) == 7200


class TestTwoVersions:
    """Instances of the released version and of this one share a row, as during a deployment."""

    @pytest.fixture(params=[True, False], ids=["released first", "this version first"])
    def pair(
        self, request: pytest.FixtureRequest, bundle: Path, released_bundle: Path, environment: dict[str, str]
    ) -> Iterator[Fleet]:
        """One instance of each version."""
        bundles = [released_bundle, bundle] if request.param else [bundle, released_bundle]
        with run_fleet(environment, *bundles) as fleet:
            yield fleet

    def test_a_storm_of_both_mints_at_most_twice(
        self,
        bundle: Path,
        released_bundle: Path,
        environment: dict[str, str],
        headers: dict[str, str],
        platform: Platform,
        aws: Aws,
    ) -> None:
        with run_fleet(environment, *[bundle, released_bundle] * 6) as fleet:
            assert_served(platform, fleet.list_certificates(headers), max_mints=2)
            platform.server.platform.revoke_tokens(APP_ID)
            platform.server.calls.clear()
            assert_served(platform, fleet.list_certificates(headers), max_mints=2)
        assert aws.row(TOKEN_ROW)["access_token"]["S"] == platform.newest_token()

    def test_each_uses_the_token_that_the_other_has_minted(
        self, pair: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        first, second = pair.instances
        assert request(first, headers).code == "ok"
        assert request(second, headers).code == "ok"
        platform.server.platform.revoke_tokens(APP_ID)
        assert request(second, headers).code == "ok"
        assert request(first, headers).code == "ok"
        assert len(platform.calls("client_token")) == 2
        assert aws.row(TOKEN_ROW)["version"] == {"N": "4"}

    def test_each_waits_while_the_other_mints(
        self, pair: Fleet, headers: dict[str, str], platform: Platform, aws: Aws
    ) -> None:
        first, second = pair.instances
        platform.fail("delay", "client_token", seconds=2)
        holder = request_in_thread(first, headers)
        wait_until(lambda: platform.calls("client_token"))
        assert "lease_owner" in aws.row(TOKEN_ROW)
        waited = request(second, headers)
        assert waited.seconds > 1
        assert_served(platform, [holder.result(30), waited], max_mints=1)

    @pytest.mark.parametrize(
        ("fault", "seconds"), [({"kind": "code", "code": 10013}, 30), ({"kind": "http", "status": 503}, 2)]
    )
    def test_each_respects_the_pause_after_the_failure_of_the_other(
        self,
        fault: dict[str, Any],
        seconds: float,
        pair: Fleet,
        headers: dict[str, str],
        platform: Platform,
        aws: Aws,
    ) -> None:
        first, second = pair.instances
        platform.fail(call="client_token", **fault)
        assert request(first, headers).code == "token_unavailable"
        mints = len(platform.calls("client_token"))
        paused = int(aws.row(TOKEN_ROW)["failed_until"]["N"]) / 1000 - time.time()
        assert seconds - 1 < paused <= seconds
        assert request(second, headers).code == "token_unavailable"
        assert len(platform.calls("client_token")) == mints

    def test_a_pause_of_the_released_version_counts_after_a_shorter_one_of_this_version(
        self,
        bundle: Path,
        released_bundle: Path,
        environment: dict[str, str],
        headers: dict[str, str],
        platform: Platform,
        aws: Aws,
    ) -> None:
        """The released version does not overwrite `failed_at`."""
        with run_fleet(environment, bundle, released_bundle) as fleet:
            present, released = fleet.instances
            platform.fail("http", "client_token", status=503)
            assert request(present, headers).code == "token_unavailable"
            time.sleep(2.1)
            platform.clear_faults()
            platform.fail("code", "client_token", code=10013)
            assert request(released, headers).code == "token_unavailable"
            mints = len(platform.calls("client_token"))
            assert {"failed_at", "failed_until"} <= set(aws.row(TOKEN_ROW))
            assert request(present, headers).code == "token_unavailable"
            assert len(platform.calls("client_token")) == mints

    def test_each_replaces_the_other_when_it_has_died(
        self, pair: Fleet, headers: dict[str, str], platform: Platform
    ) -> None:
        first, second = pair.instances
        platform.fail("hang", "client_token", times=1)
        holder = request_in_thread(first, headers)
        wait_until(lambda: platform.calls("client_token"))
        first.popen.kill()
        waited: TimedResponse = request(second, headers)
        assert waited.seconds < 10
        assert_served(platform, [waited], max_mints=2)
        with pytest.raises(Exception, match="status -9"):
            holder.result(30)


def put_token(platform: Platform, aws: Aws, expires_at: int) -> str:
    """Store a valid token with a lifetime of two hours, and return it."""
    token = platform.mint()
    aws.put(TOKEN_ROW, access_token=token, expires_at=expires_at, minted_at=expires_at - 7200, version=3)
    return token

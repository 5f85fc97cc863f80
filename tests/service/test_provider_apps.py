"""Apps of service providers (服务商): they have no secret, and another system writes their tokens."""

import pytest

from sandbox.sample_data import APP_ID, CUSTOMER, OTHER_APP_ID
from tests.harness import SESSION_KEY, TOKEN_ROW, WANTED, Api, Aws, Platform, assert_problem, in_seconds, read_report
from tests.harness import run_refresh_tokens as refresh


class Provider:
    """The provider's system: obtains tokens of APP_ID at the platform and writes them into the row."""

    def __init__(self, aws: Aws, platform: Platform) -> None:
        self._aws = aws
        self._platform = platform

    def write(self, seconds: int = 7200) -> str:
        token = self._platform.server.platform.issue_provider_token(APP_ID).value
        self._aws.put(TOKEN_ROW, access_token=token, expires_at=in_seconds(seconds))
        return token


@pytest.fixture
def provider(aws: Aws, platform: Platform) -> Provider:
    """The provider of APP_ID. OTHER_APP_ID is an app of our own."""
    aws.put_secret({APP_ID: "", OTHER_APP_ID: platform.data.apps[OTHER_APP_ID].app_secret}, [SESSION_KEY])
    return Provider(aws, platform)


def called(platform: Platform) -> list[str]:
    return [entry["call"] for entry in platform.server.calls]


def test_a_login_with_its_first_list_makes_one_call_each_and_no_other(
    api: Api, platform: Platform, provider: Provider
) -> None:
    provider.write()
    body = api.login(list=WANTED).json
    assert body["list"]["certificates"]
    assert called(platform) == ["code2session", "query_user_certificates"]
    assert api.list().json == body["list"]


def test_a_refused_token_is_looked_up_and_only_another_one_is_used(
    api: Api, platform: Platform, provider: Provider
) -> None:
    provider.write()
    api.login()
    platform.server.platform.revoke_tokens(APP_ID)
    assert_problem(api.list(), 503, "token_unavailable")
    provider.write()
    assert api.list().status == 200
    platform.server.platform.revoke_tokens(APP_ID)
    platform.server.calls.clear()
    problem = assert_problem(api.login(), 503, "token_unavailable")
    assert problem["upstream"]["error_code"] == 2190002
    assert called(platform) == ["code2session"], "the same code is not sent again with the same token"
    provider.write()
    assert "list" in api.login(list=WANTED).json
    assert called(platform) == ["code2session"] * 3 + ["query_user_certificates"]


@pytest.mark.parametrize("seconds", [None, -1], ids=["no row", "expired"])
def test_without_a_valid_token_nothing_is_called(
    api: Api, platform: Platform, provider: Provider, seconds: int | None
) -> None:
    if seconds is not None:
        provider.write(seconds)
    assert "upstream" not in assert_problem(api.login(list=WANTED), 503, "token_unavailable")
    assert called(platform) == []


@pytest.mark.parametrize(
    ("codes", "status", "problem"),
    [
        ((28001003, 28001008, 2190002, 2190008), 503, "token_unavailable"),
        ((40014, 40018, 40019), 401, "unauthenticated"),
        ((28001007,), 502, "upstream_rejected"),
        ((2190004, 28001014, 28001016, 28001018, 28001019), 503, "app_not_permitted"),
        ((28003017,), 503, "quota_exhausted"),
        ((28003018,), 429, "rate_limited"),
        ((28001005, 28001006, 2119005, 40017, 987654321), 503, "upstream_unavailable"),
    ],
)
def test_each_code_of_the_login_is_a_problem_and_the_code_is_sent_once(
    api: Api, platform: Platform, provider: Provider, codes: tuple[int, ...], status: int, problem: str
) -> None:
    provider.write()
    for code in codes:
        platform.fail("code", "code2session", code=code, place="err_no")
        assert_problem(api.login(), status, problem)
    assert called(platform) == ["code2session"] * len(codes)


def test_an_own_app_beside_it_is_served_as_before(api: Api, platform: Platform, provider: Provider) -> None:
    provider.write()
    assert api.login(CUSTOMER, OTHER_APP_ID).status == 200
    assert called(platform) == ["jscode2session"]


def test_the_schedule_names_expired_tokens_and_mints_none(
    api: Api, platform: Platform, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    del api
    for seconds, expired in ((3600, None), (-1, [APP_ID])):
        provider.write(seconds)
        capsys.readouterr()
        refresh()
        line, metrics = read_report(capsys)
        assert (line["outcome"], line.get("expired")) == ("ok", expired)
        assert ("TokenSecondsLeft" in metrics) is (seconds > 0)
    assert called(platform) == []


def test_no_token_and_no_code_is_written_anywhere(
    api: Api, platform: Platform, provider: Provider, capfd: pytest.CaptureFixture[str]
) -> None:
    token = provider.write()
    code = platform.issue_login_code()
    responses = [api.login(code=code, list=WANTED), api.login(code=code)]
    platform.server.platform.revoke_tokens(APP_ID)
    responses.append(api.login())
    assert [response.status for response in responses] == [200, 401, 503]
    written = "".join(capfd.readouterr()) + "".join(response.text for response in responses)
    open_id = platform.data.customers[CUSTOMER].open_ids[APP_ID]
    assert [secret for secret in (token, code, open_id) if secret in written] == []
    assert f'"app_id":"{APP_ID}"' in written

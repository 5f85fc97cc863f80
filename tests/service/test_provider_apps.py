"""Apps of service providers (服务商): they have no secret, and another system writes their tokens."""

import pytest

from sandbox.sample_data import APP_ID, CUSTOMER, OTHER_APP_ID
from tests.harness import SESSION_KEY, TOKEN_ROW, WANTED, Api, Aws, Platform, in_seconds


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

"""`redeemctl doctor`: what it finds out with calls of the platform."""

from pathlib import Path

import pytest

from redeemctl.doctor import FAILED, MAX_PROBES, OK, WARNING, Doctor, Finding
from redeemctl.secret import read_secret_version
from redeemctl.stage import connect_stage
from sandbox.sample_data import APP_ID, APP_SECRET, OTHER_APP_ID
from tests.harness import STAGE, STAGE_SESSION_KEY, TOKEN_PK, Aws, Platform, in_seconds


def diagnose(project: Path) -> dict[tuple[str, str], Finding]:
    """Return the findings about logins, tokens and merchants, by check id and checked resource."""
    with connect_stage(STAGE, project) as stage:
        findings = Doctor(stage, project).check_apps_and_merchants(read_secret_version(stage), [])
        return {(finding.id, finding.what): finding for finding in findings}


@pytest.mark.parametrize(("external_tokens", "short"), [([], WARNING), ([APP_ID], OK)])
def test_a_token_is_checked_as_that_of_its_maker_and_never_renewed(
    project: Path, platform: Platform, aws: Aws, external_tokens: list[str], short: str
) -> None:
    aws.put_secret({APP_ID: APP_SECRET}, [STAGE_SESSION_KEY], external_tokens)
    for seconds, outcome in ((7200, OK), (600, short), (-1, FAILED)):
        aws.put(TOKEN_PK, access_token=platform.mint(), expires_at=in_seconds(seconds))
        before = aws.item(TOKEN_PK)
        assert diagnose(project)["token", APP_ID].outcome is outcome
        assert aws.item(TOKEN_PK) == before


def test_a_wrong_secret_is_named(project: Path, aws: Aws) -> None:
    aws.put_secret({APP_ID: "another-secret"}, [STAGE_SESSION_KEY])
    found = diagnose(project)["login", APP_ID]
    assert "app_misconfigured (platform error 40017)" in found.text
    assert found.advice == "docs/run.md, By code: app_misconfigured"


@pytest.mark.parametrize(
    ("code", "lifetime", "login", "text", "token"),
    [
        (0, 7200, OK, "accepts app id and token", OK),
        (28001007, 7200, WARNING, "upstream_rejected (platform error 28001007)", OK),
        (28001003, 7200, FAILED, "token_unavailable (platform error 28001003", OK),
        (0, -1, FAILED, "token_unavailable", FAILED),
    ],
)
def test_an_app_of_a_service_provider_is_checked_with_the_token_of_its_row(
    project: Path, platform: Platform, aws: Aws, code: int, lifetime: int, login: str, text: str, token: str
) -> None:
    aws.put_secret({APP_ID: APP_SECRET, OTHER_APP_ID: ""}, [STAGE_SESSION_KEY])
    value = platform.server.platform.issue_provider_token(OTHER_APP_ID).value
    aws.put(f"TOKEN#{OTHER_APP_ID}", access_token=value, expires_at=in_seconds(lifetime))
    if code:
        platform.fail("code", "code2session", code=code, place="err_no")
    found = diagnose(project)
    assert (found["login", OTHER_APP_ID].outcome, found["token", OTHER_APP_ID].outcome) == (login, token)
    assert text in found["login", OTHER_APP_ID].text
    assert value not in str(found)


def test_a_login_is_tried_for_twenty_apps_of_service_providers_at_most(project: Path, aws: Aws) -> None:
    others = {f"tt{number}": "" for number in range(30)}
    aws.put_secret({**others, APP_ID: APP_SECRET}, [STAGE_SESSION_KEY])
    found = diagnose(project)
    logins = {what: finding.outcome for (check, what), finding in found.items() if check == "login"}
    assert logins.pop(APP_ID) is OK
    assert [*logins.values()] == [FAILED] * MAX_PROBES, "no provider's app has a token"
    assert {what for (check, what), finding in found.items() if (check, finding.outcome) == ("token", FAILED)} == {
        *others,
        APP_ID,
    }

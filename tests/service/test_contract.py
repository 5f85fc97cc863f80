"""The HTTP contract: API Gateway events in, responses out, with real sockets to the platform and to AWS."""

import json
from pathlib import Path

import pytest

from chalicelib import __version__
from chalicelib import commit as commit_module
from sandbox import gateway
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_STORE_LIMITS,
    OTHER_POI_ID,
    POI_ID,
)
from tests.harness import (
    JSON_HEADERS,
    LIST_URL,
    MERCHANT_ROW,
    Api,
    Aws,
    Platform,
    assert_problem,
    certificate_ids,
    restart,
)

STORES_URL = gateway.stores_url()


@pytest.mark.parametrize("commit", [None, "0123456789ab+"])
def test_health_is_version_and_commit_and_needs_no_configuration(
    commit: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TABLE_NAME", "SECRET_NAME"):
        monkeypatch.delenv(name, raising=False)
    if commit is not None:
        (tmp_path / "commit.txt").write_text(commit)
    monkeypatch.setattr(commit_module, "COMMIT_FILE", tmp_path / "commit.txt")
    response = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
    expected = {"status": "ok", "version": __version__} | ({"commit": commit} if commit else {})
    assert (response.status, response.text) == (200, json.dumps(expected, separators=(",", ":")))


class TestLogin:
    def test_the_session_ttl_is_configurable(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SESSION_TTL_SECONDS", "60")
        assert api.login().json["expires_in"] == 60


class TestList:
    def test_the_list_has_only_what_the_platform_allows_in_the_store(self, api: Api) -> None:
        """The platform sets `can_use` on the order; missing and null mean that the order cannot be used."""
        api.login(CUSTOMER_WITH_STORE_LIMITS)
        titles = {
            poi_id: [view["title"] for view in api.list(poi_id=poi_id).json["certificates"]]
            for poi_id in (POI_ID, OTHER_POI_ID)
        }
        assert titles == {POI_ID: ["人民广场店套餐", "全门店套餐"], OTHER_POI_ID: ["徐家汇与五角场套餐", "全门店套餐"]}


class TestPages:
    def read_list(self, api: Api) -> list[list[str]]:
        """Return the certificate_ids of each response of a list."""
        response = api.list()
        found = [certificate_ids(response)]
        while "next_cursor" in response.json and len(found) < 9:
            response = api.list(f"?cursor={response.json['next_cursor']}")
            found.append(certificate_ids(response))
        return found

    def test_pagination_returns_each_certificate_once_and_fetches_each_page_once(
        self, api: Api, platform: Platform
    ) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        first, second = self.read_list(api)
        assert len([*first, *second]) == len({*first, *second}) == 340
        assert sorted(entry["page"] for entry in platform.calls("query_user_certificates")) == list(range(1, 9))


# Method, URL, body, and the field that is named. "planted" is the wrong value, where it can be a text.
# tests/unit/api/test_validation.py has what is wrong with each field.
CASES: list[tuple[str, str, str | None, str]] = [
    ("GET", gateway.stores_url("planted!"), None, "account_id"),
    ("GET", gateway.certificates_url(ACCOUNT_ID, "planted!"), None, "poi_id"),
    ("GET", f"{LIST_URL}?cursor=planted", None, "cursor"),
    ("GET", f"{LIST_URL}?biz_type=1&biz_type=2", None, "biz_type"),
    ("POST", "/v1/sessions", "planted", "body"),
    ("POST", "/v1/sessions", json.dumps({"app_id": "tta", "code": "c", "list": {"account_id": 7}}), "list.account_id"),
]


@pytest.mark.parametrize(("method", "url", "body", "field"), CASES)
def test_an_invalid_request_names_its_input(api: Api, method: str, url: str, body: str | None, field: str) -> None:
    api.login()
    api.platform.server.calls.clear()
    response = api.call(method, url, body, JSON_HEADERS)
    assert api.platform.server.calls == []
    [error] = assert_problem(response, 400, "invalid_request")["errors"]
    assert error["field"] == field
    assert error["detail"].startswith("must ")
    assert error["detail"].isascii()
    assert "planted" not in response.text


def test_a_body_that_is_no_text_is_named(api: Api) -> None:
    problem = assert_problem(api.call("POST", "/v1/sessions", "\ud800", JSON_HEADERS), 400, "invalid_request")
    assert problem["errors"] == [{"field": "body", "detail": "must be valid UTF-8"}]


class TestStores:
    def test_the_contracts_example_byte_for_byte_without_a_session(self, api: Api, aws: Aws) -> None:
        store = {
            "name": "人民广场店", "address": "西藏中路180号", "phone": "021-5555-6601", "latitude": 31.2327,
            "longitude": 121.4751,
        }  # fmt: skip
        aws.put(MERCHANT_ROW, app_id=APP_ID, name="四季小馆", stores={POI_ID: store})
        response = api.call("GET", STORES_URL)
        expected = {"account_id": ACCOUNT_ID, "name": "四季小馆", "stores": [{"poi_id": POI_ID, **store}]}
        assert response.text == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
        assert response.headers["cache-control"] == "public, max-age=300"

    def test_a_malformed_store_is_left_out_and_its_certificates_are_listed(self, api: Api, aws: Aws) -> None:
        aws.put(MERCHANT_ROW, app_id=APP_ID, stores={POI_ID: 7, "6602": "b"})
        assert api.call("GET", STORES_URL).json["stores"] == [{"poi_id": "6602", "name": "b"}]
        api.login()
        assert api.list().status == 200


def test_a_wrong_row_secret_or_variable_is_an_internal_error_and_the_log_names_it(
    api: Api, aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api.login()
    aws.put(MERCHANT_ROW, name="no app")
    assert_problem(api.list(), 500, "internal_error")
    assert "attribute app_id is missing" in capsys.readouterr().out
    restart()
    aws.secretsmanager.put_secret_value(SecretId=aws.secret, SecretString='{"apps": {"a": "the-value"}}')
    assert_problem(api.login(), 500, "internal_error")
    out = capsys.readouterr().out
    assert "session_keys" in out
    assert "the-value" not in out
    restart()
    monkeypatch.setenv("DOUYIN_OPEN_API", "http://open.douyin.com")
    assert_problem(api.login(), 500, "internal_error")
    assert "DOUYIN_OPEN_API" in capsys.readouterr().out

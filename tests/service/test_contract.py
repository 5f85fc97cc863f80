"""The HTTP contract: API Gateway events in, responses out, with real sockets to the platform and to AWS."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from chalicelib import __version__
from chalicelib import commit as commit_module
from sandbox import gateway
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    CUSTOMER,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_STORE_LIMITS,
    CUSTOMER_WITH_TIMES_CARDS,
    CUSTOMER_WITH_UNUSUAL_DATES,
    CUSTOMER_WITHOUT_COUPONS,
    OTHER_ACCOUNT_ID,
    OTHER_ACCOUNT_POI_ID,
    OTHER_APP_ID,
    OTHER_POI_ID,
    POI_ID,
    SKU_ID,
    UNKNOWN_ACCOUNT_ID,
)
from tests.harness import (
    JSON_HEADERS,
    LIST_URL,
    MERCHANT_ROW,
    Api,
    Aws,
    Platform,
    assert_problem,
    certificate,
    certificate_ids,
    order,
    restart,
)
from tests.sample_reply import build_certificate

STORES_URL = gateway.stores_url()


class TestHealth:
    def test_returns_status_and_version_without_configuration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("TABLE_NAME", "SECRET_NAME"):
            monkeypatch.delenv(name, raising=False)
        response = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
        assert response.status == 200
        assert response.text == f'{{"status":"ok","version":"{__version__}"}}'
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-request-id"]

    @pytest.mark.parametrize("commit", ["0123456789ab", "0123456789ab+"])
    def test_returns_the_commit_of_the_bundle(
        self, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "commit.txt").write_text(commit)
        monkeypatch.setattr(commit_module, "COMMIT_FILE", tmp_path / "commit.txt")
        commit_module.read_commit.cache_clear()
        response = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
        commit_module.read_commit.cache_clear()
        assert response.json == {"status": "ok", "version": __version__, "commit": commit}


class TestLogin:
    def test_returns_token_and_lifetime(self, api: Api) -> None:
        response = api.login()
        assert response.status == 200
        assert set(response.json) == {"token", "expires_in"}
        assert response.json["expires_in"] == 7200
        assert ": " not in response.text
        assert response.headers["content-type"] == "application/json; charset=utf-8"

    def test_a_code_is_valid_once(self, api: Api, platform: Platform) -> None:
        code = platform.issue_login_code()
        assert api.login(code=code).status == 200
        assert_problem(api.login(code=code), 401, "unauthenticated")

    def test_an_unknown_app_gets_the_same_response_as_a_refused_code(self, api: Api, platform: Platform) -> None:
        problem = assert_problem(api.login(app_id="ttnobody", code="any"), 401, "unauthenticated")
        assert platform.calls("jscode2session") == [], "no platform call for an unknown app"
        assert api.login(code="any").json | {"request_id": ""} == problem | {"request_id": ""}


class TestList:
    def test_a_list_byte_for_byte(self, api: Api, platform: Platform) -> None:
        """A certificate with every field of the contract, one without any, and one that cannot be used."""
        api.login()
        platform.set_purchases(
            CUSTOMER,
            order("o1", certificate("c2"), build_certificate(certificate_id="c1")),
            order("o2", certificate("c3", expire_time=1), can_use=False),
        )
        response = api.list()
        assert response.status == 200
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        expected = [
            {
                "certificate_id": "c1", "order_id": "o1", "sku_id": SKU_ID, "title": "双人套餐", "kind": "voucher",
                "pay_amount": 4499, "original_amount": 4500, "market_price": 5000, "start_time": 1713146529,
                "expire_time": 1899999999, "code_tail": "7890",
                "times": {"usable": 7, "total": 10, "use_amount": 300, "type": 1, "usable_serials": [3, 4]},
                "voucher": {"description": "平日可抵100元", "min_amount": 8000, "max_amount": 10000},
                "lock": {"status": 1, "scene": 2},
                "off_peak": {
                    "limit_type": 1, "start_time": 1713146529, "end_time": 1899999999, "weekdays": [1, 2],
                    "hours": [["14:00", "17:00"]],
                },
                "is_transfer_asset": True,
            },
            {"certificate_id": "c2", "order_id": "o1", "kind": "other", "expire_time": 1899999999},
        ]  # fmt: skip
        body = {"account_id": ACCOUNT_ID, "poi_id": POI_ID, "certificates": expected, "unusable": {"expired": 1}}
        assert response.text == json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    def test_the_list_has_only_what_the_platform_allows_in_the_store(self, api: Api) -> None:
        """The platform sets `can_use` on the order; missing and null mean that the order cannot be used."""
        api.login(CUSTOMER_WITH_STORE_LIMITS)
        titles = {
            poi_id: [view["title"] for view in api.list(poi_id=poi_id).json["certificates"]]
            for poi_id in (POI_ID, OTHER_POI_ID)
        }
        assert titles == {POI_ID: ["人民广场店套餐", "全门店套餐"], OTHER_POI_ID: ["徐家汇与五角场套餐", "全门店套餐"]}

    @pytest.mark.parametrize(
        "edit",
        [
            {},
            {"set_fields": {"data.orders": None}},
            {"remove_fields": ["data.orders"]},
            {"remove_fields": ["data.orders", "data.total", "extra"]},
        ],
    )
    def test_a_customer_without_coupons_gets_an_empty_list(
        self, api: Api, platform: Platform, edit: dict[str, Any]
    ) -> None:
        """However the platform writes an empty list, with one call."""
        platform.fail("edit", **edit)
        api.login(CUSTOMER_WITHOUT_COUPONS)
        assert api.list().text == f'{{"account_id":"{ACCOUNT_ID}","poi_id":"{POI_ID}","certificates":[]}}'
        assert len(platform.calls("query_user_certificates")) == 1

    @pytest.mark.parametrize(("can_use", "count"), [("TRUE", 1), (1, 1), ("1", 1), ("yes", 0)])
    def test_a_usable_order_is_listed_in_any_form_of_a_boolean(
        self, api: Api, platform: Platform, capsys: pytest.CaptureFixture[str], can_use: Any, count: int
    ) -> None:
        platform.set_purchases(CUSTOMER, order("o1", certificate("c1"), can_use=can_use))
        api.login()
        capsys.readouterr()
        assert len(certificate_ids(api.list())) == count
        output = capsys.readouterr().out
        assert f'"CertificatesMalformed":[{1.0 - count}]' in output
        assert ("orders.can_use" in output) is (count == 0)

    def test_filters_are_sent_to_the_platform(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_STORE_LIMITS)
        assert "双开套餐" in api.list("?biz_type=2").text
        assert "双开套餐" not in api.list("?biz_type=1").text
        api.login(CUSTOMER_WITH_UNUSUAL_DATES)
        assert len(certificate_ids(api.list("?start_time=1861891200&end_time=1893427200"))) == 2
        assert len(certificate_ids(api.list("?end_time=1713146530"))) == 1
        assert platform.calls("query_user_certificates")

    def test_the_life_account_id_of_the_row_is_sent_to_the_platform(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(MERCHANT_ROW, app_id=APP_ID, life_account_id="another-account")
        assert_problem(api.list(), 502, "upstream_rejected")


class TestPages:
    def test_pagination_returns_each_certificate_once_and_fetches_each_page_once(
        self, api: Api, platform: Platform
    ) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        seen: list[str] = []
        query, responses = "", 0
        while True:
            response = api.list(query)
            assert response.status == 200
            seen += certificate_ids(response)
            responses += 1
            if "next_cursor" not in response.json:
                break
            query = f"?cursor={response.json['next_cursor']}"
        assert len(seen) == len(set(seen)) == 340
        assert responses == 2
        assert sorted(entry["page"] for entry in platform.calls("query_user_certificates")) == list(range(1, 9))

    @pytest.mark.parametrize("others", [50, 60, 120, 260])
    @pytest.mark.parametrize("store_filter", ["none", "before", "after"])
    def test_coupons_of_other_stores_in_front_hide_none_of_this_store(
        self, api: Api, platform: Platform, others: int, store_filter: Literal["none", "before", "after"]
    ) -> None:
        """The platform may cut its pages before it filters them by store: then the first ones are empty."""
        api.login()
        elsewhere = [order(f"x{n}", certificate(f"x{n}")) | {"stores": [OTHER_POI_ID]} for n in range(others)]
        ours = [order(str(n), certificate(f"{n:03d}")) for n in range(5)]
        platform.set_purchases(CUSTOMER, *elsewhere, *ours)
        platform.server.platform.store_filter = store_filter
        response = api.list()
        found = certificate_ids(response)
        while "next_cursor" in response.json:
            response = api.list(f"?cursor={response.json['next_cursor']}")
            found += certificate_ids(response)
        assert found == [f"{n:03d}" for n in range(5)]
        pages = 1 if store_filter == "before" else -(-(others + 5) // 50)
        assert len(platform.calls("query_user_certificates")) == pages

    def test_a_cursor_of_another_query_or_user_is_rejected(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        cursor = api.list().json["next_cursor"]
        assert api.list(f"?cursor={cursor}").status == 200
        platform.server.calls.clear()
        assert_problem(api.list(f"?cursor={cursor}", poi_id=OTHER_POI_ID), 400, "invalid_request")
        assert_problem(api.list(f"?cursor={cursor}&biz_type=1"), 400, "invalid_request")
        api.login()
        assert_problem(api.list(f"?cursor={cursor}"), 400, "invalid_request")
        assert platform.calls("query_user_certificates") == []


class TestAccess:
    @pytest.mark.parametrize("authorization", [None, "Bearer a.b"])
    def test_a_missing_or_forged_session_is_unauthenticated(
        self, api: Api, platform: Platform, authorization: str | None
    ) -> None:
        response = api.list(headers={} if authorization is None else {"Authorization": authorization})
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        assert platform.server.calls == []

    def test_a_session_of_another_app_is_wrong_app(self, api: Api) -> None:
        api.login(CUSTOMER_WITH_TIMES_CARDS, OTHER_APP_ID)
        assert_problem(api.list(), 403, "wrong_app")
        assert api.list(account_id=OTHER_ACCOUNT_ID, poi_id=OTHER_ACCOUNT_POI_ID).status == 200

    def test_an_unknown_or_suspended_merchant_and_an_unlisted_store_are_not_found(self, api: Api, aws: Aws) -> None:
        api.login()
        assert_problem(api.list(account_id=UNKNOWN_ACCOUNT_ID), 404, "merchant_not_found")
        assert_problem(api.list(poi_id=OTHER_ACCOUNT_POI_ID), 404, "store_not_found")
        restart()
        aws.put(MERCHANT_ROW, app_id=APP_ID, active=False)
        assert_problem(api.list(), 404, "merchant_not_found")

    def test_a_merchant_without_a_store_list_is_served_in_all_stores(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(MERCHANT_ROW, app_id=APP_ID)
        assert api.list(poi_id="9999").status == 200

    def test_a_malformed_row_is_an_internal_error_and_the_log_names_the_attribute(
        self, api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        api.login()
        aws.put(MERCHANT_ROW, name="no app")
        assert_problem(api.list(), 500, "internal_error")
        assert "attribute app_id is missing" in capsys.readouterr().out


# Method, URL, body, and the field that is named. "planted" is the wrong value, where it can be a text.
# tests/unit/api/test_validation.py has what is wrong with each field.
CASES: list[tuple[str, str, str | None, str]] = [
    ("GET", gateway.stores_url("planted!"), None, "account_id"),
    ("GET", gateway.certificates_url("planted%00", POI_ID), None, "account_id"),
    ("GET", gateway.certificates_url(ACCOUNT_ID, "planted!"), None, "poi_id"),
    ("GET", f"{LIST_URL}?cursor=planted", None, "cursor"),
    ("GET", f"{LIST_URL}?cursor=", None, "cursor"),
    ("GET", f"{LIST_URL}?biz_type=1&biz_type=2", None, "biz_type"),
    ("GET", f"{LIST_URL}?start_time=2&end_time=1", None, "end_time"),
    ("POST", "/v1/sessions", None, "body"),
    ("POST", "/v1/sessions", "planted", "body"),
    ("POST", "/v1/sessions", json.dumps({"app_id": "tta", "code": "planted\x00"}), "code"),
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


def test_a_body_that_is_not_base64_is_named(api: Api) -> None:
    event: Any = gateway.build_event("POST", "/v1/sessions", JSON_HEADERS, "!")
    event["isBase64Encoded"] = True
    [error] = assert_problem(api.send(event), 400, "invalid_request")["errors"]
    assert error["field"] == "body"


def test_the_frameworks_own_problems_have_the_contracts_form(api: Api) -> None:
    assert_problem(api.call("GET", "/v1/nothing"), 404, "not_found")
    response = api.call("DELETE", "/v1/health")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"
    form = api.call("POST", "/v1/sessions", "a=b", {"Content-Type": "application/x-www-form-urlencoded"})
    assert_problem(form, 415, "unsupported_media_type")


class TestStores:
    def test_the_contracts_example_byte_for_byte_without_a_session(self, api: Api, aws: Aws) -> None:
        store = {
            "name": "人民广场店", "address": "西藏中路180号", "phone": "021-5555-6601", "latitude": 31.2327,
            "longitude": 121.4751,
        }  # fmt: skip
        aws.put(MERCHANT_ROW, app_id=APP_ID, name="四季小馆", stores={POI_ID: store})
        response = api.call("GET", STORES_URL)
        assert response.status == 200
        expected = {"account_id": ACCOUNT_ID, "name": "四季小馆", "stores": [{"poi_id": POI_ID, **store}]}
        assert response.text == json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["cache-control"] == "public, max-age=300"
        assert response.headers["x-request-id"]

    def test_a_malformed_store_is_left_out_and_its_certificates_are_listed(
        self, api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        aws.put(MERCHANT_ROW, app_id=APP_ID, stores={POI_ID: 7, "6602": "b"})
        assert api.call("GET", STORES_URL).json["stores"] == [{"poi_id": "6602", "name": "b"}]
        assert f"stores without a readable name: {POI_ID}" in capsys.readouterr().out
        api.login()
        assert api.list().status == 200

    def test_a_known_merchant_is_read_once_for_stores_and_certificates(
        self, api: Api, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(3):
            assert api.call("GET", STORES_URL).status == 200
        assert capsys.readouterr().out.count("dynamodb.GetItem") == 1
        api.login()
        api.list()
        capsys.readouterr()
        api.list()
        api.call("GET", STORES_URL)
        assert "dynamodb" not in capsys.readouterr().out

    def test_an_unknown_merchant_is_not_found(self, api: Api) -> None:
        # `assert_problem` checks that nobody may cache it.
        assert_problem(api.call("GET", gateway.stores_url(UNKNOWN_ACCOUNT_ID)), 404, "merchant_not_found")


class TestConfiguration:
    def test_an_invalid_variable_is_an_internal_error_and_the_log_names_it(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("DOUYIN_OPEN_API", "http://open.douyin.com")
        assert_problem(api.login(), 500, "internal_error")
        assert "DOUYIN_OPEN_API" in capsys.readouterr().out

    def test_the_session_ttl_is_configurable(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SESSION_TTL_SECONDS", "60")
        assert api.login().json["expires_in"] == 60

    def test_a_malformed_secret_is_an_internal_error_and_its_values_are_not_logged(
        self, api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        aws.secretsmanager.put_secret_value(SecretId=aws.secret, SecretString='{"apps": {"a": "the-value"}}')
        assert_problem(api.login(), 500, "internal_error")
        out = capsys.readouterr().out
        assert "session_keys" in out
        assert "the-value" not in out

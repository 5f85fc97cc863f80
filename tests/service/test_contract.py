"""The HTTP contract: API Gateway events in, responses out, with real sockets to the platform and to AWS."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal

import pytest

import app as application
from chalicelib import __version__, build
from chalicelib.context import RequestContext
from sandbox import gateway
from sandbox.sample_data import (
    ACCOUNT_ID,
    APP_ID,
    CUSTOMER,
    CUSTOMER_WITH_MALFORMED_DATA,
    CUSTOMER_WITH_MANY_COUPONS,
    CUSTOMER_WITH_MISSING_FIELDS,
    CUSTOMER_WITH_NEW_FIELDS,
    CUSTOMER_WITH_STORE_LIMITS,
    CUSTOMER_WITH_TIMES_CARDS,
    CUSTOMER_WITH_UNUSUAL_DATES,
    CUSTOMER_WITHOUT_COUPONS,
    OTHER_ACCOUNT_ID,
    OTHER_ACCOUNT_POI_ID,
    OTHER_APP_ID,
    OTHER_POI_ID,
    POI_ID,
)
from tests.harness import (
    JSON_HEADERS,
    LIST_URL,
    MERCHANT_ROW,
    SESSION_KEY,
    Api,
    Aws,
    Platform,
    assert_problem,
    certificate,
    certificate_ids,
    order,
    restart,
    stop,
)

if TYPE_CHECKING:
    from pathlib import Path

NEW_SESSION_KEY = "test-session-key-not-a-secret-000002"
UNKNOWN_APP_LOGIN = json.dumps({"app_id": "ttnobody", "code": "any"})
INVALID_LOGIN = json.dumps({"app_id": APP_ID, "code": "any"})


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
        monkeypatch.setattr(build, "COMMIT_FILE", tmp_path / "commit.txt")
        build.read_commit.cache_clear()
        response = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
        build.read_commit.cache_clear()
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
        body = json.dumps({"app_id": APP_ID, "code": code})
        assert api.call("POST", "/v1/sessions", body, JSON_HEADERS).status == 200
        assert_problem(api.call("POST", "/v1/sessions", body, JSON_HEADERS), 401, "unauthenticated")

    def test_an_unknown_app_gets_the_same_response_as_a_refused_code(self, api: Api, platform: Platform) -> None:
        unknown = api.call("POST", "/v1/sessions", UNKNOWN_APP_LOGIN, JSON_HEADERS)
        problem = assert_problem(unknown, 401, "unauthenticated")
        assert platform.calls("jscode2session") == [], "no platform call for an unknown app"
        refused = api.call("POST", "/v1/sessions", INVALID_LOGIN, JSON_HEADERS)
        assert refused.json | {"request_id": ""} == problem | {"request_id": ""}

    @pytest.mark.parametrize(
        "body",
        [
            None,
            "",
            "{",
            "[]",
            "null",
            '"text"',
            "{}",
            '{"app_id":"tta"}',
            '{"code":"c"}',
            '{"app_id":1,"code":"c"}',
            '{"app_id":"tta","code":null}',
            '{"app_id":"tta","code":""}',
            '{"app_id":"","code":"c"}',
            '{"app_id":"tt a","code":"c"}',
            '{"app_id":"' + "t" * 65 + '","code":"c"}',
            '{"app_id":"tta","code":"' + "c" * 1025 + '"}',
            '{"app_id":"tta","code":"c\\u0000"}',
            "[" * 5000,
            '{"app_id":"tta","code":"c","x":"' + "x" * 9000 + '"}',
        ],
    )
    def test_an_invalid_body_is_rejected_without_a_platform_call(
        self, api: Api, platform: Platform, body: str | None
    ) -> None:
        assert_problem(api.call("POST", "/v1/sessions", body, JSON_HEADERS), 400, "invalid_request")
        assert platform.server.calls == []

    def test_a_body_without_content_type_is_parsed_as_json(self, api: Api, platform: Platform) -> None:
        code = platform.issue_login_code()
        assert api.call("POST", "/v1/sessions", json.dumps({"app_id": APP_ID, "code": code})).status == 200

    @pytest.mark.parametrize("code", [40014, 40018, 40019])
    def test_a_refused_code_is_unauthenticated(self, api: Api, platform: Platform, code: int) -> None:
        platform.fail("code", "jscode2session", code=code)
        assert_problem(api.login(), 401, "unauthenticated")
        assert len(platform.calls("jscode2session")) == 1

    @pytest.mark.parametrize("code", [40015, 40017, 10003, 10013])
    def test_refused_app_credentials_are_app_misconfigured(self, api: Api, platform: Platform, code: int) -> None:
        platform.fail("code", "jscode2session", code=code)
        problem = assert_problem(api.login(), 503, "app_misconfigured")
        assert problem["retryable"] is False

    def test_a_login_response_without_openid_is_malformed(self, api: Api, platform: Platform) -> None:
        platform.fail("patch", "jscode2session", patch={"openid": ""})
        assert_problem(api.login(), 502, "upstream_malformed")

    def test_the_first_session_key_signs_and_the_others_only_verify(
        self, api: Api, aws: Aws, platform: Platform
    ) -> None:
        app_secrets = {app.app_id: app.app_secret for app in platform.data.apps.values()}
        api.login()
        old_session = dict(api.headers)
        aws.put_secret(app_secrets, [NEW_SESSION_KEY, SESSION_KEY])
        restart()
        assert api.list().status == 200
        api.login()
        aws.put_secret(app_secrets, [NEW_SESSION_KEY])
        restart()
        assert api.list().status == 200, "the session is signed with the first key"
        api.headers = old_session
        assert_problem(api.list(), 401, "unauthenticated")

    def test_an_unknown_session_key_is_read_after_ten_seconds(
        self, api: Api, aws: Aws, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert api.login().status == 200
        app_secrets = {app.app_id: app.app_secret for app in platform.data.apps.values()}
        aws.put_secret(app_secrets, [NEW_SESSION_KEY, SESSION_KEY])
        other_instance = application.components.__wrapped__()
        code = platform.issue_login_code()
        token = other_instance.authenticator.login(APP_ID, code, RequestContext.for_lambda(None)).token
        stop(other_instance)
        api.headers = {"Authorization": f"Bearer {token}"}
        assert_problem(api.list(), 401, "unauthenticated")
        monkeypatch.setattr(application.components().credentials, "_read_at", time.time() - 11)
        assert api.list().status == 200


class TestList:
    def test_each_kind_of_coupon_has_exactly_this_json(self, api: Api, platform: Platform) -> None:
        """The examples of the contract in full."""
        api.login()
        platform.set_purchases(
            CUSTOMER,
            order(
                "2000000000000000001",
                certificate("7200000000000000001", 1744300799, code="1081500070001", start_time=1713146529)
                | {
                    "amount": {"original_amount": 4500, "pay_amount": 4499},
                    "sku_info": {
                        "sku_id": "1700000000000001", "title": "双人套餐", "groupon_type": 1, "market_price": 5000,
                    },
                },
            ),
            order(
                "2000000000000000002",
                certificate("7200000000000000002", 1744300800)
                | {
                    "sku_info": {"groupon_type": 3},
                    "times_card_info": {
                        "total_times": 10, "usable_times": 7, "use_amount": 300, "times_card_type": 1,
                        "total_times_serial_nums": list(range(1, 11)),
                        "used_times_serial_nums": [1, 2],
                        "locked_times_serial_nums": [3],
                    },
                },
                certificate("7200000000000000003", 1744300801)
                | {
                    "sku_info": {
                        "groupon_type": 2,
                        "voucher_info": {
                            "voucher_type": 1,
                            "dynamic_par_rule_struct": {
                                "dynamic_par_rule_desc": "平日可抵100元",
                                "dynamic_par_min_amount": 8000,
                                "dynamic_par_max_amount": 10000,
                            },
                        },
                    }
                },
                certificate("7200000000000000004", 1744300802, is_transfer_asset=True)
                | {"lock_info_extra": {"lock_status": 1, "lock_scene": 1}},
                certificate("7200000000000000005", 1744300803)
                | {
                    "off_peak_discount_detail": {
                        "has_off_peak_discount": True,
                        "off_peak_time_limit_type": 1,
                        "off_peak_time": {
                            "start_time": 1713146529, "end_time": 1899999999, "week_day_list": [1, 2],
                            "daily_time_range_list": [{"start_time": "14:00", "end_time": "17:00"}],
                        },
                    }
                },
            ),
        )  # fmt: skip
        response = api.list()
        assert response.status == 200
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.text == (
            '{"account_id":"7100000000000000001","poi_id":"6601","certificates":['
            '{"certificate_id":"7200000000000000001","order_id":"2000000000000000001","sku_id":"1700000000000001",'
            '"title":"双人套餐","kind":"groupon","pay_amount":4499,"original_amount":4500,"market_price":5000,'
            '"start_time":1713146529,"expire_time":1744300799,"code_tail":"0001"},'
            '{"certificate_id":"7200000000000000002","order_id":"2000000000000000002","kind":"times_card",'
            '"expire_time":1744300800,"times":{"usable":7,"total":10,"use_amount":300,"type":1,'
            '"usable_serials":[4,5,6,7,8,9,10]}},'
            '{"certificate_id":"7200000000000000003","order_id":"2000000000000000002","kind":"voucher",'
            '"expire_time":1744300801,'
            '"voucher":{"description":"平日可抵100元","min_amount":8000,"max_amount":10000}},'
            '{"certificate_id":"7200000000000000004","order_id":"2000000000000000002","kind":"other",'
            '"expire_time":1744300802,"lock":{"status":1,"scene":1},"is_transfer_asset":true},'
            '{"certificate_id":"7200000000000000005","order_id":"2000000000000000002","kind":"other",'
            '"expire_time":1744300803,"off_peak":{"limit_type":1,"start_time":1713146529,"end_time":1899999999,'
            '"weekdays":[1,2],"hours":[["14:00","17:00"]]}}]}'
        )

    def test_the_list_has_only_what_the_platform_allows_in_the_store(self, api: Api) -> None:
        """The platform sets `can_use` on the order; missing and null mean that the order cannot be used."""
        api.login(CUSTOMER_WITH_STORE_LIMITS)
        titles = {
            poi_id: [view["title"] for view in api.list(poi_id=poi_id).json["certificates"]]
            for poi_id in (POI_ID, OTHER_POI_ID)
        }
        assert titles == {POI_ID: ["人民广场店套餐", "全门店套餐"], OTHER_POI_ID: ["徐家汇与五角场套餐", "全门店套餐"]}

    @pytest.mark.parametrize("can_use", [False, None, "true", 1, "yes", [], {}])
    def test_an_order_is_usable_only_if_can_use_is_true(self, api: Api, platform: Platform, can_use: Any) -> None:
        api.login()
        platform.set_purchases(CUSTOMER, order("1", certificate("c1"), can_use=can_use), order("2", certificate("c2")))
        assert certificate_ids(api.list()) == ["c2"]

    def test_a_customer_without_coupons_gets_an_empty_list(self, api: Api) -> None:
        api.login(CUSTOMER_WITHOUT_COUPONS)
        assert api.list().text == f'{{"account_id":"{ACCOUNT_ID}","poi_id":"{POI_ID}","certificates":[]}}'

    def test_missing_fields_are_omitted(self, api: Api) -> None:
        api.login(CUSTOMER_WITH_MISSING_FIELDS)
        first = api.list().json["certificates"][0]
        assert first == {
            "certificate_id": "7200000000000010001", "order_id": "2000000000000010001",
            "sku_id": "1700000000000001", "title": "50元代金券", "kind": "groupon", "pay_amount": 4499,
            "original_amount": 4500, "market_price": 5000, "start_time": 1713146529, "expire_time": 1844300799,
        }  # fmt: skip

    def test_unknown_fields_are_ignored(self, api: Api) -> None:
        api.login(CUSTOMER_WITH_NEW_FIELDS)
        assert [view["title"] for view in api.list().json["certificates"]] == ["新品尝鲜套餐"]

    def test_only_unreadable_ids_remove_a_certificate(self, api: Api) -> None:
        api.login(CUSTOMER_WITH_MALFORMED_DATA)
        assert [view["title"] for view in api.list().json["certificates"]] == ["三人套餐", "单人套餐"]

    def test_certificates_are_sorted_by_expiry_then_by_id(self, api: Api, platform: Platform) -> None:
        api.login()
        never = {"certificate_id": "0"}
        platform.set_purchases(
            CUSTOMER, order("1", certificate("b", 20), never, certificate("c", 10), certificate("a", 20))
        )
        assert certificate_ids(api.list()) == ["c", "a", "b", "0"]

    def test_ids_that_the_platform_sends_as_numbers_become_strings(self, api: Api, platform: Platform) -> None:
        api.login()
        entry = order("1", certificate("c", sku_info={"sku_id": 1700000000000001}))
        entry["order"] |= {"order_id": 2000000000000000001}
        entry["order"]["certificates"][0]["certificate_id"] = 7200000000000000001
        platform.set_purchases(CUSTOMER, entry)
        [view] = api.list().json["certificates"]
        assert view["certificate_id"] == "7200000000000000001"
        assert view["order_id"] == "2000000000000000001"
        assert view["sku_id"] == "1700000000000001"

    def test_filters_are_sent_to_the_platform(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_STORE_LIMITS)
        assert "双开套餐" in api.list("?biz_type=2").text
        assert "双开套餐" not in api.list("?biz_type=1").text
        api.login(CUSTOMER_WITH_UNUSUAL_DATES)
        assert len(certificate_ids(api.list("?start_time=1861891200&end_time=1893427200"))) == 2
        assert len(certificate_ids(api.list("?end_time=1713146530"))) == 1
        assert platform.calls("query_user_certificates")

    def test_only_the_last_four_characters_of_a_code_are_returned(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.set_purchases(
            CUSTOMER,
            order("1", certificate("a", code="12345678"), certificate("b", code="1234"), certificate("c", code="")),
        )
        views = {view["certificate_id"]: view.get("code_tail") for view in api.list().json["certificates"]}
        assert views == {"a": "5678", "b": None, "c": None}

    def test_the_life_account_id_of_the_row_is_sent_to_the_platform(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(MERCHANT_ROW, app_id=APP_ID, life_account_id="another-account")
        assert_problem(api.list(), 502, "upstream_rejected")


class TestPages:
    def test_the_first_page_is_fetched_alone_and_the_others_in_parallel(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        platform.fail("delay", page=1, seconds=0.2)
        for page in (2, 3, 4):
            platform.fail("delay", page=page, seconds=0.3)
        response = api.list()
        assert len(certificate_ids(response)) == 200
        calls = platform.calls("query_user_certificates")
        assert [entry["page"] for entry in calls[:1]] == [1]
        assert sorted(entry["page"] for entry in calls[1:]) == [2, 3, 4]
        times = [entry["at"] for entry in calls]
        assert times[1] - times[0] >= 0.2, "the first page tells how many pages there are"
        assert max(times[1:]) - min(times[1:]) < 0.3, "the other pages are fetched at the same time"

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

    def test_one_full_page_causes_no_second_call(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.set_purchases(CUSTOMER, *(order(str(n), certificate(f"{n:03d}")) for n in range(50)))
        assert len(certificate_ids(api.list())) == 50
        assert len(platform.calls("query_user_certificates")) == 1

    def test_four_pages_fit_into_one_response(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.set_purchases(CUSTOMER, *(order(str(n), certificate(f"{n:03d}")) for n in range(200)))
        response = api.list()
        assert len(certificate_ids(response)) == 200
        assert "next_cursor" not in response.json

    def test_an_order_that_is_split_across_two_pages_is_complete(self, api: Api, platform: Platform) -> None:
        api.login()
        entries = [
            order(str(n), certificate(f"{n:03d}a"), certificate(f"{n:03d}b"), certificate(f"{n:03d}c"))
            for n in range(40)
        ]
        platform.set_purchases(CUSTOMER, *entries)
        assert len(certificate_ids(api.list())) == 120

    def test_the_next_response_starts_with_the_page_that_failed(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        platform.fail("code", page=3, code=2119001, times=1)
        first = api.list()
        assert first.status == 200
        assert len(certificate_ids(first)) == 100
        second = api.list(f"?cursor={first.json['next_cursor']}")
        pages = [entry["page"] for entry in platform.calls("query_user_certificates")]
        assert sorted(pages) in ([1, 2, 3, 3, 4, 4, 5, 6], [1, 2, 3, 3, 4, 5, 6]), (
            "page 4 may be aborted before it is sent"
        )
        third = api.list(f"?cursor={second.json['next_cursor']}")
        seen = certificate_ids(first) + certificate_ids(second) + certificate_ids(third)
        assert len(seen) == len(set(seen)) == 340

    def test_a_failed_first_page_is_a_problem(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        platform.fail("code", page=5, code=2119001)
        first = api.list()
        assert_problem(api.list(f"?cursor={first.json['next_cursor']}"), 502, "upstream_rejected")

    def test_a_list_that_grows_between_two_responses_loses_nothing(self, api: Api, platform: Platform) -> None:
        """Certificates that move to a later page are returned again: clients drop ids that they have seen."""
        api.login()
        entries = [order(str(n), certificate(f"{n:03d}")) for n in range(230)]
        platform.set_purchases(CUSTOMER, *entries)
        first = api.list()
        platform.set_purchases(CUSTOMER, *(order(f"new{n}", certificate(f"new{n}")) for n in range(5)), *entries)
        second = api.list(f"?cursor={first.json['next_cursor']}")
        assert certificate_ids(first) == [f"{n:03d}" for n in range(200)]
        assert certificate_ids(second) == [f"{n:03d}" for n in range(195, 230)]

    def test_a_certificate_that_is_on_two_pages_is_returned_once(self, api: Api, platform: Platform) -> None:
        api.login()
        entries = [order(str(n), certificate(f"{n % 40:03d}")) for n in range(80)]
        platform.set_purchases(CUSTOMER, *entries)
        assert certificate_ids(api.list()) == [f"{n:03d}" for n in range(40)]

    @pytest.mark.parametrize("total", [None, "x", -1, 10, 0, 1e300, True], ids=lambda total: f"total={total}")
    def test_a_wrong_total_hides_no_page(self, api: Api, platform: Platform, total: Any) -> None:
        api.login()
        platform.set_purchases(CUSTOMER, *(order(str(n), certificate(f"{n:03d}")) for n in range(120)))
        platform.fail("patch", patch={"total": total})
        assert len(certificate_ids(api.list())) == 120

    def test_a_total_that_is_a_string_is_parsed(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.set_purchases(CUSTOMER, *(order(str(n), certificate(f"{n:03d}")) for n in range(60)))
        platform.fail("patch", patch={"total": "60"})
        assert len(certificate_ids(api.list())) == 60
        assert len(platform.calls("query_user_certificates")) == 2

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

    def test_pagination_ends_if_the_total_is_too_large(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_MISSING_FIELDS)
        platform.fail("patch", patch={"total": 10**9})
        response = api.list()
        found = certificate_ids(response)
        while "next_cursor" in response.json:
            response = api.list(f"?cursor={response.json['next_cursor']}")
            found += certificate_ids(response)
        assert len(found) == 2
        assert len(platform.calls("query_user_certificates")) == 21, "twenty empty pages after the first"


class TestInput:
    @pytest.mark.parametrize(
        ("account_id", "poi_id"),
        [
            ("a" * 65, POI_ID),
            ("", POI_ID),
            ("a.b", POI_ID),
            ("%2e", POI_ID),
            ("%2541", POI_ID),
            ("%E5%BA%97", POI_ID),
            (ACCOUNT_ID, "%00"),
            (ACCOUNT_ID, "66 01"),
            (ACCOUNT_ID, "6601%0a"),
            (ACCOUNT_ID, "%"),
        ],
    )
    def test_an_invalid_id_is_rejected_without_a_platform_call(
        self, api: Api, platform: Platform, account_id: str, poi_id: str
    ) -> None:
        api.login()
        platform.server.calls.clear()
        assert_problem(api.list(account_id=account_id, poi_id=poi_id), 400, "invalid_request")
        assert platform.server.calls == []

    def test_an_encoded_id_is_decoded_once(self, api: Api) -> None:
        api.login()
        assert api.list(poi_id="66%30%31").json["poi_id"] == "6601"

    @pytest.mark.parametrize(
        "query",
        [
            "biz_type=3", "biz_type=", "biz_type=x", "biz_type=1&biz_type=2", "start_time=x", "start_time=-1",
            "start_time=1.5", "end_time=", "end_time=99999999999", "start_time=2&end_time=1", "cursor=",
            "cursor=x", "cursor=" + "x" * 1025, "cursor=%E5%BA%97", "start_time=%D9%A1",
        ],
    )  # fmt: skip
    def test_an_invalid_query_is_rejected_without_a_platform_call(
        self, api: Api, platform: Platform, query: str
    ) -> None:
        api.login()
        platform.server.calls.clear()
        assert_problem(api.list(f"?{query}"), 400, "invalid_request")
        assert platform.server.calls == []

    def test_a_cursor_of_another_query_or_user_is_rejected(self, api: Api, platform: Platform) -> None:
        api.login(CUSTOMER_WITH_MANY_COUPONS)
        cursor = api.list().json["next_cursor"]
        assert api.list(f"?cursor={cursor}").status == 200
        platform.server.calls.clear()
        assert_problem(api.list(f"?cursor={cursor}", poi_id=OTHER_POI_ID), 400, "invalid_request")
        assert_problem(api.list(f"?cursor={cursor}&biz_type=1"), 400, "invalid_request")
        assert_problem(api.list(f"?cursor={cursor[:-2]}AA"), 400, "invalid_request")
        api.login()
        assert_problem(api.list(f"?cursor={cursor}"), 400, "invalid_request")
        assert platform.calls("query_user_certificates") == []

    def test_unknown_query_parameters_are_ignored(self, api: Api) -> None:
        api.login()
        assert api.list("?_=1&_=2").status == 200


class TestSession:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer x", "Bearer a.b", "Bearer " + "x" * 3000, "Bearer é.é"],
    )
    def test_a_missing_or_forged_session_is_unauthenticated(
        self, api: Api, platform: Platform, authorization: str | None
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        response = api.list(headers=headers)
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        assert platform.server.calls == []

    def test_a_token_with_a_changed_character_is_unauthenticated(self, api: Api) -> None:
        token = api.login().json["token"]
        for index in range(0, len(token), 7):
            other = "A" if token[index] != "A" else "B"
            response = api.list(headers={"Authorization": f"Bearer {token[:index]}{other}{token[index + 1 :]}"})
            # The last character of base64 may have unused bits.
            assert response.status == 401 or index == len(token) - 1

    def test_a_session_expires(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        api.login()
        sessions = application.components().authenticator
        monkeypatch.setattr(sessions, "_clock", lambda: time.time() + 7199)
        assert api.list().status == 200
        monkeypatch.setattr(sessions, "_clock", lambda: time.time() + 7201)
        assert_problem(api.list(), 401, "unauthenticated")

    def test_a_session_of_another_app_is_wrong_app(self, api: Api) -> None:
        api.login(CUSTOMER_WITH_TIMES_CARDS, OTHER_APP_ID)
        assert_problem(api.list(), 403, "wrong_app")
        assert api.list(account_id=OTHER_ACCOUNT_ID, poi_id=OTHER_ACCOUNT_POI_ID).status == 200

    def test_the_bearer_scheme_is_case_insensitive(self, api: Api) -> None:
        token = api.login().json["token"]
        assert api.list(headers={"Authorization": f"bearer {token}"}).status == 200


class TestMerchant:
    def test_a_merchant_without_a_row_is_not_found(self, api: Api) -> None:
        api.login()
        assert_problem(api.list(account_id="7000000000000000000"), 404, "merchant_not_found")

    def test_a_suspended_merchant_is_not_found(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(MERCHANT_ROW, app_id=APP_ID, active=False)
        assert_problem(api.list(), 404, "merchant_not_found")

    def test_a_store_that_is_not_in_the_row_is_not_found(self, api: Api) -> None:
        api.login()
        assert_problem(api.list(poi_id=OTHER_ACCOUNT_POI_ID), 404, "store_not_found")

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


class TestFramework:
    def test_an_unknown_route_is_not_found(self, api: Api) -> None:
        assert_problem(api.call("GET", "/v1/nothing"), 404, "not_found")

    def test_an_unknown_method_is_not_allowed(self, api: Api) -> None:
        response = api.call("DELETE", "/v1/health")
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "GET"

    def test_a_form_body_is_an_unsupported_media_type(self, api: Api) -> None:
        assert_problem(
            api.call("POST", "/v1/sessions", "a=b", {"Content-Type": "application/x-www-form-urlencoded"}),
            415,
            "unsupported_media_type",
        )

    def test_an_unexpected_exception_is_an_internal_error_and_its_text_is_not_logged(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        api.login()

        def fail(*_: Any) -> None:
            raise RuntimeError("text that must not be logged")

        monkeypatch.setattr(application.components().lister, "list_certificates", fail)
        response = api.list()
        assert_problem(response, 500, "internal_error")
        assert "RuntimeError" not in response.text
        out = capsys.readouterr().out
        assert "RuntimeError at test_contract.py" in out
        assert "must not be logged" not in out

    @pytest.mark.parametrize("event", [{}, None, [], {"requestContext": None}, {"headers": {"a": "b"}}])
    def test_an_event_without_a_route_is_not_found(self, event: Any) -> None:
        assert gateway.parse_response(application.app(event, None)).json["code"] == "not_found"

    def test_an_event_without_path_parameters_is_an_internal_error(self, api: Api) -> None:
        api.login()
        route = "/v1/merchants/{account_id}/stores/{poi_id}/certificates"
        event = {"requestContext": {"resourcePath": route, "httpMethod": "GET", "requestId": "r"}}
        assert_problem(gateway.parse_response(application.app(event, None)), 500, "internal_error")

    def test_single_value_query_parameters_are_used_if_there_are_no_others(self, api: Api) -> None:
        api.login()
        event = gateway.build_event("GET", f"{LIST_URL}?biz_type=9", api.headers)
        del event["multiValueQueryStringParameters"]
        assert_problem(gateway.parse_response(application.app(event, None)), 400, "invalid_request")


class TestConfiguration:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("TABLE_NAME", ""),
            ("SECRET_NAME", " "),
            ("DOUYIN_OPEN_API", "http://open.douyin.com"),
            ("DOUYIN_LOGIN_API", "not a url"),
            ("SESSION_TTL_SECONDS", "-1"),
        ],
    )
    def test_an_invalid_variable_is_an_internal_error_and_the_log_names_it(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        response = api.call("POST", "/v1/sessions", INVALID_LOGIN, JSON_HEADERS)
        assert_problem(response, 500, "internal_error")
        assert name in capsys.readouterr().out

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

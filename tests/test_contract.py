"""The contract through the front door: API Gateway events in, answers out, over real sockets to both sides."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

import app as application
from chalicelib import __version__
from chalicelib.scope import Scope
from sandbox import gateway
from tests.conftest import APP, MERCHANT, OTHER_APP, OTHER_MERCHANT, SESSION_KEY, STORE, Api, Aws, Platform

if TYPE_CHECKING:
    from sandbox.gateway import Answer

JSON = {"Content-Type": "application/json"}


def assert_problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Every problem has the one shape."""
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json
    assert list(body)[:7] == ["type", "title", "status", "code", "detail", "request_id", "retryable"]
    assert set(body) <= {"type", "title", "status", "code", "detail", "request_id", "retryable", "upstream"}
    assert body["type"] == "about:blank"
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"].isascii()
    assert re.search(r"[\u4e00-\u9fff]", body["detail"])
    return body


def order(order_id: str, *certificates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"account_id": MERCHANT, "order": {"order_id": order_id, "certificates": list(certificates), **more}}


def certificate(certificate_id: str, expire_time: int = 1899999999, **more: Any) -> dict[str, Any]:
    return {"certificate_id": certificate_id, "expire_time": expire_time, **more}


def ids(answer: Answer) -> list[str]:
    return [view["certificate_id"] for view in answer.json["certificates"]]


class TestHealth:
    def test_says_ok_and_its_version_and_touches_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("TABLE_NAME", "SECRET_NAME"):
            monkeypatch.delenv(name, raising=False)
        answer = Api(None).call("GET", "/v1/health")  # type: ignore[arg-type]
        assert answer.status == 200
        assert answer.text == f'{{"status":"ok","version":"{__version__}"}}'
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]


class TestLogin:
    def test_answers_a_token_and_its_life(self, api: Api) -> None:
        answer = api.login()
        assert answer.status == 200
        assert set(answer.json) == {"token", "expires_in"}
        assert answer.json["expires_in"] == 7200
        assert ": " not in answer.text
        assert answer.headers["content-type"] == "application/json; charset=utf-8"

    def test_a_code_is_good_once(self, api: Api, platform: Platform) -> None:
        code = platform.server.platform.issue_code(APP, "lin")
        body = json.dumps({"app_id": APP, "code": code})
        assert api.call("POST", "/v1/sessions", body, JSON).status == 200
        assert_problem(api.call("POST", "/v1/sessions", body, JSON), 401, "unauthenticated")

    def test_an_unknown_app_is_told_like_a_refused_code_and_nobody_is_asked(self, api: Api, platform: Platform) -> None:
        unknown = api.call("POST", "/v1/sessions", json.dumps({"app_id": "ttnobody", "code": "whatever"}), JSON)
        problem = assert_problem(unknown, 401, "unauthenticated")
        assert platform.calls("jscode2session") == []
        refused = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP, "code": "whatever"}), JSON)
        assert refused.json | {"request_id": ""} == problem | {"request_id": ""}

    def test_an_unknown_app_takes_as_long_as_the_login_before_it(self, api: Api, platform: Platform) -> None:
        platform.fail("delay", "jscode2session", seconds=0.3, times=1)
        assert api.login().status == 200
        begun = time.monotonic()
        api.call("POST", "/v1/sessions", json.dumps({"app_id": "ttnobody", "code": "whatever"}), JSON)
        assert time.monotonic() - begun >= 0.3

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
    def test_a_bad_body_is_refused_and_nobody_is_asked(self, api: Api, platform: Platform, body: str | None) -> None:
        assert_problem(api.call("POST", "/v1/sessions", body, JSON), 400, "invalid_request")
        assert platform.server.calls == []

    def test_a_body_without_a_content_type_is_read_as_json(self, api: Api, platform: Platform) -> None:
        code = platform.server.platform.issue_code(APP, "lin")
        assert api.call("POST", "/v1/sessions", json.dumps({"app_id": APP, "code": code})).status == 200

    @pytest.mark.parametrize("code", [40014, 40018, 40019])
    def test_a_refused_code_is_unauthenticated(self, api: Api, platform: Platform, code: int) -> None:
        platform.fail("code", "jscode2session", code=code)
        assert_problem(api.login(), 401, "unauthenticated")
        assert len(platform.calls("jscode2session")) == 1

    @pytest.mark.parametrize("code", [40015, 40017, 10003, 10013])
    def test_refused_credentials_are_the_operators_business(self, api: Api, platform: Platform, code: int) -> None:
        platform.fail("code", "jscode2session", code=code)
        problem = assert_problem(api.login(), 503, "app_misconfigured")
        assert problem["retryable"] is False

    def test_a_login_without_an_openid_is_malformed(self, api: Api, platform: Platform) -> None:
        platform.fail("patch", "jscode2session", patch={"openid": ""})
        assert_problem(api.login(), 502, "upstream_malformed")

    def test_the_newest_key_signs_and_older_ones_are_read(self, api: Api, aws: Aws, platform: Platform) -> None:
        secrets = {app.app_id: app.app_secret for app in platform.world.apps.values()}
        api.login()
        old = dict(api.headers)
        aws.put_secret(secrets, ["a-new-key-of-the-test-0000000000002", SESSION_KEY])
        restart()
        assert api.list().status == 200
        api.login()
        aws.put_secret(secrets, ["a-new-key-of-the-test-0000000000002"])
        restart()
        assert api.list().status == 200, "signed by the newest key"
        api.headers = old
        assert_problem(api.list(), 401, "unauthenticated")

    def test_a_key_added_after_the_instance_read_the_secret_is_found(
        self, api: Api, aws: Aws, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert api.login().status == 200
        secrets = {app.app_id: app.app_secret for app in platform.world.apps.values()}
        aws.put_secret(secrets, ["a-new-key-of-the-test-0000000000002", SESSION_KEY])
        elsewhere = application.parts.__wrapped__()
        code = platform.server.platform.issue_code(APP, "lin")
        token = elsewhere.sessions.open(APP, code, Scope.within(15_000))
        elsewhere.http.close()
        elsewhere.pages.shutdown()
        api.headers = {"Authorization": f"Bearer {token}"}
        assert_problem(api.list(), 401, "unauthenticated")  # this instance has looked a moment ago
        monkeypatch.setattr(application.parts().credentials, "_read_at", time.time() - 11)
        assert api.list().status == 200


def restart() -> None:
    """A new instance: nothing in memory."""
    application.parts().http.close()
    application.parts().pages.shutdown()
    application.parts.cache_clear()


class TestList:
    def test_the_view_of_a_mixed_list_byte_for_byte(self, api: Api, platform: Platform) -> None:
        """The examples of the contract, written out in full."""
        api.login()
        platform.bought(
            "lin",
            order(
                "2000000000000000001",
                certificate("7357908262957000001", 1744300799, code="1081500070001", start_time=1713146529)
                | {
                    "amount": {"original_amount": 4500, "pay_amount": 4499},
                    "sku_info": {
                        "sku_id": "1796091790116912", "title": "双人套餐", "groupon_type": 1, "market_price": 5000,
                    },
                },
            ),
            order(
                "2000000000000000002",
                certificate("7357908262957000002", 1744300800)
                | {
                    "sku_info": {"groupon_type": 3},
                    "times_card_info": {
                        "total_times": 10, "usable_times": 7, "use_amount": 300, "times_card_type": 1,
                        "total_times_serial_nums": list(range(1, 11)),
                        "used_times_serial_nums": [1, 2],
                        "locked_times_serial_nums": [3],
                    },
                },
                certificate("7357908262957000003", 1744300801)
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
                certificate("7357908262957000004", 1744300802, is_transfer_asset=True)
                | {"lock_info_extra": {"lock_status": 1, "lock_scene": 1}},
                certificate("7357908262957000005", 1744300803)
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
        answer = api.list()
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.text == (
            '{"account_id":"7296781329369139211","poi_id":"6601","certificates":['
            '{"certificate_id":"7357908262957000001","order_id":"2000000000000000001","sku_id":"1796091790116912",'
            '"title":"双人套餐","kind":"groupon","pay_amount":4499,"original_amount":4500,"market_price":5000,'
            '"start_time":1713146529,"expire_time":1744300799,"code_tail":"0001"},'
            '{"certificate_id":"7357908262957000002","order_id":"2000000000000000002","kind":"times_card",'
            '"expire_time":1744300800,"times":{"usable":7,"total":10,"use_amount":300,"type":1,'
            '"usable_serials":[4,5,6,7,8,9,10]}},'
            '{"certificate_id":"7357908262957000003","order_id":"2000000000000000002","kind":"voucher",'
            '"expire_time":1744300801,'
            '"voucher":{"description":"平日可抵100元","min_amount":8000,"max_amount":10000}},'
            '{"certificate_id":"7357908262957000004","order_id":"2000000000000000002","kind":"other",'
            '"expire_time":1744300802,"lock":{"status":1,"scene":1},"is_transfer_asset":true},'
            '{"certificate_id":"7357908262957000005","order_id":"2000000000000000002","kind":"other",'
            '"expire_time":1744300803,"off_peak":{"limit_type":1,"start_time":1713146529,"end_time":1899999999,'
            '"weekdays":[1,2],"hours":[["14:00","17:00"]]}}]}'
        )

    def test_the_store_is_asked_for_upstream_and_can_use_decides(self, api: Api) -> None:
        """can_use stands on the order; missing and null mean that it cannot be used."""
        api.login("zhao")
        titles = {
            store: [view["title"] for view in api.list(store=store).json["certificates"]] for store in ("6601", "6602")
        }
        assert titles == {"6601": ["人民广场店套餐", "全门店套餐"], "6602": ["徐家汇与五角场套餐", "全门店套餐"]}

    @pytest.mark.parametrize("can_use", [False, None, "true", 1, "yes", [], {}])
    def test_only_exactly_true_is_usable(self, api: Api, platform: Platform, can_use: Any) -> None:
        api.login()
        platform.bought("lin", order("1", certificate("c1"), can_use=can_use), order("2", certificate("c2")))
        assert ids(api.list()) == ["c2"]

    def test_an_empty_list_is_an_empty_list(self, api: Api) -> None:
        api.login("wu")
        assert api.list().text == f'{{"account_id":"{MERCHANT}","poi_id":"{STORE}","certificates":[]}}'

    def test_a_sparse_reply_as_real_traffic_has_it(self, api: Api) -> None:
        api.login("chen")
        first = api.list().json["certificates"][0]
        assert first == {
            "certificate_id": "7357908262957010001", "order_id": "2000000000000010001",
            "sku_id": "1796091790116912", "title": "50元代金券", "kind": "groupon", "pay_amount": 4499,
            "original_amount": 4500, "market_price": 5000, "start_time": 1713146529, "expire_time": 1844300799,
        }  # fmt: skip

    def test_unknown_fields_do_no_harm(self, api: Api) -> None:
        api.login("yang")
        assert [view["title"] for view in api.list().json["certificates"]] == ["新品尝鲜套餐"]

    def test_a_malformed_certificate_or_order_does_not_hide_the_others(self, api: Api) -> None:
        api.login("zheng")
        assert [view["title"] for view in api.list().json["certificates"]] == ["好数据套餐"]

    def test_the_soonest_to_expire_comes_first_then_by_id(self, api: Api, platform: Platform) -> None:
        api.login()
        never = {"certificate_id": "0"}
        platform.bought("lin", order("1", certificate("b", 20), never, certificate("c", 10), certificate("a", 20)))
        assert ids(api.list()) == ["c", "a", "b", "0"]

    def test_ids_are_strings_even_where_the_platform_sends_numbers(self, api: Api, platform: Platform) -> None:
        api.login()
        entry = order("1", certificate("c", sku_info={"sku_id": 1796091790116912}))
        entry["order"] |= {"order_id": 2000000000000000001}
        entry["order"]["certificates"][0]["certificate_id"] = 7357908262957000001
        platform.bought("lin", entry)
        [view] = api.list().json["certificates"]
        assert view["certificate_id"] == "7357908262957000001"
        assert view["order_id"] == "2000000000000000001"
        assert view["sku_id"] == "1796091790116912"

    def test_filters_are_sent_on(self, api: Api, platform: Platform) -> None:
        api.login("zhao")
        assert "双开套餐" in api.list("?biz_type=2", store="6601").text
        assert "双开套餐" not in api.list("?biz_type=1", store="6601").text
        api.login("li")
        assert len(ids(api.list("?start_time=1861891200&end_time=1893427200"))) == 2
        assert len(ids(api.list("?end_time=1713146530"))) == 1
        assert platform.calls("query_user_certificates")

    def test_the_whole_code_never_leaves_the_server(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.bought(
            "lin",
            order("1", certificate("a", code="12345678"), certificate("b", code="1234"), certificate("c", code="")),
        )
        views = {view["certificate_id"]: view.get("code_tail") for view in api.list().json["certificates"]}
        assert views == {"a": "5678", "b": None, "c": None}

    def test_the_root_account_is_sent_when_the_row_has_one(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(f"MERCHANT#{MERCHANT}", app_id=APP, life_account_id="not-theirs")
        assert_problem(api.list(), 502, "upstream_rejected")


class TestPages:
    def test_the_first_alone_then_the_others_at_the_same_time(self, api: Api, platform: Platform) -> None:
        api.login("zhou")
        platform.fail("delay", page=1, seconds=0.2)
        for page in (2, 3, 4):
            platform.fail("delay", page=page, seconds=0.3)
        answer = api.list()
        assert len(ids(answer)) == 200
        calls = platform.calls("query_user_certificates")
        assert [entry["page"] for entry in calls[:1]] == [1]
        assert sorted(entry["page"] for entry in calls[1:]) == [2, 3, 4]
        begun = [entry["at"] for entry in calls]
        assert begun[1] - begun[0] >= 0.2, "the others wait for the first, which tells how many there are"
        assert max(begun[1:]) - min(begun[1:]) < 0.3, "and go together"

    def test_a_walk_by_cursor_sees_every_certificate_once_and_asks_for_each_page_once(
        self, api: Api, platform: Platform
    ) -> None:
        api.login("zhou")
        seen: list[str] = []
        query, answers = "", 0
        while True:
            answer = api.list(query)
            assert answer.status == 200
            seen += ids(answer)
            answers += 1
            if "next_cursor" not in answer.json:
                break
            query = f"?cursor={answer.json['next_cursor']}"
        assert len(seen) == len(set(seen)) == 340
        assert answers == 2
        assert sorted(entry["page"] for entry in platform.calls("query_user_certificates")) == list(range(1, 9))

    def test_exactly_one_full_page_asks_for_no_second(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.bought("lin", *(order(str(n), certificate(f"{n:03d}")) for n in range(50)))
        assert len(ids(api.list())) == 50
        assert len(platform.calls("query_user_certificates")) == 1

    def test_exactly_four_pages_need_no_cursor(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.bought("lin", *(order(str(n), certificate(f"{n:03d}")) for n in range(200)))
        answer = api.list()
        assert len(ids(answer)) == 200
        assert "next_cursor" not in answer.json

    def test_an_order_cut_across_two_pages_is_whole(self, api: Api, platform: Platform) -> None:
        api.login()
        entries = [
            order(str(n), certificate(f"{n:03d}a"), certificate(f"{n:03d}b"), certificate(f"{n:03d}c"))
            for n in range(40)
        ]
        platform.bought("lin", *entries)
        assert len(ids(api.list())) == 120

    def test_a_lost_page_is_where_the_next_answer_starts(self, api: Api, platform: Platform) -> None:
        api.login("zhou")
        platform.fail("code", page=3, code=2119001, times=1)
        first = api.list()
        assert first.status == 200
        assert len(ids(first)) == 100
        second = api.list(f"?cursor={first.json['next_cursor']}")
        pages = [entry["page"] for entry in platform.calls("query_user_certificates")]
        assert sorted(pages) == [1, 2, 3, 3, 4, 4, 5, 6]
        third = api.list(f"?cursor={second.json['next_cursor']}")
        seen = ids(first) + ids(second) + ids(third)
        assert len(seen) == len(set(seen)) == 340

    def test_a_lost_first_page_is_a_problem(self, api: Api, platform: Platform) -> None:
        api.login("zhou")
        platform.fail("code", page=5, code=2119001)
        first = api.list()
        assert_problem(api.list(f"?cursor={first.json['next_cursor']}"), 502, "upstream_rejected")

    def test_a_list_that_grows_during_the_walk_shows_nothing_twice(self, api: Api, platform: Platform) -> None:
        api.login()
        entries = [order(str(n), certificate(f"{n:03d}")) for n in range(230)]
        platform.bought("lin", *entries)
        first = api.list()
        platform.bought("lin", *(order(f"new{n}", certificate(f"new{n}")) for n in range(5)), *entries)
        second = api.list(f"?cursor={first.json['next_cursor']}")
        assert len(ids(first)) == 200
        assert ids(second) == [f"{n:03d}" for n in range(200, 230)]

    def test_the_same_certificate_on_two_pages_appears_once(self, api: Api, platform: Platform) -> None:
        api.login()
        entries = [order(str(n), certificate(f"{n % 40:03d}")) for n in range(80)]
        platform.bought("lin", *entries)
        assert ids(api.list()) == [f"{n:03d}" for n in range(40)]

    @pytest.mark.parametrize("total", [None, "x", -1, 10, 0, 1e300, True], ids=lambda total: f"total={total}")
    def test_a_total_that_says_nothing_usable_does_not_hide_a_page(
        self, api: Api, platform: Platform, total: Any
    ) -> None:
        api.login()
        platform.bought("lin", *(order(str(n), certificate(f"{n:03d}")) for n in range(120)))
        platform.fail("patch", patch={"total": total})
        assert len(ids(api.list())) == 120

    def test_a_total_as_text_is_read(self, api: Api, platform: Platform) -> None:
        api.login()
        platform.bought("lin", *(order(str(n), certificate(f"{n:03d}")) for n in range(60)))
        platform.fail("patch", patch={"total": "60"})
        assert len(ids(api.list())) == 60
        assert len(platform.calls("query_user_certificates")) == 2

    def test_a_false_total_does_not_make_an_endless_walk(self, api: Api, platform: Platform) -> None:
        api.login("chen")
        platform.fail("patch", patch={"total": 10**9})
        answer = api.list()
        assert len(ids(answer)) == 2
        again = api.list(f"?cursor={answer.json['next_cursor']}")
        assert ids(again) == []
        assert "next_cursor" not in again.json

    def test_a_false_total_over_pages_that_cannot_be_read_ends_as_well(
        self, api: Api, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api.login("chen")
        monkeypatch.setattr("chalicelib.certificates.LAST_PAGE", 8)
        platform.fail("patch", patch={"total": 10**9, "orders": [None]})
        answer = api.list()
        again = api.list(f"?cursor={answer.json['next_cursor']}")
        assert "next_cursor" not in again.json


class TestInput:
    @pytest.mark.parametrize(
        ("merchant", "store"),
        [
            ("a" * 65, STORE),
            ("", STORE),
            ("a.b", STORE),
            ("%2e", STORE),
            ("%2541", STORE),
            ("%E5%BA%97", STORE),
            (MERCHANT, "%00"),
            (MERCHANT, "66 01"),
            (MERCHANT, "6601%0a"),
            (MERCHANT, "%"),
        ],
    )
    def test_bad_ids_are_refused_and_nobody_is_asked(
        self, api: Api, platform: Platform, merchant: str, store: str
    ) -> None:
        api.login()
        platform.server.calls.clear()
        assert_problem(api.list(merchant=merchant, store=store), 400, "invalid_request")
        assert platform.server.calls == []

    def test_an_encoded_id_is_decoded_once(self, api: Api) -> None:
        api.login()
        assert api.list(store="66%30%31").json["poi_id"] == "6601"

    @pytest.mark.parametrize(
        "query",
        [
            "biz_type=3", "biz_type=", "biz_type=x", "biz_type=1&biz_type=2", "start_time=x", "start_time=-1",
            "start_time=1.5", "end_time=", "end_time=99999999999", "start_time=2&end_time=1", "cursor=",
            "cursor=x", "cursor=" + "x" * 1025, "cursor=%E5%BA%97", "start_time=%D9%A1",
        ],
    )  # fmt: skip
    def test_a_bad_query_is_refused_and_nobody_is_asked(self, api: Api, platform: Platform, query: str) -> None:
        api.login()
        platform.server.calls.clear()
        assert_problem(api.list(f"?{query}"), 400, "invalid_request")
        assert platform.server.calls == []

    def test_a_cursor_of_another_question_is_refused(self, api: Api, platform: Platform) -> None:
        api.login("zhou")
        cursor = api.list().json["next_cursor"]
        assert api.list(f"?cursor={cursor}").status == 200
        platform.server.calls.clear()
        assert_problem(api.list(f"?cursor={cursor}", store="6602"), 400, "invalid_request")
        assert_problem(api.list(f"?cursor={cursor}&biz_type=1"), 400, "invalid_request")
        assert_problem(api.list(f"?cursor={cursor[:-2]}AA"), 400, "invalid_request")
        api.login("lin")
        assert_problem(api.list(f"?cursor={cursor}"), 400, "invalid_request")
        assert platform.calls("query_user_certificates") == []

    def test_parameters_that_are_not_ours_are_ignored(self, api: Api) -> None:
        api.login()
        assert api.list("?_=1&_=2").status == 200


class TestSession:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer x", "Bearer a.b", "Bearer " + "x" * 3000, "Bearer é.é"],
    )
    def test_no_session_or_a_forged_one_is_refused(
        self, api: Api, platform: Platform, authorization: str | None
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = api.list(headers=headers)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert platform.server.calls == []

    def test_every_changed_character_spoils_a_token(self, api: Api) -> None:
        token = api.login().json["token"]
        for at in range(0, len(token), 7):
            other = "A" if token[at] != "A" else "B"
            answer = api.list(headers={"Authorization": f"Bearer {token[:at]}{other}{token[at + 1 :]}"})
            # The last character of base64 may carry bits that count for nothing.
            assert answer.status == 401 or at == len(token) - 1

    def test_a_session_ends(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        api.login()
        sessions = application.parts().sessions
        monkeypatch.setattr(sessions, "_clock", lambda: time.time() + 7199)
        assert api.list().status == 200
        monkeypatch.setattr(sessions, "_clock", lambda: time.time() + 7201)
        assert_problem(api.list(), 401, "unauthenticated")

    def test_a_session_is_bound_to_its_app(self, api: Api) -> None:
        api.login("qian", OTHER_APP)
        assert_problem(api.list(), 403, "wrong_app")
        assert api.list(merchant=OTHER_MERCHANT, store="6606").status == 200

    def test_the_scheme_is_not_case_sensitive(self, api: Api) -> None:
        token = api.login().json["token"]
        assert api.list(headers={"Authorization": f"bearer {token}"}).status == 200


class TestMerchant:
    def test_no_row_is_not_found(self, api: Api) -> None:
        api.login()
        assert_problem(api.list(merchant="7000000000000000000"), 404, "merchant_not_found")

    def test_a_suspended_merchant_is_not_found(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(f"MERCHANT#{MERCHANT}", app_id=APP, active=False)
        assert_problem(api.list(), 404, "merchant_not_found")

    def test_a_store_that_is_not_listed_is_not_found(self, api: Api) -> None:
        api.login()
        assert_problem(api.list(store="6606"), 404, "store_not_found")

    def test_a_merchant_that_lists_no_stores_is_served_in_all(self, api: Api, aws: Aws) -> None:
        api.login()
        aws.put(f"MERCHANT#{MERCHANT}", app_id=APP)
        assert api.list(store="9999").status == 200

    def test_a_malformed_row_is_an_internal_error_that_names_the_attribute_in_the_log(
        self, api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        api.login()
        aws.put(f"MERCHANT#{MERCHANT}", name="no app")
        assert_problem(api.list(), 500, "internal_error")
        assert "attribute app_id is missing" in capsys.readouterr().out


class TestFramework:
    def test_no_such_route(self, api: Api) -> None:
        assert_problem(api.call("GET", "/v1/nothing"), 404, "not_found")

    def test_no_such_method(self, api: Api) -> None:
        answer = api.call("DELETE", "/v1/health")
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET"

    def test_no_such_media_type(self, api: Api) -> None:
        assert_problem(
            api.call("POST", "/v1/sessions", "a=b", {"Content-Type": "application/x-www-form-urlencoded"}),
            415,
            "unsupported_media_type",
        )

    def test_anything_unforeseen_is_an_internal_error_without_internals(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        api.login()

        def broken(*_: Any) -> None:
            raise RuntimeError("a value that must not be seen")

        monkeypatch.setattr(application.parts().certificates, "answer", broken)
        answer = api.list()
        assert_problem(answer, 500, "internal_error")
        assert "RuntimeError" not in answer.text
        out = capsys.readouterr().out
        assert "RuntimeError at test_contract.py" in out
        assert "must not be seen" not in out

    @pytest.mark.parametrize("event", [{}, None, [], {"requestContext": None}, {"headers": {"a": "b"}}])
    def test_what_is_no_http_event_is_not_found(self, event: Any) -> None:
        assert gateway.answer(application.app(event, None)).json["code"] == "not_found"

    def test_an_event_without_its_path_parameters_is_an_internal_error_in_our_shape(self, api: Api) -> None:
        api.login()
        route = "/v1/merchants/{account_id}/stores/{poi_id}/certificates"
        event = {"requestContext": {"resourcePath": route, "httpMethod": "GET", "requestId": "r"}}
        assert_problem(gateway.answer(application.app(event, None)), 500, "internal_error")

    def test_single_valued_query_parameters_are_read_where_no_others_are(self, api: Api) -> None:
        api.login()
        event = gateway.event("GET", f"/v1/merchants/{MERCHANT}/stores/{STORE}/certificates?biz_type=9", api.headers)
        del event["multiValueQueryStringParameters"]
        assert_problem(gateway.answer(application.app(event, None)), 400, "invalid_request")


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
    def test_a_bad_variable_names_itself(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        answer = api.call("POST", "/v1/sessions", json.dumps({"app_id": APP, "code": "c"}), JSON)
        assert_problem(answer, 500, "internal_error")
        assert name in capsys.readouterr().out

    def test_the_session_ttl_is_configured(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SESSION_TTL_SECONDS", "60")
        assert api.login().json["expires_in"] == 60

    def test_a_malformed_secret_is_an_internal_error(
        self, api: Api, aws: Aws, capsys: pytest.CaptureFixture[str]
    ) -> None:
        aws.secretsmanager.put_secret_value(SecretId=aws.secret, SecretString='{"apps": {"a": "the-value"}}')
        assert_problem(api.login(), 500, "internal_error")
        out = capsys.readouterr().out
        assert "session_keys" in out
        assert "the-value" not in out

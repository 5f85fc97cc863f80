"""A lost page ends the response before it. The calls for later pages do not affect later requests."""

from collections.abc import Iterator

from sandbox.sample_data import CUSTOMER, CUSTOMER_WITH_MANY_COUPONS
from tests.harness import (
    Api,
    Platform,
    certificate,
    certificate_ids,
    order,
)


def list_rest(api: Api, cursor: str = "") -> Iterator[list[str]]:
    """Return the ids of each response, from a cursor to the end of the list."""
    response = api.list(f"?cursor={cursor}" if cursor else "")
    assert response.status == 200, response.text
    yield certificate_ids(response)
    if "next_cursor" in response.json:
        yield from list_rest(api, response.json["next_cursor"])


def test_pages_that_the_platform_has_emptied_by_its_filter_end_no_list(api: Api, platform: Platform) -> None:
    platform.server.platform.store_filter = "after"
    mine = [order("1", *map(certificate, "abc")), order("3", *map(certificate, "xyz"))]
    others = order("2", *(certificate(f"{number:06d}") for number in range(444)), can_use=False)
    platform.set_purchases(CUSTOMER, mine[0], others, mine[1])
    api.login()
    assert list(list_rest(api)) == [["a", "b", "c"], [], ["x", "y", "z"]]
    assert len(platform.calls("query_user_certificates")) == 9
    platform.server.calls.clear()
    for page in range(2, 9):
        platform.fail("edit", page=page, remove_fields=["data.total"])
    assert list(list_rest(api)) == [["a", "b", "c"], [], ["x", "y", "z"]]
    assert len(platform.calls("query_user_certificates")) == 9


def test_pages_that_hang_after_a_lost_one_end_before_the_response(api: Api, platform: Platform) -> None:
    api.login(CUSTOMER_WITH_MANY_COUPONS)
    assert len(certificate_ids(api.list())) == 200, "token and connections are ready"
    platform.fail("code", page=2, code=2119001)
    platform.fail("hang", page=3)
    platform.fail("hang", page=4)
    response = api.list(milliseconds=1500)
    assert len(certificate_ids(response)) == 50
    platform.clear_faults()
    assert len(certificate_ids(api.list(f"?cursor={response.json['next_cursor']}"))) == 200

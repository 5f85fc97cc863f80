"""What `redeemctl call` prints of a reply."""

from typing import Any

import pytest

from redeemctl.calls import hide


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ({"code": "123456789012", "Code": 123456789012}, {"code": "…9012", "Code": "…9012"}),
        ({"encryptedCode": "abcdefgh", "encrypted_data": "x"}, {"encryptedCode": "…efgh", "encrypted_data": "…"}),
        ({"code": "1234567", "coupon_code": "1234"}, {"code": "…567", "coupon_code": "…"}),
        ({"codes": ["12345678", {"value": 12345678}]}, {"codes": ["…5678", {"value": "…5678"}]}),
        ({"error_code": 2100004, "sub_error_code": 12001, "err_no": 28001007},) * 2,
        ({"code": None, "code_list": [], "has_code": True, "no_code": 0},) * 2,
        ({"status": 3, "certificate_id": "7200000000000000001", "share": 0.5, "list": [None, False]},) * 2,
        ({"text": ' {"a":[{"code":"12345678"}]}'}, {"text": '{"a": [{"code": "…5678"}]}'}),
        ({"text": '[{"text":"{\\"code\\":12345678}"}]'}, {"text": '[{"text": "{\\"code\\": \\"…5678\\"}"}]'}),
        ({"text": "{no JSON}", "number": "1.10"},) * 2,
        ({"text": "with the-token in it", "list": ["the-token"]}, {"text": "with … in it", "list": ["…"]}),
        ({"text": "code 123456000012 is used", "123456000012": "the-token"}, {"text": "code … is used", "…": "…"}),
        ({"text": "a\ud800"}, {"text": "a?"}),
    ],
)  # fmt: skip
def test_codes_and_the_token_are_masked_wherever_they_are(reply: Any, shown: Any) -> None:
    assert hide(reply, ["the-token", "123456000012"]) == shown

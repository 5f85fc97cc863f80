"""The calls of the platform, found in the modules of the service, and a sample of each: tests go over them."""

import importlib
import pkgutil
from typing import Any, NamedTuple

import chalicelib
from chalicelib.douyin import calls
from chalicelib.douyin.calls import ListQuery, PlatformCall
from chalicelib.douyin.pages import Certificate, CertificateFields, Page
from chalicelib.douyin.protocol import LoginData, MintedToken, ProviderLoginData


class Sample(NamedTuple):
    """What the service sends in a call, byte by byte; the `data` of a documented reply, and what it means."""

    body: dict[str, Any]
    sent: bytes
    data: dict[str, Any]
    result: Any
    #: Values of `data` that are malformed.
    malformed: tuple[Any, ...] = ()


def find_platform_calls() -> dict[str, PlatformCall[Any]]:
    """Return the rows of all modules of the service, by name."""
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(chalicelib.__path__, "chalicelib.")]
    return {row.name: row for module in modules for row in vars(module).values() if isinstance(row, PlatformCall)}


SAMPLES = {
    "query_user_certificates": Sample(
        calls.page_body(ListQuery("7", "6601", 2, 100, 200), "user", 3, 10),
        b'{"account_id":"7","open_id":"user","poi_id":"6601","biz_type":2,"page":3,"page_size":10,'
        b'"page_dimension":1,"time_range":{"start_time":100,"end_time":200}}',
        {"total": 1, "orders": [{"order_id": "1", "can_use": True, "certificates": [{"certificate_id": "a"}]}]},
        Page([Certificate("a", "1", True, CertificateFields(), [])], 1, 1),
    ),
    "client_token": Sample(
        calls.client_token_body("tta", "secret"),
        b'{"client_key":"tta","client_secret":"secret","grant_type":"client_credential"}',
        {"access_token": "clt.x", "expires_in": "7200"},
        MintedToken("clt.x", 7200),
        (
            {"access_token": "clt.x"},
            {"expires_in": 7200},
            {"access_token": "", "expires_in": 7200},
            {"access_token": "clt.x", "expires_in": 0},
            {"access_token": "clt.x", "expires_in": "soon"},
        ),
    ),
    "jscode2session": Sample(
        calls.jscode2session_body("tta", "secret", "code"),
        b'{"appid":"tta","secret":"secret","code":"code"}',
        {"openid": "user", "session_key": "x"},
        LoginData("user"),
        ({"openid": ""}, {"openid": "x" * 1025}, {"openid": "x?"}, {"openid": "x y"}, {"open_id": "x"}),
    ),
    "code2session": Sample(
        calls.code2session_body("tta", "code"),
        b'{"app_id":"tta","code":"code"}',
        {"open_id": "user", "anonymous_open_id": "x"},
        ProviderLoginData("user"),
        ({"open_id": "", "anonymous_open_id": "x"}, {"open_id": "x?"}, {"openid": "x"}),
    ),
}

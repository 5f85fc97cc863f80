"""Judge the responses of the public endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import smoke
from infra.smoke import ProblemRequest
from redeemctl.doctor.findings import Finding, Text, deploy, failed, ok, warning

if TYPE_CHECKING:
    import requests

INVALID_ID = "redeemctl-doctor"
"""Sent as login code and as open_id. Neither exists on the platform."""

_READ_LOG = Text(
    "run the saved query `problems`, and read the function's log", "执行日志查询 problems，并查看函数的日志"
)
_ADVICE = {
    "app_misconfigured": Text(
        "compare app id and secret with the platform's console: redeemctl app add <app_id>",
        "与平台控制台核对 app_id 和密钥：redeemctl app add <app_id>",
    ),
    "unavailable": Text(
        "the function cannot use table or secret: see the checks table, secret and function",
        "函数无法使用表或密钥：查看 table、secret、function 的检查结果",
    ),
    "rate_limited": Text(
        "wait; raise `limits` of the stage's settings if it lasts", "稍候；持续出现时提高阶段配置中的 limits"
    ),
    "upstream_unavailable": Text(
        "does the check login pass? then check the function's network (NAT gateway)",
        "login 检查是否通过？通过则检查函数的网络（NAT 网关）",
    ),
    "upstream_timeout": Text(
        "does the check login pass? then check the function's network (NAT gateway)",
        "login 检查是否通过？通过则检查函数的网络（NAT 网关）",
    ),
    "internal_error": _READ_LOG,
}
"""What to do, by the code of a problem."""


def refused_login(app_id: str) -> ProblemRequest:
    """Return a login with an invalid code. It passes through the function, the secret and the platform."""
    return ProblemRequest("POST", "/v1/sessions", {"app_id": app_id, "code": INVALID_ID}, 401, "unauthenticated")


def judge_health(url: str, response: requests.Response, version: str, stage: str) -> Finding:
    """Judge the response of the health call; `version` is that of this clone."""
    difference = smoke.compare_health(response, version)
    if difference is None:
        return ok("api.health", url, f"version {version}", f"版本 {version}")
    found = smoke.read_object(response)
    if response.status_code == 200 and found.get("status") == "ok":
        other = str(found.get("version"))[:20]
        text = Text(
            f"version {other} is deployed, this clone has {version}", f"已部署版本 {other}，本地代码为 {version}"
        )
        advice = Text(
            "use the clone of the deployed version, or deploy this one", "使用已部署版本的代码，或部署当前版本"
        )
        return warning("api.health", url, text, advice)
    text = Text(f"{difference.name}: {difference.actual}", f"{difference.name}：{difference.actual}")
    return failed("api.health", url, text, _advice(response, stage))


def judge_problem(check_id: str, url: str, response: requests.Response, request: ProblemRequest, stage: str) -> Finding:
    """Judge the response to a request that must be answered with a problem."""
    difference = smoke.compare_problem(response, request)
    if difference is None:
        return ok(check_id, url, f"HTTP {request.status} {request.code}", f"HTTP {request.status} {request.code}")
    text = Text(
        f"{difference.name}: {difference.actual}, expected {difference.expected}",
        f"{difference.name}：{difference.actual}，应为 {difference.expected}",
    )
    return failed(check_id, url, text, _advice(response, stage))


def no_response(check_id: str, url: str, error: Exception) -> Finding:
    """Return the finding that the endpoint does not respond."""
    name = type(error).__name__
    return failed(
        check_id,
        url,
        Text(f"no response ({name})", f"没有响应（{name}）"),
        Text(
            "check DNS and network of this machine, and the domain's DNS record",
            "检查本机的 DNS 和网络，以及域名的 DNS 记录",
        ),
    )


def _advice(response: requests.Response, stage: str) -> Text:
    code = str(smoke.read_object(response).get("code", ""))
    return _ADVICE.get(code) or deploy(stage)

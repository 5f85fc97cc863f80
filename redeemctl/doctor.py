"""Examines a stage from end to end and says, in Chinese and English, what is wrong and what to do about it.

Advice on a code of the platform is the platform's own (排查建议).
"""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import codes
from chalicelib.douyin import CertificatesQuery
from chalicelib.errors import (
    AppMisconfiguredError,
    ConfigurationError,
    LoginRefusedError,
    RedemptionError,
    StorageUnavailableError,
    TokenUnavailableError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from chalicelib.merchants import PREFIX, Merchant, read_merchant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chalicelib.credentials import Credentials
    from redeemctl.stage import Stage

LARGEST_SKEW_SECONDS = 30.0
SHORTEST_KEY = 16
NOBODY = "redeemctl-doctor"
"""A login code and an open_id that are nobody's."""

ADVICE = {
    row.code: row
    for table in (codes.MINT_CODES, codes.LOGIN_CODES, codes.SUB_CODES, codes.COMMON_CODES, codes.DOCUMENTED)
    for row in reversed(table)
}


@dataclass(frozen=True)
class Finding:
    """What came of one examination. `what` says of what; where it is not `fine`, the rest says what to do."""

    check: str
    what: str
    fine: bool
    chinese: str
    english: str


def examine(stage: Stage) -> Iterator[Finding]:
    """Examine everything, the ground first; what needs something that is missing is not examined."""
    yield _table(stage)
    finding, credentials = _secret(stage)
    yield finding
    yield _clock(stage)
    apps = {} if credentials is None else credentials.apps
    for app_id, app_secret in apps.items():
        yield _login(stage, app_id, app_secret)
        yield _token(stage, app_id, app_secret)
    yield from _merchants(stage, apps)


def _table(stage: Stage) -> Finding:
    name = stage.settings.table_name
    try:
        table = stage.dynamodb.describe_table(TableName=name)["Table"]
        ttl = stage.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        backups = stage.dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    except (ClientError, BotoCoreError) as error:
        return Finding(
            "table",
            name,
            False,
            f"无法读取表（{_aws(error)}）：先执行 make deploy STAGE={stage.name}，并检查本机的 AWS 凭证和区域",
            f"cannot be read ({_aws(error)}): make deploy STAGE={stage.name}; check this machine's AWS credentials",
        )
    if [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] != [("pk", "HASH")]:
        return Finding(
            "table", name, False, "主键不是 pk：这不是本服务的表", "its key is not pk: not this service's table"
        )
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    missing = [
        what
        for what, there in (
            ("TTL", ttl.get("AttributeName") == "ttl"),
            ("point-in-time recovery", recovery == "ENABLED"),
            ("deletion protection", table.get("DeletionProtectionEnabled", False)),
        )
        if not there
    ]
    if missing:
        told = ", ".join(missing)
        return Finding("table", name, False, f"未开启：{told}；执行 make deploy", f"without {told}: make deploy")
    return Finding("table", name, True, "正常", "as the template says")


def _secret(stage: Stage) -> tuple[Finding, Credentials | None]:
    name = stage.settings.secret_name

    def wrong(chinese: str, english: str) -> Finding:
        return Finding("secret", name, False, chinese, english)

    try:
        found = stage.credentials()
    except (ClientError, BotoCoreError) as error:
        return (
            wrong(
                f"无法读取密钥（{_aws(error)}）：先执行 make deploy STAGE={stage.name}",
                f"cannot be read ({_aws(error)}): make deploy STAGE={stage.name}",
            ),
            None,
        )
    except ConfigurationError:
        return (
            wrong(
                '内容格式不对，应为 {"apps": {app_id: app_secret}, "session_keys": [密钥, …]}',
                'is not {"apps": {app_id: app_secret}, "session_keys": [key, …]}',
            ),
            None,
        )
    if found is None or not found.apps:
        return wrong("没有任何小程序：redeemctl app add <app_id>", "holds no app: redeemctl app add <app_id>"), found
    if any(len(key) < SHORTEST_KEY for key in found.session_keys):
        return (
            wrong("会话密钥太短：redeemctl session-key rotate", "a short session key: redeemctl session-key rotate"),
            found,
        )
    told = f"{len(found.apps)} apps, {len(found.session_keys)} session keys"
    return Finding("secret", name, True, "正常", told), found


def _clock(stage: Stage) -> Finding:
    try:
        metadata = stage.dynamodb.list_tables(Limit=1)["ResponseMetadata"]
        skew = time.time() - email.utils.parsedate_to_datetime(metadata["HTTPHeaders"]["date"]).timestamp()
    except (ClientError, BotoCoreError, KeyError, ValueError) as error:
        return Finding("clock", "AWS", False, "无法对时", f"cannot be compared ({type(error).__name__})")
    if abs(skew) > LARGEST_SKEW_SECONDS:
        return Finding(
            "clock",
            f"{skew:+.0f} s",
            False,
            "本机时钟与 AWS 不一致：请校时；租约和令牌的有效期都按时钟计算",
            "this machine's clock is not AWS's: set it right; leases and tokens are reckoned by the clock",
        )
    return Finding("clock", f"{skew:+.0f} s", True, "正常", "agrees with AWS")


def _login(stage: Stage, app_id: str, app_secret: str) -> Finding:
    try:
        stage.douyin.login(app_id, app_secret, NOBODY, stage.scope())
    except LoginRefusedError:
        return Finding("login", app_id, True, "正常", "host reached; app id and secret accepted")
    except AppMisconfiguredError as error:
        return _refused("login", app_id, error, f"redeemctl app add {app_id}")
    except UpstreamError as error:
        return _refused("login", app_id, error, stage.settings.login_api)
    return Finding("login", app_id, False, "平台接受了一个不存在的 code", "the platform took a code that is nobody's")


def _token(stage: Stage, app_id: str, app_secret: str) -> Finding:
    try:
        stage.tokens.current(app_id, app_secret, stage.scope())
        row = stage.tokens.row(app_id, stage.scope())
    except (TokenUnavailableError, UpstreamError) as error:
        return _refused("token", app_id, error, f"redeemctl token renew {app_id}")
    except StorageUnavailableError as error:
        return Finding("token", app_id, False, f"存储不可用（{error}）", f"storage unavailable ({error})")
    left = row.expires_at - int(time.time())
    return Finding("token", app_id, True, f"还有 {left} 秒", f"ends in {left} s")


def _merchants(stage: Stage, apps: dict[str, str]) -> Iterator[Finding]:
    try:
        items = stage.merchants()
    except (ClientError, BotoCoreError):
        return
    if not items:
        yield Finding(
            "merchant", "", False, "没有商户：redeemctl merchant add", "there are none: redeemctl merchant add"
        )
    for item in items:
        account_id = item["pk"]["S"].removeprefix(PREFIX)
        try:
            merchant = read_merchant(account_id, item)
        except ConfigurationError as error:
            yield Finding("merchant", account_id, False, f"数据有误：{error}", f"its row is wrong: {error}")
            continue
        if not merchant.active:
            yield Finding("merchant", account_id, True, "已停用，未检查", "suspended, not examined")
        elif merchant.app_id not in apps:
            yield Finding(
                "merchant",
                account_id,
                False,
                f"小程序 {merchant.app_id} 不在密钥中，顾客无法登录：redeemctl app add {merchant.app_id}",
                f"its app {merchant.app_id} is not in the secret, nobody can log in: "
                f"redeemctl app add {merchant.app_id}",
            )
        else:
            yield _query(stage, merchant, apps)


def _query(stage: Stage, merchant: Merchant, apps: dict[str, str]) -> Finding:
    scope = stage.scope()
    query = CertificatesQuery(merchant.account_id, NOBODY, life_account_id=merchant.life_account_id)
    try:
        token = stage.tokens.current(merchant.token_id, apps.get(merchant.token_id), scope)
        stage.douyin.certificates(query, 1, token, scope)
    except RedemptionError as error:
        return _refused("merchant", merchant.account_id, error, f"redeemctl merchant show {merchant.account_id}")
    return Finding("merchant", merchant.account_id, True, "正常", "can be asked about")


def _refused(check: str, what: str, error: RedemptionError, otherwise: str) -> Finding:
    """What the platform said, with its own advice; `otherwise` is where to look when it said nothing."""
    evidence = getattr(error, "evidence", None)
    if evidence is None:
        away = isinstance(error, UpstreamUnavailableError | UpstreamTimeoutError)
        chinese = f"平台没有应答（{error}）：检查网络、出口和域名" if away else f"失败（{error}）"
        english = f"no answer ({error}): check network and host" if away else f"failed ({error})"
        return Finding(check, what, False, f"{chinese}；{otherwise}", f"{english}; {otherwise}")
    said = (evidence.sub_error_code, evidence.error_code)
    row = next((ADVICE[code] for code in said if code in ADVICE), None)
    number = f"{evidence.error_code}" + (f"/{evidence.sub_error_code}" if evidence.sub_error_code else "")
    described = "未知错误码" if row is None else f"{row.description}。排查建议：{row.advice or '联系抖音处理'}"
    logid = f" logid {evidence.logid}" if evidence.logid else ""
    return Finding(
        check,
        what,
        False,
        f"{number} {described}{logid}",
        f"the platform says {number} ({type(error).__name__.removesuffix('Error')}){logid}; {otherwise}",
    )


def _aws(error: ClientError | BotoCoreError) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__


def as_json(findings: list[Finding]) -> str:
    """For other programs."""
    return json.dumps([vars(finding) for finding in findings], ensure_ascii=False, indent=2)

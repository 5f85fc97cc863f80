"""Check a stage end to end. A failed check has its cause and its remedy, in Chinese and English.

The advice on the platform's error codes is quoted from its documents (排查建议).
"""

from __future__ import annotations

import email.utils
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.douyin import codes
from chalicelib.douyin.protocol import CertificateFilter, CertificatesQuery
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
from chalicelib.merchants import MERCHANT_PREFIX, Merchant, parse_merchant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chalicelib.credentials import Credentials
    from redeemctl.stage import Stage

MAX_CLOCK_SKEW_SECONDS = 30.0
MIN_KEY_LENGTH = 16
INVALID_ID = "redeemctl-doctor"
"""Sent as login code and as open_id. Neither exists on the platform."""

CODE_ROWS = {
    row.code: row
    for table in (
        codes.MINT_CODES,
        codes.LOGIN_CODES,
        codes.SUB_CODES,
        codes.COMMON_CODES,
        codes.CERTIFICATE_CODES,
    )
    # A code that is listed twice keeps the first row, which has the advice.
    for row in reversed(table)
}


@dataclass(frozen=True)
class Finding:
    """The result of one check. The field names are the keys of `redeemctl doctor --json`.

    `check` is the kind of check and `what` the checked resource. If `fine` is false, `chinese` and `english` give cause
    and remedy.
    """

    check: str
    what: str
    fine: bool
    chinese: str
    english: str


def run_checks(stage: Stage) -> Iterator[Finding]:
    """Run all checks. A check is skipped if something that it needs is missing."""
    yield _check_table(stage)
    finding, credentials = _check_secret(stage)
    yield finding
    yield _check_clock(stage)
    apps = {} if credentials is None else credentials.apps
    for app_id, app_secret in apps.items():
        yield _check_login(stage, app_id, app_secret)
        yield _check_token(stage, app_id, app_secret)
    yield from _check_merchants(stage, apps)


def to_json(findings: list[Finding]) -> str:
    """Return findings as JSON."""
    return json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2)


def _passed(check: str, what: str, english: str, chinese: str = "正常") -> Finding:
    return Finding(check, what, True, chinese, english)


def _failed(check: str, what: str, english: str, chinese: str) -> Finding:
    return Finding(check, what, False, chinese, english)


def _check_table(stage: Stage) -> Finding:
    name = stage.settings.table_name
    try:
        table = stage.dynamodb.describe_table(TableName=name)["Table"]
        ttl = stage.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        backups = stage.dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    except (ClientError, BotoCoreError) as error:
        return _failed(
            "table",
            name,
            f"cannot be read ({_aws_code(error)}): run make deploy STAGE={stage.name}; "
            "check the AWS credentials and the region of this machine",
            f"无法读取表（{_aws_code(error)}）：请先执行 make deploy STAGE={stage.name}，并检查本机的 AWS 凭证和区域",
        )
    if [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] != [("pk", "HASH")]:
        return _failed("table", name, "the partition key is not pk: wrong table", "分区键不是 pk：这不是本服务的表")
    recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    is_enabled = {
        "TTL": ttl.get("AttributeName") == "ttl",
        "point-in-time recovery": recovery == "ENABLED",
        "deletion protection": table.get("DeletionProtectionEnabled", False),
    }
    disabled = ", ".join(feature for feature, enabled in is_enabled.items() if not enabled)
    if disabled:
        return _failed(
            "table",
            name,
            f"not enabled: {disabled}; run make deploy STAGE={stage.name}",
            f"未开启：{disabled}；请执行 make deploy STAGE={stage.name}",
        )
    return _passed("table", name, "as in the template")


def _check_secret(stage: Stage) -> tuple[Finding, Credentials | None]:
    """Check the secret; return the credentials too, or None if they are missing or malformed."""
    name = stage.settings.secret_name
    try:
        credentials = stage.read_credentials()
    except (ClientError, BotoCoreError) as error:
        finding = _failed(
            "secret",
            name,
            f"cannot be read ({_aws_code(error)}): run make deploy STAGE={stage.name}",
            f"无法读取密钥（{_aws_code(error)}）：请先执行 make deploy STAGE={stage.name}",
        )
        return finding, None
    except ConfigurationError:
        finding = _failed(
            "secret",
            name,
            'malformed; expected: {"apps": {app_id: app_secret}, "session_keys": [key, …]}',
            '格式错误，应为 {"apps": {app_id: app_secret}, "session_keys": [会话密钥, …]}',
        )
        return finding, None
    if credentials is None or not credentials.apps:
        finding = _failed(
            "secret",
            name,
            "contains no app: run redeemctl app add <app_id>",
            "尚未添加小程序：请执行 redeemctl app add <app_id>",
        )
    elif any(len(key) < MIN_KEY_LENGTH for key in credentials.session_keys):
        finding = _failed(
            "secret",
            name,
            "a session key is too short: run redeemctl session-key add",
            "会话密钥过短：请执行 redeemctl session-key add",
        )
    else:
        counts = f"{len(credentials.apps)} apps, {len(credentials.session_keys)} session keys"
        finding = _passed("secret", name, counts)
    return finding, credentials


def _check_clock(stage: Stage) -> Finding:
    try:
        metadata = stage.dynamodb.list_tables(Limit=1)["ResponseMetadata"]
        skew = time.time() - email.utils.parsedate_to_datetime(metadata["HTTPHeaders"]["date"]).timestamp()
    except (ClientError, BotoCoreError, KeyError, ValueError) as error:
        return _failed(
            "clock", "AWS", f"cannot be compared with AWS ({type(error).__name__})", "无法与 AWS 核对本机时间"
        )
    if abs(skew) > MAX_CLOCK_SKEW_SECONDS:
        return _failed(
            "clock",
            f"{skew:+.0f} s",
            "the clock of this machine differs from AWS: synchronize it; leases and token expiry depend on it",
            "本机时间与 AWS 不一致：请同步系统时间，租约和 token 的有效期都依赖它",
        )
    return _passed("clock", f"{skew:+.0f} s", "in sync with AWS")


def _check_login(stage: Stage, app_id: str, app_secret: str) -> Finding:
    """Check login host, app id and app secret: with valid ones, the platform refuses the invalid code."""
    try:
        stage.douyin.login(app_id, app_secret, INVALID_ID, stage.new_context())
    except LoginRefusedError:
        return _passed("login", app_id, "host reachable, app id and secret accepted")
    except AppMisconfiguredError as error:
        return _failed_call("login", app_id, error, f"redeemctl app add {app_id}")
    except UpstreamError as error:
        return _failed_call("login", app_id, error, stage.settings.login_api)
    return _failed("login", app_id, "the platform accepted an invalid login code", "平台接受了无效的登录 code")


def _check_token(stage: Stage, app_id: str, app_secret: str) -> Finding:
    try:
        stage.tokens.get_token(app_id, app_secret, stage.new_context())
        row = stage.tokens.read_row(app_id, stage.new_context())
    except (TokenUnavailableError, UpstreamError) as error:
        return _failed_call("token", app_id, error, f"redeemctl token renew {app_id}")
    except StorageUnavailableError as error:
        return _failed("token", app_id, f"table unavailable ({error})", f"无法访问表（{error}）")
    expires_in = row.expires_at - int(time.time())
    return _passed("token", app_id, f"expires in {expires_in} s", f"{expires_in} 秒后过期")


def _check_merchants(stage: Stage, apps: dict[str, str]) -> Iterator[Finding]:
    try:
        items = stage.list_merchants()
    except (ClientError, BotoCoreError):
        # The check of the table has reported it.
        return
    if not items:
        yield _failed(
            "merchant", "", "no merchants: run redeemctl merchant add", "尚未添加商家：请执行 redeemctl merchant add"
        )
    for item in items:
        account_id = item["pk"]["S"].removeprefix(MERCHANT_PREFIX)
        try:
            merchant = parse_merchant(account_id, item)
        except ConfigurationError as error:
            yield _failed("merchant", account_id, f"malformed row: {error}", f"数据格式错误：{error}")
            continue
        if not merchant.active:
            yield _passed("merchant", account_id, "suspended, not checked", "已停用，未检查")
        elif merchant.app_id not in apps:
            yield _failed(
                "merchant",
                account_id,
                f"its app {merchant.app_id} is not in the secret, customers cannot log in: "
                f"run redeemctl app add {merchant.app_id}",
                f"密钥中没有小程序 {merchant.app_id}，顾客无法登录：请执行 redeemctl app add {merchant.app_id}",
            )
        else:
            yield _check_query(stage, merchant, apps)


def _check_query(stage: Stage, merchant: Merchant, apps: dict[str, str]) -> Finding:
    context = stage.new_context()
    query = CertificatesQuery(CertificateFilter(merchant.account_id), INVALID_ID, merchant.life_account_id)
    try:
        token = stage.tokens.get_token(merchant.token_id, apps.get(merchant.token_id), context)
        stage.douyin.query_user_certificates(query, 1, token, context)
    except RedemptionError as error:
        return _failed_call("merchant", merchant.account_id, error, f"redeemctl merchant show {merchant.account_id}")
    return _passed("merchant", merchant.account_id, "query accepted by the platform")


def _failed_call(check: str, what: str, error: RedemptionError, hint: str) -> Finding:
    """Return the finding of a failed call, with the platform's codes and advice. `hint` is where to look first."""
    evidence = getattr(error, "evidence", None)
    if evidence is None:
        if isinstance(error, UpstreamUnavailableError | UpstreamTimeoutError):
            english = f"no valid response from the platform ({error}): check network and host"
            chinese = f"平台没有正常响应（{error}）：请检查网络和域名"
        else:
            english, chinese = f"failed ({error})", f"调用失败（{error}）"
        return _failed(check, what, f"{english}; {hint}", f"{chinese}；{hint}")
    row = next((CODE_ROWS[code] for code in (evidence.sub_error_code, evidence.error_code) if code in CODE_ROWS), None)
    number = f"{evidence.error_code}" + (f"/{evidence.sub_error_code}" if evidence.sub_error_code else "")
    description = "未知错误码" if row is None else f"{row.description}。排查建议：{row.advice or '联系抖音处理'}"
    logid = f" logid {evidence.logid}" if evidence.logid else ""
    return _failed(
        check,
        what,
        f"platform error {number} ({type(error).__name__.removesuffix('Error')}){logid}; {hint}",
        f"{number} {description}{logid}",
    )


def _aws_code(error: ClientError | BotoCoreError) -> str:
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__

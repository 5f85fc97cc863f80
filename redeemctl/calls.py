"""`redeemctl call`: one call of the redemption tool (核销工具) that Douyin's console does not have."""

import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from chalicelib.douyin import codes, lenient
from chalicelib.douyin.client import MAX_PAGE_BYTES
from chalicelib.douyin.protocol import Request, open_envelope
from chalicelib.errors import RedemptionError
from chalicelib.tokens.lease import TokenRow, token_key
from redeemctl.acceptance.recording import RecordedCall, RecordingTransport
from redeemctl.doctor.platform import explain_evidence
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.options import ID, GlobalOptions, pass_options
from redeemctl.output import print_json
from redeemctl.stage import Stage

JSON_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
CHANGES = ("update_merchant_path", "update_merchant_conf", "button_white_setting")

_WORD = re.compile(r'[^\s",:\[\]{}]{5,}')
_CODE_FIELD = re.compile(r"(?<!err_)(?<!error_)(?<!result_)(?<!status_)code|encrypted", re.IGNORECASE)


@click.command("call")
@click.argument("name", type=click.Choice((*CHANGES, "query_text", "query_certificate_info")))
@click.option("--app-id", type=ID, metavar="APP_ID", required=True, help="The mini-program.")
@click.option("--body", "file", type=JSON_FILE, required=True, help="File with the body, a JSON object.")
@click.option("--token-id", type=ID, metavar="TOKEN_ID", help="The row of the access token. Default: the app's.")
@pass_options
def make_call(options: GlobalOptions, *, name: str, app_id: str, file: Path, token_id: str | None) -> None:
    """Make one call of the redemption tool (核销工具), and print the reply with masked coupon codes.

    The call is sent once, with the access token in the table; none is minted. The first three calls change what
    customers see, and ask before.
    """
    try:
        body = json.dumps({**json.loads(file.read_bytes())}).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"--body: {file}: no JSON object: {error}") from None
    with options.open_stage() as stage:
        token = read_token(stage, app_id, token_id or app_id)
        path = f"/api/apps/trade/v2/toolkit/{name}/"
        if options.dry_run:
            click.echo(f"dry run: nothing was sent to {stage.settings.open_api}{path}")
            return
        options.confirm(f"This changes what customers of app {app_id} see." if name in CHANGES else "")
        codes_sent = {*_WORD.findall(body.decode())} - {*_WORD.findall(json.dumps(mask(json.loads(body))))}
        secrets = [token, *codes_sent]
        sent = send(stage, Request(path, body, {"content-type": "application/json", "access-token": token}), secrets)
    print_json(hide(sent.reply, secrets))


def read_token(stage: Stage, app_id: str, token_id: str) -> str:
    """Return the access token in a row; raises CommandError if it is missing or has expired."""
    client, key = stage.account.client("dynamodb"), {"pk": {"S": token_key(token_id)}}
    # The policy token-reader allows these attributes only.
    names = {"TableName": stage.settings.table_name, "ProjectionExpression": "access_token, expires_at"}
    row = TokenRow.from_item(client.get_item(Key=key, ConsistentRead=True, **names).get("Item", {}))
    if row.is_valid(time.time()):
        return row.access_token
    state = "has expired" if row.access_token else "is missing or malformed"
    advice = f"redeemctl token renew {app_id}, unless another system writes this row (another row: --token-id)"
    raise CommandError(f"the access token in {token_key(token_id)} {state}: {advice}")


def send(stage: Stage, request: Request, secrets: list[str]) -> RecordedCall:
    """Send a request once; raises CommandError that says what to do, without the secrets."""
    transport = RecordingTransport(stage.http)
    try:
        response = transport.send(stage.settings.open_api, request, stage.new_context().deadline, MAX_PAGE_BYTES)
        open_envelope(response, codes.CERTIFICATES)
    except RedemptionError as error:
        [sent] = transport.recorded
        # `data` need not be an object here.
        if not sent.is_success:
            unsure = "it may have been done, so look before you repeat it; " if sent.call in CHANGES else ""
            meaning = f"no valid reply from {stage.settings.open_api} ({sent.failure or f'HTTP {sent.status}'})"
            advice = f"{unsure}check DOUYIN_OPEN_API, network and proxies, or wait"
            if error.evidence is not None:
                meaning, advice = explain_evidence(error.evidence)
            said = json.dumps(hide(sent.look_up("err_msg"), secrets), ensure_ascii=False)
            raise CommandError(f"{meaning}; err_msg {said}, logid {sent.logid or '-'}: {advice}") from None
    return transport.recorded[0]


def hide(reply: Any, secrets: list[str]) -> Any:
    """Return a reply with masked coupon codes. The secrets are removed from every name and text."""
    text = json.dumps(mask(reply))
    for secret in secrets:
        text = text.replace(json.dumps(secret)[1:-1], "…")
    return json.loads(text)


def mask(value: Any, *, is_code: bool = False) -> Any:
    """Return a reply with masked coupon codes, also where a text is JSON itself."""
    if isinstance(value, dict):
        return {n: mask(part, is_code=is_code or bool(_CODE_FIELD.search(n))) for n, part in value.items()}
    if isinstance(value, list):
        return [mask(part, is_code=is_code) for part in value]
    # An unpaired surrogate could not be printed.
    text = str(value).encode(errors="replace").decode()
    if is_code and value and value is not True:
        return "…" + text[4:][-4:]
    if isinstance(value, str) and text.lstrip().startswith(("{", "[")):
        with suppress(ValueError):
            return json.dumps(mask(lenient.decode_json(text.encode())), ensure_ascii=False)
    return text if isinstance(value, str) else value

"""`redeemctl call`: one call of the redemption tool (核销工具) that Douyin's console does not have."""

import json
import time
from pathlib import Path
from typing import Any

import click

from chalicelib.douyin import codes
from chalicelib.douyin.client import MAX_PAGE_BYTES
from chalicelib.douyin.protocol import Request, open_envelope
from chalicelib.errors import NO_EVIDENCE, RedemptionError
from chalicelib.tokens.rows import TokenRow, token_key
from redeemctl.acceptance.recording import CODE_PLACES, RecordingTransport
from redeemctl.doctor.platform import explain_evidence
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.options import ID, GlobalOptions, pass_options
from redeemctl.output import print_json, print_note
from redeemctl.stage import Stage

JSON_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
CHANGES = ("update_merchant_path", "update_merchant_conf", "button_white_setting")
NAMES = (*CHANGES, "query_text", "query_certificate_info")


# The line of usage would cut a name in two on a narrow terminal.
@click.command("call", epilog="\b\n" + "\n  ".join(["NAME is one of:", *NAMES]))
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
@click.option("--app-id", type=ID, metavar="APP_ID", required=True, help="The mini-program.")
@click.option("--body", "file", type=JSON_FILE, required=True, help="File with the body, a JSON object.")
@click.option("--token-id", type=ID, metavar="TOKEN_ID", help="The row of the access token. Default: the app's.")
@pass_options
def make_call(options: GlobalOptions, *, name: str, app_id: str, file: Path, token_id: str | None) -> None:
    """Make one call of the redemption tool (核销工具), and print the reply, with coupon codes.

    The call is sent once, with the access token in the table; none is minted. The first three calls change what
    customers see, and ask before.
    """
    try:
        content = json.dumps({**json.loads(file.read_bytes(), object_pairs_hook=_to_object)}, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"--body: {file}: no JSON object: {error}") from None
    key = token_key(token_id or app_id)
    with options.open_stage() as stage:
        headers = {"content-type": "application/json", "access-token": read_token(stage, key)}
        request = Request(f"/api/apps/trade/v2/toolkit/{name}/", content.encode(), headers)
        if options.dry_run:
            click.echo(f"dry run: nothing was sent to {stage.settings.open_api}{request.path}")
            return
        print_note("the reply is printed as it is: coupon codes and ids of customers are shown")
        options.confirm(f"This changes what customers of app {app_id} see (token: {key})." if name in CHANGES else "")
        send(stage, request, is_change=name in CHANGES)


def read_token(stage: Stage, key: str) -> str:
    """Return the access token in a row; raises CommandError if it is missing or has expired."""
    # The policy token-reader allows these attributes only.
    names = {"TableName": stage.settings.table_name, "ProjectionExpression": "access_token, expires_at"}
    found = stage.account.client("dynamodb").get_item(Key={"pk": {"S": key}}, ConsistentRead=True, **names)
    row = TokenRow.from_item(found.get("Item", {}))
    if row.is_valid(time.time()):
        return row.access_token
    advice = "redeemctl token renew, unless another system writes this row (another row: --token-id)"
    raise CommandError(f"no valid access token in {key}: {advice}")


def send(stage: Stage, request: Request, *, is_change: bool) -> None:
    """Send a request once, and print the reply; raises CommandError unless it reports a success."""
    transport, host, evidence = RecordingTransport(stage.http), stage.settings.open_api, NO_EVIDENCE
    try:
        response = transport.send(host, request, stage.new_context().deadline, MAX_PAGE_BYTES)
        [call] = transport.recorded
        print_json(call.reply, secret=request.headers["access-token"])
        # `data` need not be an object here.
        if call.is_success and any(call.look_up(place) == 0 for place in CODE_PLACES):
            return
        open_envelope(response, codes.CERTIFICATES)
    except (RedemptionError, OSError, ValueError, RecursionError, KeyboardInterrupt) as error:
        evidence = getattr(error, "evidence", NO_EVIDENCE)
    if evidence.has_code:
        raise CommandError(": ".join(explain_evidence(evidence)))
    [call] = transport.recorded
    advice = "it may have been done, so look before you repeat it" if is_change else "check the network, or wait"
    raise CommandError(f"no valid reply from {host} ({call.failure or f'HTTP {call.status}'}): {advice}")


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found

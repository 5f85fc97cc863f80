"""`redeemctl acceptance`: what the platform really answers, read by the service's own parser.

Each step makes a call as the service does. The report lists what the parser could not read, and how the form of the
replies differs from the documented one. For each call, it has the data that the platform's support asks for. The only
values of replies that it contains are numbers below 100.
"""

import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from chalicelib import errors, lenient
from chalicelib.authorized_calls import app_headers
from chalicelib.certificates.paging import MAX_PAGES
from chalicelib.certificates.views import build_view
from chalicelib.douyin import protocol
from chalicelib.douyin.endpoints import PAGE_SIZE, QUERY_USER_CERTIFICATES, ListQuery, page_body
from chalicelib.douyin.pages import Certificate, Page
from chalicelib.douyin.protocol import PlatformReply, PlatformRequest
from chalicelib.douyin.transport import Transport
from chalicelib.merchants import parse_merchant
from chalicelib.sessions import PROBE_CODE, PROBE_OPEN_ID
from redeemctl.command_line import ID, CommandLine, pass_command_line, read_hidden
from redeemctl.errors import CommandError, InvalidInputError
from redeemctl.output import print_json, print_line, print_note
from redeemctl.secret import read_secret_version
from redeemctl.stage import Stage

UNKNOWN_ACCOUNT_ID = "7000000000000000001"
INVALID_TOKEN = "clt.redeemctl-acceptance"  # noqa: S105 - deliberately invalid
SMALL_PAGE = 2
DOCUMENTED_LIST = Path(__file__).with_name("documented_list.json")
"""A reply of the platform with every documented field."""


@dataclass(repr=False)
class RecordingTransport(Transport):
    """The service's transport. It also keeps the JSON data of each reply, or None if the reply is no JSON."""

    http: Any
    replies: list[tuple[str, float, int, Any]] = field(default_factory=list)

    def send(self, base_url: str, request: PlatformRequest, *limits: Any, **options: Any) -> PlatformReply:
        """Send one request and record it; raises as Transport.send does."""
        started, status, reply = time.time(), 0, None
        try:
            response = super().send(base_url, request, *limits, **options)
            status = response.status
            with suppress(ValueError):
                reply = lenient.decode_json(response.body)
            return response
        finally:
            self.replies.append((base_url + request.path, started, status, reply))


@dataclass(repr=False)
class Run:
    """An acceptance run of a merchant's store.

    `code` is a login code of tt.login. If it is empty, nobody logs in, and the lists are those of an unknown user.
    """

    stage: Stage
    app_id: str
    account_id: str
    poi_id: str
    app_secret: str
    code: str

    def __post_init__(self) -> None:
        item = self.stage.merchants.get(self.account_id)
        merchant = None if item is None else parse_merchant(self.account_id, item)
        if merchant is not None and merchant.app_id != self.app_id:
            raise CommandError(f"merchant {self.account_id} belongs to app {merchant.app_id}")
        self._life_account_id = None if merchant is None else merchant.life_account_id
        self._open_id = PROBE_OPEN_ID

    def take_steps(self) -> Iterator[tuple[str, str, bool]]:
        """Take all steps; yield the name of each, what was seen, and whether it is as the service needs it."""
        everything, store = ListQuery(self.account_id), ListQuery(self.account_id, self.poi_id)
        steps: dict[str, Callable[[], str]] = {
            "token": lambda: "obtained" if self._token() else "",
            "login": self._log_in,
            "invalid-code": lambda: _refused(errors.LoginRefusedError, lambda: self._exchange(PROBE_CODE)),
            "list": lambda: self._list(everything),
            "list-store": lambda: self._list(store),
            "small-pages": lambda: self._compare_pages(store),
            "invalid-token": lambda: _refused(
                errors.TokenRefusedError, lambda: self._fetch_page(everything, 1, token=INVALID_TOKEN)
            ),
            "unauthorized-merchant": lambda: _refused(
                errors.MerchantNotAuthorizedError, lambda: self._fetch_page(ListQuery(UNKNOWN_ACCOUNT_ID), 1)
            ),
        }
        for name, step in steps.items():
            try:
                yield name, step(), True
            except (errors.ServiceError, CommandError) as error:
                yield name, f"{type(error).__name__}: {error}", False

    def _token(self) -> str:
        return self.stage.components.tokens.obtain(self.app_id, self.stage.new_context())

    def _exchange(self, code: str) -> str:
        return self.stage.exchange_code(self.app_id, self.app_secret, code)

    def _log_in(self) -> str:
        if not self.code:
            raise CommandError("not observed: the lists are those of an unknown user (--login)")
        self._open_id = self._exchange(self.code)
        return "the platform returned an open_id"

    def _fetch_page(self, wanted: ListQuery, page: int, size: int = PAGE_SIZE, token: str = "") -> Page:
        life_account_id = self._life_account_id if wanted.account_id == self.account_id else None
        headers = app_headers(token or self._token(), life_account_id)
        # A refused token is not replaced here, because each step shows what the platform answers.
        return self.stage.components.douyin.send(
            QUERY_USER_CERTIFICATES, page_body(wanted, self._open_id, page, size), self.stage.new_context(), headers
        )

    def _read_pages(self, wanted: ListQuery, size: int = PAGE_SIZE) -> list[Page]:
        """Read all pages that the total implies. After a full page, read another one in any case."""
        pages = [self._fetch_page(wanted, 1, size)]
        while len(pages) < MAX_PAGES and (pages[-1].size >= size or len(pages) * size < (pages[0].total or 0)):
            pages.append(self._fetch_page(wanted, len(pages) + 1, size))
        return pages

    def _list(self, wanted: ListQuery) -> str:
        pages = self._read_pages(wanted)
        size, found = sum(page.size for page in pages), _certificates(pages)
        wrong = {path for page in pages for path in page.unreadable}
        wrong |= {path for certificate in found for path in certificate.malformed_fields}
        wrong |= {"expire_time" for certificate in found if certificate.fields.expire_time is None}
        wrong |= {"sku_info.title" for certificate in found if build_view(certificate).title is None}
        if wrong:
            raise CommandError(f"of {size} certificates, not readable: {', '.join(sorted(wrong))}")
        if not size:
            raise CommandError("not observed: the list has no certificate")
        if not wanted.poi_id and pages[0].total != size:
            raise CommandError(f"{size} certificates, but total {pages[0].total}")
        return f"{size} certificates, total {pages[0].total}"

    def _compare_pages(self, wanted: ListQuery) -> str:
        """Read the same list in large and small pages. This shows whether paging, `total` and filter are as assumed."""
        lists = [_certificates(self._read_pages(wanted, size)) for size in (PAGE_SIZE, SMALL_PAGE)]
        whole, parts = ([certificate.certificate_id for certificate in found] for found in lists)
        if len(whole) <= SMALL_PAGE:
            raise CommandError("not observed: the list has too few certificates")
        if sorted(whole) != sorted(parts):
            raise CommandError(f"{len(parts)} certificates in small pages, but {len(whole)} in large ones")
        return f"the same {len(whole)} certificates"


def _refused(expected: type[errors.ServiceError], call: Callable[[], object]) -> str:
    try:
        call()
    except expected as error:
        return f"refused: {error}"
    raise CommandError("the platform has accepted the call")


def _certificates(pages: list[Page]) -> list[Certificate]:
    return [certificate for page in pages for certificate in page.certificates]


@click.command()
@click.option("--app", "app_id", type=ID, metavar="APP_ID", required=True, help="The mini-program.")
@click.option("--merchant", "account_id", type=ID, required=True, help="A merchant that has authorized it.")
@click.option("--store", "poi_id", type=ID, metavar="POI_ID", required=True, help="A store of the merchant.")
@click.option("--login", "has_code", is_flag=True, help="Log in with a code of tt.login. It is used up.")
@pass_command_line
def acceptance(cli: CommandLine, /, *, has_code: bool, **ids: str) -> None:
    """Find out what the platform really answers, and print a report without personal data.

    It redeems nothing. It mints an access token if the table has no valid one. Exits with code 0 only if every step is
    as the service needs it. The code of --login is read from the variable REDEEMCTL_LOGIN_CODE, or from stdin, or from
    a prompt. It must not be older than 5 minutes.
    """
    with cli.open_stage() as stage:
        app_secret = read_secret_version(stage).get_app_secret(ids["app_id"])
        if cli.dry_run:
            print_line("dry run: no calls were made")
            return
        # The code is never an argument, because other users of the machine can read arguments.
        code, source = read_hidden("REDEEMCTL_LOGIN_CODE", "login code") if has_code else ("", "")
        if has_code and not code:
            raise InvalidInputError(f"login code (from {source}): must not be empty")
        transport = RecordingTransport(stage.http)
        run = Run(replace(stage, transport=transport), app_secret=app_secret, code=code, **ids)
        steps = []
        for name, seen, is_ok in run.take_steps():
            print_note(f"{'✓' if is_ok else '✗'} {name}: {seen}")
            steps.append({"name": name, "result": "holds" if is_ok else "does not hold", "seen": seen})
    print_json({"steps": steps, **describe(transport.replies)})
    sys.exit(0 if all(step["result"] == "holds" for step in steps) else 1)


def describe(replies: list[tuple[str, float, int, Any]]) -> dict[str, Any]:
    """Return each call with the form of its reply, and how the lists differ from the documented form."""
    calls, lists = [], []
    for url, at, status, reply in replies:
        if url.endswith(QUERY_USER_CERTIFICATES.path) and _look_up(reply, "data", "orders"):
            lists.append(reply)
        time_of_call = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        logid = protocol.parse_logid(_look_up(reply, "extra", "logid"), _look_up(reply, "log_id"))
        calls.append({"time": time_of_call, "url": url, "HTTP": status, "logid": logid, "reply": find_forms(reply)})
    return {"differences": compare_forms(lists), "calls": calls}


def _look_up(reply: Any, *names: str) -> Any:
    for name in names:
        reply = reply.get(name) if isinstance(reply, dict) else None
    return reply


_FIELD_NAME = re.compile(r"[a-z][a-z_]{0,19}[0-9]{0,2}[a-z_]{0,20}")
"""The name of a field. Any other name may be the key of a map, for example an id, so only its length is shown."""


def find_forms(*replies: Any) -> dict[str, dict[str, int]]:
    """Return how often each form occurs at each path; `[]` stands for each element."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    parts = [("", reply) for reply in replies]
    while parts:
        path, value = parts.pop()
        forms[path][_describe(value)] += 1
        if isinstance(value, dict):
            names = {name: name if _FIELD_NAME.fullmatch(name) else f"({len(name)} characters)" for name in value}
            parts += [(f"{path}.{names[name]}".removeprefix("."), part) for name, part in value.items()]
        elif isinstance(value, list):
            parts += [(f"{path}[]", part) for part in value]
    return {path: dict(found) for path, found in sorted(forms.items())}


def compare_forms(lists: list[Any]) -> dict[str, str]:
    """Return by path how lists differ from the documented one: in the types, and for times also in the digits."""
    documented = find_forms(msgspec.json.decode(DOCUMENTED_LIST.read_bytes()))
    seen, differences = find_forms(*lists), {}
    for path in sorted({*documented, *seen}):
        digits = slice(None) if path.endswith("_time") else slice(1)
        expected, found = (
            {" ".join(form.split()[digits]) for form in shape.get(path, ())} for shape in (documented, seen)
        )
        if not found:
            differences[path] = "not seen"
        elif others := found - expected - {"NoneType"}:
            differences[path] = f"{', '.join(sorted(others))}; documented: {', '.join(sorted(expected)) or 'nothing'}"
    return differences


def _describe(value: Any) -> str:
    """Return the type of a value, and how many digits or characters it has.

    A number below 100 is shown, because it may belong to an enumeration. The platform publishes few of their meanings.
    """
    kind, text = type(value).__name__, str(value)
    if isinstance(value, bool | dict | list | None):
        return kind
    if re.fullmatch(r"-?[0-9]{1,2}", text, re.ASCII):
        return f"{kind} {text}"
    return f"{kind} with {len(text)} {'digits' if text.isascii() and text.isdigit() else 'characters'}"

"""`redeemctl acceptance`: what the platform really answers, read by the service's own parser.

Each step makes a call as the service does. The report lists what the parser could not read, and how the form of the
replies differs from the documented one. For each call, it has the data that the platform's support asks for. Of the
replies' values, it shows only numbers below 100, totals, error codes and logids.
"""

import math
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from chalicelib import errors, lenient
from chalicelib.authorized_calls import token_headers
from chalicelib.certificates.paging import MAX_PAGES, ListPosition, plan_next_pages, position_after
from chalicelib.certificates.views import build_view
from chalicelib.douyin import protocol
from chalicelib.douyin.calls import PAGE_SIZE, QUERY_USER_CERTIFICATES, ListQuery, page_body
from chalicelib.douyin.pages import Certificate, Page
from chalicelib.douyin.protocol import HttpReply
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
SMALL_PAGE_SIZE = 2
DOCUMENTED_LIST = Path(__file__).with_name("documented_list.json")
"""A reply of the platform with every documented field."""


class RecordedReply(NamedTuple):
    """A call: when it was sent (epoch seconds), the status of the reply (0: none came), and its JSON, or None."""

    url: str
    sent_at: float
    status: int
    body: Any


class RecordingTransport(Transport):
    """Sends requests over another transport, and keeps each reply."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.replies: list[RecordedReply] = []

    def send(self, url: str, *arguments: Any, **options: Any) -> HttpReply:
        """Send one request and record it; raises as Transport.send does."""
        started, status, body = time.time(), 0, None
        try:
            reply = self.transport.send(url, *arguments, **options)
            status = reply.status
            with suppress(ValueError):
                body = lenient.decode_json(reply.body)
            return reply
        finally:
            self.replies.append(RecordedReply(url, started, status, body))


@dataclass(repr=False)
class Run:
    """An acceptance run of a merchant's store."""

    stage: Stage
    app_secret: str
    life_account_id: str | None
    app_id: str
    account_id: str
    poi_id: str

    def take_steps(self, code: str) -> Iterator[tuple[str, str, bool]]:
        """Take all steps; yield the name of each, what was observed, and whether it is as the service needs it.

        `code` is a login code of tt.login. If it is empty, nobody logs in, and the lists are those of an unknown user.
        """
        yield "token", *_take_step(lambda: self._token() and "obtained")
        # The open_id is not shown.
        open_id_or_reason, has_logged_in = _take_step(lambda: self._log_in(code))
        yield "login", "the platform returned an open_id" if has_logged_in else open_id_or_reason, has_logged_in
        open_id = open_id_or_reason if has_logged_in else PROBE_OPEN_ID
        all_stores_query, store_query = ListQuery(self.account_id), ListQuery(self.account_id, self.poi_id)
        steps: dict[str, Callable[[], str]] = {
            "invalid-code": lambda: _expect_refusal(errors.LoginRefusedError, lambda: self._exchange(PROBE_CODE)),
            "list": lambda: self._observe_list(all_stores_query, open_id),
            "list-store": lambda: self._observe_list(store_query, open_id),
            "small-pages": lambda: self._compare_pages(store_query, open_id),
            "invalid-token": lambda: _expect_refusal(
                errors.TokenRefusedError, lambda: self._fetch_page(all_stores_query, open_id, 1, token=INVALID_TOKEN)
            ),
            "unauthorized-merchant": lambda: _expect_refusal(
                errors.MerchantNotAuthorizedError, lambda: self._fetch_page(ListQuery(UNKNOWN_ACCOUNT_ID), open_id, 1)
            ),
        }
        for name, step in steps.items():
            yield name, *_take_step(step)

    def _token(self) -> str:
        return self.stage.components.tokens.obtain(self.app_id, self.stage.new_context())

    def _exchange(self, code: str) -> str:
        login = self.stage.components.login
        return login.exchange_code(self.app_id, self.app_secret, code, self.stage.new_context())

    def _log_in(self, code: str) -> str:
        """Return the user's open_id."""
        if not code:
            raise CommandError("not observed: the lists are those of an unknown user (--login)")
        return self._exchange(code)

    def _fetch_page(
        self, query: ListQuery, open_id: str, page_number: int, size: int = PAGE_SIZE, token: str = ""
    ) -> Page:
        life_account_id = self.life_account_id if query.account_id == self.account_id else None
        headers = token_headers(token or self._token(), life_account_id)
        # A refused token is not replaced here, because each step shows what the platform answers.
        return self.stage.components.douyin.send(
            QUERY_USER_CERTIFICATES, page_body(query, open_id, page_number, size), self.stage.new_context(), headers
        )

    def _read_pages(self, query: ListQuery, open_id: str) -> list[Page]:
        """Read a list to its end, as the service finds it."""
        pages, continues = list[Page](), True
        while continues:
            pages.append(self._fetch_page(query, open_id, len(pages) + 1))
            continues = plan_next_pages(position_after(ListPosition(), pages), pages[-1].size).continues
        return pages

    def _observe_list(self, query: ListQuery, open_id: str) -> str:
        pages = self._read_pages(query, open_id)
        size, certificates = sum(page.size for page in pages), _certificates(pages)
        wrong = {path for page in pages for path in page.unreadable}
        wrong |= {path for certificate in certificates for path in certificate.malformed_fields}
        wrong |= {"expire_time" for certificate in certificates if certificate.fields.expire_time is None}
        wrong |= {"sku_info.title" for certificate in certificates if build_view(certificate).title is None}
        if wrong:
            raise CommandError(f"of {size} certificates, not readable: {', '.join(sorted(wrong))}")
        if not size:
            raise CommandError("not observed: the list has no certificate")
        if not query.poi_id and pages[0].total != size:
            raise CommandError(f"{size} certificates, but total {pages[0].total}")
        return f"{size} certificates, total {pages[0].total}"

    def _compare_pages(self, query: ListQuery, open_id: str) -> str:
        """Read a list in large and small pages. This shows whether paging, `total` and filter are as assumed."""
        merchant_list = _certificates(self._read_pages(ListQuery(query.account_id), open_id))
        store_pages = self._read_pages(query, open_id)
        store_list = _certificates(store_pages)
        if not SMALL_PAGE_SIZE <= len(store_list) <= len(merchant_list) < MAX_PAGES * SMALL_PAGE_SIZE:
            raise CommandError("not observed: the list has too few or too many certificates")
        small_pages = self._read_small_pages(query, open_id, len(store_list), len(merchant_list))
        parts = _certificates(small_pages)
        if _sorted_ids(parts) != _sorted_ids(store_list):
            raise CommandError(f"{len(parts)} certificates in small pages, but {len(store_list)} in large ones")
        observed = f"the same {len(store_list)} certificates"
        if not small_pages[-1].size:
            observed += f"; the page after the last full one has total {small_pages[-1].total}"
        sizes = [page.size for page in small_pages]
        return f"{observed}; {judge_filter(merchant_list, store_list, sizes, store_pages[0].total)}"

    def _read_small_pages(self, query: ListQuery, open_id: str, store_count: int, merchant_count: int) -> list[Page]:
        """Read on, whatever `total` is, until all certificates of the store have come. Then read until a short page."""
        pages, received = list[Page](), 0
        # If the filter comes after the pages were cut, the store's last certificate may be on the merchant's last page.
        for number in range(1, math.ceil(merchant_count / SMALL_PAGE_SIZE) + 2):
            pages.append(self._fetch_page(query, open_id, number, SMALL_PAGE_SIZE))
            received += pages[-1].size
            if received >= store_count and pages[-1].size < SMALL_PAGE_SIZE:
                break
        return pages


def judge_filter(
    merchant_list: list[Certificate], store_list: list[Certificate], sizes: list[int], total: int | None
) -> str:
    """Return whether the platform cuts its pages, and counts its total, before or after it filters by store.

    `sizes` and `total` are those of the store's small pages. Raises CommandError if long lists lose certificates.
    """
    usable, unusable = ({c.certificate_id for c in store_list if c.can_use is can_use} for can_use in (True, False))
    if any(c.can_use and c.certificate_id in unusable for c in merchant_list):
        return "the filter by store removes nothing, it sets can_use to false"
    is_kept = [c.certificate_id in usable | unusable for c in merchant_list]
    sizes_if_cut_before = [sum(is_kept[n : n + SMALL_PAGE_SIZE]) for n in range(0, len(is_kept), SMALL_PAGE_SIZE)]
    cut, counted = "before or after", "before or after"
    if _has_gap(sizes):
        cut = "before"
    elif _has_gap(sizes_if_cut_before):
        cut = "after"
    if len(merchant_list) > len(store_list):
        counted = {len(merchant_list): "before", len(store_list): "after"}.get(total or 0, "neither before nor after")
    observed = f"pages are cut {cut} the filter by store, total is counted {counted} it"
    # A total that is counted before the filter makes the service read all pages. If the pages are cut after the filter,
    # only the last one is not full. In both cases, no certificate is lost.
    if counted == "before" or cut == "after":
        return observed
    if cut == "before":
        raise CommandError(
            f"{observed}: customers with more than {PAGE_SIZE} coupons of the merchant may miss some; a known limit, no"
            " reason to stop"
        )
    return f"{observed}: to find out, buy a coupon that only another store takes, then two of this store"


def _has_gap(sizes: list[int]) -> bool:
    """Return whether a page that is not full stands before one that is not empty."""
    return any(size < SMALL_PAGE_SIZE and following for size, following in pairwise(sizes))


def _sorted_ids(certificates: list[Certificate]) -> list[str]:
    return sorted(certificate.certificate_id for certificate in certificates)


def _take_step(step: Callable[[], str]) -> tuple[str, bool]:
    """Return what was observed, and whether the step has succeeded."""
    try:
        return step(), True
    except (errors.ServiceError, CommandError) as error:
        return f"{type(error).__name__}: {error}", False


def _expect_refusal(expected: type[errors.ServiceError], call: Callable[[], object]) -> str:
    try:
        call()
    except expected as error:
        return f"refused: {error}"
    raise CommandError("the platform has accepted the call")


def _certificates(pages: list[Page]) -> list[Certificate]:
    return [certificate for page in pages for certificate in page.certificates]


def read_life_account_id(stage: Stage, app_id: str, account_id: str) -> str | None:
    """Return the root account of a merchant, if it has one; raises CommandError if the merchant is another app's."""
    item = stage.merchants.get(account_id)
    merchant = None if item is None else parse_merchant(account_id, item)
    if merchant is not None and merchant.app_id != app_id:
        raise CommandError(f"merchant {account_id} belongs to app {merchant.app_id}")
    return None if merchant is None else merchant.life_account_id


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
        transport = RecordingTransport(stage.transport)
        life_account_id = read_life_account_id(stage, ids["app_id"], ids["account_id"])
        run = Run(replace(stage, transport=transport), app_secret, life_account_id, **ids)
        steps = []
        for name, observation, is_ok in run.take_steps(code):
            print_note(f"{'✓' if is_ok else '✗'} {name}: {observation}")
            steps.append({"name": name, "result": "holds" if is_ok else "does not hold", "seen": observation})
    print_json({"steps": steps, **build_report(transport.replies)})
    sys.exit(0 if all(step["result"] == "holds" for step in steps) else 1)


def build_report(replies: list[RecordedReply]) -> dict[str, Any]:
    """Return each call with the form of its reply, and how the lists differ from the documented form."""
    calls, lists = [], []
    for url, sent_at, status, body in replies:
        if url.endswith(QUERY_USER_CERTIFICATES.path) and _look_up(body, "data", "orders"):
            lists.append(body)
        time_of_call = datetime.fromtimestamp(sent_at, UTC).isoformat(timespec="milliseconds")
        logid = protocol.parse_logid(_look_up(body, "extra", "logid"), _look_up(body, "log_id"))
        calls.append({"time": time_of_call, "url": url, "HTTP": status, "logid": logid, "reply": find_forms(body)})
    return {"differences": compare_forms(lists), "calls": calls}


def _look_up(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


_FIELD_NAME = re.compile(r"[a-z][a-z_]{0,19}[0-9]{0,2}[a-z_]{0,20}")
"""The name of a field. Any other name may be the key of a map, for example an id, so only its length is shown."""


def find_forms(*replies: Any) -> dict[str, dict[str, int]]:
    """Return how often each form occurs at each path; `[]` stands for each element."""
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    parts = [("", reply) for reply in replies]
    while parts:
        path, value = parts.pop()
        forms[path][_form_of(value)] += 1
        if isinstance(value, dict):
            names = {name: name if _FIELD_NAME.fullmatch(name) else f"({len(name)} characters)" for name in value}
            parts += [(f"{path}.{names[name]}".removeprefix("."), part) for name, part in value.items()]
        elif isinstance(value, list):
            parts += [(f"{path}[]", part) for part in value]
    return {path: dict(counts) for path, counts in sorted(forms.items())}


def compare_forms(lists: list[Any]) -> dict[str, str]:
    """Return by path how lists differ from the documented one: in the types, and for times also in the digits."""
    documented = find_forms(msgspec.json.decode(DOCUMENTED_LIST.read_bytes()))
    replied, differences = find_forms(*lists), {}
    for path in sorted({*documented, *replied}):
        compared_words = slice(None) if path.endswith("_time") else slice(1)
        expected, actual = (
            {" ".join(form.split()[compared_words]) for form in forms.get(path, ())} for forms in (documented, replied)
        )
        if not actual:
            differences[path] = "not seen"
        elif new := actual - expected - {"NoneType"}:
            differences[path] = f"{', '.join(sorted(new))}; documented: {', '.join(sorted(expected)) or 'nothing'}"
    return differences


def _form_of(value: Any) -> str:
    """Return the type of a value, and how many digits or characters it has.

    A number below 100 is shown, because it may belong to an enumeration. The platform publishes few of their meanings.
    """
    kind, text = type(value).__name__, str(value)
    if isinstance(value, bool | dict | list | None):
        return kind
    if re.fullmatch(r"-?[0-9]{1,2}", text, re.ASCII):
        return f"{kind} {text}"
    return f"{kind} with {len(text)} {'digits' if text.isascii() and text.isdigit() else 'characters'}"

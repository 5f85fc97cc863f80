"""Reads a page of `query_user_certificates`. No I/O.

A page is first read by `_parse_documented`, in one pass of a typed decoder: it returns the page, or None when anything
is not as documented. Then `_parse_leniently` reads it field by field: it accepts other forms that mean the same, and it
alone decides what is an error.
"""

from typing import Any

import msgspec

from chalicelib.douyin import codes, lenient, models
from chalicelib.douyin.protocol import PAGE_SIZE, Response, open_envelope
from chalicelib.errors import UpstreamMalformedError
from chalicelib.redaction import RedactedStruct

MAX_PAGE_CERTIFICATES = 300
"""The platform sends PAGE_SIZE at most. A page with more than this is malformed: the response might not fit."""

_REPLY = msgspec.json.Decoder(models.CertificatesReply)
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Page(RedactedStruct, frozen=True):
    """One page.

    `orders`: its readable orders. `size`: the number of certificates in it, readable or not.
    `total`: the number of certificates on all pages as the platform reports it, or None when it is unusable.
    `hidden`: the number of certificates that cannot be shown, because an id or their order's `can_use` is unreadable.
    `malformed`: the paths of malformed fields, for each certificate_id that has any ("" for hidden certificates).
    """

    orders: list[models.Order]
    size: int
    total: int | None
    hidden: int = 0
    malformed: dict[str, list[str]] = msgspec.field(default_factory=dict)


def parse_certificates(response: Response, number: int = 1, page_size: int = PAGE_SIZE) -> Page:
    """Parse page `number` (from 1) of a list with `page_size` certificates per page; raises UpstreamError.

    A malformed field counts as missing; see `Page` for what is reported.
    """
    page = _parse_documented(response) or _parse_leniently(response, number, page_size)
    if page.size > MAX_PAGE_CERTIFICATES:
        raise UpstreamMalformedError("too_large")
    return page


def _parse_documented(response: Response) -> Page | None:
    """Parse a page that reports no error and in which everything is as documented; otherwise return None."""
    if response.status != 200:
        return None
    try:
        reply = _REPLY.decode(response.body)
    except _DECODE_ERRORS:
        return None
    data, extra = reply.data, reply.extra or models.Extra()
    if extra.error_code or extra.sub_error_code or reply.err_no:
        return None
    if data is None or data.error_code or data.orders is None:
        return None
    certificates = [certificate for order in data.orders for certificate in order.certificates or ()]
    ids = [*(order.order_id for order in data.orders), *(c.certificate_id for c in certificates)]
    ids += [c.sku_info.sku_id for c in certificates if c.sku_info is not None and c.sku_info.sku_id is not None]
    is_documented = all(isinstance(order.can_use, bool | None) for order in data.orders) and not any(
        isinstance(found, int) and len(str(found)) > models.MAX_ID_LENGTH for found in ids
    )
    return Page(data.orders, len(certificates), _count(data.total)) if is_documented else None


def _parse_leniently(response: Response, number: int, page_size: int) -> Page:
    """Parse a page in which something is not as documented."""
    envelope = open_envelope(response, codes.CERTIFICATES)
    orders: list[models.Order] = []
    malformed: dict[str, list[str]] = {}
    size = hidden = 0
    for value in _read_orders(envelope, number, page_size):
        certificates = value.pop("certificates", None) if isinstance(value, dict) else None
        certificates = [] if certificates is None else certificates
        paths: list[str] = []
        order = lenient.read(value, models.Order, "orders", paths)
        if not isinstance(certificates, list):
            certificates = []
            paths.append("orders.certificates")
        size += len(certificates)
        if paths or order is None:
            hidden += max(1, len(certificates))
            malformed.setdefault("", []).extend(paths)
            continue
        can_use = _read_can_use(order.can_use)
        if can_use is None:
            hidden += len(certificates)
            malformed.setdefault("", []).append("orders.can_use")
        order.can_use = can_use or False
        order.certificates = []
        for raw in certificates:
            paths = []
            certificate = lenient.read(raw, models.Certificate, "orders.certificates", paths)
            if certificate is None:
                hidden += can_use is not None
                malformed.setdefault("", []).extend(paths)
                continue
            order.certificates.append(certificate)
            if paths:
                malformed[str(certificate.certificate_id)] = paths
        orders.append(order)
    return Page(orders, size, _count(envelope["data"].get("total")), hidden, malformed)


def _read_orders(envelope: dict[str, Any], number: int, page_size: int) -> list[Any]:
    """Return the orders of an envelope without errors; raises UpstreamMalformedError when there is no list.

    The platform's services may write an empty list as null, or leave it out. A reply without `orders` is an empty page
    only if it reports success or a total of 0, and if no certificate can be expected on this page.
    """
    data, extra = envelope.get("data"), envelope.get("extra") or {}
    if isinstance(data, dict):
        orders = data.get("orders", ...)
        if orders is None or isinstance(orders, list):
            return orders or []
        total = _count(data.get("total"))
        reported = (
            data.get("error_code"),
            extra.get("error_code"),
            extra.get("sub_error_code"),
            envelope.get("err_no"),
        )
        is_success = total == 0 or any(code is not None for code in reported)
        is_behind = data.get("total") is None or (total is not None and total <= (number - 1) * page_size)
        if orders is ... and is_success and is_behind:
            return []
    raise UpstreamMalformedError("malformed", retryable=True)


def _read_can_use(value: Any) -> bool | None:
    """Return whether an order is usable, or None when the value means neither."""
    # 1 and 0 are equal to True and False.
    if value in (True, "true", "1"):
        return True
    return False if value in (False, "false", "0", None) else None


def _count(value: Any) -> int | None:
    """Return a count of 0 or more that may arrive as a string or a float, or None. A cursor has room for 18 digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18 else None

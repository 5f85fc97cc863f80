"""Reads a page of `query_user_certificates`. No I/O.

A page is first read by `_parse_documented`, in one pass of a typed decoder: it returns the page, or None when anything
is not as documented. Then `_parse_leniently` reads it field by field: it accepts other forms that mean the same, and it
alone decides what is an error.
"""

from typing import Any

import msgspec

from chalicelib.douyin import lenient, models
from chalicelib.douyin.codes import ErrorTable
from chalicelib.douyin.protocol import Response, open_envelope
from chalicelib.errors import UpstreamMalformedError
from chalicelib.redaction import RedactedStruct

MAX_PAGE_CERTIFICATES = 300
"""The platform sends 50 at most. A page with more than this is malformed: the response might not fit."""

_REPLY = msgspec.json.Decoder(models.CertificatesReply)
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Page(RedactedStruct, frozen=True):
    """A page of certificates, as far as it could be read."""

    #: The readable orders.
    orders: list[models.Order]
    #: The number of certificates, readable or not.
    size: int
    #: The number of certificates on all pages as the platform reports it, or None when it is unusable.
    total: int | None
    #: The number of certificates that cannot be shown, because an id, `can_use` or `certificates` is unreadable.
    unreadable: int = 0
    #: The paths of these fields.
    unreadable_fields: list[str] = msgspec.field(default_factory=list)
    #: The paths of malformed fields, for each certificate_id that has any.
    malformed_by_id: dict[str, list[str]] = msgspec.field(default_factory=dict)

    @property
    def is_void(self) -> bool:
        """Whether the page says that the user has no certificate at all."""
        return self.size == 0 and self.total == 0


def parse_certificates(response: Response, table: ErrorTable) -> Page:
    """Parse a page; raises UpstreamError. A malformed field counts as missing; see `Page` for what is reported."""
    page = _parse_documented(response) or _parse_leniently(response, table)
    if page.size > MAX_PAGE_CERTIFICATES:
        raise UpstreamMalformedError("too_large", is_transient=False)
    return page


def _parse_documented(response: Response) -> Page | None:
    """Parse a page that reports no error and in which everything is as documented; otherwise return None."""
    # JSON allows the control character DEL in a text, but `lenient` replaces it.
    if response.status != 200 or b"\x7f" in response.body:
        return None
    try:
        reply = _REPLY.decode(response.body)
    except _DECODE_ERRORS:
        return None
    data = reply.data
    extra = reply.extra or models.Extra()
    if extra.error_code or extra.sub_error_code or reply.err_no:
        return None
    if data is None or data.error_code or data.orders is None:
        return None
    if any(order.can_use and order.certificates is None for order in data.orders):
        return None
    return Page(data.orders, sum(len(order.certificates or ()) for order in data.orders), _count(data.total))


def _parse_leniently(response: Response, table: ErrorTable) -> Page:
    """Parse a page in which something is not as documented."""
    envelope = open_envelope(response, table)
    orders: list[models.Order] = []
    unreadable_fields: list[str] = []
    malformed_by_id: dict[str, list[str]] = {}
    size = unreadable = 0
    for raw_order in _read_orders(envelope):
        listed = raw_order.pop("certificates", None) if isinstance(raw_order, dict) else None
        raw_certificates = listed if isinstance(listed, list) else []
        size += len(raw_certificates)
        order_paths: list[str] = [] if listed is None or isinstance(listed, list) else ["orders.certificates"]
        order = lenient.read(raw_order, models.Order, "orders", order_paths)
        if order is not None and order.can_use and listed is None:
            order_paths.append("orders.certificates")
        unreadable_fields += order_paths
        only_can_use_is_malformed = order_paths == ["orders.can_use"]
        if order is None or (order_paths and not only_can_use_is_malformed):
            unreadable += max(1, len(raw_certificates))
            continue
        order.certificates = []
        for raw_certificate in raw_certificates:
            paths: list[str] = []
            certificate = lenient.read(raw_certificate, models.Certificate, "orders.certificates", paths)
            if certificate is None or only_can_use_is_malformed:
                unreadable += 1
            if certificate is None:
                unreadable_fields += paths
                continue
            order.certificates.append(certificate)
            if paths:
                malformed_by_id[str(certificate.certificate_id)] = paths
        orders.append(order)
    return Page(orders, size, _count(envelope["data"].get("total")), unreadable, unreadable_fields, malformed_by_id)


def _read_orders(envelope: dict[str, Any]) -> list[Any]:
    """Return the orders of an envelope without errors; raises UpstreamMalformedError when there is no list.

    The platform's services may write an empty list as null, or leave it out. It is left out if the total is 0, or if
    the total is left out too and an error code of 0 says that the call has succeeded.
    """
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise UpstreamMalformedError("malformed")
    orders, total, extra = data.get("orders"), data.get("total"), envelope.get("extra") or {}
    if isinstance(orders, list):
        return orders
    reported = (data.get("error_code"), extra.get("error_code"), extra.get("sub_error_code"), envelope.get("err_no"))
    says_success = any(code is not None for code in reported)
    if orders is None and ("orders" in data or _count(total) == 0 or (total is None and says_success)):
        return []
    raise UpstreamMalformedError("malformed")


def _count(value: Any) -> int | None:
    """Return a count of 0 or more that may arrive as a string or a float, or None. More than 18 digits are no count."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18 else None

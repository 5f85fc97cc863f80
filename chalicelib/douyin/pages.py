"""Reads a page of `query_user_certificates`. No I/O."""

from typing import Any

import msgspec

from chalicelib.douyin.codes import ErrorTable
from chalicelib.douyin.models import CertificateFields
from chalicelib.douyin.protocol import PlatformResponse, find_codes, open_envelope
from chalicelib.errors import UpstreamMalformedError
from chalicelib.lenient import read_bool, read_id, read_int, read_struct
from chalicelib.redaction import RedactedStruct

MAX_PAGE_CERTIFICATES = 300
"""The platform sends 50 at most. A page with more than this is malformed: the response might not fit."""


class Certificate(RedactedStruct, frozen=True):
    """A certificate (coupon) of an order."""

    certificate_id: str
    order_id: str
    #: Whether the order is usable (in the store, if one was sent).
    can_use: bool
    fields: CertificateFields
    #: The paths of its malformed fields, which count as missing.
    malformed_fields: list[str]


class Page(RedactedStruct, frozen=True):
    """A page of certificates, as far as it could be read."""

    #: The certificates with a readable id, in readable orders.
    certificates: list[Certificate]
    #: The number of certificates, readable or not.
    size: int
    #: The number of certificates on all pages as the platform reports it, or None when it is unusable.
    total: int | None
    #: For each certificate that cannot be shown, the path of the field that is unreadable: an id, `can_use`, or a list.
    unreadable: list[str] = msgspec.field(default_factory=list)

    @property
    def reports_no_certificates(self) -> bool:
        """Whether the page says that the user has no certificate at all."""
        return self.size == 0 and self.total == 0


class _Unreadable(msgspec.Struct, frozen=True):
    """A certificate that cannot be shown: the path of the field because of which it cannot."""

    path: str


def parse_certificates(response: PlatformResponse, table: ErrorTable) -> Page:
    """Parse a page; raises UpstreamError. A malformed field counts as missing; see `Page` for what is reported.

    Only the ids are required, because nothing can be redeemed without them, and real responses omit most of the rest.
    """
    envelope = open_envelope(response, table)
    orders = _read_orders(envelope)
    size = sum(len(_listed(order)) for order in orders)
    if size > MAX_PAGE_CERTIFICATES:
        raise UpstreamMalformedError("too_large", is_transient=False)
    results = [result for order in orders for result in _read_order(order)]
    certificates = [result for result in results if isinstance(result, Certificate)]
    unreadable = [result.path for result in results if isinstance(result, _Unreadable)]
    return Page(certificates, size, _read_count(envelope["data"].get("total")), unreadable)


def _read_orders(envelope: dict[str, Any]) -> list[Any]:
    """Return the orders of an envelope without errors; raises UpstreamMalformedError when there is no list.

    The platform's services may write an empty list as null, or leave it out. It is left out if the total is 0, or if
    the total is left out too and an error code of 0 says that the call has succeeded.
    """
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise UpstreamMalformedError("malformed")
    orders, total = data.get("orders"), data.get("total")
    if isinstance(orders, list):
        return orders
    says_success = any(code is not None for code in find_codes(envelope))
    if orders is None and ("orders" in data or _read_count(total) == 0 or (total is None and says_success)):
        return []
    raise UpstreamMalformedError("malformed")


def _listed(order: Any) -> list[Any]:
    """Return the certificates of an order as they were sent; none if there is no list."""
    listed = order.get("certificates") if isinstance(order, dict) else None
    return listed if isinstance(listed, list) else []


def _read_order(order: Any) -> list[Certificate | _Unreadable]:
    """Return what could be read of an order, and what could not. A certificate may be in both: see `can_use`."""
    if not isinstance(order, dict):
        return [_Unreadable("orders")]
    order_id, can_use = read_id(order.get("order_id")), order.get("can_use")
    can_use = False if can_use is None else read_bool(can_use)
    sent, listed = order.get("certificates"), _listed(order)
    if order_id is None:
        return [_Unreadable("orders.order_id")] * max(1, len(listed))
    # The list may be null or missing, but not in a usable order: its certificates would be hidden.
    if not isinstance(sent, list) and (can_use or sent is not None):
        return [_Unreadable("orders.certificates")]
    results = [_read_certificate(element, order_id, bool(can_use)) for element in listed]
    # These certificates count as not usable.
    hidden = [result for result in results if isinstance(result, Certificate)] if can_use is None else []
    return results + [_Unreadable("orders.can_use") for _ in hidden]


def _read_certificate(element: Any, order_id: str, can_use: bool) -> Certificate | _Unreadable:
    if not isinstance(element, dict):
        return _Unreadable("orders.certificates")
    certificate_id = read_id(element.get("certificate_id"))
    if certificate_id is None:
        return _Unreadable("orders.certificates.certificate_id")
    fields, paths = read_struct(element, CertificateFields)
    return Certificate(certificate_id, order_id, can_use, fields, [f"orders.certificates.{path}" for path in paths])


def _read_count(value: Any) -> int | None:
    """Return a count of 0 or more, or None."""
    number = read_int(value)
    return number if number is not None and number >= 0 else None

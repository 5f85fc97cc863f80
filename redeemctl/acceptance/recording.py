"""Records each call of the platform as it was sent and answered, before the service's decoding."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests

from chalicelib.douyin import lenient, protocol
from chalicelib.douyin.protocol import Request, Response
from chalicelib.douyin.transport import Transport
from chalicelib.errors import RedemptionError

CODE_PLACES = ("data.error_code", "extra.error_code", "extra.sub_error_code", "err_no")


@dataclass(repr=False)
class RecordedCall:
    """One request and its reply. `call` is the last part of the path. `reply` is the parsed JSON, or None.

    `at` is in epoch seconds. `failure` is the transport's reason if there was no HTTP response; `status` is then 0.
    """

    call: str
    url: str
    at: float
    status: int = 0
    reply: Any = None
    failure: str = ""

    @property
    def codes(self) -> str:
        """The error codes of the reply that are not 0, by their place."""
        found = {place: self.look_up(place) for place in CODE_PLACES}
        codes = {p: c if type(c) is int else "not a number" for p, c in found.items() if c is not None}
        return ", ".join(f"{place} {code}" for place, code in codes.items() if code)

    @property
    def logid(self) -> str:
        """The platform's log id, or an empty text."""
        return protocol.read_logid(self.look_up("extra.logid"), self.look_up("log_id"))

    @property
    def is_success(self) -> bool:
        """Whether the platform reports no error."""
        return self.status == 200 and isinstance(self.reply, dict) and not self.codes

    def look_up(self, path: str) -> Any:
        """Return a field of the reply, or None."""
        value = self.reply
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value


class RecordingTransport(Transport):
    """The service's transport, which also records each call."""

    def __init__(self, session: requests.Session) -> None:
        super().__init__(session)
        self.recorded: list[RecordedCall] = []

    def send(self, base_url: str, request: Request, *limits: Any, **options: Any) -> Response:
        """Send one request and record it; raises as Transport.send does."""
        call = request.path.strip("/").rpartition("/")[2]
        recorded_call = RecordedCall(call, base_url + request.path, time.time())
        self.recorded.append(recorded_call)
        try:
            response = super().send(base_url, request, *limits, **options)
        except RedemptionError as error:
            recorded_call.failure = error.reason
            raise
        recorded_call.status = response.status
        with suppress(ValueError):
            recorded_call.reply = lenient.decode_json(response.body)
        return response

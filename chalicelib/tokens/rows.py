"""The row of an app's token in the table, `TOKEN#<app_id>`, and the rule by which it is renewed.

`access_token` (S) and `expires_at` (N, epoch seconds): written by this service, or by another system that mints.
`claim` (S): when an instance began to mint (epoch milliseconds), and a random id. `outcome` (S): that of this
mint, `ok` or the reason of its failure.

The platform accepts only the two newest tokens of an app, the older one for five minutes after a mint. A second mint is
likely to invalidate a token that is in use, so an instance claims the row before it mints. For CLAIM_INTERVAL_SECONDS,
no instance writes another claim, whether the mint succeeds or fails. Each write is conditional on the claim and the
token that the writer has read, so a slow instance never overwrites a newer token.

Lambda synchronizes the clocks of its instances: they differ by CLOCK_DIFFERENCE_SECONDS at most.
"""

import math
import re
import uuid
from typing import Literal

import msgspec

from chalicelib.aws import Item
from chalicelib.douyin.protocol import is_access_token
from chalicelib.redaction import RedactedStruct

CLAIM_INTERVAL_SECONDS = 20.0
"""The shortest time between two claims of a row. It ends loops: if the platform refuses every token, there is only one
mint in this time. If an instance dies after its claim, the next mint must wait for this time."""

MINT_WAIT_SECONDS = 8.0
"""How long other instances wait for the token after a claim. Two writes and a mint take less."""

SECONDS_LEFT_TO_CLAIM = 5.0
"""If less time is left, no claim is made. Two writes and the mint between them need this time."""

SECONDS_LEFT_TO_REREAD = 1.0
"""If less time is left, the row is not read again."""

CLOCK_DIFFERENCE_SECONDS = 2.0
"""The largest difference between the clocks of two instances. A claim that is further in the future does not count."""

MAX_EPOCH_SECONDS = 10**11
"""The largest `expires_at` in seconds. A larger one is in milliseconds: the system that has written it may use them."""

MINTED = "ok"
"""The `outcome` of a mint that has succeeded."""

_CLAIM = re.compile(r"([0-9]{1,15})(-|\Z)")
"""The form of a claim: epoch milliseconds, then the random id."""

Action = Literal["use", "wait", "mint", "blocked", "too_late"]


class RowChangedError(Exception):
    """The row has changed since the writer read it. `row` is the present row.

    `tokens` and `redeemctl` catch it, so it never becomes a response.
    """

    def __init__(self, row: "TokenRow") -> None:
        super().__init__()
        self.row = row


class TokenRow(RedactedStruct, frozen=True):
    """A TOKEN# row. Times are in epoch seconds."""

    #: The token, or "" for none.
    access_token: str = ""
    #: 0 when it is missing.
    expires_at: int = 0
    #: When the last claim was made; -inf without one.
    claimed_at: float = -math.inf
    #: The outcome of this claim's mint: MINTED, or the reason of its failure; "" while it is not known.
    outcome: str = ""
    #: The content in DynamoDB's format; empty if the table does not have this row.
    item: Item = msgspec.field(default_factory=dict)

    @property
    def is_in_table(self) -> bool:
        """Whether the table has this row. False if there is no row, or if the new token could not be stored."""
        return bool(self.item)

    def is_valid(self, now: float) -> bool:
        """Return whether there is a token, and it has not expired."""
        return bool(self.access_token) and self.expires_at > now

    def blocks_claims(self, now: float) -> bool:
        """Return whether the last claim still prevents another claim, whatever the outcome of its mint."""
        return -CLOCK_DIFFERENCE_SECONDS <= now - self.claimed_at < CLAIM_INTERVAL_SECONDS

    def mint_may_be_running(self, now: float) -> bool:
        """Return whether the last claim's mint may still be running, so that it makes sense to wait for the token."""
        return self.blocks_claims(now) and now - self.claimed_at < MINT_WAIT_SECONDS and not self.outcome

    @property
    def mint_failure(self) -> str:
        """The reason why the last claim's mint failed; "" if it succeeded, or its outcome is not known."""
        return "" if self.outcome == MINTED else self.outcome

    def seconds_until_claim(self, now: float) -> float:
        """Return the seconds until the next claim may be made, or 0."""
        return self.claimed_at + CLAIM_INTERVAL_SECONDS - now if self.blocks_claims(now) else 0.0

    @classmethod
    def from_item(cls, item: Item) -> "TokenRow":
        """Parse an item. A malformed attribute counts as missing, so that a mint repairs it."""
        access_token = item.get("access_token", {}).get("S", "")
        expires_at = int(float(item.get("expires_at", {}).get("N", 0)))
        claim = _CLAIM.match(item.get("claim", {}).get("S", ""))
        return cls(
            access_token=access_token if is_access_token(access_token) else "",
            expires_at=expires_at // 1000 if expires_at > MAX_EPOCH_SECONDS else expires_at,
            claimed_at=int(claim[1]) / 1000 if claim else -math.inf,
            outcome=item.get("outcome", {}).get("S", ""),
            item=item,
        )


def next_action(row: TokenRow, unwanted_token: str, now: float, remaining: float) -> Action:
    """Return what the caller must do with a row: use its token, wait for another instance's mint, mint, or give up.

    `unwanted_token` must not be used, because the platform has refused it, or because it must be renewed; "" for none.
    `remaining` is the time that the caller has left, in seconds.

    | the row's token              | its claim                            | time left    | action   |
    |------------------------------|--------------------------------------|--------------|----------|
    | is valid and may be used     |                                      |              | use      |
    | otherwise                    | younger than 8 s, without an outcome | at least 1 s | wait     |
    |                              | the same                             | less         | too_late |
    |                              | younger than 20 s                    |              | blocked  |
    |                              | none, or older                       | at least 5 s | mint     |
    |                              | the same                             | less         | too_late |
    """
    if row.is_valid(now) and row.access_token != unwanted_token:
        return "use"
    if row.mint_may_be_running(now):
        return "wait" if remaining >= SECONDS_LEFT_TO_REREAD else "too_late"
    if row.blocks_claims(now):
        return "blocked"
    return "mint" if remaining >= SECONDS_LEFT_TO_CLAIM else "too_late"


def new_claim(now: float) -> str:
    """Return a claim that is made now."""
    return f"{int(now * 1000)}-{uuid.uuid4().hex}"


def token_pk(app_id: str) -> str:
    """Return the partition key of a token's row."""
    return f"TOKEN#{app_id}"

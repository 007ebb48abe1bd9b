"""A row of the ledger, at its start and at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from llmkit.errors import LedgerUnavailable, StreamClosed, StreamTruncated
from llmkit.ledger.content import Content
from llmkit.ledger.values import billing_value
from llmkit.policy.budgets.decide import Claim, Shortage
from llmkit.policy.pricing import UNSENT
from llmkit.response import Status
from llmkit.usage import PLAIN, Billing, Source, Usage

_UNKNOWN = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known before bytes go upstream. The row starts as `started`.

    `alias` is what the caller asked for ("default" or "anthropic:claude-sonnet-4-5"); `started_at`
    has a time zone; `input_tokens` are estimated, None if they are not known. `worker` is the process that makes the call, None is the one
    that writes the row. `claims` are what it asks of budgets, which is held when the row is written, or the row is `refused`;
    with `granted_at` it was granted elsewhere, then, and is held whether there is room or not.
    """

    call_id: str
    attempt: int
    run_id: str | None
    user_key: str | None
    tenant: str | None
    conversation: str | None
    tags: Mapping[str, str]
    alias: str
    provider: str | None
    model: str | None
    streamed: bool
    started_at: datetime
    input_tokens: int | None = None
    worker: str | None = field(default=None, compare=False)  # the same row, whoever writes it
    claims: tuple[Claim, ...] = field(default=(), compare=False)
    granted_at: datetime | None = field(default=None, compare=False)

    @property
    def input_source(self) -> Source:
        """Where the tokens are from."""
        return "unknown" if self.input_tokens is None else "estimated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an open call has so far, in case that nobody sees its end. `cost` is in US dollars, None when it is unknown."""

    call_id: str
    attempt: int
    usage: Usage
    cost: Decimal | None
    price_version: str | None
    first_content_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What is known at the end. It closes the row with the same `call_id` and `attempt`, once.

    `cost` is in US dollars, None when it is unknown, and `saved` what an answer that is given again has cost before; the times have a zone. `content` is what was asked and answered, plain or still to be
    redacted; None if it is not kept. `held` says that the opening had claims on budgets, which this settles.
    """

    call_id: str
    attempt: int
    status: Status
    finished_at: datetime
    usage: Usage = _UNKNOWN
    cost: Decimal | None = None
    saved: Decimal | None = None
    price_version: str | None = None
    stop_reason: str | None = None
    raw_stop_reason: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    model_reported: str | None = None
    first_content_at: datetime | None = None
    content: Any = None
    billing: Billing = PLAIN
    held: bool = False

    @property
    def billed(self) -> dict[str, Any] | None:
        """What the cost hangs on beside the tokens, as the row keeps it."""
        return billing_value(self.billing)

    @property
    def kept(self) -> dict[str, Any] | None:
        """The content as the row keeps it."""
        content: dict[str, Any] | None = (
            self.content.kept if isinstance(self.content, Content) else self.content
        )
        return content


Refusals = Mapping[tuple[str, int], Shortage]
"""Which rows a budget had no room for, by call_id and attempt, and why."""


def unsent(
    opening: Opening, status: Status, seconds: float, *, error_type: str | None = None
) -> Closing:
    """Make the closing of a call that was never sent, after so many seconds."""
    return Closing(
        call_id=opening.call_id,
        attempt=opening.attempt,
        status=status,
        finished_at=opening.started_at + timedelta(seconds=seconds),
        cost=UNSENT.cost,
        error_type=error_type,
        held=bool(opening.claims),
    )


def lesser(closing: Closing) -> Iterator[tuple[Closing, str]]:
    """Give what to write in place of a closing that a store refuses, the fullest first, and what each leaves out."""
    if closing.content is not None:
        yield replace(closing, content=None), "what was asked and answered"
    yield reduced(closing), "its token counts and cost"


def reduced(closing: Closing) -> Closing:
    """Return the same closing with nothing in it that a database could refuse: that the call has ended, when and how."""
    return Closing(
        call_id=closing.call_id,
        attempt=closing.attempt,
        status=closing.status,
        finished_at=closing.finished_at,
        stop_reason=closing.stop_reason,
        error_type=closing.error_type,
        held=closing.held,
    )


class RowRejected(LedgerUnavailable):
    """A row is at fault, not the store: the other rows of its group can be written without it."""


def status_of(error: BaseException | None, *, complete: bool) -> Status:
    """Say in the ledger's word how an attempt ended."""
    if complete:
        return "finished"
    if isinstance(error, StreamTruncated):
        return "truncated"
    if error is None or isinstance(error, StreamClosed) or not isinstance(error, Exception):
        # Left early, stopped, cancelled, interrupted: none of them is a failure of the provider.
        return "cancelled"
    return "failed"

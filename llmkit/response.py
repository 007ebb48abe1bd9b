"""The response: an answer, put together from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from llmkit.events import Event, Finish, Reset, StopReason, TextDelta, ThinkingDelta
from llmkit.usage import Usage

Status = Literal[
    "started",
    "finished",
    "failed",
    "cancelled",
    "truncated",
    "refused",
    "cached",
    "shared",
    "lost",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer, complete or partial. `stop_reason` is None while it is not complete.

    `cost` is in US dollars; None if the price or the usage is unknown. `rate_limits` are the provider's rate limit headers
    (`anthropic-ratelimit-tokens-remaining`, `x-ratelimit-reset-requests`, `retry-after`, ...), names in lower case.
    """

    text: str
    thinking: str
    stop_reason: StopReason | None
    raw_stop_reason: str | None
    usage: Usage
    cost: Decimal | None
    provider: str | None
    model: str | None
    request_id: str | None
    call_id: str
    rate_limits: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a stream ended, for finalisers: its status in the ledger, the answer so far, and the error, if there was one."""

    status: Status
    response: Response
    error: BaseException | None = None


class Accumulator:
    """Joins the events of one answer."""

    __slots__ = ("_text", "_thinking", "finish")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thinking: list[str] | None = None
        self.finish: Finish | None = None

    def add(self, events: list[Event]) -> None:
        """Take in the events of one read."""
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                self._text.append(event.text)  # type: ignore[union-attr]  # mypy does not narrow by type(...)
            elif kind is ThinkingDelta:
                if self._thinking is None:
                    self._thinking = []
                self._thinking.append(event.text)  # type: ignore[union-attr]
            elif kind is Finish:
                self.finish = event  # type: ignore[assignment]
            elif kind is Reset:
                self._text.clear()
                self._thinking = None

    @property
    def size(self) -> int:
        """How many characters of text and thinking there are so far."""
        return sum(map(len, self._text)) + sum(map(len, self._thinking or ()))

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """All thinking so far."""
        return "".join(self._thinking or ())

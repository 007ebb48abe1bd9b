"""Usage: the tokens of a call, and whether they were reported or estimated."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Literal

Source = Literal["reported", "estimated", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one attempt. None means unknown, which is not 0.

    `input_tokens` is the whole prompt, including cached parts; `output_tokens` includes reasoning. The other counts are parts of
    those two. `*_source` says whether the provider reported the number or llmkit estimated it.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_source: Source = "unknown"
    output_source: Source = "unknown"

    @property
    def total_tokens(self) -> int | None:
        """The sum of input and output; None if one of them is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """What the cost of an answer hangs on beside its tokens, as the provider reports it.

    Attributes:
        service_tier, speed, region: in the provider's words; None where it says nothing.
        web_searches: how many it made for this answer.
        unpriced: whether it billed something else, whose price nobody knows.
        stated_cost: what it says that the answer cost, in US dollars.
    """

    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    web_searches: int = 0
    unpriced: bool = False
    stated_cost: Decimal | None = None


# How money is computed, whatever context the host computes in.
EXACT = Context(
    prec=50,
    rounding=ROUND_HALF_UP,
    Emin=-999_999,
    Emax=999_999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
LARGEST_COST = Decimal(10**9)
"""What the column of a cost cannot hold any more, in US dollars."""
PLAIN = Billing()
"""Tokens at the usual price, and nothing else."""

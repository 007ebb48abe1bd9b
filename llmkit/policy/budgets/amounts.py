"""What is held, used and limited: dollars, tokens and requests, all as whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from llmkit.usage import EXACT

Unit = Literal["usd", "tokens", "requests"]
UNITS: tuple[Unit, ...] = ("usd", "tokens", "requests")
_NANO = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much of each unit. Dollars are billionths of a dollar, as costs in the ledger are; see `Amount.of`."""

    usd: int = 0
    tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, *, usd: Decimal | int | str = 0, tokens: int = 0, requests: int = 0) -> Amount:
        """Make an amount of dollars as they are written, such as "0.25"; a part of a billionth counts as a whole one."""
        return cls(usd=nano_dollars(usd), tokens=tokens, requests=requests)

    def __add__(self, other: Amount) -> Amount:
        """Add two."""
        return Amount(
            usd=self.usd + other.usd,
            tokens=self.tokens + other.tokens,
            requests=self.requests + other.requests,
        )

    def __sub__(self, other: Amount) -> Amount:
        """Take one from another."""
        return Amount(
            usd=self.usd - other.usd,
            tokens=self.tokens - other.tokens,
            requests=self.requests - other.requests,
        )

    def get(self, unit: Unit) -> int:
        """Return how much of a unit."""
        value: int = getattr(self, unit)
        return value


NOTHING = Amount()


def nano_dollars(dollars: Decimal | int | str) -> int:
    """Return dollars as billionths, rounded up."""
    scaled = EXACT.multiply(Decimal(dollars), Decimal(10**_NANO))
    return int(scaled.to_integral_value(ROUND_CEILING))


def dollars(nano: int) -> Decimal:
    """Return billionths as dollars."""
    return Decimal(nano).scaleb(-_NANO)

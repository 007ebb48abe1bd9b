"""What is held, used and limited: dollars, tokens and requests, as whole numbers within."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Literal

from llmkit.kinds import kind_of
from llmkit.usage import EXACT

Unit = Literal["usd", "tokens", "requests"]
UNITS: tuple[Unit, ...] = ("usd", "tokens", "requests")
_NANO = 9
# A billion dollars, or so many tokens: little enough to be added up in any database's integers.
_MOST = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """How much of each unit. Dollars are billionths of a dollar, as costs in the ledger are; see `Units.of`."""

    usd: int = 0
    tokens: int = 0
    requests: int = 0

    @classmethod
    def of(cls, *, usd: Decimal | int | str = 0, tokens: int = 0, requests: int = 0) -> Units:
        """Make an amount of dollars as they are written, such as "0.25"; a part of a billionth counts as a whole one."""
        return cls(usd=nano_dollars(usd), tokens=tokens, requests=requests)

    def __add__(self, other: Units) -> Units:
        """Add two."""
        return Units(
            usd=self.usd + other.usd,
            tokens=self.tokens + other.tokens,
            requests=self.requests + other.requests,
        )

    def __sub__(self, other: Units) -> Units:
        """Take one from another."""
        return Units(
            usd=self.usd - other.usd,
            tokens=self.tokens - other.tokens,
            requests=self.requests - other.requests,
        )

    def get(self, unit: Unit) -> int:
        """Return how much of a unit."""
        value: int = getattr(self, unit)
        return value


NOTHING = Units()


def said(amount: int, unit: Unit) -> Decimal | int:
    """Return an amount as people write it: dollars as dollars."""
    return dollars(amount) if unit == "usd" else amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What was used in the end. What is not known is None: there what was held counts."""

    usd: int | None = None
    tokens: int | None = None
    requests: int | None = None

    def or_held(self, held: Units) -> Units:
        """Return how much is charged to an account that held so much."""
        return Units(
            usd=held.usd if self.usd is None else self.usd,
            tokens=held.tokens if self.tokens is None else self.tokens,
            requests=held.requests if self.requests is None else self.requests,
        )


UNUSED = Used(usd=0, tokens=0, requests=0)
"""What a hold comes to that is let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much a call may use, or has used.

    Args:
        usd: US dollars, as a number that is exact: a Decimal, an int or a text such as "0.25".
        tokens: of prompt and answer together, a whole number.
        requests: how many calls, a whole number.

    Raises:
        ValueError: one of them is no such number, or less than nothing.
    """

    usd: Decimal | int | str = 0
    tokens: int = 0
    requests: int = 1

    def __post_init__(self) -> None:
        self.units  # noqa: B018  # a wrong number is refused where it is written

    @property
    def used(self) -> Used:
        """The same as what was used."""
        units = self.units
        return Used(usd=units.usd, tokens=units.tokens, requests=units.requests)

    @property
    def units(self) -> Units:
        """The same as whole numbers."""
        if isinstance(self.usd, bool) or not isinstance(self.usd, Decimal | int | str):
            raise ValueError(  # noqa: TRY004  # as any other that is no such number
                f'usd has to be exact: a Decimal, an int or a text such as "0.10", not {kind_of(self.usd)}'
            )
        for unit, number in (("tokens", self.tokens), ("requests", self.requests)):
            if isinstance(number, bool) or not isinstance(number, int):
                raise ValueError(  # noqa: TRY004
                    f"{unit} has to be a whole number, not {kind_of(number)}"
                )
        try:
            found = Units.of(usd=self.usd, tokens=self.tokens, requests=self.requests)
        except (InvalidOperation, OverflowError, ValueError):
            raise ValueError(f"{self} has something that is no number") from None
        if min(found.usd, found.tokens, found.requests) < 0:
            raise ValueError(f"{self} has something that is less than nothing")
        if max(found.usd, found.tokens, found.requests) >= _MOST:
            raise ValueError(f"{self} has something that is more than anybody uses")
        return found


def nano_dollars(dollars: Decimal | int | str) -> int:
    """Return dollars as billionths, rounded up."""
    scaled = EXACT.multiply(Decimal(dollars), Decimal(10**_NANO))
    return int(scaled.to_integral_value(ROUND_CEILING))


def dollars(nano: int) -> Decimal:
    """Return billionths as dollars."""
    return Decimal(nano).scaleb(-_NANO)

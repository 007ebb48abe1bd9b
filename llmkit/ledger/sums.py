"""Rows of the ledger, added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from llmkit.usage import EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Rows of the ledger taken together.

    Attributes:
        calls: how many calls began here. A call has as many rows as attempts, and is counted with its first one.
        attempts: how many rows there are.
        input_tokens, output_tokens: the sums of the known counts, estimated ones included.
        cost: the sum of the known costs, in US dollars.
        unpriced: how many rows have no known cost.
        saved: what answers that were given again, or shared, have cost those who paid for them, in US dollars, as far as that is known.
    """

    calls: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    saved: Decimal = Decimal(0)

    def __add__(self, other: Sum) -> Sum:
        """Take two together."""
        return Sum(
            calls=self.calls + other.calls,
            attempts=self.attempts + other.attempts,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost=EXACT.add(self.cost, other.cost),
            unpriced=self.unpriced + other.unpriced,
            saved=EXACT.add(self.saved, other.saved),
        )


Key = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that are alike in what a report groups by, such as `{"user": "42", "day": "2026-05-17"}`."""

    key: Mapping[str, str | None]
    sum: Sum


@dataclass(frozen=True, slots=True)
class Report:
    """Rows of the ledger in groups, and all of them together."""

    by: tuple[str, ...]
    groups: tuple[Group, ...]
    total: Sum

    @classmethod
    def of(cls, by: tuple[str, ...], sums: Mapping[Key, Sum]) -> Self:
        """Put the sums of groups in order: by what they are grouped by, what has no value first."""
        keys = sorted(sums, key=lambda key: [(word is not None, word or "") for word in key])
        groups = (Group(dict(zip(by, key, strict=True)), sums[key]) for key in keys)
        return cls(by, tuple(groups), total(sums.values()))


def total(sums: Iterable[Sum]) -> Sum:
    """Add up sums."""
    whole = Sum()
    for one in sums:
        whole += one
    return whole

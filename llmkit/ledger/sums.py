"""Rows of the ledger, added up."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Rows taken together: the sum of the known costs, in US dollars, and how many are unknown."""

    rows: int
    cost: Decimal
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Sum):
    """All rows, and by (provider, model, status). A call has as many rows as attempts."""

    calls: int
    groups: dict[tuple[str | None, str | None, str], Sum] = field(default_factory=dict)

    @classmethod
    def of(cls, calls: int, groups: dict[tuple[str | None, str | None, str], Sum]) -> Self:
        """Add up groups."""
        return cls(
            rows=sum(group.rows for group in groups.values()),
            cost=sum((group.cost for group in groups.values()), Decimal(0)),
            unknown=sum(group.unknown for group in groups.values()),
            calls=calls,
            groups=groups,
        )


NOTHING = Totals(calls=0, rows=0, cost=Decimal(0), unknown=0)
"""The sums of no rows."""

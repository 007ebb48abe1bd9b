"""An account in one of its windows: what is used in it, and what is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from llmkit.policy.budgets.amounts import NOTHING, UNITS, Unit, Units
from llmkit.policy.budgets.windows import SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account has now.

    Attributes:
        used, held: in a window of the calendar; of a minute that slides, over its seconds.
        by_second: of a minute that slides, what is used and held together, by the second since 1970 in which it was held.
    """

    used: Units = NOTHING
    held: Units = NOTHING
    by_second: Mapping[int, Units] = field(default_factory=dict)


class Mark(NamedTuple):
    """An amount at which somebody is to be told: so much of a limit is used. Dollars are billionths."""

    unit: Unit
    at: int
    limit: int


class Crossing(NamedTuple):
    """A mark that an account has reached in one of its windows, which began then, in seconds since 1970."""

    key: str
    start: int
    mark: Mark
    used: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An amount that is held in an account. What is used instead is charged there, too, wherever the clock is by then.

    Attributes:
        key, start: which account, and which of its windows.
        second: of a minute that slides, when it was held, in seconds since 1970; 0 elsewhere.
        marks: when somebody is to be told of what is used there.
    """

    key: str
    start: int
    second: int
    held: Units
    marks: tuple[Mark, ...] = ()


@dataclass(slots=True)
class Account:
    """One window of an account, to be changed.

    Attributes:
        ends: when nobody asks for it any more, if its seconds do not say so.
        slides: whether it is a minute that slides.
        used, held: by the second in which it was held; where the window does not slide all is in 0.
        told: of which units somebody was told, one bit for each; where the window slides, when, in seconds since 1970.
    """

    ends: datetime | None
    slides: bool
    used: dict[int, Units] = field(default_factory=dict)
    held: dict[int, Units] = field(default_factory=dict)
    told: int = 0

    def hold(self, entry: Entry) -> None:
        """Hold an amount."""
        self.held[entry.second] = self.held.get(entry.second, NOTHING) + entry.held

    def charge(self, entry: Entry, used: Units, *, before: Units | None) -> None:
        """Charge what was used in place of what was held, or of what was charged before."""
        if before is None:
            self.held[entry.second] = self.held.get(entry.second, NOTHING) - entry.held
        more = used - (before or NOTHING)
        self.used[entry.second] = self.used.get(entry.second, NOTHING) + more

    def crossings(self, entry: Entry, now: datetime) -> list[Crossing]:
        """Take note of the marks that were reached, each once in a window; return those that were not known to be."""
        if not entry.marks or (self.slides and int(now.timestamp()) - self.told < SECONDS):
            return []
        used = self.balance(now).used
        found = []
        for mark in entry.marks:
            bit = 1 << UNITS.index(mark.unit)
            if used.get(mark.unit) < mark.at or (not self.slides and self.told & bit):
                continue
            self.told = int(now.timestamp()) if self.slides else self.told | bit
            found.append(Crossing(entry.key, entry.start, mark, used.get(mark.unit)))
        return found

    def balance(self, now: datetime) -> Balance:
        """Say what it has; seconds that no longer count are forgotten."""
        if not self.slides:
            return Balance(used=self.used.get(0, NOTHING), held=self.held.get(0, NOTHING))
        self.forget(now)
        by_second: dict[int, Units] = {}
        sums = [NOTHING, NOTHING]
        for which, counters in enumerate((self.used, self.held)):
            for second, amount in counters.items():
                by_second[second] = by_second.get(second, NOTHING) + amount
                sums[which] += amount
        return Balance(used=sums[0], held=sums[1], by_second=by_second)

    def forget(self, now: datetime) -> None:
        """Forget seconds that no longer count."""
        oldest = int(now.timestamp()) - SECONDS
        for counters in (self.used, self.held):
            for second in [second for second in counters if second <= oldest]:
                del counters[second]

    def is_over(self, now: datetime) -> bool:
        """Whether nobody asks for it any more."""
        if self.slides:
            oldest = int(now.timestamp()) - SECONDS
            return all(second <= oldest for second in (*self.used, *self.held))
        return self.ends is not None and self.ends <= now

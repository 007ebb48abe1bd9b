"""An account in one of its windows: what is used in it, and what is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from llmkit.policy.budgets.amounts import NOTHING, Units
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


@dataclass(frozen=True, slots=True)
class Entry:
    """An amount that is held in an account. What is used instead is charged there, too, wherever the clock is by then.

    Attributes:
        key, start: which account, and which of its windows.
        second: of a minute that slides, when it was held, in seconds since 1970; 0 elsewhere.
    """

    key: str
    start: int
    second: int
    held: Units


@dataclass(slots=True)
class Account:
    """One window of an account, to be changed.

    Attributes:
        ends: when nobody asks for it any more, if its seconds do not say so.
        slides: whether it is a minute that slides.
        used, held: by the second in which it was held; where the window does not slide all is in 0.
    """

    ends: datetime | None
    slides: bool
    used: dict[int, Units] = field(default_factory=dict)
    held: dict[int, Units] = field(default_factory=dict)

    def hold(self, entry: Entry) -> None:
        """Hold an amount."""
        self.held[entry.second] = self.held.get(entry.second, NOTHING) + entry.held

    def charge(self, entry: Entry, used: Units, *, before: Units | None) -> None:
        """Charge what was used in place of what was held, or of what was charged before."""
        if before is None:
            self.held[entry.second] = self.held.get(entry.second, NOTHING) - entry.held
        more = used - (before or NOTHING)
        self.used[entry.second] = self.used.get(entry.second, NOTHING) + more

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

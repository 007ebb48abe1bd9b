"""Budgets in the memory of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from llmkit.policy.budgets.amounts import NOTHING, Amount
from llmkit.policy.budgets.decide import Balance, Claim, Shortage, decide, distinct
from llmkit.policy.budgets.windows import SECONDS

# How many accounts there are before old ones are looked for.
_MANY = 1024


@dataclass(slots=True)
class _Account:
    """One window of an account: what is used and what is held, by the second in which it was held where the window slides, else in 0."""

    ends: datetime | None
    slides: bool
    used: dict[int, Amount] = field(default_factory=dict)
    held: dict[int, Amount] = field(default_factory=dict)

    def is_over(self, now: datetime) -> bool:
        """Whether nobody asks for it any more."""
        if self.slides:
            oldest = int(now.timestamp()) - SECONDS
            return all(second <= oldest for second in (*self.used, *self.held))
        return self.ends is not None and self.ends <= now


@dataclass(slots=True)
class _Hold:
    """What was held where, and what has been charged for it."""

    entries: list[tuple[tuple[str, int], int, Amount]]
    at: datetime
    charged: Amount | None = None


class MemoryBudgets:
    """Keeps budgets for one process: each has its own, so that several together may use as many times the limit.

    Args:
        lapse: after how many seconds a hold that nobody has settled is let go.
        now: the date, with a time zone.
    """

    def __init__(
        self,
        *,
        lapse: float = 900.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lapse = lapse
        self._now = now
        self._lock = threading.RLock()  # a destructor may come within
        self._accounts: dict[tuple[str, int], _Account] = {}
        self._holds: dict[str, _Hold] = {}
        self._left = 0

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none; see `BudgetStore`."""
        with self._lock:
            if hold_id in self._holds:
                return None
            now = self._now()
            self._let_go(now)
            balances = {claim.key: self._balance(claim, now) for claim in claims}
            shortage = decide(claims, balances, now)
            if shortage is not None:
                return shortage
            entries = []
            for claim in distinct(claims):
                window = claim.window(now)
                place = (claim.key, window.start)
                account = self._accounts.setdefault(
                    place, _Account(window.ends, claim.per == "minute")
                )
                second = _second(claim, now)
                account.held[second] = account.held.get(second, NOTHING) + claim.amount
                entries.append((place, second, claim.amount))
            self._holds[hold_id] = _Hold(entries, now)
            return None

    def settle(self, hold_id: str, amount: Amount) -> None:
        """Charge what was used; see `BudgetStore`."""
        with self._lock:
            hold = self._holds.get(hold_id)
            if hold is None:
                return
            more = amount - (hold.charged or NOTHING)
            for place, second, held in hold.entries:
                account = self._accounts.get(place)
                if account is None:
                    continue
                if hold.charged is None:
                    account.held[second] = account.held.get(second, NOTHING) - held
                account.used[second] = account.used.get(second, NOTHING) + more
            hold.charged = amount

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have now; see `BudgetStore`."""
        with self._lock:
            now = self._now()
            self._let_go(now)
            return [self._balance(claim, now) for claim in claims]

    def _balance(self, claim: Claim, now: datetime) -> Balance:
        account = self._accounts.get((claim.key, claim.window(now).start))
        if account is None:
            return Balance()
        if claim.per != "minute":
            return Balance(used=account.used.get(0, NOTHING), held=account.held.get(0, NOTHING))
        oldest = int(now.timestamp()) - SECONDS
        by_second: dict[int, Amount] = {}
        sums = [NOTHING, NOTHING]
        for which, counters in enumerate((account.used, account.held)):
            for second in [second for second in counters if second <= oldest]:
                del counters[second]
            for second, amount in counters.items():
                by_second[second] = by_second.get(second, NOTHING) + amount
                sums[which] += amount
        return Balance(used=sums[0], held=sums[1], by_second=by_second)

    def _let_go(self, now: datetime) -> None:
        """Forget holds that have lapsed, and now and then accounts whose window is over and that nobody holds anything in."""
        while self._holds:
            hold_id, hold = next(iter(self._holds.items()))  # the oldest
            if (now - hold.at).total_seconds() <= self._lapse:
                break
            if hold.charged is None:
                self.settle(hold_id, NOTHING)
            del self._holds[hold_id]
        if len(self._accounts) < max(_MANY, 2 * self._left):
            return
        held = {place for hold in self._holds.values() for place, _, _ in hold.entries}
        for place, account in list(self._accounts.items()):
            if place not in held and account.is_over(now):
                del self._accounts[place]
        self._left = len(self._accounts)


def _second(claim: Claim, now: datetime) -> int:
    return int(now.timestamp()) if claim.per == "minute" else 0

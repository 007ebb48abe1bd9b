"""Budgets in the memory of one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from llmkit.budget.bell import Bell
from llmkit.policy.budgets.accounts import Account, Balance, Crossing, Entry
from llmkit.policy.budgets.amounts import UNUSED, Used
from llmkit.policy.budgets.decide import Claim, Shortage, decide
from llmkit.policy.budgets.times import CORRECTED, LAPSE

# How many accounts there are before old ones are looked for.
_MANY = 1024


@dataclass(slots=True)
class _Hold:
    """What was held where, and what has been used of it, if that is known."""

    entries: list[Entry]
    at: datetime
    used: Used | None = None


class MemoryBudgets:
    """Keeps budgets for one process: each has its own, so that several together may use as many times the limit.

    Args:
        lapse: after how many seconds a hold that nobody has settled is let go.
        now: the date, with a time zone.
        bell: is told of limits that come near.
    """

    def __init__(
        self,
        *,
        lapse: float = LAPSE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        bell: Bell | None = None,
    ) -> None:
        self._lapse = lapse
        self._now = now
        self.bell = bell or Bell()
        self._lock = threading.RLock()  # a destructor may come within
        self._accounts: dict[tuple[str, int], Account] = {}
        self._holds: dict[str, _Hold] = {}
        self._lapsed: dict[str, _Hold] = {}
        self._left = 0

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none; see `BudgetStore`."""
        with self._lock:
            now = self._now()
            self._let_go(now)
            if hold_id in self._holds or hold_id in self._lapsed:
                return None
            balances = {claim.key: self._balance(claim, now) for claim in claims}
            shortage = decide(claims, balances, now)
            if shortage is not None:
                return shortage
            entries = []
            for claim in claims:
                window = claim.window(now)
                entry = claim.entry(now, window.start)
                place = (claim.key, window.start)
                account = self._accounts.setdefault(place, Account(window.ends, claim.slides))
                account.hold(entry)
                entries.append(entry)
            self._holds[hold_id] = _Hold(entries, now)
            return None

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Charge what was used; see `BudgetStore`."""
        crossings: list[Crossing] = []
        with self._lock:
            self._let_go(self._now())
            hold = self._holds.get(hold_id) or self._lapsed.get(hold_id)
            if hold is None or (hold.used is not None and not again):
                return
            for entry, account in self._charge(hold, used):
                if self.bell.is_heard:
                    crossings += account.crossings(entry, self._now())
        if crossings:
            self.bell.ring(crossings)

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have now; see `BudgetStore`."""
        with self._lock:
            now = self._now()
            self._let_go(now)
            return [self._balance(claim, now) for claim in claims]

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Do what `hold` does, which waits for nothing."""
        return self.hold(hold_id, claims)

    async def asettle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Do what `settle` does, which waits for nothing."""
        self.settle(hold_id, used, again=again)

    async def abalances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Do what `balances` does, which waits for nothing."""
        return self.balances(claims)

    def _balance(self, claim: Claim, now: datetime) -> Balance:
        account = self._accounts.get((claim.key, claim.window(now).start))
        return Balance() if account is None else account.balance(now)

    def _charge(self, hold: _Hold, used: Used) -> list[tuple[Entry, Account]]:
        charged = []
        for entry in hold.entries:
            account = self._accounts.get((entry.key, entry.start))
            if account is not None:
                before = None if hold.used is None else hold.used.or_held(entry.held)
                account.charge(entry, used.or_held(entry.held), before=before)
                charged.append((entry, account))
        hold.used = used
        return charged

    def _let_go(self, now: datetime) -> None:
        """Let go of holds that have lapsed, forget old ones, and now and then accounts whose window is over and that nobody holds anything in."""
        while self._holds:
            hold_id, hold = next(iter(self._holds.items()))  # the oldest
            if (now - hold.at).total_seconds() <= self._lapse:
                break
            del self._holds[hold_id]
            if hold.used is None:
                self._lapsed[hold_id] = hold
                self._charge(hold, UNUSED)
        while self._lapsed:
            hold_id, hold = next(iter(self._lapsed.items()))
            if (now - hold.at).total_seconds() <= self._lapse + CORRECTED:
                break
            del self._lapsed[hold_id]
        if len(self._accounts) < max(_MANY, 2 * self._left):
            return
        held = {(entry.key, entry.start) for hold in self._holds.values() for entry in hold.entries}
        for place, account in list(self._accounts.items()):
            if place not in held and account.is_over(now):
                del self._accounts[place]
        self._left = len(self._accounts)

"""Budgets in the ledger's database, held and settled by themselves: without a row of the ledger."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from llmkit.budget.base import Audit, Place, State
from llmkit.budget.bell import Bell
from llmkit.concurrency.host_threads import in_any_thread
from llmkit.errors import BudgetUnavailable, LedgerUnavailable
from llmkit.ledger.accounts import Accounts, Current
from llmkit.ledger.base import NoLedgerYet
from llmkit.ledger.hold_rows import Settlement, Wanted
from llmkit.ledger.upkeep import Upkeep
from llmkit.ledger.values import fit
from llmkit.policy.budgets.accounts import Account, Balance
from llmkit.policy.budgets.amounts import Used
from llmkit.policy.budgets.decide import Claim, Shortage
from llmkit.policy.budgets.times import LAPSE

_LONGEST_ID = 128


class TableBudgets:
    """Keeps budgets in the tables `llmkit_budget` and `llmkit_hold`; see `BudgetStore`. Threads share its connection, one after the other.

    Args:
        store: of the ledger, over a connection of its own.
        lapse: after how many seconds a hold is let go that nobody has settled; the sweep does it.
        now: the date, for SQLite.
        bell: is told of limits that come near; that of the ledger's stores.
    """

    def __init__(
        self,
        store: Upkeep,
        *,
        lapse: float = LAPSE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        bell: Bell | None = None,
    ) -> None:
        self._store = store
        self._lapse = lapse
        self._accounts = Accounts(now, bell=bell)
        self._locks: dict[int, threading.Lock] = {}  # a fork has its own

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none; see `BudgetStore`."""
        name = fit(hold_id, _LONGEST_ID)
        if not claims:
            return None
        wanted = Wanted(id=name, claims=claims, lapse=self._lapse)
        with self._alone():
            return self._change((), [wanted]).get(name)

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Charge what was used; see `BudgetStore`."""
        name = fit(hold_id, _LONGEST_ID)
        settlement = Settlement(name, used, final=False, again=again)
        with self._alone():
            self._change([settlement], ())

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have; see `BudgetStore`."""
        if not claims:
            return []
        with self._alone():
            try:
                return self._store.ask(self._accounts.balances, claims)
            except NoLedgerYet:  # nobody has used anything
                return [Balance() for _ in claims]

    def current(self) -> list[Current]:
        """Return what all accounts have in their windows of now.

        Raises:
            BudgetUnavailable: the store does not answer.
        """
        with self._alone():
            try:
                return self._store.ask(self._accounts.current)
            except NoLedgerYet:
                return []

    def states(self, places: Sequence[Place]) -> list[State]:
        """Read windows of accounts; see `Source`."""
        with self._alone():
            try:
                return self._store.ask(self._accounts.states, places)
            except NoLedgerYet:
                return [State(Account(None, slides=False), {}) for _ in places]

    def mirror(self, hold_id: str, claims: Sequence[Claim], granted_at: datetime) -> None:
        """Write down what was held elsewhere; see `Source`."""
        name = fit(hold_id, _LONGEST_ID)
        wanted = Wanted(id=name, claims=claims, lapse=self._lapse, granted_at=granted_at)
        with self._alone():
            self._change((), [wanted])

    def audit(self, place: Place, hold_ids: Sequence[str]) -> Audit:
        """Read a window of an account, and what became of holds; see `Source`."""
        with self._alone():
            return self._store.change(self._accounts.audit, place, hold_ids)

    async def amirror(self, hold_id: str, claims: Sequence[Claim], granted_at: datetime) -> None:
        """Do what `mirror` does, without blocking the event loop."""
        await in_any_thread(partial(self.mirror, hold_id, claims, granted_at))

    async def astates(self, places: Sequence[Place]) -> list[State]:
        """Do what `states` does, without blocking the event loop."""
        states: list[State] = await in_any_thread(partial(self.states, places))
        return states

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Do what `hold` does, without blocking the event loop."""
        shortage: Shortage | None = await in_any_thread(partial(self.hold, hold_id, claims))
        return shortage

    async def asettle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Do what `settle` does, without blocking the event loop."""
        await in_any_thread(partial(self.settle, hold_id, used, again=again))

    async def abalances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Do what `balances` does, without blocking the event loop."""
        balances: list[Balance] = await in_any_thread(partial(self.balances, claims))
        return balances

    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""
        with self._alone():
            self._store.close()

    def _change(
        self, settlements: Sequence[Settlement], wanted: Sequence[Wanted]
    ) -> dict[str, Shortage]:
        # What is held under an id is held once.
        change = partial(self._accounts.change, again=True)
        with self._accounts.telling():
            return self._store.change(change, settlements, wanted)

    @property
    def bell(self) -> Bell:
        """What is told of limits that come near."""
        return self._accounts.bell

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            try:
                yield
            except LedgerUnavailable as error:
                raise BudgetUnavailable(error.message, hint=error.hint) from error

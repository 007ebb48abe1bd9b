"""Budgets in the project's database, held and settled by hand: in transactions of their own, whatever becomes of the host's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

from llmkit.budget.base import Audit, Place, State
from llmkit.budget.bell import Bell
from llmkit.errors import BudgetUnavailable
from llmkit.ledger.budgets import TableBudgets
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import Used
from llmkit.policy.budgets.decide import Claim, Shortage
from llmkit_django.connections import in_request_thread
from llmkit_django.store import DjangoStore

T = TypeVar("T")

Way: TypeAlias = Literal["own", "host", "locked"]
"""Over a connection of llmkit's or the host's; or neither, because the host's transaction may have locked the database."""


class DjangoBudgets:
    """Keeps budgets over the connection of a thread of llmkit's, so that the host's rollback takes nothing along; see `KeptBudgets`.

    The host's connection it is where the rows are written over that, too: in a test that Django rolls back, or with a database in memory.

    Args:
        worker: gives the name of this process.
        bell: is told of limits that come near.
        way: says which connection, for what changes something or only reads; `async_way` the same for async code.
    """

    def __init__(
        self,
        worker: Callable[[], str],
        bell: Bell,
        *,
        way: Callable[[bool], Way],
        async_way: Callable[[bool], Awaitable[Way]],
    ) -> None:
        self.bell = bell
        self._own = TableBudgets(DjangoStore(worker, own=True), bell=bell)
        self._host = TableBudgets(DjangoStore(worker, own=False), bell=bell)
        self._way = way
        self._async_way = async_way
        self._threads: dict[int, ThreadPoolExecutor] = {}  # a fork has its own

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none; see `BudgetStore`."""
        return self._change(lambda budgets: budgets.hold(hold_id, claims))

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Charge what was used; see `BudgetStore`."""
        self._change(lambda budgets: budgets.settle(hold_id, used, again=again))

    def mirror(self, hold_id: str, claims: Sequence[Claim], granted_at: datetime) -> None:
        """Write down what was held elsewhere; see `Source`."""
        self._change(lambda budgets: budgets.mirror(hold_id, claims, granted_at))

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have; see `BudgetStore`."""
        return self._read(lambda budgets: budgets.balances(claims))

    def states(self, places: Sequence[Place]) -> list[State]:
        """Read windows of accounts; see `Source`."""
        return self._read(lambda budgets: budgets.states(places))

    def audit(self, place: Place, hold_ids: Sequence[str]) -> Audit:
        """Read a window of an account, and what became of holds; see `Source`."""
        return self._change(lambda budgets: budgets.audit(place, hold_ids))  # it locks the account

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Do what `hold` does, without blocking the event loop."""
        return await self._achange(lambda budgets: budgets.hold(hold_id, claims))

    async def asettle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Do what `settle` does, without blocking the event loop."""
        await self._achange(lambda budgets: budgets.settle(hold_id, used, again=again))

    async def amirror(self, hold_id: str, claims: Sequence[Claim], granted_at: datetime) -> None:
        """Do what `mirror` does, without blocking the event loop."""
        await self._achange(lambda budgets: budgets.mirror(hold_id, claims, granted_at))

    async def abalances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Do what `balances` does, without blocking the event loop."""
        return await self._aread(lambda budgets: budgets.balances(claims))

    async def astates(self, places: Sequence[Place]) -> list[State]:
        """Do what `states` does, without blocking the event loop."""
        return await self._aread(lambda budgets: budgets.states(places))

    def close(self) -> None:
        """Close llmkit's connection; it is made again when it is needed."""
        threads = self._threads.pop(os.getpid(), None)
        if threads is not None:
            threads.submit(self._own.close)
            threads.shutdown()

    def _change(self, work: Callable[[TableBudgets], T]) -> T:
        return self._do(work, self._way(True))  # noqa: FBT003

    def _read(self, work: Callable[[TableBudgets], T]) -> T:
        return self._do(work, self._way(False))  # noqa: FBT003

    async def _achange(self, work: Callable[[TableBudgets], T]) -> T:
        return await self._ado(work, await self._async_way(True))  # noqa: FBT003

    async def _aread(self, work: Callable[[TableBudgets], T]) -> T:
        return await self._ado(work, await self._async_way(False))  # noqa: FBT003

    def _do(self, work: Callable[[TableBudgets], T], way: Way) -> T:
        if way == "host":
            return work(self._host)
        return self._submit(work, way).result()

    async def _ado(self, work: Callable[[TableBudgets], T], way: Way) -> T:
        if way == "host":
            done: T = await in_request_thread(lambda: work(self._host))
            return done
        return await asyncio.wrap_future(self._submit(work, way))

    def _submit(self, work: Callable[[TableBudgets], T], way: Way) -> Future[T]:
        if way == "locked":
            raise BudgetUnavailable(
                "a budget was held or settled inside a transaction, which may have locked the SQLite database",
                hint="Do it outside of atomic() (ATOMIC_REQUESTS counts, too), or use PostgreSQL.",
            )
        pid = os.getpid()
        thread = self._threads.get(pid) or self._threads.setdefault(
            pid, ThreadPoolExecutor(1, thread_name_prefix="llmkit-budgets")
        )
        try:
            return thread.submit(work, self._own)
        except RuntimeError as error:  # no thread begins any more
            raise BudgetUnavailable("budgets cannot be asked while the process ends") from error

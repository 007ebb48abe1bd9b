"""The ledger on the host's own connection: a row is written where its call is made, and is part of what the host does there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from llmkit.concurrency.host_threads import Work, ask_host_thread
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import AfterSweep, Reader, Store
from llmkit.ledger.row import Closing, Opening, Progress, Refusals, RowRejected, lesser, unsent

if TYPE_CHECKING:
    from asyncio import Future

    from llmkit.budget.allowance import Allowance
    from llmkit.budget.base import KeptBudgets

logger = logging.getLogger("llmkit.ledger")

T = TypeVar("T")


class HostLedger:
    """Writes each row at once, with no thread between.

    Where the host rolls back the row goes too. A closing that the store does not take, or that comes from a destructor, waits
    for the next write: whose thread a destructor runs in, and in the midst of what, nobody knows.

    Args:
        store: where the rows go, over the host's connection.
        from_async: runs a function in the thread in which the host's async code uses its connection.
        budgets: where budgets are kept; None if the store keeps none.
        limit: how many closings may wait.
    """

    def __init__(
        self,
        store: Store,
        *,
        from_async: Callable[[Work], Awaitable[None]],
        budgets: KeptBudgets | None = None,
        limit: int = 10_000,
    ) -> None:
        self._store = store
        self._from_async = from_async
        self.budgets = budgets
        self._limit = limit
        self._lock = threading.RLock()  # a destructor may come within
        self._waiting: list[Closing] = []

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`.

        Raises:
            LedgerUnavailable: it is not written; the call must not be made.
        """
        ask_host_thread(partial(self._write, [opening], []))

    async def abegin(self, opening: Opening) -> None:
        """Do what `begin` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # sync hosts need not pay for it

        # The thread writes the row also when nobody waits for it any more: it is closed then.
        writing = asyncio.ensure_future(self._from_async(partial(self._write, [opening], [])))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(partial(self._disown, opening))
            raise

    def _disown(self, opening: Opening, writing: Future[None]) -> None:
        if not writing.cancelled() and writing.exception() is None:
            self._keep(unsent(opening, "cancelled", 0.0), None)

    def finish(self, closing: Closing) -> None:
        """Close a row. Closing it again changes nothing.

        Raises:
            LedgerUnavailable: it is not closed yet.
        """
        try:
            ask_host_thread(partial(self._write, [], [closing]))
        except LedgerUnavailable as error:
            self._keep(closing, error)
            raise

    async def afinish(self, closing: Closing) -> None:
        """Do what `finish` does, without blocking the event loop."""
        try:
            await self._from_async(partial(self._write, [], [closing]))
        except LedgerUnavailable as error:
            self._keep(closing, error)
            raise

    def finish_soon(self, closing: Closing) -> None:
        """Hand in a closing without waiting: the next write takes it along."""
        self._keep(closing, None)

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a row that is final at once.

        Raises:
            LedgerUnavailable: it is not written.
        """
        ask_host_thread(partial(self._write, [opening], [closing]))

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Do what `record` does, without blocking the event loop."""
        await self._from_async(partial(self._write, [opening], [closing]))

    def read(self, question: Callable[[Reader], T]) -> T:
        """Ask something of what is stored; see `Ledger`."""
        return ask_host_thread(partial(question, self._store))

    async def aread(self, question: Callable[[Reader], T]) -> T:
        """Do what `read` does, without blocking the event loop."""
        answers: list[T] = []
        await self._from_async(lambda: answers.append(question(self._store)))
        return answers[0]

    def watch(self, progress: Callable[[], Sequence[Progress]]) -> None:
        """Do nothing: a row is written where its call is made, and no thread of the ledger's uses the host's connection."""

    def after_sweep(self, work: AfterSweep) -> None:
        """Do nothing: this ledger does not look for such rows."""

    def on_unwritten(self, work: Callable[[bool], bool]) -> None:
        """Do nothing: rows wait in memory alone."""

    def allow(self, allowance: Allowance) -> None:
        """Do nothing: what a call asks of budgets here is asked, or the call is refused."""

    def flush(self, timeout: float) -> None:
        """Do nothing: what waits, waits for the host's thread."""

    def close(self, timeout: float = 5.0) -> None:  # the host's connection has limits of its own
        """Write what waits."""
        with self._lock:
            waiting = len(self._waiting)
        if waiting:
            try:
                self._write([], [])
            except LedgerUnavailable as error:
                logger.error(  # noqa: TRY400
                    "%d rows were still open when the ledger was closed: %s", waiting, error
                )
        self._store.close()

    def _keep(self, closing: Closing, error: LedgerUnavailable | None) -> None:
        if isinstance(error, RowRejected):
            return
        with self._lock:
            if len(self._waiting) < self._limit:
                self._waiting.append(closing)
                return
        logger.error("a row could not be closed: %d are already waiting", self._limit)

    def _write(self, openings: list[Opening], closings: list[Closing]) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        try:
            refused = self._store.write(openings, [*waiting, *closings])
        except RowRejected as error:
            refused = self._one_by_one(openings, waiting, closings, error)
        except BaseException:
            with self._lock:
                self._waiting = [*waiting, *self._waiting]
            raise
        for why in refused.values():
            raise why.error

    def _one_by_one(
        self,
        openings: list[Opening],
        waiting: list[Closing],
        closings: list[Closing],
        error: RowRejected,
    ) -> Refusals:
        """Write each row by itself, so that a bad one harms no other; a closing that is refused is written without its figures."""
        for closing in waiting:
            try:
                self._close_row(closing)
            except LedgerUnavailable as failure:
                self._keep(closing, failure)
        if openings and closings:  # a row that is final at once
            self._write_lesser(openings, closings[0], error)
        elif openings:
            return self._store.write(openings, [])
        for closing in closings if not openings else ():
            self._close_row(closing)
        return {}

    def _close_row(self, closing: Closing) -> None:
        try:
            self._store.write([], [closing])
        except RowRejected as error:
            self._write_lesser([], closing, error)

    def _write_lesser(self, openings: list[Opening], closing: Closing, error: RowRejected) -> None:
        """Write a row that the store has refused with as much of its end as it takes."""
        for less, lost in lesser(closing):
            try:
                self._store.write(openings, [less])
            except RowRejected as refused:
                error = refused
            else:
                logger.error("a row was closed without %s: %s", lost, error)
                return
        raise error

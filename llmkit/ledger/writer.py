"""The writer: one thread puts the rows of all calls into the store, many in one transaction.

While a transaction is being committed the next rows gather, and go together into the next one: the
busier the process, the larger the group, and the cheaper the row. Where more than one has gathered,
a few milliseconds are waited for others before the next, since a transaction costs more than its rows.
A call waits until its row is committed, and for no longer than the writer's timeout.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import AfterSweep, Reader, Sink
from llmkit.ledger.entry import Entry, settle
from llmkit.ledger.row import Closing, Opening, Progress, unsent
from llmkit.ledger.run import ALIVE_EVERY, Run

if TYPE_CHECKING:
    from asyncio import Future

    from llmkit.budget.allowance import Allowance
    from llmkit.budget.base import KeptBudgets
    from llmkit.response import Status

T = TypeVar("T")

logger = logging.getLogger("llmkit.ledger")


class LedgerWriter:
    """Writes rows and says when they are safe.

    Threads and event loops may share one. The thread starts on first use, again after a fork in the
    child, and again after `close()`.

    A wait that runs out raises LedgerUnavailable, but what was handed in stays in line, in order.
    So a `begin` that was given up is followed by its own closing, `refused` (or `cancelled`, if the
    waiter was): when the store comes back the row is written and says what became of the call,
    which was not made. A closing that the store failed to take is kept and tried again.

    Args:
        store: where the rows go.
        max_group: how many entries go into one transaction at most.
        limit: how many entries may wait, and how many closings are kept for a store that is down; beyond it every method
            raises at once.
        begin_timeout: how long the opening of a row is waited for, in seconds.
        finish_timeout: the same for its closing, which holds up the end of an answer.
        retry_every: how often a store that is down is tried again, in seconds.
        spill: takes what the store failed to take and nobody waits for, in place of keeping it here. May come from any thread.
        progress: what open rows have so far, those of them whose turn it is.
        is_busy: whether rows of this process are open, so that it has to say now and then that it lives.
        alive_every: how often it does, in seconds.
        sleep: waits for others while rows come in numbers.
        reader: reads what is stored; None if this writer is not asked.
        budgets: where budgets are kept; None if the store keeps none.
        keeps_late: whether whoever waited for a row that is late sees to it, and it is not closed as refused.
    """

    def __init__(
        self,
        store: Sink,
        *,
        max_group: int = 256,
        limit: int = 100_000,
        begin_timeout: float = 5.0,
        finish_timeout: float = 1.0,
        retry_every: float = 1.0,
        spill: Callable[[list[Entry]], None] | None = None,
        keeps_late: bool = False,
        reader: Reader | None = None,
        budgets: KeptBudgets | None = None,
        is_busy: Callable[[], bool] = lambda: False,
        progress: Callable[[], Sequence[Progress]] = tuple,
        alive_every: float = ALIVE_EVERY,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._new_run = partial(
            Run,
            store,
            max_group=max_group,
            limit=limit,
            retry_every=retry_every,
            spill=spill,
            is_busy=is_busy,
            progress=progress,
            alive_every=alive_every,
            sleep=sleep,
        )
        self._limit = limit
        self._begin_timeout = begin_timeout
        self._finish_timeout = finish_timeout
        self._spill = spill
        self._keeps_late = keeps_late
        self._reader = reader
        self.budgets = budgets
        self._runs: dict[int, Run] = {}
        self._last_thread: threading.Thread | None = None

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; return when it is committed.

        Raises:
            LedgerUnavailable: it is not known to be committed; the call must not be made.
        """
        self.write(opening, None)

    async def abegin(self, opening: Opening) -> None:
        """Do what `begin` does, without blocking the event loop."""
        await self.awrite(opening, None)

    def finish(self, closing: Closing) -> None:
        """Close a row; return when it is committed. Closing it again changes nothing.

        Raises:
            LedgerUnavailable: it is not known to be committed yet. Unless too many wait already it is kept, and written when
                the store is back.
        """
        self._wait(Entry(None, closing), self._finish_timeout)

    async def afinish(self, closing: Closing) -> None:
        """Do what `finish` does, without blocking the event loop."""
        await self._await(Entry(None, closing), self._finish_timeout)

    def finish_soon(self, closing: Closing) -> None:
        """Hand in a closing without waiting, as in a destructor. A failure is logged."""
        self.hand_in([Entry(None, closing)])

    def hand_in(self, entries: list[Entry]) -> None:
        """Hand in what nobody waits for. A failure is logged."""
        for entry in entries:
            try:
                self._submit(Entry(entry.opening, entry.closing))
            except LedgerUnavailable as error:
                logger.warning("a row could not be closed: %s", error)

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a row that is final at once: of a call that was refused, or needed no attempt.

        Raises:
            LedgerUnavailable: it is not known to be committed.
        """
        self.write(opening, closing)

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Do what `record` does, without blocking the event loop."""
        await self.awrite(opening, closing)

    def write(self, opening: Opening, closing: Closing | None) -> None:
        """Write a row, final or not; see `begin` and `record`."""
        self._wait(Entry(opening, closing), self._begin_timeout)

    async def awrite(self, opening: Opening, closing: Closing | None) -> None:
        """Do what `write` does, without blocking the event loop."""
        await self._await(Entry(opening, closing), self._begin_timeout)

    def begin_later(
        self, opening: Opening, closing: Closing | None = None, *, until: Callable[[], bool]
    ) -> None:
        """Hand in a row, final or not, that the store should not be asked to take yet; its closing waits with it.

        Args:
            opening: the row.
            closing: its end, if it has one.
            until: says whether it may be written now. Asked often, in the writer's thread.

        Raises:
            LedgerUnavailable: too many rows wait already.
        """
        self._submit(Entry(opening, closing, until=until))

    def watch(self, progress: Callable[[], Sequence[Progress]]) -> None:
        """Do nothing: what is asked for is given when the writer is made."""

    def after_sweep(self, work: AfterSweep) -> None:
        """Do nothing: this ledger does not look for such rows."""

    def on_unwritten(self, work: Callable[[bool], bool]) -> None:
        """Do nothing: rows wait in memory alone."""

    def allow(self, allowance: Allowance) -> None:
        """Do nothing: what a call asks of budgets here is asked, or the call is refused."""

    def read(self, question: Callable[[Reader], T]) -> T:
        """Ask something of what is stored; see `Ledger`."""
        if self._reader is None:
            raise LedgerUnavailable("this ledger cannot be read")
        return question(self._reader)

    async def aread(self, question: Callable[[Reader], T]) -> T:
        """Do what `read` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        return await asyncio.to_thread(self.read, question)

    def flush(self, timeout: float) -> None:
        """Wait until what was handed in is written, in so many seconds at most; see `Ledger`."""
        self.flushed(timeout)

    def flushed(self, timeout: float) -> LedgerUnavailable | None:
        """Do what `flush` does; return why it is not written, None if it is."""
        try:
            self._wait(Entry(None, None), timeout)
        except LedgerUnavailable as error:
            return error
        return None

    def give_up(self, error: LedgerUnavailable) -> None:
        """Spill all that the store has not taken yet, because it hangs, so that its thread cannot.

        Whoever waits gets the error. What the thread is writing may be written all the same.
        """
        run = self._runs.get(os.getpid())
        if run is not None:
            self._empty(run, error)

    def _empty(self, run: Run, error: LedgerUnavailable) -> None:
        if self._spill is None:
            return
        waiting = run.take_all()
        settle([(entry, error) for entry in waiting])
        self._spill([entry for entry in (*run.writing, *waiting) if not entry.is_awaited])

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, end the thread and close the connection; the next use starts again.

        Args:
            timeout: how long to wait for the thread, in seconds. A thread that hangs in the
                database is left to end by itself.
        """
        run = self._runs.pop(os.getpid(), None)
        if run is None:
            return
        thread = run.stop()
        if (
            thread is not None and thread is not threading.current_thread()
        ):  # a finaliser may run in it
            thread.join(timeout)
            if thread.is_alive():
                self._empty(run, LedgerUnavailable("the ledger is closed"))

    def _wait(self, entry: Entry, timeout: float) -> None:
        gate = entry.gate = threading.Lock()
        gate.acquire()
        self._submit(entry)
        try:
            in_time = gate.acquire(timeout=timeout)
        except BaseException:  # interrupted, or a greenlet that is killed
            self._disown(entry, "cancelled", 0.0)
            raise
        if not in_time:
            raise self._late(entry, timeout)
        if entry.error is not None:
            raise entry.error

    async def _await(self, entry: Entry, timeout: float) -> None:  # noqa: ASYNC109  # a timer of its own
        import asyncio  # noqa: PLC0415  # sync hosts need not pay for it

        loop = entry.loop = asyncio.get_running_loop()
        future = entry.future = loop.create_future()
        began = loop.time()
        self._submit(entry)
        timer = loop.call_at(began + timeout, self._expire, entry, future, timeout)
        try:
            await future
        except asyncio.CancelledError:
            self._disown(entry, "cancelled", loop.time() - began)
            raise
        finally:
            timer.cancel()

    def _expire(self, entry: Entry, future: Future[None], timeout: float) -> None:
        if not future.done():
            future.set_exception(self._late(entry, timeout))

    def _late(self, entry: Entry, timeout: float) -> LedgerUnavailable:
        if not self._keeps_late:
            self._disown(entry, "refused", timeout)
        return LedgerUnavailable(
            f"the ledger did not answer within {timeout:g} s",
            hint="Its database is slow or locked.",
        )

    def _disown(self, entry: Entry, status: Status, seconds: float) -> None:
        """Let a closing follow where the waiter has gone, so that no row stays `started`."""
        if entry.opening is not None and entry.closing is None:
            error_type = LedgerUnavailable.type if status == "refused" else None
            closing = unsent(entry.opening, status, seconds, error_type=error_type)
            with suppress(LedgerUnavailable):
                # Where each may go another way, they go together.
                self._submit(Entry(None if self._spill is None else entry.opening, closing))

    def _submit(self, entry: Entry) -> None:
        pid = os.getpid()
        while True:
            # A run belongs to the process that made it, so a fork inherits no lock that is held and
            # no thread that is gone. setdefault is atomic: threads that race in a new process agree
            # on one run.
            run = self._runs.get(pid) or self._runs.setdefault(pid, self._new_run())
            with run.lock:
                if run.stopped:
                    continue
                if run.thread is None and not run.starting:
                    run.starting = True  # a destructor may submit in the midst of the start
                    try:
                        run.thread = self._start(run)
                    finally:
                        run.starting = False
                kept = run.kept if entry.until is not None else 0
                if run.queue.qsize() + kept >= self._limit:
                    raise LedgerUnavailable(
                        f"{self._limit} rows are already waiting for the ledger",
                        hint="Its database is down, or too slow for this many calls.",
                    )
                run.queue.put(entry)
                return

    def _start(self, run: Run) -> threading.Thread:
        thread = threading.Thread(
            target=run.work, args=(self._last_thread,), name="llmkit-ledger", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise LedgerUnavailable(
                f"the ledger's thread could not start ({type(error).__name__})",
                hint="The process is ending, or has too many threads.",
            ) from error
        self._last_thread = thread
        return thread

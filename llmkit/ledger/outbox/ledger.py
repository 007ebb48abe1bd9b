"""The ledger with an outbox: no call waits for a database that is away, and none of its rows is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from llmkit.budget.allowance import Allowance
from llmkit.budget.base import KeptBudgets
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import AfterSweep, Reader, Sink, Store
from llmkit.ledger.entry import Entry, row_of
from llmkit.ledger.outbox.away import asks, no_budgets, unasked
from llmkit.ledger.outbox.drain import drain_abandoned
from llmkit.ledger.outbox.keeper import Keeper
from llmkit.ledger.outbox.keepers import Keepers, into_outbox
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.row import Closing, Opening, Progress, RowRejected
from llmkit.ledger.run import ALIVE_EVERY
from llmkit.ledger.writer import LedgerWriter

T = TypeVar("T")


# How long a row is waited for before the store counts as away, in seconds; where calls are refused then, a little longer.
PATIENCE = 0.8
PATIENCE_BEFORE_REFUSAL = 5.0


class OutboxLedger:
    """Writes rows into a store, and into the outbox while the store is away.

    It is away from the first row that it does not take in time until it takes one again; what is in the outbox follows then.

    Args:
        store: where the rows go.
        spare: the same over a connection of its own, for the rows of the outbox: the first may hang.
        outbox: where they go meanwhile.
        budgets: where budgets are kept; None if the store keeps none.
        refuses: whether a call whose row the store cannot take is refused rather than written to the outbox. Ends of calls that were
            made go there all the same.
        retry_every: how often a store that is away is tried, in seconds.
        scan_every: how often files of processes that have ended are looked for, in seconds.
        sweep_every: how often open rows of such processes are looked for, over all hosts, in seconds.
        alive_every: how often this process says that it lives while it has open rows, in seconds.
        silent: after how many seconds without that a process counts as dead.
    """

    def __init__(
        self,
        store: Sink,
        spare: Store,
        outbox: Outbox,
        *,
        budgets: KeptBudgets | None = None,
        refuses: bool = False,
        retry_every: float = 1.0,
        scan_every: float = 60.0,
        sweep_every: float = 600.0,
        alive_every: float = ALIVE_EVERY,
        silent: float = 180.0,
    ) -> None:
        self._refuses = refuses
        self.budgets = budgets
        self._spare = spare
        self._outbox = outbox
        self._silent = silent
        self._after_sweep: list[AfterSweep] = []
        self._on_unwritten: list[Callable[[bool], bool]] = []
        self._allowance: Allowance | None = None
        keepers = self._keepers = Keepers(
            partial(
                Keeper,
                spare,
                outbox,
                refuses=refuses,
                retry_every=retry_every,
                scan_every=scan_every,
                sweep_every=sweep_every,
                silent=silent,
                after_sweep=self._after_sweep,
                on_unwritten=self._on_unwritten,
            )
        )
        self._writer = LedgerWriter(
            store,
            begin_timeout=PATIENCE_BEFORE_REFUSAL if refuses else PATIENCE,
            finish_timeout=PATIENCE,
            spill=self._keep,
            keeps_late=not refuses,
            is_busy=lambda: keepers.is_busy,
            progress=self._progress,
            alive_every=alive_every,
        )
        self._file = LedgerWriter(outbox)
        self._sources: list[Callable[[], Sequence[Progress]]] = []

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; see `Ledger`."""
        with self._keepers.as_open(opening):
            self._open(opening, None)

    async def abegin(self, opening: Opening) -> None:
        """Do what `begin` does, without blocking the event loop."""
        with self._keepers.as_open(opening):
            await self._aopen(opening, None)

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a final row; see `Ledger`."""
        self._open(opening, closing)

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Do what `record` does, without blocking the event loop."""
        await self._aopen(opening, closing)

    def begin_later(
        self, opening: Opening, closing: Closing | None = None, *, until: Callable[[], bool]
    ) -> None:
        """Put a row, final or not, into the outbox, because the store should not be asked to take it yet.

        Args:
            opening: the row.
            closing: its end, if it has one.
            until: says whether it may be written now. Asked often, in a thread of the ledger's.

        Raises:
            LedgerUnavailable: neither the outbox nor the memory takes it.
        """
        keeper = self._keepers.here
        keeper.wait_for(until)
        with self._keepers.as_open(opening, closing):
            try:
                with into_outbox(keeper, opening, None):
                    self._file.write(opening, closing)
            except LedgerUnavailable:  # then it waits in memory
                self._writer.begin_later(opening, closing, until=until)

    async def abegin_later(
        self, opening: Opening, closing: Closing | None = None, *, until: Callable[[], bool]
    ) -> None:
        """Do what `begin_later` does, without blocking the event loop."""
        keeper = self._keepers.here
        keeper.wait_for(until)
        with self._keepers.as_open(opening, closing):
            try:
                with into_outbox(keeper, opening, None):
                    await self._file.awrite(opening, closing)
            except LedgerUnavailable:
                self._writer.begin_later(opening, closing, until=until)

    def finish(self, closing: Closing) -> None:
        """Close a row; see `Ledger`."""
        keeper = self._keepers.here
        keeper.open_rows.discard(row_of(closing))
        if keeper.away is None and not keeper.holds(closing):
            try:
                self._writer.finish(closing)
            except LedgerUnavailable as failure:
                self._failed(keeper, failure)
            else:
                return
        self._file.finish(closing)
        keeper.look()

    async def afinish(self, closing: Closing) -> None:
        """Do what `finish` does, without blocking the event loop."""
        keeper = self._keepers.here
        keeper.open_rows.discard(row_of(closing))
        if keeper.away is None and not keeper.holds(closing):
            try:
                await self._writer.afinish(closing)
            except LedgerUnavailable as failure:
                self._failed(keeper, failure)
            else:
                return
        await self._file.afinish(closing)
        keeper.look()

    def finish_soon(self, closing: Closing) -> None:
        """Hand in a closing; see `Ledger`."""
        keeper = self._keepers.here
        keeper.open_rows.discard(row_of(closing))
        if keeper.away is None and not keeper.holds(closing):
            self._writer.finish_soon(closing)
        else:
            self._keep([Entry(None, closing)])

    def read(self, question: Callable[[Reader], T]) -> T:
        """Ask something of what is stored; see `Ledger`."""
        return question(self._spare)

    async def aread(self, question: Callable[[Reader], T]) -> T:
        """Do what `read` does, without blocking the event loop."""
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        return await asyncio.to_thread(question, self._spare)

    def watch(self, progress: Callable[[], Sequence[Progress]]) -> None:
        """Ask for what open rows have so far; see `Ledger`."""
        self._sources.append(progress)

    def after_sweep(self, work: AfterSweep) -> None:
        """Do something after rows were looked for; see `Ledger`."""
        self._after_sweep.append(work)

    def on_unwritten(self, work: Callable[[bool], bool]) -> None:
        """Say whether rows wait outside of the database; see `Ledger`."""
        self._on_unwritten.append(work)

    def allow(self, allowance: Allowance) -> None:
        """Let calls be made while budgets cannot be asked; see `Ledger`."""
        self._allowance = allowance

    def sweep(self, silent: float | None = None) -> int:
        """Write what processes that have died left in the outbox, and mark their open rows as lost. This thread does it, now.

        Args:
            silent: after how many seconds a process counts as dead.

        Returns:
            How many rows are lost.

        Raises:
            LedgerUnavailable: the store does not serve.
        """
        error = drain_abandoned(self._outbox.folder, self._outbox.prefix, self._spare)
        if error is not None:
            raise error
        lost = self._spare.sweep(silent=self._silent if silent is None else silent)
        self._spare.close()
        for work in self._after_sweep:
            work(time.sleep)
        return lost or 0

    def flush(self, timeout: float) -> None:
        """Wait until what was handed in is written, or in the outbox while the store is away; see `Ledger`."""
        until = time.monotonic() + timeout
        keeper = self._keepers.here
        if keeper.away is None:
            # The rest of the time is for the outbox.
            error = self._writer.flushed(min(PATIENCE, timeout * 0.8))
            if error is not None:
                self._failed(keeper, error)
        self._file.flush(max(0.0, until - time.monotonic()))
        keeper.flush(max(0.0, until - time.monotonic()))

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, as far as the store takes it; the rest is in the outbox, for the next process. That may take a second more."""
        until = time.monotonic() + timeout
        self._writer.close(timeout)
        self._file.flush(max(1.0, until - time.monotonic()))
        self._keepers.stop(max(1.0, until - time.monotonic()))
        self._file.close()

    def _open(self, opening: Opening, closing: Closing | None) -> None:
        keeper = self._keepers.here
        error = self._away(keeper, closing)
        if error is None:
            try:
                self._writer.write(opening, closing)
            except LedgerUnavailable as failure:
                error = self._failed(keeper, failure)
                if self._refuses_row(closing):
                    raise
            else:
                if self._allowance is not None and asks(opening, closing):
                    self._allowance.renew()
                return
        opening, is_refused = self._unasked(opening, closing)
        with into_outbox(keeper, opening, error):
            self._file.write(opening, unasked(opening) if is_refused else closing)
        if is_refused:
            raise no_budgets(error)

    async def _aopen(self, opening: Opening, closing: Closing | None) -> None:
        keeper = self._keepers.here
        error = self._away(keeper, closing)
        if error is None:
            try:
                await self._writer.awrite(opening, closing)
            except LedgerUnavailable as failure:
                error = self._failed(keeper, failure)
                if self._refuses_row(closing):
                    raise
            else:
                if self._allowance is not None and asks(opening, closing):
                    self._allowance.renew()
                return
        opening, is_refused = self._unasked(opening, closing)
        with into_outbox(keeper, opening, error):
            await self._file.awrite(opening, unasked(opening) if is_refused else closing)
        if is_refused:
            raise no_budgets(error)

    def _unasked(self, opening: Opening, closing: Closing | None) -> tuple[Opening, bool]:
        """Say whether a call is refused because its budgets cannot be asked. If it is not, its row says that it is allowed."""
        if not asks(opening, closing):
            return opening, False
        if self._allowance is None or not self._allowance.take(opening.claims):
            return opening, True
        return replace(opening, granted_at=opening.started_at), False

    def _progress(self) -> list[Progress]:
        if self._keepers.here.away is not None:
            return []  # they are in the outbox, which has room for rows alone
        return [row for ask in self._sources for row in ask()]

    def _away(self, keeper: Keeper, closing: Closing | None) -> LedgerUnavailable | None:
        """Return why the store is not asked; None if it is.

        Raises:
            LedgerUnavailable: the call is to be refused then.
        """
        error = keeper.away
        if error is not None and self._refuses_row(closing):
            raise LedgerUnavailable(error.message, hint=error.hint)
        return error

    def _refuses_row(self, closing: Closing | None) -> bool:
        """Whether the store has to take a row: that of a call which is not made yet, where the app has asked for it."""
        return self._refuses and closing is None

    def _failed(self, keeper: Keeper, error: LedgerUnavailable) -> LedgerUnavailable:
        """Take note that the store did not take a row.

        Raises:
            RowRejected: the row is at fault.
        """
        if isinstance(error, RowRejected):
            raise error
        if keeper.went_away(error):
            self._writer.give_up(error)
        return error

    def _keep(self, entries: list[Entry]) -> None:
        """Put into the outbox what nobody waits for."""
        keeper = self._keepers.here
        kept = [entry for entry in entries if not entry.is_flush]
        for entry in kept:
            if entry.opening is not None and entry.closing is None:
                keeper.expect(entry.opening)
        self._file.hand_in(kept)
        keeper.look()

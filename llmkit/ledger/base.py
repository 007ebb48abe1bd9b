"""What a ledger has to do, and what a store of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.row import Closing, Opening, Progress, Refusals
from llmkit.ledger.selection import EVERYTHING, Selection
from llmkit.ledger.sums import Key, Sum

if TYPE_CHECKING:
    from llmkit.budget.allowance import Allowance
    from llmkit.budget.base import KeptBudgets
    from llmkit.ledger.repricing import Costed
    from llmkit.ledger.retention import Pruned
    from llmkit.policy.pricing import Priced


T = TypeVar("T")


AfterSweep = Callable[[Callable[[float], object]], object]
"""Is given what waits for so many seconds."""


class Ledger(Protocol):
    """Writes the rows of calls, and returns when they are stored. Threads and event loops may share one."""

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; return when it is stored.

        Raises:
            BudgetExceeded: a budget has no room for it; its row is `refused`.
            BudgetUnavailable: the budgets could not be asked.
            LedgerUnavailable: it is not certain that the row is stored, so the call must not be made.
        """

    async def abegin(self, opening: Opening) -> None:
        """Do what `begin` does, without blocking the event loop."""

    def finish(self, closing: Closing) -> None:
        """Close a row; return when that is stored. Closing it again changes nothing.

        Raises:
            LedgerUnavailable: it is not certain that the row is closed.
        """

    async def afinish(self, closing: Closing) -> None:
        """Do what `finish` does, without blocking the event loop."""

    def finish_soon(self, closing: Closing) -> None:
        """Close a row without waiting for it, as in a destructor. A failure is logged."""

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a row that is closed from the start, for a call that was refused or needed no attempt.

        Raises:
            LedgerUnavailable: it is not certain that the row is stored.
        """

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Do what `record` does, without blocking the event loop."""

    def read(self, question: Callable[[Reader], T]) -> T:
        """Ask something of what is stored, in the thread that may read it.

        Raises:
            LedgerUnavailable: it cannot be read.
        """

    async def aread(self, question: Callable[[Reader], T]) -> T:
        """Do what `read` does, without blocking the event loop."""

    @property
    def budgets(self) -> KeptBudgets | None:
        """Where budgets are kept, beside the rows; None if they are not."""

    def watch(self, progress: Callable[[], Sequence[Progress]]) -> None:
        """Ask this, now and then and in a thread of the ledger's, what open rows have so far, and write it down."""

    def after_sweep(self, work: AfterSweep) -> None:
        """Do something after each time that rows of processes that have died were looked for, in the thread that looked."""

    def on_unwritten(self, work: Callable[[bool], bool]) -> None:
        """Say it to this, in a thread of the ledger's, when rows begin to wait outside of the database, and when none does.

        If it returns False it is said again.
        """

    def allow(self, allowance: Allowance) -> None:
        """Let calls be made within this while the budgets that are kept here cannot be asked."""

    def flush(self, timeout: float) -> None:
        """Wait until all rows so far are written, for at most so many seconds."""

    def close(self, timeout: float = 5.0) -> None:
        """Write waiting rows and close the database connection, within at most so many seconds."""


class Sink(Protocol):
    """Where rows go. `LedgerWriter` uses one thread; `HostLedger` each thread of the host's, over its own connection."""

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        """Write the openings, then the closings, in one transaction: all or none.

        Must be idempotent: a row that is there is left alone, and a closing changes only a row that
        is `started` or `lost`.

        Returns:
            The openings that a budget had no room for. Their rows are `refused`.

        Raises:
            RowRejected: one of the rows is at fault.
            LedgerUnavailable: the store is at fault.
        """

    def note(self, progress: Sequence[Progress]) -> None:
        """Say that this process lives, so that nobody sweeps its open rows up, and what some of them have so far.

        `write` says so, too, with an opening, if it was long ago. A row that is closed is not changed.

        Raises:
            LedgerUnavailable: the store is at fault.
        """

    def close(self) -> None:
        """Let go of the connection; the next write makes a new one."""


class NoLedgerYet(LedgerUnavailable):
    """The database, or the table in it, is not there: the first call creates both."""


class Reader(Protocol):
    """Reads rows. Any thread may, also while another one writes."""

    def recent(self, limit: int, selection: Selection = EVERYTHING) -> list[dict[str, Any]]:
        """Read the latest rows of a selection, the newest first, by column name; times are in UTC.

        Raises:
            LedgerUnavailable: they cannot be read.
        """

    def sums(
        self, by: Sequence[str] = (), selection: Selection = EVERYTHING, *, zone: tzinfo = UTC
    ) -> dict[Key, Sum]:
        """Add up the rows of a selection, in groups.

        Args:
            by: what they are grouped by, in the words of `selection`; the keys of what is returned have their values in this order. A day is
                `2026-05-17`, a month `2026-05`.
            selection: which rows.
            zone: where days and months begin.

        Raises:
            LedgerUnavailable: they cannot be read.
        """


class Store(Sink, Reader, Protocol):
    """Where rows are kept."""

    def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
        """Mark as lost the rows that are open in processes which were not seen to live for `silent` seconds.

        Args:
            silent: in seconds. Processes with open rows say every half minute that they live.
            every: how many seconds have to be between two sweeps, over all hosts.

        Returns:
            How many rows are lost; None if another process has swept meanwhile.

        Raises:
            LedgerUnavailable: the store is at fault.
        """


class Maintained(Store, Protocol):
    """A store that can look after its old rows."""

    def count_old(self, before: datetime, *, content_only: bool) -> int:
        """Count the rows that `prune` would find.

        Raises:
            LedgerUnavailable: the store cannot be read.
        """

    def prune(self, before: datetime, *, content_only: bool, limit: int, after: Any) -> Pruned:
        """Delete some of the rows of calls that began before a moment, the oldest first, all or none; or only their content.

        Args:
            before: with a time zone.
            content_only: whether the rows stay, without what was asked and answered.
            limit: how many rows at most.
            after: where the time before has stopped; None is the first time.

        Raises:
            LedgerUnavailable: the store is at fault.
        """

    def closed(self, *, since: datetime | None, after: int, limit: int) -> list[Costed]:
        """Read some of the rows whose calls have ended, in the order of their ids, with what their cost hangs on.

        Args:
            since: of calls that began then or later; None is of all.
            after: the highest id that was read before.
            limit: how many rows at most.

        Raises:
            LedgerUnavailable: the store cannot be read.
        """

    def set_costs(self, costs: Sequence[tuple[Costed, Priced]]) -> None:
        """Write the costs of rows that `closed` has read, in one transaction; those that have changed meanwhile stay.

        Raises:
            LedgerUnavailable: the store is at fault.
        """

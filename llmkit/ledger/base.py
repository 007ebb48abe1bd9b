"""What a ledger has to do, and what a store of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from llmkit.ledger.row import Closing, Opening, Progress
from llmkit.ledger.sums import Totals


class Ledger(Protocol):
    """Writes the rows of calls, and returns when they are stored. Threads and event loops may share one."""

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; return when it is stored.

        Raises:
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

    def watch(self, progress: Callable[[], Sequence[Progress]]) -> None:
        """Ask this, now and then and in a thread of the ledger's, what open rows have so far, and write it down."""

    def flush(self, timeout: float) -> None:
        """Wait until all rows so far are written, for at most so many seconds."""

    def close(self, timeout: float = 5.0) -> None:
        """Write waiting rows and close the database connection, within at most so many seconds."""


class Sink(Protocol):
    """Where rows go. `LedgerWriter` uses one thread; `HostLedger` each thread of the host's, over its own connection."""

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> None:
        """Write the openings, then the closings, in one transaction: all or none.

        Must be idempotent: a row that is there is left alone, and a closing changes only a row that
        is `started` or `lost`.

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


class Store(Sink, Protocol):
    """Where rows are kept. Any thread may read, also while another one writes."""

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

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """Read the latest rows, the newest first, by column name; times are in UTC.

        Raises:
            LedgerUnavailable: the store cannot be read.
        """

    def totals(self) -> Totals:
        """Add up all rows.

        Raises:
            LedgerUnavailable: the store cannot be read.
        """

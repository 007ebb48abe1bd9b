"""What a ledger has to do."""

from __future__ import annotations

from typing import Protocol

from llmkit.ledger.row import Closing, Opening


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

    def flush(self, timeout: float) -> None:
        """Wait until all rows so far are written, for at most so many seconds."""

    def close(self, timeout: float = 5.0) -> None:
        """Write waiting rows and close the database connection, within at most so many seconds."""

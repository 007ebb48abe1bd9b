"""What the drivers ask of a ledger."""

from __future__ import annotations

from typing import Protocol

from llmkit.ledger.row import Closing, Opening


class Ledger(Protocol):
    """Writes the rows of calls and says when they are safe. Threads and event loops may share one."""

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; return when it is safe.

        Raises:
            LedgerUnavailable: it is not known to be; the call must not be made.
        """

    async def abegin(self, opening: Opening) -> None:
        """Do what `begin` does, without blocking the event loop."""

    def finish(self, closing: Closing) -> None:
        """Close a row; return when that is safe. Closing it again changes nothing.

        Raises:
            LedgerUnavailable: it is not known to be, yet.
        """

    async def afinish(self, closing: Closing) -> None:
        """Do what `finish` does, without blocking the event loop."""

    def finish_soon(self, closing: Closing) -> None:
        """Hand in a closing without waiting, as in a destructor. A failure is logged."""

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a row that is final at once: of a call that was refused, or needed no attempt.

        Raises:
            LedgerUnavailable: it is not known to be safe.
        """

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Do what `record` does, without blocking the event loop."""

    def flush(self, timeout: float) -> None:
        """Wait until what was handed in is written, in so many seconds at most."""

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits and let go of the database, in so many seconds at most."""

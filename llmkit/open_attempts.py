"""The attempts that are open in a process, by which whoever ends a loop or the process finds them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from llmkit.tracebacks import place_of

if TYPE_CHECKING:
    import asyncio

    from llmkit.concurrency.threads import Owner
    from llmkit.ledger.row import Progress

log = logging.getLogger("llmkit.ledger")

# How often it is written down what an open stream has so far, in seconds; less often where there are more than so many streams.
NOTE_EVERY = 15.0
MANY = 1000


class OpenAttempt(Protocol):
    """An attempt whose row is open.

    Attributes:
        noted_at: when it was last written down what it has so far, by the runtime's clock.
    """

    noted_at: float

    def progress(self) -> Progress | None:
        """Return what its row holds so far, if anything is known."""

    def abandon(self) -> None:
        """Cut it and close its row, without waiting."""

    def note_open_row(self) -> None:
        """Mark its row as lost until its end closes it, without waiting."""


class OpenAttempts:
    """A list of them. A fork has a copy of its parent's, and sees its own alone.

    Args:
        clock: gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._owners: dict[OpenAttempt, Owner] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def enter(self, attempt: OpenAttempt, owner: Owner) -> None:
        """Enter one."""
        self._owners[attempt] = owner

    def strike_out(self, attempt: OpenAttempt) -> None:
        """Strike one out, if it is still there."""
        self._owners.pop(attempt, None)

    def progress(self) -> list[Progress]:
        """Ask them what they have so far: each every period, a few at a time."""
        mine, now = self._mine(), self._clock()
        period = NOTE_EVERY * max(1.0, len(mine) / MANY)
        noted = []
        for attempt in mine:
            if now - attempt.noted_at >= period:
                attempt.noted_at = now
                try:
                    noted.append(attempt.progress())
                except Exception as error:  # noqa: BLE001  # a provider of the app's own may say anything
                    log.error(  # noqa: TRY400
                        "what an open call has so far could not be said: %s", place_of(error)
                    )
        return [progress for progress in noted if progress is not None]

    def note_rows(self) -> None:
        """Mark their rows as lost, until their ends close them. Nothing is waited for."""
        for attempt in self._mine():
            attempt.note_open_row()

    def abandon(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Cut them, or those of one loop, and close their rows, without waiting."""
        for attempt in self._mine(loop):
            attempt.abandon()

    def _mine(self, loop: asyncio.AbstractEventLoop | None = None) -> list[OpenAttempt]:
        return [
            attempt
            for attempt, owner in list(self._owners.items())
            if owner.pid == os.getpid() and loop in (None, owner.loop)
        ]

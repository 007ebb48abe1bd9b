"""What is handed to the ledger's thread, and how those who wait for it are woken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeGuard

from llmkit.errors import BudgetExceeded, LedgerUnavailable
from llmkit.ledger.row import Closing, Opening, RowRejected

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future


class Entry:
    """What was handed in, and what wakes its waiter: a gate, a loop and its future, or nothing.

    `until` says whether it may be written; None if it may be at once.
    """

    __slots__ = ("closing", "error", "future", "gate", "loop", "opening", "until")

    def __init__(
        self,
        opening: Opening | None,
        closing: Closing | None,
        *,
        until: Callable[[], bool] | None = None,
    ) -> None:
        self.opening = opening
        self.closing = closing
        self.until = until
        self.error: Failure | None = None
        self.gate: threading.Lock | None = None
        self.loop: AbstractEventLoop | None = None
        self.future: Future[None] | None = None

    @property
    def is_flush(self) -> bool:
        """Whether it has no row, and waits for those of others."""
        return self.opening is None and self.closing is None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it, and hears of an error."""
        return self.gate is not None or self.future is not None


Failure = LedgerUnavailable | BudgetExceeded
Written = list[tuple[Entry, Failure | None]]
"""Entries, each with why it was not written, or that its row was written as refused; None if all is well."""


def row_of(part: Opening | Closing) -> tuple[str, int]:
    """Return which row an opening or a closing is of."""
    return part.call_id, part.attempt


def to_retry(results: Written) -> list[Entry]:
    """Choose the closings that a store which is back can take. A row whose opening failed is not there to be closed."""
    return [
        Entry(None, entry.closing)
        for entry, error in results
        if entry.closing is not None and entry.opening is None and may_be_taken_yet(error)
    ]


def may_be_taken_yet(error: Failure | None) -> TypeGuard[LedgerUnavailable]:
    """Whether a store that is back can take a row that failed so."""
    return isinstance(error, LedgerUnavailable) and not isinstance(error, RowRejected)


def settle(results: Written) -> None:
    """Wake the waiters: each thread by its own gate, all of one event loop by one call."""
    loops: dict[AbstractEventLoop, list[tuple[Future[None], Failure | None]]] = {}
    for entry, error in results:
        if isinstance(error, LedgerUnavailable):
            # Each waiter gets one of its own: an error that is raised twice gathers both tracebacks.
            error = type(error)(error.message, hint=error.hint)  # noqa: PLW2901
        if entry.gate is not None:
            entry.error = error
            entry.gate.release()
        elif entry.loop is not None and entry.future is not None:
            loops.setdefault(entry.loop, []).append((entry.future, error))
    for loop, outcomes in loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[tuple[Future[None], Failure | None]]) -> None:
    for future, error in outcomes:
        if future.done():  # cancelled, or given up
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

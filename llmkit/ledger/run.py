"""What the ledger's thread works on: what was handed in, and what the store cannot take yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.row import Closing, Opening, RowRejected

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future


# How often a row that waits for its caller's transaction is looked at, in seconds.
LOOK_EVERY = 0.05


class Entry:
    """What was handed in, and what wakes its waiter: a gate, a loop and its future, or nothing."""

    __slots__ = ("closing", "error", "future", "gate", "loop", "opening", "until")

    def __init__(self, opening: Opening | None, closing: Closing | None) -> None:
        self.opening = opening
        self.closing = closing
        self.error: LedgerUnavailable | None = None
        self.gate: threading.Lock | None = None
        self.loop: AbstractEventLoop | None = None
        self.future: Future[None] | None = None
        self.until: Callable[[], bool] | None = None


class Run:
    """The life of one writer thread, in one process."""

    __slots__ = ("kept", "lock", "queue", "starting", "stopped", "thread")

    def __init__(self) -> None:
        # Re-entrant, because a finaliser that the garbage collector runs in the midst of a submit
        # may submit too.
        self.lock = threading.RLock()
        self.queue: SimpleQueue[Entry | None] = SimpleQueue()
        self.kept: list[Entry] = []  # what the store cannot take yet; the thread's own
        self.thread: threading.Thread | None = None
        self.starting = False
        self.stopped = False

    def set_aside(self, group: list[Entry]) -> list[Entry]:
        """Keep what waits for its caller's transaction, and what closes such a row; return the rest."""
        if not self.kept and not any(entry.until for entry in group):
            return group
        waiting = {_row_of(entry.opening): entry.until for entry in self.kept if entry.opening}
        rest = []
        for entry in group:
            until = entry.until
            if until is not None and entry.opening is not None:
                waiting[_row_of(entry.opening)] = until
            elif entry.closing is not None:
                until = waiting.get(_row_of(entry.closing))
            if until is None:
                rest.append(entry)
            else:
                kept = Entry(entry.opening, entry.closing)
                kept.until = until
                self.kept.append(kept)
                settle([(entry, None)])
        return rest

    def patience(self, retry_every: float) -> float | None:
        """Return how long to wait for what comes next before what is kept is tried again, in seconds."""
        if any(entry.until is not None for entry in self.kept):
            return min(retry_every, LOOK_EVERY)
        return retry_every if self.kept else None

    def ready(self, limit: int, *, at_last: bool) -> list[Entry]:
        """Choose the next of what is kept that may be written now, in order; at last all of it may."""
        # A transaction may end while they are asked: the closing of a row must not go where its opening had to wait.
        held = {entry.until for entry in self.kept if entry.until is not None and not entry.until()}
        return [entry for entry in self.kept if at_last or entry.until not in held][:limit]

    def done(self, entries: Iterable[Entry]) -> None:
        """Forget what needs no more to be kept."""
        gone = set(map(id, entries))
        self.kept = [entry for entry in self.kept if id(entry) not in gone]

    def stop(self) -> threading.Thread | None:
        """Let the thread end when it has written what waits."""
        with self.lock:
            self.stopped = True
            self.queue.put(None)
            return self.thread


def to_keep(results: list[tuple[Entry, LedgerUnavailable | None]]) -> list[Entry]:
    """Choose the closings that a store which is back can take. A row whose opening failed is not there to be closed."""
    return [
        Entry(None, entry.closing)
        for entry, error in results
        if entry.closing is not None and entry.opening is None and may_be_taken_yet(error)
    ]


def may_be_taken_yet(error: LedgerUnavailable | None) -> bool:
    """Whether a store that is back can take a row that failed so."""
    return error is not None and not isinstance(error, RowRejected)


def _row_of(entry: Opening | Closing) -> tuple[str, int]:
    return entry.call_id, entry.attempt


def settle(results: list[tuple[Entry, LedgerUnavailable | None]]) -> None:
    """Wake the waiters: each thread by its own gate, all of one event loop by one call."""
    loops: dict[AbstractEventLoop, list[tuple[Future[None], LedgerUnavailable | None]]] = {}
    for entry, shared in results:
        # Each waiter gets an error of its own: one that is raised twice gathers both tracebacks.
        error = None if shared is None else type(shared)(shared.message, hint=shared.hint)
        if entry.gate is not None:
            entry.error = error
            entry.gate.release()
        elif entry.loop is not None and entry.future is not None:
            loops.setdefault(entry.loop, []).append((entry.future, error))
    for loop, outcomes in loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[tuple[Future[None], LedgerUnavailable | None]]) -> None:
    for future, error in outcomes:
        if future.done():  # cancelled, or given up
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

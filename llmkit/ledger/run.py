"""What the ledger's thread works on: what was handed in, what the store failed to take, and what must not be written yet."""

from __future__ import annotations

import threading
from queue import SimpleQueue

from llmkit.ledger.entry import Entry
from llmkit.ledger.held import LOOK_EVERY, Held


class Run:
    """The life of one writer thread, in one process.

    Attributes:
        queue: what was handed in; None is the end.
        failed: what the store could not take, to be tried again. The thread's own.
        held: what waits for its caller's transaction. The thread's own.
    """

    __slots__ = ("failed", "held", "lock", "queue", "starting", "stopped", "thread")

    def __init__(self) -> None:
        # Re-entrant, because a finaliser that the garbage collector runs in the midst of a submit
        # may submit too.
        self.lock = threading.RLock()
        self.queue: SimpleQueue[Entry | None] = SimpleQueue()
        self.failed: list[Entry] = []
        self.held = Held()
        self.thread: threading.Thread | None = None
        self.starting = False
        self.stopped = False

    @property
    def kept(self) -> int:
        """How many entries wait that are out of the queue."""
        return len(self.failed) + len(self.held)

    def patience(self, retry_every: float) -> float | None:
        """Return how long to wait for what comes next before what is kept is tried again, in seconds."""
        if self.held:
            return min(retry_every, LOOK_EVERY)
        return retry_every if self.failed else None

    def stop(self) -> threading.Thread | None:
        """Let the thread end when it has written what waits."""
        with self.lock:
            self.stopped = True
            self.queue.put(None)
            return self.thread

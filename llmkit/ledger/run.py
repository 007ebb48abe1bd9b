"""The ledger's thread: it writes what was handed in, what the store failed to take before, and what had to wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Sink
from llmkit.ledger.entry import Entry, Written, may_be_taken_yet, settle, to_retry
from llmkit.ledger.groups import write_group
from llmkit.ledger.held import LOOK_EVERY, Held
from llmkit.ledger.row import Progress, RowRejected
from llmkit.tracebacks import place_of

logger = logging.getLogger("llmkit.ledger")

# How often a process with open rows says that it lives, in seconds.
ALIVE_EVERY = 30.0
# How long more rows are waited for while they come in numbers, in seconds. One by one, none is held up.
GATHER = 0.005
# How often it asks what its open rows have so far, in seconds; each row is asked for much less often.
ASK_EVERY = 1.0


class Run:
    """The life of one writer thread, in one process.

    Attributes:
        queue: what was handed in; None is the end.
        writing: what the thread is writing.
        failed: what the store could not take, to be tried again. The thread's own.
        held: what waits for its caller's transaction. The thread's own.
    """

    def __init__(
        self,
        store: Sink,
        *,
        max_group: int,
        limit: int,
        retry_every: float,
        spill: Callable[[list[Entry]], None] | None,
        is_busy: Callable[[], bool],
        progress: Callable[[], Sequence[Progress]],
        alive_every: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._max_group = max_group
        self._limit = limit
        self._retry_every = retry_every
        self._spill = spill
        self._is_busy = is_busy
        self._progress = progress
        self._alive_every = alive_every
        self._clock = clock
        self._sleep = sleep
        self._is_crowded = False
        self._note_at = clock() + alive_every
        self._ask_at = clock() + ASK_EVERY
        self._noted: dict[tuple[str, int], Progress] = {}
        # Re-entrant, because a finaliser that the garbage collector runs in the midst of a submit
        # may submit too.
        self.lock = threading.RLock()
        self.queue: SimpleQueue[Entry | None] = SimpleQueue()
        self.writing: list[Entry] = []
        self.failed: list[Entry] = []
        self.held = Held()
        self.thread: threading.Thread | None = None
        self.starting = False
        self.stopped = False

    @property
    def kept(self) -> int:
        """How many entries wait that are out of the queue."""
        return len(self.failed) + len(self.held)

    def take_all(self) -> list[Entry]:
        """Take all entries out of the queue; its end stays."""
        taken: list[Entry] = []
        while True:
            try:
                entry = self.queue.get_nowait()
            except Empty:
                return taken
            if entry is None:
                self.queue.put(None)
                return taken
            taken.append(entry)

    def stop(self) -> threading.Thread | None:
        """Let the thread end when it has written what waits."""
        with self.lock:
            self.stopped = True
            self.queue.put(None)
            return self.thread

    def work(self, previous: threading.Thread | None) -> None:
        """Write what is handed in until the end: the thread's work."""
        if previous is not None:
            previous.join()  # it may still be writing, and the store has one user at a time
        try:
            while self._serve():
                self._note()
        except BaseException:  # what no store should raise ends this thread; whoever hands in the next row starts another
            with self.lock:
                self.failed = [*self.writing, *self.failed]
                self.writing = []
                self.thread = None
            raise
        self._write_kept(at_last=True)
        if self.kept:
            logger.error("%d rows could not be written before the ledger was closed", self.kept)
        self._store.close()

    def _serve(self) -> bool:
        """Write one group, as soon as there is one; return False at the end."""
        try:
            entry = self.queue.get(timeout=self._patience())
        except Empty:
            self._write_kept()
            return True
        if entry is None:
            return False
        group, held = self.held.set_aside(self._gather(entry))
        settle([(entry, None) for entry in held])
        if not group:
            return True
        self.writing = group
        results = write_group(self._store, group)
        self.writing = []
        if self._spill is None:
            self.failed += to_retry(results)[: max(0, self._limit - self.kept)]
        elif left := [entry for entry, error in results if may_be_taken_yet(error)]:
            self._spill([entry for entry in left if not entry.is_awaited])
        if any(entry.is_flush for entry in group):
            self._write_kept()
        settle(results)
        failures = [failure for _, failure in results if isinstance(failure, LedgerUnavailable)]
        kept_elsewhere = self._spill is not None and all(map(may_be_taken_yet, failures))
        if failures and not kept_elsewhere:
            logger.warning(
                "%d of %d rows could not be written: %s", len(failures), len(group), failures[0]
            )
        if len(failures) < len(group):
            self._write_kept()  # the store serves
        return True

    def _gather(self, first: Entry) -> list[Entry]:
        """Take what has come since; wait a little for more, if there was more the last time."""
        queue = self.queue
        if self._is_crowded and queue.qsize() < self._max_group - 1:
            self._sleep(GATHER)
        group = [first]
        while len(group) < self._max_group:
            try:
                entry = queue.get_nowait()
            except Empty:
                break
            if entry is None:
                queue.put(None)  # nothing can follow it: this group first, then the end
                break
            group.append(entry)
        self._is_crowded = len(group) > 1
        return group

    def _write_kept(self, *, at_last: bool = False) -> None:
        """Write what waits, as far as the store takes it and its callers' transactions have ended."""
        while group := self.failed[: self._max_group]:
            results = write_group(self._store, group)
            still = _still_kept(results)
            self.failed = still + self.failed[len(group) :]
            if still:
                return
            logger.warning(
                "%d of %d waiting rows were written: the database is back",
                sum(error is None for _, error in results),
                len(results),
            )
        while group := self.held.ready(self._max_group, at_last=at_last):
            still = _still_kept(write_group(self._store, group))
            self.held.drop(entry for entry in group if entry not in still)
            if still:
                return

    def _patience(self) -> float:
        """Return how long to wait for what comes next before what is kept is tried again, in seconds."""
        waits = [max(0.0, self._ask_at - self._clock())] if self._is_busy() else []
        if self.held:
            waits.append(min(self._retry_every, LOOK_EVERY))
        elif self.failed:
            waits.append(self._retry_every)
        return min(waits, default=self._alive_every)

    def _note(self) -> None:
        """Say what the open rows have so far, and that this process lives, if it has any and has not said so for long."""
        now = self._clock()
        if now < self._ask_at:
            return
        self._ask_at = now + ASK_EVERY
        if not self._is_busy():
            return
        try:
            for row in self._progress():
                self._noted[row.call_id, row.attempt] = row
            if self._noted or now >= self._note_at:
                self._note_at = now + self._alive_every
                self._store.note(list(self._noted.values()))
                self._noted = {}
        except RowRejected as error:
            self._noted = {}
            logger.warning("what open calls have so far could not be written down: %s", error)
        except LedgerUnavailable as error:  # a second later, once more
            logger.debug("what open calls have so far could not be written down: %s", error)
        # The thread outlives a fault of its store, or nobody would be answered again.
        except Exception as error:  # noqa: BLE001
            logger.error(  # noqa: TRY400  # it may quote a row
                "what open calls have so far could not be written down: %s", place_of(error)
            )


def _still_kept(results: Written) -> list[Entry]:
    for _, error in results:
        if isinstance(error, RowRejected):
            logger.warning("a waiting row could not be written: %s", error)
    return [entry for entry, error in results if may_be_taken_yet(error)]

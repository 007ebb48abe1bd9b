"""The thread that keeps the books of one process in order: it brings the rows of the outbox into the store, and sweeps up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import AfterSweep, Store
from llmkit.ledger.entry import row_of
from llmkit.ledger.held import LOOK_EVERY
from llmkit.ledger.outbox.drain import drain, drain_abandoned
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.row import Closing, Opening
from llmkit.tracebacks import place_of

logger = logging.getLogger("llmkit.ledger")

Key = tuple[str, int]


class Keeper:
    """Drains the outbox of one process, and the files of processes that have ended; marks the open rows of such processes as lost.

    Args:
        store: where the rows go. The thread's own.
        outbox: where they come from.
        refuses: whether calls are refused while the store is away; only for the log.
        retry_every: how often a store that is away is tried, in seconds.
        scan_every: how often files of processes that have ended are looked for, in seconds.
        sweep_every: how often rows of processes that have died are looked for, over all hosts, in seconds.
        silent: after how many seconds a process counts as dead.
        after_sweep: what is done after they were looked for.
        on_unwritten: is told whether rows wait outside of the store, and again where it returns False.
        clock: gives the time in seconds.

    Attributes:
        open_rows: the rows that this process has begun and not closed.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        *,
        refuses: bool = False,
        retry_every: float,
        scan_every: float,
        sweep_every: float,
        silent: float,
        after_sweep: Sequence[AfterSweep] = (),
        on_unwritten: Sequence[Callable[[bool], bool]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._refuses = refuses
        self._retry_every = retry_every
        self._scan_every = scan_every
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())  # a destructor may come within
        self._away: LedgerUnavailable | None = None
        self._rows: set[Key] = set()
        self._waits: list[Callable[[], bool]] = []
        self._sweep_every = sweep_every
        self._silent = silent
        self._after_sweep = after_sweep
        self._on_unwritten = on_unwritten
        self._told = False
        self._try_at = self._scan_at = clock()
        self._sweep_at = (
            clock() + silent
        )  # a process that has only begun knows nothing of the others yet
        self.open_rows: set[Key] = set()
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def away(self) -> LedgerUnavailable | None:
        """Why the store took the last row not; None if it serves."""
        return self._away

    def holds(self, row: Opening | Closing) -> bool:
        """Whether the opening of a row is in the outbox, so that its closing has to follow it there."""
        return row_of(row) in self._rows

    def went_away(self, error: LedgerUnavailable) -> bool:
        """Take note that the store does not serve; say whether that is new."""
        with self._changed:
            is_new, self._away = self._away is None, error
            self._try_at = self._clock() + self._retry_every
            self._wake()
        if is_new and self._refuses:
            logger.warning("calls are refused until the ledger's database is back: %s", error)
        elif is_new:
            logger.warning("rows go to the outbox in %s: %s", self._outbox.folder, error)
        return is_new

    def expect(self, opening: Opening) -> None:
        """Take note of a row before it goes to the outbox."""
        with self._changed:
            self._rows.add(row_of(opening))
            self._wake()

    def forget(self, rows: Iterable[Opening | Closing]) -> None:
        """Take note that rows are not in the outbox, or not any more."""
        with self._changed:
            self._rows.difference_update(map(row_of, rows))

    def wait_for(self, until: Callable[[], bool]) -> None:
        """Leave the outbox alone until a caller's transaction has ended."""
        with self._changed:
            self._waits.append(until)
            self._wake()

    def start(self) -> None:
        """Start the thread, if it does not run."""
        with self._changed:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._run, name="llmkit-outbox", daemon=True)
                self._thread.start()

    def look(self) -> None:
        """See what has come into the outbox."""
        with self._changed:
            self._wake()

    def flush(self, timeout: float) -> None:
        """Wait until the outbox is empty, as far as it can be now, for so many seconds at most."""
        with self._changed:
            self._wake()
            self._changed.wait_for(self._is_flushed, timeout)

    def _is_flushed(self) -> bool:
        if not self._outbox.file.waiting or self._away is not None:
            return True
        return not all(until() for until in self._waits)

    def stop(self, timeout: float) -> None:
        """Bring what can be brought, whatever it waits for, and end the thread, in so many seconds."""
        with self._changed:
            self._ended = True
            self._wake()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _wake(self) -> None:
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                ended = self._ended
            if ended:
                break
            pause = 0.0
            try:
                self._tell()
                self._step()
                self._tell()
            # The thread outlives it, or the outbox would never be empty again.
            except Exception as error:  # noqa: BLE001
                logger.error(  # noqa: TRY400  # it may quote a row
                    "the outbox in %s could not be looked through: %s",
                    self._outbox.folder,
                    place_of(error),
                )
                pause = self._retry_every
            with self._changed:
                if not self._ended:
                    self._changed.wait(max(pause, self._patience()))
        if self._outbox.file.waiting:
            self._drain()
        self._store.close()

    def _patience(self) -> float:
        if self._waits:
            return LOOK_EVERY
        if self._away is None and self._outbox.file.waiting:
            return 0.0  # it came just now
        next_look = min(self._scan_at, self._sweep_at) if self._away is None else self._try_at
        return max(0.0, next_look - self._clock())

    def _tell(self) -> None:
        """Say whether rows wait outside of the store, if that has changed."""
        waits = self._away is not None or bool(self._outbox.file.waiting)
        if waits != self._told:
            heard = [work(waits) for work in self._on_unwritten]
            if all(heard):
                self._told = waits

    def _step(self) -> None:
        with self._changed:
            self._waits = [until for until in self._waits if not until()]
            waits = bool(self._waits)
        if self._away is not None and self._clock() < self._try_at:
            return
        if self._outbox.file.waiting and not waits:
            self._drain()
        elif self._away is not None and not waits:
            self._ask()
        if self._away is None and self._clock() >= self._scan_at:
            self._scan_at = self._clock() + self._scan_every
            error = drain_abandoned(self._outbox.folder, self._outbox.prefix, self._store)
            self._store.close()
            if error is not None:
                self.went_away(error)
        if self._away is None and self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + self._sweep_every
            self._sweep()

    def _sweep(self) -> None:
        """Mark as lost what nobody else has marked."""
        try:
            lost = self._store.sweep(silent=self._silent, every=self._sweep_every)
        except LedgerUnavailable as error:
            logger.warning("rows of processes that have ended could not be looked for: %s", error)
        else:
            if lost:
                logger.warning("%d rows of processes that have ended are marked as lost", lost)
            if lost is not None:
                for work in self._after_sweep:
                    work(self._pause)
        self._store.close()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ended, seconds)

    def _drain(self) -> None:
        """Bring what is in this process's file into the store."""
        error = drain(self._outbox.file, self._store, self._written)
        if error is not None:
            self.went_away(error)
            return
        self._store.close()
        self._came_back()

    def _ask(self) -> None:
        """See whether a store that is away serves again, where no row waits to be tried with."""
        try:
            self._store.note(
                []
            )  # which writes: a database that is only read may be locked, or full
        except LedgerUnavailable as error:
            self.went_away(error)
            return
        self._store.close()
        self._came_back()

    def _written(self, rows: list[Opening | Closing]) -> None:
        self.forget(row for row in rows if isinstance(row, Opening))
        self._came_back()

    def _came_back(self) -> None:
        with self._changed:
            was_away, self._away = self._away, None
            self._wake()
        if was_away is not None:
            logger.warning("the ledger's database is back")

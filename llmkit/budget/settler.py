"""What calls have used is charged by a thread of its own: nobody waits for it, and it is tried again until the store takes it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from llmkit.errors import BudgetUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from llmkit.budget.redis import RedisBudgets
    from llmkit.policy.budgets.amounts import Used
    from llmkit.policy.budgets.decide import Claim

log = logging.getLogger("llmkit.budget")

# How often a store that does not serve is tried again, in seconds; and how many settlements wait for it.
_RETRY_EVERY = 1.0
_MOST = 100_000
# How long an idle thread waits before it ends, in seconds.
_IDLE = 30.0


class Charge(NamedTuple):
    """What was used of a hold. What its store knows nothing of, because it did not answer then, is held first.

    Attributes:
        final: whether it may not be corrected.
        unasked: what would have been held.
        granted_at: when.
        partition: which part of a cluster has it.
    """

    hold_id: str
    used: Used
    final: bool = True
    unasked: tuple[Claim, ...] = ()
    granted_at: datetime | None = None
    partition: str = ""


class Settler:
    """Hands settlements to a store, in order. The thread starts with the first one, and again after a fork.

    Args:
        store: charges them.
        on_back: is called, in the thread, when a store that did not serve has taken all that waited.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        store: RedisBudgets,
        *,
        on_back: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_run = partial(_Run, store, on_back)
        self._clock = clock
        self._runs: dict[int, _Run] = {}

    def settle_soon(self, charge: Charge) -> None:
        """Charge what was used, without waiting; may come from a destructor."""
        pid = os.getpid()
        run = self._runs.get(pid) or self._runs.setdefault(pid, self._new_run())
        run.put(charge)

    def waiting(self, hold_id: str) -> Charge | None:
        """Return what is still to be charged for a hold, if anything is."""
        run = self._runs.get(os.getpid())
        return None if run is None else run.waiting(hold_id)

    def flush(self, timeout: float) -> None:
        """Wait until all that was handed in is charged, for at most so many seconds."""
        run = self._runs.get(os.getpid())
        if run is not None:
            run.flush(self._clock() + timeout, self._clock)

    def close(self, timeout: float) -> None:
        """Do the same, and end the thread. What is not charged by then is what the ledger has and the store has not."""
        run = self._runs.pop(os.getpid(), None)
        if run is not None:
            run.flush(self._clock() + timeout, self._clock)
            run.end(timeout)


class _Run:
    """The settlements of one process."""

    def __init__(self, store: RedisBudgets, on_back: Callable[[], object]) -> None:
        self._store = store
        self._on_back = on_back
        self._waiting: deque[Charge] = deque()
        self._changed = threading.Condition(threading.RLock())  # a destructor may come within
        self._is_running = False
        self._ended = False
        self._thread: threading.Thread | None = None

    def end(self, timeout: float) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def put(self, charge: Charge) -> None:
        with self._changed:
            if len(self._waiting) >= _MOST:
                log.error("what a call has used could not be charged: too many wait already")
                return
            self._waiting.append(charge)
            if not self._is_running:
                self._is_running = True
                self._thread = threading.Thread(
                    target=self._work, name="llmkit-budgets", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # the process ends
                    self._is_running = False
                    return
            self._changed.notify_all()

    def waiting(self, hold_id: str) -> Charge | None:
        with self._changed:
            return next((each for each in self._waiting if each.hold_id == hold_id), None)

    def flush(self, until: float, clock: Callable[[], float]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, max(0.0, until - clock()))

    def _came_back(self) -> None:
        try:
            self._on_back()
        except Exception:
            log.exception("the budgets could not be compared with the ledger")

    def _work(self) -> None:
        is_back = False
        while True:
            if is_back and not self._waiting:
                is_back = False
                self._came_back()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended, _IDLE)
                if not self._waiting:
                    self._is_running = False
                    return
                charge = self._waiting[0]
            try:
                self._store.charge(charge)
            except BudgetUnavailable as error:
                log.debug("what a call has used is not charged yet: %s", error)
                is_back = True
                with self._changed:
                    if self._changed.wait_for(lambda: self._ended, _RETRY_EVERY):
                        return
                continue
            except Exception:
                log.exception("what a call has used could not be charged")
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()

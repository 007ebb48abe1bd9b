"""What nobody waits for is done by a thread of its own, one thing after the other."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

# How long an idle thread waits before it ends, in seconds.
_IDLE = 30.0
# How long is waited for an idle thread to end, in seconds: it has nothing to do.
_AT_ONCE = 1.0
# How long a process that ends waits, in seconds.
_AT_EXIT = 2.0


class Later(Generic[T]):
    """Does things in order. The thread starts with the first one, and again after a fork; it ends with whoever has made this.

    Args:
        do: does one; returns after how many seconds it is to be tried again, None if it is done. It raises nothing.
        name: of the thread.
        log: where it is said that something could not be done.
        most: how many may wait.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        do: Callable[[T], float | None],
        *,
        name: str,
        log: logging.Logger,
        most: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._do = weakref.WeakMethod(do)
        self._name = name
        self._log = log
        self._most = most
        self._clock = clock
        self._queues: dict[int, _Queue] = {}

    def put(self, thing: T) -> None:
        """Do something soon; may come from a destructor."""
        do = self._do()
        if do is None:
            return
        pid = os.getpid()
        queue = self._queues.get(pid)
        if queue is None:
            queue = self._queues.setdefault(pid, _Queue(self._name, self._log, self._most))
            weakref.finalize(self, queue.end, _AT_ONCE).atexit = False
            # Of a process that ends without closing anything what waits is done.
            atexit.register(queue.finish)
        queue.put(_Task(do, thing))

    @property
    def waiting(self) -> list[T]:
        """What is not done yet."""
        queue = self._queues.get(os.getpid())
        return [] if queue is None else [task.thing for task in queue.waiting()]

    @property
    def count(self) -> int:
        """How much is not done yet."""
        queue = self._queues.get(os.getpid())
        return 0 if queue is None else queue.count

    def flush(self, timeout: float) -> None:
        """Wait until all is done, for at most so many seconds."""
        queue = self._queues.get(os.getpid())
        if queue is not None:
            queue.flush(timeout)

    def close(self, timeout: float) -> None:
        """Do the same, and end the thread. What is not done by then is tried once more at most."""
        until = self._clock() + timeout
        queue = self._queues.pop(os.getpid(), None)
        if queue is not None:
            queue.flush(timeout)
            queue.end(max(0.1, until - self._clock()))


class _Task(NamedTuple):
    """What is to be done. While it waits it keeps whoever does it alive; an idle thread keeps nobody."""

    do: Callable[[Any], float | None]
    thing: Any


class _Queue:
    """What waits in one process, and the thread that does it.

    A fork of that process leaves it alone: it has no such thread, and somebody may have held the lock.
    """

    def __init__(self, name: str, log: logging.Logger, most: int) -> None:
        self._name = name
        self._log = log
        self._most = most
        self._pid = os.getpid()
        self._waiting: deque[_Task] = deque()
        self._changed = threading.Condition(threading.RLock())  # a destructor may come within
        self._thread: threading.Thread | None = None
        self._ended = False

    def put(self, task: _Task) -> None:
        with self._changed:
            if len(self._waiting) >= self._most:
                self._log.error(
                    "%s: %d wait already, one more is left undone", self._name, self._most
                )
                return
            self._waiting.append(task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the process ends
                    self._thread = None
                    self._log.warning("%s: the process ends, one is left undone", self._name)
            self._changed.notify_all()

    @property
    def count(self) -> int:
        return len(self._waiting)

    def waiting(self) -> list[_Task]:
        with self._changed:
            return list(self._waiting)

    def flush(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout)

    def finish(self) -> None:
        if os.getpid() == self._pid:
            self.flush(_AT_EXIT)

    def end(self, timeout: float) -> None:
        if os.getpid() != self._pid:
            return
        atexit.unregister(self.finish)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _work(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        """Do what is next; say whether the thread goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, _IDLE)
            if not self._waiting:
                self._thread = None
                return False
            task = self._waiting[0]
        again = None
        try:
            again = task.do(task.thing)
        except BaseException as error:  # noqa: BLE001  # the thread outlives it
            self._log.error("%s failed: %s", self._name, type(error).__name__)
        del task  # whoever waits for the end may let go of the app then, and is not to find it here
        with self._changed:
            if again is None:
                self._waiting.popleft()
                self._changed.notify_all()
                return True
            if self._changed.wait_for(lambda: self._ended, again):
                self._thread = None
                return False
            return True

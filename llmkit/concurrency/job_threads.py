"""Jobs in threads of their own; `job_tasks` has the same for event loops."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from functools import partial
from inspect import isawaitable
from typing import Any

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host, ask_host_thread
from llmkit.concurrency.jobs import Ended, Job, Line, Unfit
from llmkit.concurrency.threads import closed


class Jobs:
    """Runs jobs side by side, so many at a time, each in a thread of its own.

    One that takes too long is left to its own end, and so is every one when the call is aborted.

    Args:
        jobs: what to run.
        limit: how many at a time.
        host: where functions of the app's are at home.
        at_once: whether they run in the thread of whoever called, one after the other.
        signal: ends the wait.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        limit: int,
        host: Host,
        at_once: bool,
        signal: AbortSignal,
    ) -> None:
        self._line = Line(jobs, 1 if at_once else limit)
        self._host = host
        self._at_once = at_once
        self._signal = signal
        self._ended: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()

    def next(self) -> Ended | None:
        """Wait for the next one that ends; None when all have.

        Raises:
            StreamClosed: the call was aborted.
        """
        wake = partial(self._ended.put, None)
        self._signal.add(wake)
        try:
            while not self._signal.aborted:
                now = time.monotonic()
                for at, job in self._line.begin(now):
                    if self._at_once:
                        self._line.ended(at)
                        return _done(at, job)
                    # The thread knows the queue alone.
                    self._host.start(partial(_finished, job), partial(_tell, self._ended, at))
                if self._line.is_empty:
                    return None
                if (late := self._line.late(now)) is not None:
                    return late
                left = self._line.left(now)
                try:
                    ended = self._ended.get(
                        timeout=None if left is None else min(left, threading.TIMEOUT_MAX)
                    )
                except queue.Empty:
                    continue
                if ended is not None and self._line.ended(ended.at):
                    return ended
            raise closed()
        finally:
            self._signal.remove(wake)

    def close(self) -> None:
        """Start no more. Nothing ends a thread from outside."""
        self._line.close()

    def abandon(self) -> None:
        """Do the same."""
        self.close()


def _tell(
    ended: queue.SimpleQueue[Ended | None], at: int, value: Any, error: BaseException | None
) -> None:
    ended.put(Ended(at, value, error))


def _done(at: int, job: Job) -> Ended:
    """Run it in the thread of whoever called, now."""
    try:
        return Ended(at, ask_host_thread(partial(_finished, job)), None)
    except Exception as error:  # noqa: BLE001  # it is for whoever waits
        return Ended(at, None, error)


def _finished(job: Job) -> Any:
    value = job.work()
    if isawaitable(value):
        close = getattr(value, "close", None)  # a coroutine warns if nobody awaits it
        if close is not None:
            close()
        raise Unfit("it is async, and nobody awaits it here: use the AsyncClient")
    return job.finish(value)

"""The waits of threads, with their locks; `tasks` has the same for async code.

The generated drivers in `_sync/` use these, those in `_async/` the others.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host, ask_host_thread, never
from llmkit.concurrency.jobs import Ended, Job, Line, Unfit, is_async
from llmkit.concurrency.limit import ConcurrencyLimit, queue_full
from llmkit.concurrency.timers import Timer as Timer  # noqa: PLC0414  # for the generated drivers, too
from llmkit.concurrency.timers import timers
from llmkit.errors import InvalidRequest, StreamClosed

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class Owner(NamedTuple):
    """Where something runs, and ends with."""

    pid: int
    loop: asyncio.AbstractEventLoop | None = None


def owner() -> Owner:
    """Name the threads of this process."""
    return Owner(os.getpid())


def call_later(seconds: float, callback: Callable[[], object]) -> Timer:
    """Call back in the timers' thread after so many seconds."""
    return timers.call_later(seconds, callback)


def sleep(seconds: float, signal: AbortSignal) -> None:
    """Wait so long, or until the call is aborted.

    Raises:
        StreamClosed: the call was aborted.
    """
    if seconds > 0 and not signal.aborted:
        woken = threading.Event()
        signal.add(woken.set)
        woken.wait(seconds)
        signal.remove(woken.set)
    if signal.aborted:
        raise closed()


def enter(limit: ConcurrencyLimit, provider: str, seconds: float, signal: AbortSignal) -> None:
    """Take a place among the running calls, waiting for one so long at most.

    Raises:
        QueueFull: no place came free, or too many wait already.
        StreamClosed: the call was aborted.
    """
    given = threading.Event()
    if limit.enter(provider, given.set):
        return
    signal.add(given.set)
    try:
        if not given.wait(seconds):
            raise queue_full()
        if signal.aborted:
            raise closed()
    except BaseException:
        if not limit.withdraw(provider, given.set):
            limit.leave(provider)
        raise
    finally:
        signal.remove(given.set)


def run_to_end(work: Callable[[], T], tasks: set[asyncio.Task[Any]]) -> T:  # noqa: ARG001
    """Run the work: nothing cancels a thread."""
    return work()


def run_soon(owner: Owner, work: Callable[[], object], tasks: set[asyncio.Task[Any]]) -> None:  # noqa: ARG001
    """Run the work in the timers' thread, without waiting for it."""
    timers.call_later(0, work)


def closed() -> StreamClosed:
    """Make the error for a call that was aborted."""
    return StreamClosed("the call was stopped")


def refuse_awaited(functions: Iterable[tuple[str, Callable[..., Any]]]) -> None:
    """Refuse functions that nobody awaits here, by what they are called.

    Raises:
        InvalidRequest: one is async.
    """
    for name, function in functions:
        if is_async(function):
            raise InvalidRequest(
                f"{name} is async, and this is the sync client",
                hint="Write it with def, or use the AsyncClient.",
            )


def at_once(host: Host) -> bool:
    """Ask in the thread of whoever called whether the app's functions run there."""
    return host.at_once is not never and bool(ask_host_thread(host.at_once))


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

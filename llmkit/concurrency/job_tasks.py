"""Jobs in tasks of an event loop, and in threads for it; `job_threads` has the same for threads alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host
from llmkit.concurrency.jobs import Ended, Job, Line
from llmkit.concurrency.tasks import FINALISER_LIMIT, thread_safe
from llmkit.concurrency.threads import closed


class AsyncJobs:
    """Runs jobs side by side, so many at a time: what is async in tasks, what waits in threads.

    One that takes too long is cancelled and not waited for; a thread goes on to its own end.

    Args:
        jobs: what to run.
        limit: how many at a time.
        host: where functions of the app's are at home.
        at_once: whether what waits runs where the app's async code does what waits, one after the other.
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
        self._line = Line(jobs, limit)
        self._host = host
        self._at_once = at_once
        self._signal = signal
        self._running: dict[int, asyncio.Task[Any]] = {}
        # Those that end when they are cancelled, or soon after; and those whose threads still run.
        self._all: set[asyncio.Task[Any]] = set()
        self._in_threads: set[int] = set()
        self._woken: asyncio.Future[None] | None = None

    async def next(self) -> Ended | None:
        """Wait for the next one that ends; None when all have.

        Raises:
            StreamClosed: the call was aborted.
        """
        loop = asyncio.get_running_loop()
        wake = thread_safe(loop, self._wake)
        self._signal.add(wake)
        try:
            while not self._signal.aborted:
                for at, job in self._line.begin(loop.time()):
                    self._start(loop, at, job)
                if self._line.is_empty:
                    return None
                for at, task in self._running.items():
                    if task.done():
                        del self._running[at]
                        self._line.ended(at)
                        return _ended(at, task)
                if (late := self._line.late(loop.time())) is not None:
                    hanging = self._running.pop(late.at, None)
                    if hanging is not None:
                        self._all.discard(hanging)
                        hanging.cancel()
                    return late
                self._woken = loop.create_future()
                await asyncio.wait(
                    {*self._running.values(), self._woken},
                    timeout=self._line.left(loop.time()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            raise closed()
        finally:
            self._signal.remove(wake)

    async def aclose(self) -> None:
        """Cancel what still runs, and wait until it has ended, for some seconds."""
        self._line.close()
        left = {task for task in self._all if not task.done()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=FINALISER_LIMIT / 2)

    def abandon(self) -> None:
        """Cancel what still runs, without waiting for it. May come from any thread."""
        self._line.close()
        for task in list(self._all):
            thread_safe(task.get_loop(), task.cancel)()

    def _start(self, loop: asyncio.AbstractEventLoop, at: int, job: Job) -> None:
        task = loop.create_task(self._run(at, job))
        for tasks in (self._all, _STARTED):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        task.add_done_callback(_look_at)
        task.add_done_callback(lambda _: self._let_go(at))
        self._running[at] = task

    def _let_go(self, at: int) -> None:
        """Give up the place of one that nobody waits for any more, when neither its task nor its thread runs."""
        if at not in self._running and at not in self._in_threads:
            self._line.ended(at)
            self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _run(self, at: int, job: Job) -> Any:
        if job.is_async:
            value, is_finished = await _without_exit(job.work()), False
        else:
            value, is_finished = await self._in_thread(at, partial(_until_awaited, job))
        if is_finished:
            return value
        if isawaitable(value):
            value = await _without_exit(value)
        if value is None or isinstance(value, str | int | float):  # which takes no time
            return job.finish(value)
        return await self._in_thread(at, partial(job.finish, value))

    async def _in_thread(self, at: int, work: Callable[[], Any]) -> Any:
        if self._at_once:
            return await self._host.from_async(partial(_held, work))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            self._in_threads.discard(at)
            if future.done():  # nobody waits for it any more
                self._let_go(at)
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(_raisable(error))

        self._in_threads.add(at)
        self._host.start(
            work, lambda value, error: thread_safe(loop, partial(settle, value, error))()
        )
        return await future


# An event loop knows its tasks by weak references.
_STARTED: set[asyncio.Task[Any]] = set()


def _until_awaited(job: Job) -> tuple[Any, bool]:
    """Run what is not async, and say whether it is finished: it may have returned what is to be awaited."""
    value = job.work()
    return (value, False) if isawaitable(value) else (job.finish(value), True)


def _ended(at: int, task: asyncio.Task[Any]) -> Ended:
    if task.cancelled():  # by itself: nobody here has
        return Ended(at, None, asyncio.CancelledError())
    error = task.exception()
    return Ended(at, None if error is not None else task.result(), error)


async def _without_exit(work: Awaitable[Any]) -> Any:
    """Wait for a function of the app's. If it ends the process, an event loop would do so at once: whoever waits is told instead."""
    try:
        return await work
    except SystemExit as error:
        raise _raisable(error) from None


def _held(work: Callable[[], Any]) -> Any:
    """Run a function whose error a future has to hold."""
    try:
        return work()
    except (StopIteration, KeyboardInterrupt, SystemExit) as error:
        raise _raisable(error) from None


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take note of what a task raised: of one that nobody waits for any more, too."""
    if not task.cancelled():
        task.exception()


def _raisable(error: BaseException) -> BaseException:
    """Return an error that a future can hold."""
    if isinstance(error, StopIteration | KeyboardInterrupt | SystemExit):
        wrapped = RuntimeError(f"{type(error).__name__} in a function that others wait for")
        wrapped.__cause__ = error
        return wrapped
    return error

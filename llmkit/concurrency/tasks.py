"""The waits of async code, with its event loop; `threads` has the same for threads.

The drivers in `_async/` use these, the generated ones in `_sync/` those.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias, TypeVar

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host, never
from llmkit.concurrency.jobs import Ended, Job, Line
from llmkit.concurrency.limit import ConcurrencyLimit, queue_full
from llmkit.concurrency.threads import Owner, closed

T = TypeVar("T")
log = logging.getLogger("llmkit.stream")

# How long a finaliser may take, in seconds.
FINALISER_LIMIT = 10.0


def async_owner() -> Owner:
    """Name the running event loop of this process."""
    return Owner(os.getpid(), asyncio.get_running_loop())


AsyncTimer: TypeAlias = asyncio.TimerHandle


def async_call_later(seconds: float, callback: Callable[[], object]) -> AsyncTimer:
    """Call back in the running event loop after so many seconds."""
    return asyncio.get_running_loop().call_later(seconds, callback)


async def async_sleep(seconds: float, signal: AbortSignal) -> None:
    """Wait so long, or until the call is aborted.

    Raises:
        StreamClosed: the call was aborted.
    """
    if seconds > 0 and not signal.aborted:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        wake = thread_safe(loop, woken.set)
        signal.add(wake)
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            signal.remove(wake)
    if signal.aborted:
        raise closed()


async def async_enter(
    limit: ConcurrencyLimit, provider: str, seconds: float, signal: AbortSignal
) -> None:
    """Take a place among the running calls, waiting for one so long at most.

    Raises:
        QueueFull: no place came free, or too many wait already.
        StreamClosed: the call was aborted.
    """
    given = asyncio.Event()
    wake = thread_safe(asyncio.get_running_loop(), given.set)
    if limit.enter(provider, wake):
        return
    signal.add(wake)
    try:
        async with asyncio.timeout(seconds):
            await given.wait()
        if signal.aborted:
            raise closed()
    except BaseException as error:
        if not limit.withdraw(provider, wake):
            limit.leave(provider)
        if isinstance(error, TimeoutError):
            raise queue_full() from None
        raise
    finally:
        signal.remove(wake)


async def async_run_to_end(
    work: Callable[[], Coroutine[Any, Any, T]], tasks: set[asyncio.Task[Any]]
) -> T:
    """Run the work in a task of its own, so that whoever waits can be cancelled and the work cannot.

    `tasks` keeps it alive, and is where its owner finds what still runs.
    """
    return await asyncio.shield(_start(asyncio.get_running_loop(), work, tasks))


def async_run_soon(
    owner: Owner, work: Callable[[], Coroutine[Any, Any, object]], tasks: set[asyncio.Task[Any]]
) -> None:
    """Run the work in its owner's loop without waiting for it. May come from any thread, from a destructor too."""
    loop = owner.loop
    if loop is None or loop.is_closed():
        return
    start = partial(_start, loop, work, tasks)
    if asyncio._get_running_loop() is loop:  # noqa: SLF001  # documented; get_running_loop() would raise
        start()
    else:
        thread_safe(loop, start)()


async def async_finished(tasks: set[asyncio.Task[Any]], loop: asyncio.AbstractEventLoop) -> None:
    """Wait for what still runs in a loop, however it ends."""
    mine = [
        task for task in list(tasks) if task.get_loop() is loop
    ]  # loops of other threads add theirs
    await asyncio.gather(*mine, return_exceptions=True)


def async_refuse_awaited(functions: Iterable[tuple[str, Callable[..., Any]]]) -> None:
    """Refuse functions that nobody awaits: here they are awaited."""


async def async_at_once(host: Host) -> bool:
    """Ask where the app's async code does what waits, whether its functions run there."""
    return host.at_once is not never and bool(await host.from_async(host.at_once))


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


def thread_safe(
    loop: asyncio.AbstractEventLoop, callback: Callable[[], object]
) -> Callable[[], None]:
    """Make a callback that may come from any thread, also when the loop is closed."""

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # it is closed, maybe just now
            loop.call_soon_threadsafe(callback)

    return wake


def _start(
    loop: asyncio.AbstractEventLoop,
    work: Callable[[], Coroutine[Any, Any, T]],
    tasks: set[asyncio.Task[Any]],
) -> asyncio.Task[T]:
    task = loop.create_task(_limited(work()))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def _limited(work: Coroutine[Any, Any, T]) -> T:
    try:
        async with asyncio.timeout(FINALISER_LIMIT):
            return await work
    except TimeoutError:  # its traceback would be ours
        log.error(  # noqa: TRY400
            "a finaliser took longer than %s s and was cancelled", FINALISER_LIMIT
        )
        raise

"""The waits of async code, with its event loop; `threads` has the same for threads.

The drivers in `_async/` use these, the generated ones in `_sync/` those.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeAlias, TypeVar

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host, never
from llmkit.concurrency.limit import ConcurrencyLimit, queue_full
from llmkit.concurrency.threads import Owner, TookTooLong, closed

T = TypeVar("T")
log = logging.getLogger("llmkit.stream")

# How long a finaliser may take, in seconds.
FINALISER_LIMIT = 10.0
# How long an event loop may be busy with something else, in seconds.
PULSE_LIMIT = 0.6


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


class AsyncBell:
    """Wakes all in an event loop that wait for what is new. It is made in this loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Wake them. May come from any thread."""
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001  # documented; get_running_loop() would raise
            thread_safe(self._loop, self.ring)()
            return
        for woken in self._waiting:
            woken.set()

    async def wait(self, is_new: Callable[[], object], signal: AbortSignal) -> None:
        """Wait until there is something new, or the call is aborted."""
        if is_new() or signal.aborted:
            return
        woken = asyncio.Event()
        wake = thread_safe(asyncio.get_running_loop(), woken.set)
        self._waiting.add(woken)
        signal.add(wake)
        try:
            while not (is_new() or signal.aborted):
                await woken.wait()
                woken.clear()
        finally:
            self._waiting.discard(woken)
            signal.remove(wake)


class AsyncPulse:
    """Whether an event loop runs, for another thread: it is asked, and has so long to answer. It is made in this loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: float | None = None

    def beats(self) -> bool:
        """Ask it, and say whether it has answered in time, as far as that is known."""
        now, asked = time.monotonic(), self._asked
        if asked is None:
            self._asked = asked = now
            thread_safe(self._loop, self._answer)()
        return not self._loop.is_closed() and now - asked < PULSE_LIMIT

    def _answer(self) -> None:
        self._asked = None


def async_run_apart(
    work: Callable[[], Coroutine[Any, Any, object]],
    done: Callable[[BaseException | None], object],
    tasks: set[asyncio.Task[Any]],
    host: Host,  # noqa: ARG001
) -> None:
    """Run the work in a task of its own, for as long as it takes; then say how it ended: with an error, or without."""
    task = _start(asyncio.get_running_loop(), work, tasks, limit=None)
    task.add_done_callback(
        lambda task: done(asyncio.CancelledError() if task.cancelled() else task.exception())
    )


async def async_finished(tasks: set[asyncio.Task[Any]], loop: asyncio.AbstractEventLoop) -> None:
    """Wait for what still runs in a loop, however it ends, and for what that begins."""
    # Loops of other threads add theirs.
    while mine := [task for task in list(tasks) if task.get_loop() is loop and not task.done()]:
        await asyncio.gather(*mine, return_exceptions=True)


def async_refuse_awaited(functions: Iterable[tuple[str, Callable[..., Any]]]) -> None:
    """Refuse functions that nobody awaits: here they are awaited."""


async def async_may_run_apart(host: Host) -> bool:  # noqa: ARG001
    """Say whether work of a call may run in a task of its own."""
    return True


async def async_in_host(host: Host, work: Callable[[], T], seconds: float) -> T:
    """Run a function of the app's where it is at home; return what it returns. Its thread goes on to its own end, whoever waits.

    Raises:
        TookTooLong: it has not returned after so many seconds.
    """

    def whole() -> T:
        try:
            return work()
        except (
            StopIteration
        ) as error:  # which no future takes before Python 3.12: its caller would wait for ever
            raise RuntimeError("the function raised StopIteration") from error

    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            found: T = await host.from_async(whole)
    except TimeoutError:
        if limit.expired():
            raise TookTooLong from None
        raise  # its own
    return found


async def async_at_once(host: Host) -> bool:
    """Ask where the app's async code does what waits, whether its functions run there."""
    return host.at_once is not never and bool(await host.from_async(host.at_once))


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
    limit: float | None = FINALISER_LIMIT,
) -> asyncio.Task[T]:
    task = loop.create_task(work() if limit is None else _limited(work(), limit))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


async def _limited(work: Coroutine[Any, Any, T], limit: float) -> T:
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:  # its traceback would be ours
        log.error("a finaliser took longer than %s s and was cancelled", limit)  # noqa: TRY400
        raise

"""The waits of threads, with their locks; `tasks` has the same for async code.

The generated drivers in `_sync/` use these, those in `_async/` the others.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.host_threads import Host, ask_host_thread, in_host_thread, never
from llmkit.concurrency.jobs import is_async
from llmkit.concurrency.limit import ConcurrencyLimit, queue_full
from llmkit.concurrency.timers import Timer as Timer  # noqa: PLC0414  # for the generated drivers, too
from llmkit.concurrency.timers import timers
from llmkit.errors import InvalidRequest, StreamClosed

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class TookTooLong(Exception):
    """A function of the app's took longer than whoever waits for it can wait."""


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


class Bell:
    """Wakes all threads that wait for what is new."""

    def __init__(self) -> None:
        self._waiting: set[threading.Event] = set()

    def ring(self) -> None:
        """Wake them."""
        for woken in list(self._waiting):
            woken.set()

    def wait(self, is_new: Callable[[], object], signal: AbortSignal) -> None:
        """Wait until there is something new, or the call is aborted."""
        if is_new() or signal.aborted:
            return
        woken = threading.Event()
        self._waiting.add(woken)
        signal.add(woken.set)
        try:
            while not (is_new() or signal.aborted):
                woken.wait()
                woken.clear()
        finally:
            self._waiting.discard(woken)
            signal.remove(woken.set)


class Pulse:
    """Whether threads run: as long as their process does."""

    def beats(self) -> bool:
        """Say so."""
        return True


def run_apart(
    work: Callable[[], object],
    done: Callable[[BaseException | None], object],
    tasks: set[asyncio.Task[Any]],  # noqa: ARG001
    host: Host,
) -> None:
    """Run the work in a thread of its own, for as long as it takes; then say how it ended: with an error, or without."""

    def run() -> object:
        in_host_thread.set(None)  # whoever has called may be gone
        return work()

    host.start(run, lambda _, error: done(error))


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


def may_run_apart(host: Host) -> bool:
    """Say whether work of a call may run in a thread of its own; in a test whose data no other thread sees it may not."""
    return not at_once(host)


def in_host(host: Host, work: Callable[[], T], seconds: float) -> T:  # noqa: ARG001
    """Run a function of the app's where it is at home: in the thread of whoever calls, which nothing can take out of it.

    Raises:
        TookTooLong: it has returned, after more than so many seconds.
    """
    begun = time.monotonic()
    found = work()
    if time.monotonic() - begun > seconds:
        raise TookTooLong
    return found


def at_once(host: Host) -> bool:
    """Ask in the thread of whoever called whether the app's functions run there."""
    return host.at_once is not never and bool(ask_host_thread(host.at_once))

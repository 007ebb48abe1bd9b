"""The waits of tests: for what another process does, and those whose two forms differ."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(what: Callable[[], Any], wanted: Any, seconds: float = 60) -> None:
    """Wait until it is so; say what it is if it never is. For what happens in another process, which wakes nobody here."""
    until = time.monotonic() + seconds
    while (found := what()) != wanted and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert found == wanted, f"it is {found!r}, not {wanted!r}"


async def async_call(function: Callable[[], T]) -> T:
    """Call what blocks in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(function)


def call(function: Callable[[], T]) -> T:
    """Call it: a thread may wait."""
    return function()


async def async_together(works: Sequence[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
    """Run coroutine functions side by side; return what each has returned or raised."""
    tasks = [asyncio.ensure_future(work()) for work in works]
    return await asyncio.gather(*tasks, return_exceptions=True)  # type: ignore[return-value]  # none of them is cancelled


def together(works: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run functions side by side, in threads; return what each has returned or raised."""
    found: dict[int, T | Exception] = {}

    def run(at: int, work: Callable[[], T]) -> None:
        try:
            found[at] = work()
        except Exception as error:  # the test wants it
            found[at] = error

    threads = [
        threading.Thread(target=run, args=(at, work), daemon=True) for at, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[at] for at in range(len(works))]

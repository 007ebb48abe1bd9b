"""How functions of the app's are run: in which thread, and within what of the app's."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
FromAsync: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in a thread in which the app's own code may run, and returns what it returns."""


Work: TypeAlias = Callable[[], None]

# Runs work in the thread that a connection belongs to, where another thread makes the call for it: a relay's reader.
in_host_thread: ContextVar[Callable[[Work], None] | None] = ContextVar(
    "in_host_thread", default=None
)


def ask_host_thread(question: Callable[[], T]) -> T:
    """Ask something in the thread that a connection belongs to: that of whoever called, where a relay reads for it."""
    run = in_host_thread.get()
    if run is None:
        return question()
    answers: list[T] = []
    run(lambda: answers.append(question()))
    return answers[0]


async def in_any_thread(work: Callable[[], Any]) -> Any:
    """Run it in any thread."""
    import asyncio  # noqa: PLC0415  # not for those who have threads only

    return await asyncio.to_thread(work)


def never() -> bool:
    """Say that no test is running whose data one thread alone sees."""
    return False


@dataclass(frozen=True, slots=True)
class Host:
    """Where an app's own functions are at home. What they need of it is the adapter's to say.

    Attributes:
        from_async: runs one for async code in the thread in which the app's async code does what waits.
        within: makes what they run within in a thread of llmkit's, such as the app's context.
        at_once: says whether they run in the thread of whoever calls, as in a test whose data no other thread sees.
    """

    from_async: FromAsync = in_any_thread
    within: Callable[[], AbstractContextManager[object]] = nullcontext
    at_once: Callable[[], bool] = never

    def start(
        self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], object]
    ) -> None:
        """Run it in a thread of its own, with the caller's context variables; then say what it returned, or raised.

        The thread may take as long as it likes: no pool of the app's is used up by it, and the process ends without it.
        """

        def run() -> None:
            value, failure = None, None
            try:
                with self.within():
                    value = work()
            except BaseException as error:  # noqa: BLE001  # it is for whoever waits
                failure = error
            done(value, failure)

        threading.Thread(
            target=copy_context().run, args=(run,), name="llmkit-work", daemon=True
        ).start()

"""Cancel a coroutine at the await point of one's choice, as its task would be cancelled."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Literal

How = Literal["once", "twice", "again and again"]


class Steps:
    """Counts the points at which a coroutine waits, and cancels the running task at one of them.

    Args:
        at: the point, from 1; None cancels nowhere.
        how: once; at the next point too; or at every later one, as a cancelled scope of anyio does.
    """

    def __init__(self, at: int | None, how: How) -> None:
        self._at = at
        self._how = how
        self.count = 0

    @types.coroutine
    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run the coroutine in the current task."""
        advance = _sending(coroutine, None)
        while True:
            try:
                waits_for = advance()
            except StopIteration as end:
                return end.value
            self.count += 1
            if self._cancels():
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield waits_for
            except BaseException as error:
                advance = _throwing(coroutine, error)
            else:
                advance = _sending(coroutine, value)

    def _cancels(self) -> bool:
        if self._at is None:
            return False
        past = self.count - self._at
        return (
            past == 0
            or (past == 1 and self._how == "twice")
            or (past > 0 and self._how == "again and again")
        )


def _throwing(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)


def _sending(coroutine: Coroutine[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: coroutine.send(value)

"""What budgets ask of Redis and of the database, one thing after the other: the same for threads and for event loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

from llmkit.budget.base import Source
from llmkit.budget.script import Ask, script
from llmkit.errors import BudgetUnavailable
from llmkit.redis.asking import Patience, RedisUnavailable, ScriptFailed
from llmkit.redis.room import RedisRoom

T = TypeVar("T")


class Kept(NamedTuple):
    """What is asked where budgets are kept for good."""

    ask: Callable[[Source], Any]
    aask: Callable[[Source], Awaitable[Any]]


Steps = Generator[Ask | Kept, Any, T]
"""What is asked, one after the other, by threads and by event loops."""


class Runner:
    """Takes such steps. All together wait for Redis no longer than one call may.

    Args:
        room: which Redis.
        source: where budgets are kept for good, if they are.
        clock: gives the time in seconds.

    Attributes:
        source: as above.
    """

    def __init__(self, room: RedisRoom, source: Source | None, clock: Callable[[], float]) -> None:
        self._room = room
        self.source = source
        self._clock = clock

    def run(self, steps: Steps[T]) -> T:
        """Take them; a thread waits.

        Raises:
            BudgetUnavailable: Redis does not answer.
        """
        patience = Patience(self._clock)
        try:
            ask = next(steps)
            while True:
                try:
                    answer = self._answer(ask, patience)
                except BudgetUnavailable as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    async def arun(self, steps: Steps[T]) -> T:
        """Do what `run` does, without blocking the event loop."""
        patience = Patience(self._clock)
        try:
            ask = next(steps)
            while True:
                try:
                    answer = await self._aanswer(ask, patience)
                except BudgetUnavailable as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found

    def _answer(self, ask: Ask | Kept, patience: Patience) -> Any:
        if isinstance(ask, Kept):
            return None if self.source is None else ask.ask(self.source)
        try:
            return self._room.run(script(), ask.keys, ask.args, patience)
        except (RedisUnavailable, ScriptFailed) as error:
            raise _unavailable(error) from error

    async def _aanswer(self, ask: Ask | Kept, patience: Patience) -> Any:
        if isinstance(ask, Kept):
            return None if self.source is None else await ask.aask(self.source)
        try:
            return await self._room.arun(script(), ask.keys, ask.args, patience)
        except (RedisUnavailable, ScriptFailed) as error:
            raise _unavailable(error) from error


def _unavailable(error: RedisUnavailable | ScriptFailed) -> BudgetUnavailable:
    return BudgetUnavailable(
        f"the budgets cannot be asked: {error.message}",
        hint="Another program may have changed keys that begin with your namespace; give llmkit one of its own (namespace)."
        if isinstance(error, ScriptFailed)
        else "Check that Redis is running, and that its URL (redis) is right.",
    )

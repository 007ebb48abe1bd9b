"""Functions of the app's that are run side by side: what each is, and how it ended. `tasks` and `threads` run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction, signature
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One of them.

    Attributes:
        work: the function, without arguments.
        finish: makes of what it returns what is wanted. That may take long, too.
        is_async: whether it is awaited.
        timeout: how long it may take, in seconds; None for as long as it likes.
    """

    work: Callable[[], Any]
    finish: Callable[[Any], Any]
    is_async: bool
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How one ended.

    Attributes:
        at: which.
        value: what was made of it.
        error: what it raised, or `TookTooLong`; None if nothing.
    """

    at: int
    value: Any
    error: BaseException | None


class TookTooLong(Exception):
    """It did not end in its time."""


class NoPlace(Exception):
    """It was not begun: others that have taken too long still run, in all the places that there are."""


class Unfit(TypeError):
    """What it returned cannot be used. The message is llmkit's own, and quotes nothing."""


def can_take(function: Callable[..., Any], count: int) -> bool:
    """Say whether a function can be called with so many arguments. One whose signature cannot be read is taken as it is."""
    try:
        # What is called is the wrapper, whatever the function takes that it is wrapped around.
        parameters = signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return True
    try:
        parameters.bind(*[None] * count)
    except TypeError:
        return False
    return True


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a function, or an object that can be called, is async."""
    called = getattr(function, "__call__", None)  # noqa: B004  # of an object
    return iscoroutinefunction(function) or iscoroutinefunction(called)


class Line:
    """Which jobs may begin, and which have taken too long. Whoever runs them says what time it is.

    One that has taken too long keeps its place until it ends, for nothing ends a thread from outside. Where such ones have all the places, the
    next waits for one as long as it may take itself; then it is not begun, nor are those behind it.

    Args:
        jobs: in the order in which they begin.
        limit: how many places there are.
    """

    def __init__(self, jobs: Sequence[Job], limit: int) -> None:
        self._waiting = list(enumerate(jobs))
        self._limit = limit
        self._until: dict[int, float | None] = {}
        self._hanging: set[int] = set()
        self._waits_since: float | None = None
        self._is_stuck = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nobody waits for anything."""
        return not self._waiting and not self._until

    def begin(self, now: float) -> list[tuple[int, Job]]:
        """Return those that begin now, each with its number."""
        room = max(0, self._limit - len(self._until) - len(self._hanging))
        found, self._waiting = self._waiting[:room], self._waiting[room:]
        for at, job in found:
            self._until[at] = None if job.timeout is None else now + job.timeout
            self._is_stuck = False
        if found or self._until or not self._waiting:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        return found

    def ended(self, at: int) -> bool:
        """Give its place to the next one. Say whether anybody waited for it."""
        self._hanging.discard(at)
        return self._until.pop(at, 0) != 0

    def late(self, now: float) -> Ended | None:
        """Return one that has taken too long, or waited too long for a place; None if none has."""
        for at, until in self._until.items():
            if until is not None and until <= now:
                del self._until[at]
                self._hanging.add(at)
                return Ended(at, None, TookTooLong())
        since, waiting = self._waits_since, self._waiting
        if since is not None and waiting and (self._is_stuck or since + _patience(waiting) <= now):
            self._is_stuck = True
            self._waiting = waiting[1:]
            return Ended(waiting[0][0], None, NoPlace())
        return None

    def left(self, now: float) -> float | None:
        """Return in how many seconds one will be late; None if none ever will."""
        moments = [until for until in self._until.values() if until is not None]
        waiting = self._waiting
        if self._waits_since is not None and waiting:
            moments.append(self._waits_since + _patience(waiting))
        return min(moments) - now if moments else None

    def close(self) -> None:
        """Begin no more. May come from any thread."""
        self._waiting = []


def _patience(waiting: Sequence[tuple[int, Job]]) -> float:
    """Return how long the first one waits for a place, in seconds."""
    _, job = waiting[0]
    return job.timeout or 0.0

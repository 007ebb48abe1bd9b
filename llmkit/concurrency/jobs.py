"""Functions of the app's that are run side by side: what each is, and how it ended. `tasks` and `threads` run them."""

from __future__ import annotations

from collections.abc import Callable
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

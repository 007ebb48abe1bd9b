"""How async code runs a function of the app's that waits, such as for a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

FromAsync: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in a thread in which the app's own code may run, and returns what it returns."""


async def in_any_thread(work: Callable[[], Any]) -> Any:
    """Run it in any thread."""
    import asyncio  # noqa: PLC0415  # not for those who have threads only

    return await asyncio.to_thread(work)

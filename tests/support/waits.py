"""The waits of tests whose two forms differ."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def async_call(function: Callable[[], T]) -> T:
    """Call what blocks in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(function)


def call(function: Callable[[], T]) -> T:
    """Call it: a thread may wait."""
    return function()

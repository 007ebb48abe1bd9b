"""The waits of tests: for what another process does, and those whose two forms differ."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
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

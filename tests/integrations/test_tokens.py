"""Where the function runs that fetches a token."""

from __future__ import annotations

import asyncio
import threading

from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit


def test_beside_the_event_loop() -> None:
    """For async code in a thread of its own, however long it takes; for threads in that of whoever calls."""
    threads: list[threading.Thread] = []

    def token() -> str:
        threads.append(threading.current_thread())
        return "t"

    async def ask() -> None:
        await kit.async_client.complete("Hi")
        await kit.aclose()

    with Emulator(behaviour=Behaviour(delay=0, tokens=1)) as emulator:
        own = {"wire": "gemini", "base_url": emulator.base_url, "token": token}
        kit = make_kit(emulator, providers={"own": own}, models={"default": "own:m"})
        kit.client.complete("Hi")
        asyncio.run(ask())
    assert threads[0] is threading.current_thread()
    assert threads[1] is not threading.current_thread()

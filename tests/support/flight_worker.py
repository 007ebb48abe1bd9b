"""`python -m support.flight_worker SETTINGS COUNT async|sync LEASE`: so many ask the same in one process.

It prints "begun" when each has heard something, and at its end what each has heard, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from llmkit import Event, Kit, Reset, Response
from llmkit.redis import address, asking
from support.waits import together


class Worker:
    """Asks, and takes note.

    Args:
        settings: of the kit, as JSON.
        count: how many ask.
    """

    def __init__(self, settings: str, count: int) -> None:
        self.kit = Kit(json.loads(settings))
        self.count = count
        self._begun = 0
        self._lock = threading.Lock()

    def begun(self) -> None:
        """Take note that one has heard something."""
        with self._lock:
            self._begun += 1
            if self._begun == self.count:
                print("begun", flush=True)

    def told(self, reply: Response, events: list[Event]) -> dict[str, Any]:
        """Say what one has heard."""
        resets = sum(isinstance(event, Reset) for event in events)
        return {
            "text": reply.text,
            "resets": resets,
            "shared": reply.shared,
            "at": reply.stop_reason,
        }

    def ask(self) -> dict[str, Any]:
        """Ask in a thread."""
        heard: list[Event] = []
        with self.kit.client.stream("Say it", temperature=0) as stream:
            while (events := stream.read()) is not None:
                if not heard:
                    self.begun()
                heard += events
        return self.told(stream.response, heard)

    async def ask_async(self) -> dict[str, Any]:
        """Ask in an event loop."""
        heard: list[Event] = []
        async with self.kit.async_client.stream("Say it", temperature=0) as stream:
            while (events := await stream.read()) is not None:
                if not heard:
                    self.begun()
                heard += events
        return self.told(stream.response, heard)

    async def run_async(self) -> list[Any]:
        """Ask in one event loop."""
        found = await asyncio.gather(*(self.ask_async() for _ in range(self.count)))
        await self.kit.aclose()
        return found

    def run(self) -> list[Any]:
        """Ask in threads."""
        found = together([self.ask] * self.count)
        self.kit.close()
        return found


def main(settings: str, count: int, how: str, lease: float) -> None:
    """Ask. On a busy machine a process may be silent for longer than it would be, and Redis, too."""
    asking.PATIENCE = 60.0
    address.CONNECT = address.ANSWER = 30.0
    worker = Worker(settings, count)
    cache = worker.kit.runtime.cache
    assert cache is not None and cache.exchange is not None
    cache.exchange.calls.lease = lease
    found = asyncio.run(worker.run_async()) if how == "async" else worker.run()
    print(json.dumps(found, default=repr), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))

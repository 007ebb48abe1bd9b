"""One kit in several loops and processes."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.forks import needs_fork
from support.kits import settings


@needs_fork
def test_a_fork_counts_its_own_places() -> None:
    """A child's first call takes a place of the child's and gives it back; the parent's stay the parent's."""
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = Kit(settings(emulator, concurrency={"per_process": 1}))
        kit.client.complete("Say hi")
        with kit.client.stream("Say hi"):
            assert kit.limit.running == 1
            child = os.fork()
            if child == 0:  # pragma: no cover  # in another process
                kit.client.complete("Say hi")
                os._exit(0 if kit.limit.running == 0 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert kit.limit.running == 1
        assert kit.limit.running == 0
        kit.close()


def test_one_kit_in_the_loops_of_several_threads() -> None:
    """Each thread runs loop after loop, and their connections come and go side by side."""
    errors: list[BaseException] = []
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = Kit(settings(emulator))

        async def call() -> Any:
            return await kit.async_client.complete("Say hi")

        def work() -> None:
            try:
                for _ in range(25):
                    asyncio.run(call())
            except BaseException as error:  # raised again below
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kit.close()
        emulator.wait_for_connections(0)
    assert errors == []
    assert len(emulator.requests) == 150

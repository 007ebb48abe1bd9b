"""Shared calls and what ends under them: an event loop, a process; and where nothing is shared."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from llmkit import AsyncStream, Kit, StreamClosed
from llmkit.testing import Behaviour, Emulator
from support.forks import needs_fork
from support.kits import make_kit
from support.left_over import threads
from support.rows import database, rows

HELD = Behaviour(tokens=20, delay=0, hold_at=3)


def kit_of(emulator: Emulator, folder: Path, **more: Any) -> Kit:
    """Make a kit with a cache."""
    ledger = {"database": database(folder)}
    return make_kit(emulator, **{"ledger": ledger, "cache": {"scope": "all"}, **more})


@pytest.mark.parametrize("how", ["the kit is closed", "the loop ends"])
def test_a_loop_ends(tmp_path: Path, how: str) -> None:
    """With a call that several follow: its provider is told to stop, each has its row, and who still reads is told."""
    streams: list[AsyncStream] = []

    async def work(kit: Kit) -> None:
        for _ in range(3):
            streams.append(await kit.async_client.stream("Say it", temperature=0).open())
        if how == "the kit is closed":
            await kit.aclose()
            for stream in streams:
                with pytest.raises(StreamClosed):
                    while await stream.read() is not None:
                        pass

    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        asyncio.run(work(kit))
        emulator.wait_until_gone(0)
        assert len(kit.runtime.flights) == 0
        if how == "the loop ends":
            for stream in streams:
                stream.abandon()
            kit.close()
        assert len(emulator.requests) == 1
    paid, *shared = rows(tmp_path)
    assert (paid["attempt"], paid["status"]) == (1, "cancelled")
    assert threads() == []
    if how == "the kit is closed":
        assert [(row["attempt"], row["status"]) for row in shared] == [(0, "cancelled")] * 2


def test_a_loop_ends_before_anything_was_said(tmp_path: Path) -> None:
    """While all wait for the first word, or for a place: nothing is waited for."""
    held = Behaviour(tokens=20, head_delay=60)
    with Emulator(behaviour=held) as emulator:
        kit = kit_of(emulator, tmp_path, concurrency={"per_process": 1})

        async def work() -> None:
            asked = [
                asyncio.create_task(kit.async_client.complete(f"Say {at}", temperature=0))
                for at in (1, 1, 2, 2)
            ]
            await asyncio.to_thread(emulator.wait_for_requests, 1)
            assert len(kit.runtime.flights) == 2
            for each in asked:
                each.cancel()
            await asyncio.wait(asked)
            assert len(kit.runtime.flights) == 0
            again = asyncio.create_task(kit.async_client.complete("Say 3", temperature=0))
            await asyncio.to_thread(emulator.wait_for_requests, 2)
            await kit.aclose()
            await asyncio.wait([again])
            assert isinstance(again.exception(), StreamClosed)

        asyncio.run(work())
    assert {row["status"] for row in rows(tmp_path)} == {"cancelled"}


@needs_fork
def test_a_fork_has_none(tmp_path: Path) -> None:
    """The child asks for itself: the call under way is its parent's."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        stream = kit.client.stream("Say it", temperature=0).open()
        emulator.script(Behaviour(tokens=2, delay=0))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                reply = kit.client.complete("Say it", temperature=0)
                stream.close()
                code = 0 if not reply.shared and len(reply.text.split()) == 2 else 2
                kit.runtime.flush(30)
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        emulator.release(None)
        while stream.read() is not None:
            pass
        assert len(stream.response.text.split()) == 20
        kit.close()
        assert len(emulator.requests) == 2

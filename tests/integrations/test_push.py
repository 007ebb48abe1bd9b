"""The relay for hosts that are written to: what it writes after a reader has left, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Mapping

import pytest

from llmkit.relay.push import PushRelay
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit

pytestmark = pytest.mark.anyio


class Sink:
    """Notes what is written; breaks at a part of the body, counted from 1, if it is told to."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.status: int | None = None
        self.parts: list[bytes] = []
        self.ended = False
        self._breaks_at = breaks_at

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        assert self.status is None, "the head was written twice"
        self.status = status

    async def send(self, data: bytes, *, more: bool) -> None:
        assert self.status is not None, "the body came before its head"
        assert not self.ended, "the body went on after its end"
        self.parts.append(data)
        self.ended = not more
        if len(self.parts) == self._breaks_at:
            raise ConnectionResetError


ENDS: dict[str, tuple[Behaviour, int | None, int, bool]] = {
    "to its end": (Behaviour(tokens=3, delay=0), None, 200, True),
    "failed before it began": (Behaviour(status=400), None, 502, True),
    "failed in the midst": (Behaviour(tokens=3, delay=0, terminal=False), None, 200, True),
    "left in the midst": (Behaviour(tokens=3, delay=0, hold_at=2), 1, 200, False),
}


@pytest.mark.parametrize("end", ENDS)
async def test_nothing_stays(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it ends, one head and at most one end are written, and no timer of the loop keeps the relay."""
    # pytest keeps what is logged: the error, which knows its frames.
    monkeypatch.setattr(logging.getLogger("llmkit.relay"), "disabled", True)
    behaviour, breaks_at, status, ended = ENDS[end]
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, retry={"attempts": 1})
        sink = Sink(breaks_at)
        relay = PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=60)
        await relay.run()
        kept = weakref.ref(relay)
        del relay
        gc.collect()
        assert kept() is None
        assert (sink.status, sink.ended) == (status, ended)
        assert kit.limit.running == 0
        await kit.aclose()


async def test_a_reader_that_left_before_the_call_began() -> None:
    """The response is ended for the host's own middleware, with a status of its own; nothing else is written, and nobody asked."""
    with Emulator() as emulator:
        kit = make_kit(emulator)
        sink = Sink()
        relay = PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=60)
        relay.abort()
        await relay.run()
        assert (sink.status, sink.parts, sink.ended) == (499, [b""], True)
        assert emulator.requests == []
        await kit.aclose()


class Stalled(Sink):
    """Takes the first part, and lets it wait until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.waiting = 0

    async def send(self, data: bytes, *, more: bool) -> None:
        self.waiting += 1
        await self.go_on.wait()
        await super().send(data, more=more)


async def test_heartbeats_wait_for_one_another() -> None:
    """A reader that stalls for many heartbeats has one of them to read."""
    with Emulator(behaviour=Behaviour(hold_at=1)) as emulator:
        kit = make_kit(emulator)
        sink = Stalled()
        relay = PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=0.01)
        running = asyncio.create_task(relay.run())
        async with asyncio.timeout(10):
            while not sink.waiting:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert sink.waiting == 1
        sink.go_on.set()
        async with asyncio.timeout(10):
            while len(sink.parts) < 2:
                await asyncio.sleep(0.01)
        relay.abort()
        await running
        await kit.aclose()

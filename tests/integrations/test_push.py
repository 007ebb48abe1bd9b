"""The relay for hosts that are written to: what it writes after a reader has left, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
import weakref
from collections.abc import Awaitable, Callable, Mapping

import pytest

from llmkit import AsyncCallNext, AsyncStream, Call, LLMKitError
from llmkit.errors import QueueFull, StreamClosed
from llmkit.events import Event
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


class Fails:
    """A middleware that does something, and fails with an error of llmkit's."""

    def __init__(self, error: LLMKitError, first: Callable[[], Awaitable[None]]) -> None:
        self._error = error
        self._first = first

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        await self._first()
        raise self._error


async def test_a_call_that_fails_as_the_reader_leaves() -> None:
    """The response has its end, as with a call that was stopped: no problem that nobody reads, and not nothing at all."""
    relays: list[PushRelay] = []

    async def leave() -> None:
        relays[0].abort()

    with Emulator() as emulator:
        kit = make_kit(emulator, middleware=[Fails(QueueFull("full"), leave)])
        sink = Sink()
        relays.append(PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=60))
        await relays[0].run()
        assert (sink.status, sink.parts, sink.ended) == (499, [b""], True)
        await kit.aclose()


class Trailing(AsyncStream):
    """A stream of an app's own, which fails where the answer is over."""

    def __init__(self, stream: AsyncStream) -> None:
        super().__init__(stream.call, stream._source, [])
        self._stream = stream

    async def read(self) -> list[Event] | None:
        events = await self._stream.read()
        if events is None:
            raise QueueFull("too late")
        return events

    async def aclose(self) -> None:
        self._closed = True
        await self._stream.aclose()


class Leaving(Sink):
    """Leaves once all is written."""

    leave: Callable[[], None]

    async def send(self, data: bytes, *, more: bool) -> None:
        await super().send(data, more=more)
        if not more:
            self.leave()


class Trails:
    """Puts such a stream around the answer."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        return Trailing(await call_next(call))


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_failure_behind_the_end(leaves: bool) -> None:
    """What was written is complete, and nothing follows it, also where the server says then that the reader has left."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        kit = make_kit(emulator, middleware=[Trails()])
        sink = Leaving() if leaves else Sink()
        relay = PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=60)
        if isinstance(sink, Leaving):
            sink.leave = relay.abort
        await relay.run()
        body = b"".join(sink.parts)
        assert (sink.status, sink.ended) == (200, True)
        assert body.endswith(b"data: [DONE]\n\n")
        assert b"event: error" not in body
        await kit.aclose()


class Yielding(Sink):
    """Lets others run before it takes anything, as a server may that writes to a slow browser."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        await asyncio.sleep(0)
        await super().start(status, headers)

    async def send(self, data: bytes, *, more: bool) -> None:
        await asyncio.sleep(0)
        await super().send(data, more=more)


BEAT = 0.01


async def until_a_heartbeat_is_due() -> None:
    """Hold the loop up until it is, then let it see that: the heartbeat's task is made, and has not begun."""
    loop = asyncio.get_running_loop()
    due = loop.time() + BEAT
    while loop.time() <= due:
        pass
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("error", "status", "last"),
    [(QueueFull("full"), 429, b"event: error\n"), (StreamClosed("stopped"), 499, b"")],
)
async def test_a_call_that_ends_as_a_heartbeat_begins(
    error: LLMKitError, status: int, last: bytes
) -> None:
    """The heartbeat comes first, and what follows is of the answer that it began; or it does not come at all."""
    with Emulator() as emulator:
        kit = make_kit(emulator, middleware=[Fails(error, until_a_heartbeat_is_due)])
        sink = Yielding()
        await PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=BEAT).run()
        await kit.aclose()
    assert sink.ended
    if sink.status == status:  # another kind of loop may take them in another order
        assert len(sink.parts) == 1
    else:
        beat, end = sink.parts
        assert (sink.status, beat) == (200, b": \n\n")
        assert (last in end) if last else (not end)


async def test_an_open_relay_goes_on_with_run() -> None:
    """Who wants to see the status before the body opens it first."""
    sink = Sink()
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = make_kit(emulator)
        relay = await PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=5).open()
        assert sink.status is None
        await relay.run()
        await kit.aclose()
    assert (sink.status, sink.ended) == (200, True)
    assert sink.parts[-1].endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("fails", [True, False])
async def test_a_relay_that_nobody_runs_leaves_nothing(fails: bool) -> None:
    """No timer writes heartbeats for it, and its place is free."""
    sink = Sink()
    behaviour = Behaviour(status=401) if fails else Behaviour(tokens=9, delay=0, hold_at=2)
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator, concurrency={"per_process": 1})
        relay: PushRelay | None = PushRelay(kit.async_client.stream("Say hi"), sink, heartbeat=0.01)
        assert relay is not None
        if fails:
            with pytest.raises(LLMKitError):
                await relay.open()
        else:
            await relay.open()
        held = weakref.ref(relay)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            relay = None
            gc.collect()
            while held() is not None or kit.limit.running:  # a heartbeat may be under way
                await asyncio.sleep(0)
        await kit.aclose()

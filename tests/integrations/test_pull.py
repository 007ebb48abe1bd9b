"""The relay as a body for hosts that pull: the reader's thread and the host's thread wait for each other, and always go on."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmkit import Kit, LedgerUnavailable, Outcome
from llmkit.concurrency.host_threads import in_host_thread
from llmkit.relay.dialects.text import HEARTBEAT
from llmkit.relay.pull import PullRelay
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.left_over import threads
from support.rows import database, rows
from support.waits import wait_for

# Longer than any machine is silent here: a heartbeat means that a thread waited in vain.
NEVER = 20


def relay_of(kit: Kit, **options: Any) -> PullRelay:
    """Relay a call."""
    return PullRelay(kit.client.stream("Say hi"), **{"heartbeat": NEVER, **options}).open()


def readers() -> list[str]:
    """Name the threads that read for a host."""
    return [name for name in threads() if name == "llmkit-reader"]


class Reads:
    """A middleware that counts what the reader's thread has read."""

    def __init__(self) -> None:
        self.read = threading.Semaphore(0)

    def handle(self, call: Any, call_next: Any) -> Any:
        stream = call_next(call)
        stream.tap(lambda events: self.read.release())
        return stream


def drop(held: list[PullRelay]) -> None:
    held.clear()
    gc.collect()


def close_in_a_thread(held: list[PullRelay]) -> None:
    thread = threading.Thread(target=held[0].close)
    thread.start()
    thread.join(30)


WAYS: dict[str, Callable[[list[PullRelay]], None]] = {
    "closed": lambda held: held[0].close(),
    "closed in a thread": close_in_a_thread,
    "dropped": drop,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_that_waits_for_a_slow_browser_ends_with_it(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is full, and the browser leaves: the thread ends, the model is left, the row says so."""
    monkeypatch.setattr("llmkit.relay.pull.QUEUE_BYTES", 1)
    reads = Reads()
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, middleware=[reads], ledger={"database": database(tmp_path)})
        held = [relay_of(kit)]
        assert reads.read.acquire(timeout=30)
        for _ in range(2):  # one fills the queue, the next one has to wait
            emulator.release()
            assert reads.read.acquire(timeout=30)
        WAYS[way](held)
        wait_for(readers, [])
        emulator.wait_until_gone(0)
        assert kit.limit.running == 0
        kit.close()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]


def test_a_reader_goes_on_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each take makes room, and the reader is told."""
    monkeypatch.setattr("llmkit.relay.pull.QUEUE_BYTES", 1)
    with Emulator(behaviour=Behaviour(tokens=200, delay=0.001)) as emulator:
        kit = make_kit(emulator)
        text = b""
        for part in relay_of(kit):
            assert part != HEARTBEAT
            text += part
        kit.close()
    assert text.endswith(b"data: [DONE]\n\n")
    assert text.count(b"data: {") > 3


class AboutToWait:
    """A clock for the host's thread, which asks it once before it looks for what is there, and again when it is about to wait.

    Something is done then and no sooner, while the thread still holds the lock: what comes of it has to wake the thread.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self.asked = 0
        self._act = act

    def __call__(self) -> float:
        self.asked += 1
        if self.asked > 1:
            self._act()
        return time.monotonic()


def test_a_browser_that_waits_gets_what_comes() -> None:
    """The host's thread is told of each read, and of the end."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=1)) as emulator:
        kit = make_kit(emulator)

        def release() -> None:
            emulator.wait_for_requests(1, timeout=30)
            emulator.release()

        clock = AboutToWait(release)
        relay = relay_of(kit, clock=clock)
        parts = []
        clock.asked = 0
        for part in relay:
            parts.append(part)
            clock.asked = 0
        kit.close()
    assert HEARTBEAT not in parts
    assert len(parts) >= 5
    assert parts[-1].endswith(b"data: [DONE]\n\n")


class Errands:
    """A middleware with work that belongs to the host's thread, at the opening, if it is let, and at the end."""

    def __init__(self, go: threading.Event | None = None) -> None:
        self.ran_in: list[threading.Thread] = []
        self.refused: list[LedgerUnavailable] = []
        self.at_the_end = threading.Event()
        self._go = go

    def handle(self, call: Any, call_next: Any) -> Any:
        if self._go is not None:
            assert self._go.wait(30)
            self.run()
        stream = call_next(call)
        stream.finalise(self.finish)
        return stream

    def finish(self, _: Outcome) -> None:
        self.at_the_end.set()
        self.run()

    def run(self) -> None:
        run = in_host_thread.get()
        assert run is not None
        try:
            run(lambda: self.ran_in.append(threading.current_thread()))
        except LedgerUnavailable as error:
            self.refused.append(error)


def test_work_of_the_hosts_thread() -> None:
    """It is done by the thread that waits for the answer, and again by the one that closes the body."""
    waits = threading.Event()
    errands = Errands(waits)
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, middleware=[errands])
        relay = relay_of(kit, clock=AboutToWait(waits.set))
        assert not next(relay).startswith(HEARTBEAT)
        assert errands.ran_in == [threading.current_thread()]
        relay.close()
        assert readers() == []
        kit.close()
    assert errands.ran_in == [threading.current_thread()] * 2
    assert errands.refused == []


@pytest.mark.parametrize("ended", [False, True])
def test_work_of_a_thread_that_has_left(ended: bool) -> None:
    """The body was dropped, and nobody comes back: the work is refused, whether it waits already or comes then."""
    errands = Errands()
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, middleware=[errands])
        held = [relay_of(kit)]
        if ended:
            emulator.release(None)
            assert errands.at_the_end.wait(30)
        drop(held)
        wait_for(readers, [])
        kit.close()
    assert errands.ran_in == []
    assert len(errands.refused) == 1


def test_a_body_may_be_closed_by_several_at_once() -> None:
    """One after the other, side by side, and again; who iterates then gets the end."""
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator)
        relay = relay_of(kit)
        closers = [threading.Thread(target=relay.close) for _ in range(4)]
        for thread in closers:
            thread.start()
        for thread in closers:
            thread.join(30)
        relay.close()
        assert list(relay) == []
        assert readers() == []
        emulator.wait_until_gone(0)
        assert kit.limit.running == 0
        kit.close()


def test_a_relay_that_is_not_open_says_so() -> None:
    """It does not answer with heartbeats for ever."""
    with Emulator(behaviour=Behaviour(tokens=2, delay=0)) as emulator:
        kit = make_kit(emulator)
        relay = PullRelay(kit.client.stream("Say hi"), heartbeat=0.01)
        with pytest.raises(RuntimeError, match=r"call open\(\)"):
            next(relay)
        relay.close()
        assert list(relay) == []
        kit.close()
        assert emulator.requests == []

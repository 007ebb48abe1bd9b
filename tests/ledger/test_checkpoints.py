"""What a long stream has so far is in its row, in case that nobody sees its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal

import pytest

from llmkit.concurrency.threads import Owner
from llmkit.errors import LedgerUnavailable
from llmkit.ledger import run
from llmkit.ledger.row import Progress
from llmkit.open_attempts import OpenAttempts
from llmkit.testing import Behaviour, Emulator
from llmkit.usage import Usage
from support.kits import WIRES, make_kit
from support.ledger import opening, read
from support.memory_store import MemoryStore, writing
from support.waits import wait_for


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Attempt:
    """An open attempt, as the runtime knows one."""

    def __init__(self, name: str, began: float, *, fails: bool = False) -> None:
        self.name = name
        self.noted_at = began
        self._fails = fails

    def progress(self) -> Progress | None:
        if self._fails:
            raise ValueError("a provider of the app's own")
        if self.name == "whole":
            return None
        return Progress(
            call_id=self.name,
            attempt=1,
            usage=Usage(),
            cost=None,
            price_version=None,
            first_content_at=None,
        )

    def abandon(self) -> None: ...

    def note_open_row(self) -> None: ...


def asked(attempts: list[Attempt], clock: Clock, pid: int | None = None) -> list[str]:
    """Return whose turn it is."""
    owner = Owner(os.getpid() if pid is None else pid)
    found = OpenAttempts(clock)
    for attempt in attempts:
        found.enter(attempt, owner)
    return [progress.call_id for progress in found.progress()]


def test_each_is_asked_once_a_period() -> None:
    """Not before it is fifteen seconds old, then every fifteen seconds; so they are spread as their beginnings are."""
    clock = Clock()
    attempts = [Attempt("old", 980.0), Attempt("new", 990.0), Attempt("whole", 900.0)]
    assert asked(attempts, clock) == ["old"]
    assert asked(attempts, clock) == []
    clock.now = 1005.0
    assert asked(attempts, clock) == ["new"]
    clock.now = 1015.0
    assert asked(attempts, clock) == ["old"]


def test_many_are_asked_less_often() -> None:
    """Above a thousand the period grows with their number."""
    clock = Clock()
    attempts = [Attempt(str(number), 1000.0) for number in range(5000)]
    clock.now = 1074.0
    assert asked(attempts, clock) == []
    clock.now = 1075.0
    assert len(asked(attempts, clock)) == 5000


def test_one_that_fails_keeps_no_other_from_its_row(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does one of a parent's, which is the parent's to ask."""
    clock = Clock()
    attempts = [Attempt("bad", 0.0, fails=True), Attempt("good", 0.0)]
    assert asked(attempts, clock) == ["good"]
    assert "what an open call has so far could not be said" in caplog.text
    assert asked([Attempt("parent's", 0.0)], clock, pid=1) == []


@pytest.mark.parametrize("wire", WIRES)
def test_a_long_stream_is_written_down(wire: str, database: str) -> None:
    """What was asked from the start; text so far and its price after a while; the end corrects it."""
    clock = Clock()
    with Emulator(behaviour=Behaviour(tokens=9, delay=0, hold_at=5)) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database}, clock=clock)
        with kit.client.stream("Say hi, and say it well") as stream:
            while len(stream.response.text.split()) < 4:
                stream.read()
            (row,) = read(database)
            assert (row["status"], row["input_source"], row["output_tokens"]) == (
                "started",
                "estimated",
                None,
            )
            assert row["input_tokens"] > 3
            clock.now += 16.0
            wait_for(lambda: read(database)[0]["output_source"], "estimated")
            (row,) = read(database)
            assert row["status"] == "started"
            assert row["output_tokens"] > 3
            assert row["cost_usd"] > Decimal(0)
            assert row["first_content_at"] is not None
            emulator.release(None)
            for _ in stream:
                pass
        kit.close()
    (row,) = read(database)
    assert (row["status"], row["output_tokens"], row["output_source"]) == (
        "finished",
        9,
        "reported",
    )


def test_what_could_not_be_written_down_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second later, and not a period later: the newest of each row, once."""
    monkeypatch.setattr(run, "ASK_EVERY", 0.01)

    class Store(MemoryStore):
        fails = 3

        def note(self, progress: Sequence[Progress]) -> None:
            self.fails -= 1
            if self.fails >= 0:
                raise LedgerUnavailable("the server is gone")
            super().note(progress)

    def progress(name: str, tokens: int) -> Progress:
        return Progress(
            call_id=name,
            attempt=1,
            usage=Usage(output_tokens=tokens),
            cost=None,
            price_version=None,
            first_content_at=None,
        )

    said = [[progress("one", 1)], [progress("one", 2), progress("two", 1)]]
    store = Store()
    with writing(
        store,
        is_busy=lambda: True,
        progress=lambda: said.pop(0) if said else [],
        alive_every=60.0,
    ) as writer:
        writer.begin(opening())
        wait_for(lambda: store.notes, [[progress("one", 2), progress("two", 1)]])
        assert store.fails < 0

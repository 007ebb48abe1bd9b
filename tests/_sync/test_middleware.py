# Generated from tests/_async/test_middleware.py. Do not edit.
"""The middleware chain: order, changes, taps, finalisers."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest

from llmkit import (
    CallNext,
    Client,
    Stream,
    Call,
    Event,
    Outcome,
    StreamTruncated,
)
from llmkit.errors import OutputInvalid
from llmkit.events import Finish, TextDelta
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.rows import database, rows

TEXT = Behaviour(text="Hello there, dear reader.", delay=0)


class Noting:
    """Writes down what it sees."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        self.log.append(f"{self.name} in")
        stream = call_next(call)
        self.log.append(f"{self.name} open")
        stream.finalise(self.finish)
        return stream

    def finish(self, outcome: Outcome) -> None:
        self.log.append(f"{self.name} {outcome.status}")


class Polite:
    """Changes what is asked."""

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        return call_next(dataclasses.replace(call, system="Be polite"))


class Refusing:
    """Lets nothing pass."""

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        raise PermissionError("not today")


class Wrong:
    """Forgets to return the stream."""

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        (call_next(call)).close()
        return None  # type: ignore[return-value]


class Failing:
    """Fails when the answer has begun."""

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        call_next(call)
        raise PermissionError("too late")


class Doorless:
    """Has no door at all."""


def test_order_in_and_out() -> None:
    """The first middleware is outermost; finalisers run last in, first out, when the stream has ended."""
    log: list[str] = []
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Noting("a", log), Noting("b", log)])
        kit.client.complete("Say hi")
        kit.close()
    # What was added first is the inner one's, since it sees the stream first.
    assert log == ["a in", "b in", "b open", "a open", "a finished", "b finished"]


def test_a_changed_call_is_what_is_sent() -> None:
    """Middleware may pass on a changed copy of the call."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Polite()])
        kit.client.complete("Say hi")
        kit.close()
        body = emulator.requests[0].body
    assert body is not None
    assert body["system"] == "Be polite"


def test_a_refusal_sends_nothing() -> None:
    """An exception of the app's own middleware reaches the caller as it is."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Refusing()])
        with pytest.raises(PermissionError, match="not today"):
            kit.client.complete("Say hi")
        kit.close()
        assert emulator.requests == []


def test_a_middleware_returns_a_stream() -> None:
    """A middleware that returns something else is named."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Wrong()])
        with pytest.raises(TypeError, match="Wrong"):
            kit.client.complete("Say hi")
        kit.close()


def test_a_middleware_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    """What it had opened is cut and written down, although nobody holds it any more."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, middleware=[Failing()], ledger={"database": database(tmp_path)})
        with pytest.raises(PermissionError, match="too late") as caught:
            kit.client.stream("Say hi").open()
        assert caught.traceback  # which knows the frame that held the stream
        assert not kit.runtime.open_attempts
        assert kit.limit.running == 0
        emulator.wait_until_gone(0)
        kit.close()
    (row,) = [row for row in rows(tmp_path) if row["attempt"]]
    assert (row["status"], row["error_type"]) == ("failed", "PermissionError")


def test_a_missing_door_is_refused_at_construction() -> None:
    """A middleware without the door that this client needs is refused by name, before any call."""
    with pytest.raises(TypeError, match="Doorless has no handle"):
        Client("anthropic:claude-sonnet-4-5", api_key="test-key", middleware=[Doorless()])


def test_taps_see_every_event() -> None:
    """A tap sees the lists of events as they are handed on."""
    seen: list[Event] = []
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator)
        with kit.client.stream("Say hi") as stream:
            stream.tap(seen.extend)
            events = [event for event in stream]
        kit.close()
    assert seen == events


def test_a_failing_finaliser_does_not_stop_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every finaliser runs, whatever the others do; the failure is logged."""
    ran: list[str] = []

    def fails(outcome: Outcome) -> None:
        raise ValueError("oh")

    def works(outcome: Outcome) -> None:
        ran.append(outcome.status)

    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator)
        with kit.client.stream("Say hi") as stream:
            stream.finalise(works)
            stream.finalise(fails)
        kit.close()
    assert ran == ["cancelled"]
    assert "a finaliser failed" in caplog.text


def test_the_outcome_tells_how_it_ended() -> None:
    """A finaliser gets the status, the answer so far and the error."""
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)

    with Emulator(behaviour=Behaviour(tokens=5, delay=0, terminal=False)) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(StreamTruncated):
            with kit.client.stream("Say hi") as stream:
                stream.finalise(note)
                for _ in stream:
                    pass
        kit.close()
    assert [outcome.status for outcome in outcomes] == ["truncated"]
    assert isinstance(outcomes[0].error, StreamTruncated)
    assert outcomes[0].response.text


@pytest.mark.parametrize("said", ['{"x": 1}', "much"])
def test_taps_see_every_event_of_a_typed_answer(said: str) -> None:
    """Before the finalisers, as of any other; also where it is not of the type, and the reader sees an error."""
    log: list[object] = []

    class Watch:
        def handle(self, call: Call, call_next: CallNext) -> Stream:
            stream = call_next(call)
            stream.tap(lambda events: log.extend(type(event) for event in events))
            stream.finalise(self.finish)
            return stream

        def finish(self, outcome: Outcome) -> None:
            log.append(outcome.status)

    with Emulator(behaviour=Behaviour(text=said, delay=0)) as emulator:
        kit = make_kit(emulator, middleware=[Watch()])
        with kit.client.stream("Hi", output_type=dict[str, int]) as stream:
            with contextlib.suppress(OutputInvalid):
                while stream.read() is not None:
                    pass
        kit.close()
    assert log[-2:] == [Finish, "finished"]
    assert TextDelta in log
    assert len([each for each in log if each is Finish]) == 1

"""The middleware chain: order, changes, taps, finalisers."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest

from llmkit import (
    AsyncCallNext,
    AsyncClient,
    AsyncStream,
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

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        self.log.append(f"{self.name} in")
        stream = await call_next(call)
        self.log.append(f"{self.name} open")
        stream.finalise(self.finish)
        return stream

    async def finish(self, outcome: Outcome) -> None:
        self.log.append(f"{self.name} {outcome.status}")


class Polite:
    """Changes what is asked."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        return await call_next(dataclasses.replace(call, system="Be polite"))


class Refusing:
    """Lets nothing pass."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        raise PermissionError("not today")


class Wrong:
    """Forgets to return the stream."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        await (await call_next(call)).aclose()
        return None  # type: ignore[return-value]


class Failing:
    """Fails when the answer has begun."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        await call_next(call)
        raise PermissionError("too late")


class Doorless:
    """Has no door at all."""


@pytest.mark.anyio
async def test_order_in_and_out() -> None:
    """The first middleware is outermost; finalisers run last in, first out, when the stream has ended."""
    log: list[str] = []
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Noting("a", log), Noting("b", log)])
        await kit.async_client.complete("Say hi")
        await kit.aclose()
    # What was added first is the inner one's, since it sees the stream first.
    assert log == ["a in", "b in", "b open", "a open", "a finished", "b finished"]


@pytest.mark.anyio
async def test_a_changed_call_is_what_is_sent() -> None:
    """Middleware may pass on a changed copy of the call."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Polite()])
        await kit.async_client.complete("Say hi")
        await kit.aclose()
        body = emulator.requests[0].body
    assert body is not None
    assert body["system"] == "Be polite"


@pytest.mark.anyio
async def test_a_refusal_sends_nothing() -> None:
    """An exception of the app's own middleware reaches the caller as it is."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Refusing()])
        with pytest.raises(PermissionError, match="not today"):
            await kit.async_client.complete("Say hi")
        await kit.aclose()
        assert emulator.requests == []


@pytest.mark.anyio
async def test_a_middleware_returns_a_stream() -> None:
    """A middleware that returns something else is named."""
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator, middleware=[Wrong()])
        with pytest.raises(TypeError, match="Wrong"):
            await kit.async_client.complete("Say hi")
        await kit.aclose()


@pytest.mark.anyio
async def test_a_middleware_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    """What it had opened is cut and written down, although nobody holds it any more."""
    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator, middleware=[Failing()], ledger={"database": database(tmp_path)})
        with pytest.raises(PermissionError, match="too late") as caught:
            await kit.async_client.stream("Say hi").open()
        assert caught.traceback  # which knows the frame that held the stream
        assert not kit.runtime.open_attempts
        assert kit.limit.running == 0
        emulator.wait_until_gone(0)
        await kit.aclose()
    (row,) = [row for row in rows(tmp_path) if row["attempt"]]
    assert (row["status"], row["error_type"]) == ("failed", "PermissionError")


def test_a_missing_door_is_refused_at_construction() -> None:
    """A middleware without the door that this client needs is refused by name, before any call."""
    with pytest.raises(TypeError, match="Doorless has no handle_async"):
        AsyncClient("anthropic:claude-sonnet-4-5", api_key="test-key", middleware=[Doorless()])


@pytest.mark.anyio
async def test_taps_see_every_event() -> None:
    """A tap sees the lists of events as they are handed on."""
    seen: list[Event] = []
    with Emulator(behaviour=TEXT) as emulator:
        kit = make_kit(emulator)
        async with kit.async_client.stream("Say hi") as stream:
            stream.tap(seen.extend)
            events = [event async for event in stream]
        await kit.aclose()
    assert seen == events


@pytest.mark.anyio
async def test_a_failing_finaliser_does_not_stop_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every finaliser runs, whatever the others do; the failure is logged."""
    ran: list[str] = []

    async def fails(outcome: Outcome) -> None:
        raise ValueError("oh")

    async def works(outcome: Outcome) -> None:
        ran.append(outcome.status)

    with Emulator(behaviour=Behaviour(hold_at=2)) as emulator:
        kit = make_kit(emulator)
        async with kit.async_client.stream("Say hi") as stream:
            stream.finalise(works)
            stream.finalise(fails)
        await kit.aclose()
    assert ran == ["cancelled"]
    assert "a finaliser failed" in caplog.text


@pytest.mark.anyio
async def test_the_outcome_tells_how_it_ended() -> None:
    """A finaliser gets the status, the answer so far and the error."""
    outcomes: list[Outcome] = []

    async def note(outcome: Outcome) -> None:
        outcomes.append(outcome)

    with Emulator(behaviour=Behaviour(tokens=5, delay=0, terminal=False)) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(StreamTruncated):
            async with kit.async_client.stream("Say hi") as stream:
                stream.finalise(note)
                async for _ in stream:
                    pass
        await kit.aclose()
    assert [outcome.status for outcome in outcomes] == ["truncated"]
    assert isinstance(outcomes[0].error, StreamTruncated)
    assert outcomes[0].response.text


@pytest.mark.anyio
@pytest.mark.parametrize("said", ['{"x": 1}', "much"])
async def test_taps_see_every_event_of_a_typed_answer(said: str) -> None:
    """Before the finalisers, as of any other; also where it is not of the type, and the reader sees an error."""
    log: list[object] = []

    class Watch:
        async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
            stream = await call_next(call)
            stream.tap(lambda events: log.extend(type(event) for event in events))
            stream.finalise(self.finish)
            return stream

        async def finish(self, outcome: Outcome) -> None:
            log.append(outcome.status)

    with Emulator(behaviour=Behaviour(text=said, delay=0)) as emulator:
        kit = make_kit(emulator, middleware=[Watch()])
        async with kit.async_client.stream("Hi", output_type=dict[str, int]) as stream:
            with contextlib.suppress(OutputInvalid):
                while await stream.read() is not None:
                    pass
        await kit.aclose()
    assert log[-2:] == [Finish, "finished"]
    assert TextDelta in log
    assert len([each for each in log if each is Finish]) == 1

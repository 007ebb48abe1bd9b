"""Other sources than an attempt: an answer that is said again, one that several read, one that goes on as another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from llmkit import (
    AsyncCallNext,
    AsyncStream,
    Call,
    Event,
    Outcome,
    ProviderError,
    Reset,
    Response,
    StreamClosed,
    StreamTruncated,
    TextDelta,
)
from llmkit._async.source import AsyncSource
from llmkit.response import Status
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.rows import database, rows

SAID = Behaviour(text=("Hel", "lo"), delay=0)


class Replayed(AsyncSource):
    """An answer that was kept."""

    def __init__(self, call: Call, events: list[Event], response: Response) -> None:
        self._signal = call.signal
        self._left = [events]
        self._response = response

    async def read(self) -> list[Event] | None:
        if self._signal.aborted:
            raise StreamClosed("the stream was stopped")
        return self._left.pop() if self._left else None

    async def aclose(self, error: BaseException | None) -> Status:
        return "cached"

    def response(self) -> Response:
        return self._response


class Shared(AsyncSource):
    """An answer that several read: whoever has read all that came reads on for the others."""

    def __init__(self, stream: AsyncStream, came: list[list[Event] | None]) -> None:
        self._stream = stream
        self._came = came
        self._at = 0

    async def read(self) -> list[Event] | None:
        if self._at == len(self._came):
            self._came.append(await self._stream.read())
        self._at += 1
        return self._came[self._at - 1]

    async def aclose(self, error: BaseException | None) -> Status:
        return "shared"

    def response(self) -> Response:
        return self._stream.response


class Continued(AsyncSource):
    """An answer that breaks off and is begun anew."""

    def __init__(self, stream: AsyncStream, again: Callable[[], object]) -> None:
        self._stream = stream
        self._again = again

    async def read(self) -> list[Event] | None:
        try:
            return await self._stream.read()
        except ProviderError:
            self._stream = await self._again()  # type: ignore[misc]  # an AsyncStream
            return [Reset()]

    async def aclose(self, error: BaseException | None) -> Status:
        await self._stream.aclose()
        return "finished"

    def response(self) -> Response:
        return self._stream.response


class Keeping:
    """Keeps the first answer, and says it again."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.response: Response | None = None

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        if self.response is not None:
            return AsyncStream(call, Replayed(call, self.events, self.response), [])
        stream = await call_next(call)
        stream.tap(self.events.extend)
        stream.finalise(self._keep)
        return stream

    async def _keep(self, outcome: Outcome) -> None:
        self.response = outcome.response


class GoingOn:
    """Begins an answer that breaks off anew."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        stream = await call_next(call)

        def again() -> object:
            return call_next(call)

        return AsyncStream(call, Continued(stream, again), [])


@pytest.mark.anyio
async def test_an_answer_is_said_again(tmp_path: Path) -> None:
    """From what was kept, without the provider; finalisers learn how it ended."""
    with Emulator(behaviour=SAID) as emulator:
        kit = make_kit(emulator, middleware=[Keeping()], ledger={"database": database(tmp_path)})
        first = await kit.async_client.complete("Say hi")
        async with kit.async_client.stream("Say hi") as stream:
            said = [text async for text in stream.text()]
        assert stream.response.text == "Hello"
        async with kit.async_client.stream("Say hi") as stream:
            stream.abort()
            with pytest.raises(StreamClosed):
                while await stream.read() is not None:
                    pass
        await kit.aclose()
        assert len(emulator.requests) == 1
    assert "".join(said) == first.text == "Hello"
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


@pytest.mark.anyio
async def test_an_answer_has_several_readers() -> None:
    """Each gets all of it, whoever reads first."""
    with Emulator(behaviour=SAID) as emulator:
        kit = make_kit(emulator)
        async with kit.async_client.stream("Say hi") as stream:
            came: list[list[Event] | None] = []
            readers = [AsyncStream(stream.call, Shared(stream, came), []) for _ in range(3)]
            said = [[text async for text in reader.text()] for reader in readers]
        await kit.aclose()
        assert len(emulator.requests) == 1
    assert ["".join(texts) for texts in said] == ["Hello"] * 3


@pytest.mark.anyio
async def test_an_answer_goes_on_as_another() -> None:
    """What was said is taken back, and the other is read to its end."""
    with Emulator(behaviour=SAID) as emulator:
        emulator.script(replace(SAID, terminal=False))
        kit = make_kit(emulator, middleware=[GoingOn()])
        seen: list[Event] = []
        async with kit.async_client.stream("Say hi") as stream:
            async for event in stream:
                seen.append(event)
        await kit.aclose()
        assert len(emulator.requests) == 2
    at = seen.index(Reset())
    texts = [event.text for event in seen if isinstance(event, TextDelta)]
    assert "".join(texts) == "HelloHello"
    assert 0 < at < len(seen) - 1
    assert stream.response.text == "Hello"


@pytest.mark.anyio
async def test_a_source_that_fails_is_closed() -> None:
    """As an attempt is: its error is told with what came, and finalisers run."""
    outcomes: list[Outcome] = []

    async def note(outcome: Outcome) -> None:
        outcomes.append(outcome)

    with Emulator(behaviour=replace(SAID, terminal=False)) as emulator:
        kit = make_kit(emulator)
        async with kit.async_client.stream("Say hi") as stream:
            reader = AsyncStream(stream.call, Shared(stream, []), [])
            reader.finalise(note)
            with pytest.raises(StreamTruncated) as caught:
                async for _ in reader:
                    pass
        await kit.aclose()
    assert caught.value.response is not None
    assert caught.value.response.text == "Hello"
    assert [outcome.status for outcome in outcomes] == ["shared"]

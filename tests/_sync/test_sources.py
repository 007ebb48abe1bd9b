# Generated from tests/_async/test_sources.py. Do not edit.
"""Other sources than an attempt: an answer that is said again, one that several read, one that goes on as another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from llmkit import (
    CallNext,
    Stream,
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
from llmkit._sync.source import Source
from llmkit.response import Status
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.rows import database, rows

SAID = Behaviour(text=("Hel", "lo"), delay=0)


class Replayed(Source):
    """An answer that was kept."""

    def __init__(self, call: Call, events: list[Event], response: Response) -> None:
        self._signal = call.signal
        self._left = [events]
        self._response = response

    def read(self) -> list[Event] | None:
        if self._signal.aborted:
            raise StreamClosed("the stream was stopped")
        return self._left.pop() if self._left else None

    def close(self, error: BaseException | None) -> Status:
        return "cached"

    def response(self) -> Response:
        return self._response


class Shared(Source):
    """An answer that several read: whoever has read all that came reads on for the others."""

    def __init__(self, stream: Stream, came: list[list[Event] | None]) -> None:
        self._stream = stream
        self._came = came
        self._at = 0

    def read(self) -> list[Event] | None:
        if self._at == len(self._came):
            self._came.append(self._stream.read())
        self._at += 1
        return self._came[self._at - 1]

    def close(self, error: BaseException | None) -> Status:
        return "shared"

    def response(self) -> Response:
        return self._stream.response


class Continued(Source):
    """An answer that breaks off and is begun anew."""

    def __init__(self, stream: Stream, again: Callable[[], object]) -> None:
        self._stream = stream
        self._again = again

    def read(self) -> list[Event] | None:
        try:
            return self._stream.read()
        except ProviderError:
            self._stream = self._again()  # type: ignore[misc]  # an Stream
            return [Reset()]

    def close(self, error: BaseException | None) -> Status:
        self._stream.close()
        return "finished"

    def response(self) -> Response:
        return self._stream.response


class Keeping:
    """Keeps the first answer, and says it again."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.response: Response | None = None

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        if self.response is not None:
            return Stream(call, Replayed(call, self.events, self.response), [])
        stream = call_next(call)
        stream.tap(self.events.extend)
        stream.finalise(self._keep)
        return stream

    def _keep(self, outcome: Outcome) -> None:
        self.response = outcome.response


class GoingOn:
    """Begins an answer that breaks off anew."""

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        stream = call_next(call)

        def again() -> object:
            return call_next(call)

        return Stream(call, Continued(stream, again), [])


def test_an_answer_is_said_again(tmp_path: Path) -> None:
    """From what was kept, without the provider; finalisers learn how it ended."""
    with Emulator(behaviour=SAID) as emulator:
        kit = make_kit(emulator, middleware=[Keeping()], ledger={"database": database(tmp_path)})
        first = kit.client.complete("Say hi")
        with kit.client.stream("Say hi") as stream:
            said = [text for text in stream.text()]
        assert stream.response.text == "Hello"
        with kit.client.stream("Say hi") as stream:
            stream.abort()
            with pytest.raises(StreamClosed):
                while stream.read() is not None:
                    pass
        kit.close()
        assert len(emulator.requests) == 1
    assert "".join(said) == first.text == "Hello"
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


def test_an_answer_has_several_readers() -> None:
    """Each gets all of it, whoever reads first."""
    with Emulator(behaviour=SAID) as emulator:
        kit = make_kit(emulator)
        with kit.client.stream("Say hi") as stream:
            came: list[list[Event] | None] = []
            readers = [Stream(stream.call, Shared(stream, came), []) for _ in range(3)]
            said = [[text for text in reader.text()] for reader in readers]
        kit.close()
        assert len(emulator.requests) == 1
    assert ["".join(texts) for texts in said] == ["Hello"] * 3


def test_an_answer_goes_on_as_another() -> None:
    """What was said is taken back, and the other is read to its end."""
    with Emulator(behaviour=SAID) as emulator:
        emulator.script(replace(SAID, terminal=False))
        kit = make_kit(emulator, middleware=[GoingOn()])
        seen: list[Event] = []
        with kit.client.stream("Say hi") as stream:
            for event in stream:
                seen.append(event)
        kit.close()
        assert len(emulator.requests) == 2
    at = seen.index(Reset())
    texts = [event.text for event in seen if isinstance(event, TextDelta)]
    assert "".join(texts) == "HelloHello"
    assert 0 < at < len(seen) - 1
    assert stream.response.text == "Hello"


def test_a_source_that_fails_is_closed() -> None:
    """As an attempt is: its error is told with what came, and finalisers run."""
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)

    with Emulator(behaviour=replace(SAID, terminal=False)) as emulator:
        kit = make_kit(emulator)
        with kit.client.stream("Say hi") as stream:
            reader = Stream(stream.call, Shared(stream, []), [])
            reader.finalise(note)
            with pytest.raises(StreamTruncated) as caught:
                for _ in reader:
                    pass
        kit.close()
    assert caught.value.response is not None
    assert caught.value.response.text == "Hello"
    assert [outcome.status for outcome in outcomes] == ["shared"]

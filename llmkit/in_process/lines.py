"""What a function has said, a line of JSON for each piece, and how it is read: so an answer in this process is one like all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from llmkit.errors import ProviderError
from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
)
from llmkit.json_lines import JSONLinesDecoder
from llmkit.kinds import kind_of
from llmkit.parts import ToolCall
from llmkit.providers import failures
from llmkit.providers.decoding import StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import mended
from llmkit.providers.lines import Lines
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage

Said = str | TextDelta | ThinkingDelta | ThinkingSignature | RedactedThinking | ToolCall | Finish
"""What a function may say. A string is text; a finish says why it stops, and what it has used."""


class Line(msgspec.Struct, omit_defaults=True):
    """One of them."""

    text: str | None = None
    thinking: str | None = None
    signature: tuple[str, str | None] | None = None
    redacted: tuple[str, str | None] | None = None
    call: ToolCall | None = None
    finish: tuple[StopReason, str | None, Usage] | None = None
    end: bool = False


_decode = msgspec.json.Decoder(Line).decode


def pieces_of(returned: object) -> Iterator[Any]:
    """Return what a function has said, piece by piece: a text or an event by itself is one. None is nothing, and passed over.

    Raises:
        TypeError: it has returned nothing, or what it may not return. A dict is no answer in pieces, though it has keys.
    """
    if isinstance(returned, Said):
        yield returned
    elif isinstance(returned, Iterable) and not isinstance(returned, Mapping | bytes | bytearray):
        for piece in returned:
            if piece is not None:
                yield piece
    else:
        raise TypeError(
            f"a function of a provider returned {kind_of(returned)}: it may return a string, or a list or a generator of strings, "
            "events of llmkit.events, and ToolCalls"
        )


def written(said: object) -> bytes:
    """Write what a function has said.

    Raises:
        TypeError: it is nothing that it may say.
    """
    return msgspec.json.encode(_line(said)) + b"\n"


END = msgspec.json.encode(Line(end=True)) + b"\n"
"""What is written when it has said all."""


def _line(said: Any) -> Line:
    match said:
        case str():
            return Line(text=mended(said))
        case TextDelta():
            return Line(text=mended(said.text))
        case ThinkingDelta():
            return Line(thinking=mended(said.text))
        case ThinkingSignature():
            return Line(signature=(said.signature, said.wire))
        case RedactedThinking():
            return Line(redacted=(said.data, said.wire))
        case ToolCall():
            return Line(call=said)
        case Finish():
            return Line(finish=(said.stop_reason, said.raw_stop_reason, said.usage))
    raise TypeError(
        f"a function of a provider yielded {kind_of(said)}: it may yield strings, events of llmkit.events, and ToolCalls"
    )


class SaidDecoder(StreamDecoder):
    """Reads those lines. Its calls of tools are handed on when it has said all, and so is its finish."""

    __slots__ = ("_calls", "_finish")
    _calls: list[ToolCall]
    _finish: Finish | None

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._calls, self._finish = [], None

    def _new_lines(self) -> Lines:
        return JSONLinesDecoder()

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            line = _decode(frame.data)
            if line.end:
                self._said = self._said or bool(events)
                self.finished = True
                return [*merged(events), *self._calls, self._last()]
            self._take(line, events)
        self._said = self._said or bool(events)
        return merged(events)

    def _take(self, line: Line, events: list[Event]) -> None:
        if line.text:
            events.append(TextDelta(line.text))
        elif line.thinking:
            events.append(ThinkingDelta(line.thinking))
        elif line.signature is not None:
            events.append(ThinkingSignature(*line.signature))
        elif line.redacted is not None:
            events.append(RedactedThinking(*line.redacted))
        elif line.call is not None:
            call = line.call
            arguments = msgspec.json.encode(call.arguments).decode()
            events.append(ToolCallDelta(len(self._calls), call.id, call.name, arguments))
            self._calls.append(call)
        elif line.finish is not None:
            reason, raw, usage = line.finish
            self._reported = usage
            self._finish = Finish(reason, raw, usage)

    def _last(self) -> Finish:
        if self._finish is not None:
            return Finish(self._finish.stop_reason, self._finish.raw_stop_reason, self.usage)
        return Finish("tool_use" if self._calls else "end", None, self.usage)


def failure_of(origin: Origin, error: BaseException) -> ProviderError:
    """Say that the function has failed."""
    if isinstance(error, ProviderError):
        return error
    failed = failures.gave_up(origin)
    failed.message = f"the function of {origin.provider} failed ({type(error).__name__})"
    failed.hint = "Its own error is the cause of this one."
    failed.__cause__ = error
    return failed

"""What a function has said, a line of JSON for each piece, and how it is read: so an answer in this process is one like all others."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any, get_args

import msgspec

from llmkit.concurrency.jobs import Unfit
from llmkit.errors import ProviderError
from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
)
from llmkit.json_lines import JSONLinesDecoder
from llmkit.kinds import is_whole, kind_of
from llmkit.parts import ToolCall, wrong_field
from llmkit.providers import failures
from llmkit.providers.counts import LARGEST
from llmkit.providers.decoding import StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import mended
from llmkit.providers.lines import Lines
from llmkit.providers.tool_calls import Calls
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage

_REASONS = get_args(StopReason)
_COUNTS = [name for name in Usage.__dataclass_fields__ if name.endswith("_tokens")]
_LONGEST_REASON = 30

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


def pieces_of(returned: object) -> Generator[Any]:
    """Return what a function has said, piece by piece: a text or an event by itself is one. None is nothing, and passed over.

    Raises:
        TypeError: it has returned nothing, or what it may not return. A dict is no answer in pieces, though it has keys.
    """
    if isinstance(returned, Said):
        yield returned
    elif isinstance(returned, Iterable) and not isinstance(returned, Mapping | bytes | bytearray):
        try:
            for piece in returned:
                if piece is not None:
                    yield piece
        finally:
            # Now: what fails in it would else be written to stderr in full.
            if isinstance(returned, Generator):
                returned.close()
    else:
        raise TypeError(
            f"a function of a provider returned {kind_of(returned)}: it may return a string, or a list or a generator of strings, "
            "events of llmkit.events, and ToolCalls"
        )


def written(said: object) -> bytes:
    """Write what a function has said.

    Raises:
        Unfit: it is nothing that it may say.
    """
    line = _line(said)
    try:
        return msgspec.json.encode(line) + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise Unfit(
            f"a function of a provider yielded {kind_of(said)} with something in it that cannot be written as JSON"
        ) from error


END = msgspec.json.encode(Line(end=True)) + b"\n"
"""What is written when it has said all."""


def _line(said: Any) -> Line:
    match said:
        case str():
            return Line(text=mended(said))
        case TextDelta():
            return Line(text=mended(_checked(said, "text")))
        case ThinkingDelta():
            return Line(thinking=mended(_checked(said, "text")))
        case ThinkingSignature():
            return Line(signature=(_checked(said, "signature"), _checked(said, "wire", str | None)))
        case RedactedThinking():
            return Line(redacted=(_checked(said, "data"), _checked(said, "wire", str | None)))
        case ToolCall():
            wrong = wrong_field(said)
            if wrong is not None:
                raise _unfit(said, *wrong)
            return Line(call=said)
        case Finish():
            raw = _checked(said, "raw_stop_reason", str | None)
            if said.stop_reason not in _REASONS:
                raise _unfit(said, "stop_reason", f"one of {', '.join(_REASONS)}")
            return Line(finish=(said.stop_reason, raw, _usage(said)))
    raise Unfit(
        f"a function of a provider yielded {kind_of(said)}: it may yield strings, events of llmkit.events, and ToolCalls"
    )


def _usage(said: Finish) -> Usage:
    if not isinstance(said.usage, Usage):
        raise _unfit(said, "usage", "a Usage, and Usage() if nothing is known")
    for name in _COUNTS:
        count = getattr(said.usage, name)
        if count is not None and not (is_whole(count) and 0 <= count <= LARGEST):
            raise _unfit(said.usage, name, "a whole number that is not negative, or None")
    return said.usage


def _checked(said: Any, field: str, kind: Any = str) -> Any:
    """Return a field of something said, which has to be a text."""
    value = getattr(said, field)
    if not isinstance(value, kind):
        raise _unfit(said, field, "a string" if kind is str else "a string or None")
    return value


def _unfit(said: object, field: str, may_be: str) -> Unfit:
    value = getattr(said, field)
    shown = kind_of(value)
    if field == "stop_reason" and isinstance(value, str) and len(value) <= _LONGEST_REASON:
        shown = repr(value)  # any other text may be what the model has said
    return Unfit(
        f"a function of a provider yielded {kind_of(said)} with {shown} as its {field}: that has to be {may_be}"
    )


class SaidDecoder(StreamDecoder):
    """Reads those lines. Its calls of tools are handed on when it has said all, and so is its finish."""

    __slots__ = ("_calls", "_finish")
    _calls: Calls | None
    _finish: Finish | None

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._calls, self._finish = None, None

    def _new_lines(self) -> Lines:
        return JSONLinesDecoder()

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            line = _decode(frame.data)
            if line.end:
                self._said = self._said or bool(events)
                return [*merged(events), *self._ended(self._calls, self._last())]
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
            call, calls = line.call, self._calls or Calls()
            self._calls = calls
            arguments = msgspec.json.encode(call.arguments).decode()
            events.append(
                calls.begin(None, call.name, arguments, given_id=call.id, signature=call.signature)
            )
        elif line.finish is not None:
            reason, raw, usage = line.finish
            self._reported = usage
            self._finish = Finish(reason, raw, usage)

    def _last(self) -> Finish:
        if self._finish is not None:
            return Finish(self._finish.stop_reason, self._finish.raw_stop_reason, self.usage)
        return Finish("end" if self._calls is None else "tool_use", None, self.usage)


def failure_of(origin: Origin, error: BaseException) -> ProviderError:
    """Say that the function has failed."""
    failed = failures.gave_up(origin)
    failed.__cause__ = error
    if isinstance(error, Unfit):
        failed.message = str(error)
        failed.hint = "llmkit.FunctionProvider says what a function may yield."
        return failed
    failed.message = f"the function of {origin.provider} failed ({type(error).__name__})"
    failed.hint = "Its own error is the cause of this one."
    return failed

"""What OpenAI chat completions and compatible servers answer: a completion, or chunks of one.

Source: developers.openai.com/api/docs/api-reference/chat. Where a server is named that differs,
that is where the difference was seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta
from llmkit.providers import failures
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import Misfit, fit, lenient_json
from llmkit.providers.openai_chunks import (
    Choice,
    Chunk,
    Completion,
    NamedChunk,
    Part,
    Report,
)
from llmkit.providers.reports import is_report
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage

STOP_REASONS: Mapping[str, StopReason] = {
    "content_filter": "content_filter",
    "function_call": "tool_use",
    "length": "max_tokens",
    "stop": "end",
    "tool_calls": "tool_use",
}


_chunk_decoder = msgspec.json.Decoder(Chunk)
_named_decoder = msgspec.json.Decoder(NamedChunk)
_decode_completion = msgspec.json.Decoder(Completion).decode


class ChunkDecoder(StreamDecoder):
    """Reads a stream.

    The finish reason comes in a chunk of its own, before the chunk with the usage, so `Finish`
    waits for `[DONE]`. Some compatible servers leave `[DONE]` out: with a finish reason the end of
    the body is as good. Others leave the finish reason out, and some send one with every chunk, so
    content may follow it.
    """

    __slots__ = ("_answer", "_decoder")
    _usual = b"data: {"
    _border = b"}\n\n" + _usual

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._answer = _Answer()
        self._decoder: msgspec.json.Decoder[NamedChunk] | msgspec.json.Decoder[Chunk] = (
            _named_decoder
        )

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
        if self._careful:
            return None
        try:
            chunks = self._decoder.decode_lines(lines)
        except BROKEN:
            return None
        if len(chunks) != count:
            return None
        events: list[Event] = []
        answer = self._answer
        unnamed = self._decoder is _named_decoder
        for chunk in chunks:
            if unnamed and type(chunk) is NamedChunk:
                self._name(chunk)
                unnamed = self.model is None
            if chunk.error or chunk.choices is None:
                return None
            for choice in chunk.choices:
                answer.add(choice, events)
            if chunk.usage is not None:
                self._reported = chunk.usage.to_usage() or self._reported
        if answer.reason == "error":
            return None
        self.stopping = answer.reason is not None
        if events:
            self._said = True
        return merged(events)

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        answer = self._answer
        for frame in frames:
            data = frame.data
            if data.startswith("[DONE]"):
                answer.reason = answer.reason or ""  # a terminal marker, though it does not say why
                self._said = self._said or bool(events)
                return merged(events) + self._end()
            try:
                chunk = self._decoder.decode(data)
            except BROKEN:
                chunk = self._decode_odd(data)
            if type(chunk) is NamedChunk:
                self._name(chunk)
            for choice in chunk.choices or ():
                answer.add(choice, events)
            if chunk.usage is not None:
                self._reported = chunk.usage.to_usage() or self._reported
            if chunk.error or (chunk.choices is None and chunk.usage is None and _is_report(frame)):
                self.failure = failures.from_report(self._origin, data)
            elif answer.reason == "error":
                self.failure = failures.gave_up(self._origin)
            if self.failure is not None:
                break
        self.stopping = answer.reason is not None
        self._said = self._said or bool(events)
        return merged(events)

    def _end(self) -> list[Event]:
        if self._answer.reason is None:
            self.failure = failures.truncated(self._origin)
            return []
        self.finished = True
        return [self._answer.finish(self.usage)]

    def _name(self, chunk: NamedChunk) -> None:
        self.request_id = self.request_id or chunk.id or None
        self.model = self.model or chunk.model or None
        if self.model is not None:
            self._decoder = _chunk_decoder

    def _decode_odd(self, data: str) -> Chunk:
        if not data.strip():
            return Chunk()
        try:
            return fit(self._odd_json(data), NamedChunk)
        except Misfit:
            self.failure = failures.malformed(self._origin, "sent a chunk of an unknown form")
        except (ValueError, RecursionError):
            self.failure = failures.malformed(self._origin, "sent a chunk that is not JSON")
        return Chunk()


class CompletionDecoder(BodyDecoder):
    """Reads a whole completion."""

    __slots__ = ()

    def _read(self, body: str) -> list[Event]:
        try:
            completion = _decode_completion(body)
        except BROKEN:
            try:
                completion = fit(lenient_json(body), Completion)
            except (ValueError, RecursionError):
                completion = Completion()
        if completion.error or not completion.choices:
            self._refuse(body)
            return []
        self.request_id, self.model = completion.id or None, completion.model or None
        if completion.usage is not None:
            self._reported = completion.usage.to_usage() or self._reported
        events: list[Event] = []
        answer = _Answer()
        for choice in completion.choices:
            answer.add(choice, events)
        if answer.reason == "error":
            self.failure = failures.gave_up(self._origin)
        self._said = bool(events)
        self.finished = answer.reason is not None
        return [*merged(events), answer.finish(self.usage)]

    def _count(self, report: object) -> Usage | None:
        return fit(report, Report).to_usage() if isinstance(report, dict) else None


class _Answer:
    """The first choice, as it grows; with `n` in `extra` there are others, which nobody reads."""

    __slots__ = ("_refused", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        self._refused = False

    def add(self, choice: Choice, events: list[Event]) -> None:
        """Take in what a choice says."""
        if choice.index:
            return
        said = choice.said
        if said is not None:
            thought = said.reasoning_content or said.reasoning
            if thought:
                events.append(ThinkingDelta(thought))
            content = said.content
            if isinstance(content, str):
                if content:
                    events.append(TextDelta(content))
            elif content:
                _add_parts(content, events)
            if said.refusal:
                events.append(TextDelta(said.refusal))
                self._refused = True
        # Some servers say "" or "null" where they mean null (Ollama issue 4357, AIShell issue 350).
        if choice.finish_reason and choice.finish_reason != "null":
            self.reason = choice.finish_reason

    def finish(self, usage: Usage) -> Finish:
        """Make the last event."""
        reason = STOP_REASONS.get(self.reason or "", "other")
        return Finish("refusal" if self._refused else reason, self.reason or None, usage)


def _add_parts(parts: list[Part], events: list[Event]) -> None:
    for part in parts:
        if part.type == "text" and part.text:
            events.append(TextDelta(part.text))
        events.extend(
            ThinkingDelta(thought.text) for thought in part.thinking or () if thought.text
        )


def _is_report(frame: ServerSentEvent) -> bool:
    if frame.event == "error":
        return True
    try:
        return is_report(msgspec.json.decode(frame.data))
    except BROKEN:
        return False

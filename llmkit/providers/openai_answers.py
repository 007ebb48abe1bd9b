"""What OpenAI chat completions and compatible servers answer: a completion, or chunks of one.

Source: developers.openai.com/api/docs/api-reference/chat. Where a server is named that differs,
that is where the difference was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta
from llmkit.providers import failures
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder, lenient_json, merged
from llmkit.providers.failures import Origin
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


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for cached_tokens."""

    def to_usage(self) -> Usage | None:
        """Return the counts, or None if they say nothing."""
        prompt, output = self.prompt_tokens, self.completion_tokens
        if not prompt and not output:
            # No prompt has 0 tokens: LocalAI sends such zeros for counts that it does not know
            # (issue 1194).
            return None
        details = self.prompt_tokens_details or _PromptDetails()
        cached = details.cached_tokens
        if cached is None:
            cached = self.prompt_cache_hit_tokens
        reasoning = (self.completion_tokens_details or _CompletionDetails()).reasoning_tokens
        if reasoning and self.total_tokens == (prompt or 0) + (output or 0) + reasoning:
            # xAI counts reasoning beside completion_tokens, not inside; its total shows it
            # (vercel/ai pull 12425).
            output = (output or 0) + reasoning
        return Usage(
            input_tokens=prompt,
            output_tokens=output,
            cache_read_tokens=cached,
            cache_write_tokens=details.cache_write_tokens,
            reasoning_tokens=reasoning,
            input_source="unknown" if prompt is None else "reported",
            output_source="unknown" if output is None else "reported",
        )


class _Part(msgspec.Struct, gc=False):
    """A piece of a content that is a list, as Mistral's reasoning models send it."""

    type: str = ""
    text: str | None = None
    thinking: list[_Part] | None = None


class _Said(msgspec.Struct, gc=False):
    """The delta of a chunk, or the message of a completion."""

    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """DeepSeek, vLLM, xAI."""
    reasoning: str | None = None
    """OpenRouter, Groq, Ollama."""


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None  # An object, or a text (Ollama).


class _NamedChunk(_Chunk, gc=False):
    """A chunk with what every chunk repeats; decoded until it is known."""

    id: str | None = None
    model: str | None = None
    object: str | None = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)
_named_decoder = msgspec.json.Decoder(_NamedChunk)


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
        self._decoder: msgspec.json.Decoder[_NamedChunk] | msgspec.json.Decoder[_Chunk] = (
            _named_decoder
        )

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
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
            if unnamed and type(chunk) is _NamedChunk:
                self._name(chunk)
                unnamed = self.model is None
            if chunk.error or chunk.choices is None:
                return None
            for choice in chunk.choices:
                answer.add(choice, choice.delta, events)
            if chunk.usage is not None:
                self._reported = chunk.usage.to_usage() or self._reported
        if answer.reason == "error":
            return None
        self.stopping = answer.reason is not None
        return merged(events)

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        answer = self._answer
        for frame in frames:
            data = frame.data
            if data.startswith("[DONE]"):
                answer.reason = answer.reason or ""  # a terminal marker, though it does not say why
                return merged(events) + self._end()
            try:
                chunk = self._decoder.decode(data)
            except BROKEN:
                chunk = self._decode_odd(data)
            if type(chunk) is _NamedChunk:
                self._name(chunk)
            for choice in chunk.choices or ():
                answer.add(choice, choice.delta, events)
            if chunk.usage is not None:
                self._reported = chunk.usage.to_usage() or self._reported
            if chunk.error or (chunk.choices is None and chunk.usage is None and _is_report(frame)):
                self.failure = failures.from_report(self._origin, data)
            elif answer.reason == "error":
                self.failure = failures.gave_up(self._origin)
            if self.failure is not None:
                break
        self.stopping = answer.reason is not None
        return merged(events)

    def _end(self) -> list[Event]:
        if self._answer.reason is None:
            self.failure = failures.truncated(self._origin)
            return []
        self.finished = True
        return [self._answer.finish(self.usage)]

    def _name(self, chunk: _NamedChunk) -> None:
        self.request_id = self.request_id or chunk.id or None
        self.model = chunk.model or None
        if self.model is not None:
            self._decoder = _chunk_decoder

    def _decode_odd(self, data: str) -> _Chunk:
        if not data.strip():
            return _Chunk()
        try:
            return _convert(lenient_json(data))
        except msgspec.ValidationError:
            self.failure = failures.malformed(self._origin, "sent a chunk of an unknown form")
        except (ValueError, RecursionError):
            self.failure = failures.malformed(self._origin, "sent a chunk that is not JSON")
        return _Chunk()


class CompletionDecoder(BodyDecoder):
    """Reads a whole completion."""

    __slots__ = ()

    def _read(self, body: str) -> list[Event]:
        try:
            completion = _named_decoder.decode(body)
        except BROKEN:
            try:
                completion = _convert(lenient_json(body))
            except (ValueError, RecursionError):
                completion = _NamedChunk()
        if completion.error or not completion.choices:
            self._refuse(body)
            return []
        self.request_id, self.model = completion.id, completion.model
        if completion.usage is not None:
            self._reported = completion.usage.to_usage() or self._reported
        events: list[Event] = []
        answer = _Answer()
        for choice in completion.choices:
            answer.add(choice, choice.message, events)
        if answer.reason == "error":
            self.failure = failures.gave_up(self._origin)
        self.finished = answer.reason is not None
        return [*merged(events), answer.finish(self.usage)]


class _Answer:
    """The first choice, as it grows; with `n` in `extra` there are others, which nobody reads."""

    __slots__ = ("_refused", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        self._refused = False

    def add(self, choice: _Choice, said: _Said | None, events: list[Event]) -> None:
        """Take in what a choice says."""
        if choice.index:
            return
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


def _add_parts(parts: list[_Part], events: list[Event]) -> None:
    for part in parts:
        if part.type == "text" and part.text:
            events.append(TextDelta(part.text))
        events.extend(
            ThinkingDelta(thought.text) for thought in part.thinking or () if thought.text
        )


def _convert(document: object) -> _NamedChunk:
    """Convert a decoded chunk. Counts of an unknown form are left out: the text is worth more."""
    try:
        return msgspec.convert(document, _NamedChunk)
    except msgspec.ValidationError:
        if not isinstance(document, dict) or "usage" not in document:
            raise
        del document["usage"]
        return msgspec.convert(document, _NamedChunk)


def _is_report(frame: ServerSentEvent) -> bool:
    if frame.event == "error":
        return True
    try:
        return is_report(msgspec.json.decode(frame.data))
    except BROKEN:
        return False

"""What Ollama's own API answers: one document, or one a line, of which the last says that it is done.

Source: github.com/ollama/ollama, docs/api.md and server/routes.go.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta
from llmkit.json_lines import JSONLinesDecoder
from llmkit.providers import failures
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.lines import Lines
from llmkit.providers.ollama.documents import Document, Function
from llmkit.providers.tool_calls import Calls
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage

STOP_REASONS: Mapping[str, StopReason] = {"length": "max_tokens", "stop": "end"}

_decode = msgspec.json.Decoder(Document).decode


def add(document: Document, calls: Calls | None, events: list[Event]) -> Calls | None:
    """Take in what a document says; return the calls that there are by then."""
    said = document.message
    if said is None:
        return calls
    if said.thinking:
        events.append(ThinkingDelta(said.thinking))
    if said.content:
        events.append(TextDelta(said.content))
    for call in said.tool_calls or ():
        calls = calls or Calls()
        called = call.function or Function()
        # Its calls are whole, one or more a line: one without arguments takes none, whatever ends the answer.
        arguments = {} if called.arguments is None else called.arguments
        events.append(calls.begin(None, called.name, arguments, given_id=call.id))
    return calls


def finish(document: Document, calls: Calls | None, usage: Usage) -> Finish:
    """Make the last event."""
    raw = document.done_reason or None
    reason = STOP_REASONS.get(raw or "", "other")
    if reason == "end" and calls is not None:
        reason = "tool_use"  # the vendor has no word of its own for it
    return Finish(reason, raw, usage)


class LineDecoder(StreamDecoder):
    """Reads a stream; the line with `"done": true` ends it."""

    __slots__ = ("_calls",)

    _calls: Calls | None

    def _new_lines(self) -> Lines:
        self._calls = None
        return JSONLinesDecoder()

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                document = _decode(frame.data)
            except BROKEN:
                document = self._decode_odd(frame.data)
            if document.error or self.failure is not None:
                self.failure = self.failure or failures.from_report(self._origin, frame.data)
                break
            self.model = document.model or self.model
            self._calls = add(document, self._calls, events)
            if document.done:
                self._said = self._said or bool(events)
                self._reported = document.to_usage()
                ending = finish(document, self._calls, self.usage)
                return [*merged(events), *self._ended(self._calls, ending)]
        self._said = self._said or bool(events)
        return merged(events)

    def _decode_odd(self, data: str) -> Document:
        return self._fitted(data, Document, "a line") or Document()


class WholeDecoder(BodyDecoder):
    """Reads a whole answer."""

    __slots__ = ()

    def _read(self, body: str) -> list[Event]:
        document = self._fitted(body, _decode, Document)
        if document.error or document.message is None:
            self._refuse(body)
            return []
        events: list[Event] = []
        calls = add(document, None, events)
        self.model = document.model
        self._reported, self._said = document.to_usage(), bool(events)
        if not document.done:
            return []
        return [*merged(events), *self._ended(calls, finish(document, calls, self.usage))]

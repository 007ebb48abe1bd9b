"""What Anthropic Messages answers: a message, or the events of one.

Sources: platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
)
from llmkit.providers import failures
from llmkit.providers.anthropic.documents import Block, DeltaEvent, Message, Report, StreamEvent
from llmkit.providers.counts import believed
from llmkit.providers.cuts import Form
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import is_keepalive
from llmkit.providers.tool_calls import Calls
from llmkit.sse import ServerSentEvent
from llmkit.usage import PLAIN, Billing, Usage

WIRE = "anthropic"
STOP_REASONS: Mapping[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "pause_turn": "pause",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
}


_decode_event = msgspec.json.Decoder(StreamEvent).decode
_decode_deltas = msgspec.json.Decoder(DeltaEvent).decode_lines
_decode_message = msgspec.json.Decoder(Message).decode


class EventDecoder(StreamDecoder):
    """Reads a stream; message_stop ends it."""

    __slots__ = ("_calls", "_counts", "_stop_reason")
    _form = Form.of(b"event: content_block_delta\ndata: {")

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._counts = Report()
        self._stop_reason: str | None = None
        self._calls: Calls | None = None

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far."""
        return believed(self._counts.to_usage(), said=self._said)

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._counts.to_billing()

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                event = _decode_event(frame.data)
            except BROKEN:
                event = self._decode_odd(frame)
            # Only a content block's delta has one of these two types.
            block = event.delta
            if block is not None and block.type == "text_delta":
                if block.text:
                    events.append(TextDelta(block.text))
            elif block is not None and block.type == "thinking_delta":
                if block.thinking:
                    events.append(ThinkingDelta(block.thinking))
            else:
                self._control(event, frame, events)
                if self._done:
                    break
        if events:
            self._said = True
        if self.finished:
            events += self._ended(self._calls, _finish(self._stop_reason, self.usage))
        return merged(events)

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
        try:
            deltas = _decode_deltas(lines)
        except BROKEN:
            return None
        first = deltas[0].delta
        if first is None or len(deltas) != count:
            return None
        kind = first.type
        thinks = kind == "thinking_delta"
        if not thinks and kind != "text_delta":
            return None
        texts = []
        for event in deltas:
            block = event.delta
            if block is None or block.type != kind:
                return None
            texts.append((block.thinking if thinks else block.text) or "")
        text = "".join(texts)
        if not text:
            return []
        self._said = True
        return [ThinkingDelta(text) if thinks else TextDelta(text)]

    def _control(self, event: StreamEvent, frame: ServerSentEvent, events: list[Event]) -> None:
        # Some servers leave the type out of the data; an event that cannot be read is only a failure.
        kind = event.type or ("error" if self.failure is not None else frame.event)
        if kind == "content_block_start" and event.content_block is not None:
            self._calls = _add_block(event.content_block, event.index, self._calls, events)
        elif kind == "content_block_delta" and event.delta is not None:
            self._add_delta(event.delta, event.index, events)
        elif kind == "message_start" and (events or self._said):
            # A proxy that asked again put a second answer behind half of the first.
            self.failure = failures.second_answer(self._origin)
        elif kind == "message_start" and event.message is not None:
            self.request_id, self.model = event.message.id or None, event.message.model or None
            self._count(event.message.usage, is_start=True)
        elif kind == "message_delta":
            if event.delta is not None and event.delta.stop_reason:
                self._stop_reason = event.delta.stop_reason
            self._count(event.usage)
        elif kind == "message_stop":
            self.finished = True
        elif event.type == "error" or frame.event == "error":
            self.failure = failures.from_report(self._origin, frame.data)

    def _add_delta(self, delta: Block, index: int | None, events: list[Event]) -> None:
        if delta.type == "signature_delta" and delta.signature:
            events.append(ThinkingSignature(delta.signature, WIRE))
        elif self._calls is not None and (delta.type == "input_json_delta" or delta.partial_json):
            grown = self._calls.add(index, delta.partial_json)
            if grown is not None:
                events.append(grown)

    def _count(self, usage: Report | None, *, is_start: bool = False) -> None:
        if usage is None:
            return
        if is_start:
            # The start says how long the prompt is; what it says about the output is a placeholder.
            usage.output_tokens = usage.output_tokens_details = None
        self._counts.update(usage)

    def _decode_odd(self, frame: ServerSentEvent) -> StreamEvent:
        """Decode what is not of the expected form; what nobody reads may have any form."""
        if frame.event not in StreamEvent.needs and is_keepalive(frame):
            return StreamEvent()
        return self._fitted(frame.data, StreamEvent, "an event") or StreamEvent()


class MessageDecoder(BodyDecoder):
    """Reads a whole message."""

    __slots__ = ("_billing",)
    _report_type = Report

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._billing = PLAIN

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._billing

    def _read(self, body: str) -> list[Event]:
        message = self._fitted(body, _decode_message, Message)
        if message.type != "message":
            self._refuse(body)
            return []
        self.request_id, self.model = message.id or None, message.model or None
        if message.usage is not None:
            self._reported = message.usage.to_usage()
            self._billing = message.usage.to_billing()
        events: list[Event] = []
        calls: Calls | None = None
        for index, block in enumerate(message.content or ()):
            calls = _add_block(block, index, calls, events)
        self._said = bool(events)
        if message.stop_reason is None:
            return []
        return [*merged(events), *self._ended(calls, _finish(message.stop_reason, self.usage))]


def _add_block(
    block: Block, index: int | None, calls: Calls | None, events: list[Event]
) -> Calls | None:
    """Take in a block, or the begin of one; return the calls that there are by then."""
    if block.type == "text" and block.text:
        events.append(TextDelta(block.text))
    elif block.type == "thinking":
        if block.thinking:
            events.append(ThinkingDelta(block.thinking))
        if block.signature:
            events.append(ThinkingSignature(block.signature, WIRE))
    elif block.type == "redacted_thinking" and block.data:
        events.append(RedactedThinking(block.data, WIRE))
    elif block.type == "tool_use":
        calls = calls or Calls()
        # Its input is an empty object where its pieces are still to come.
        events.append(calls.begin(index, block.name, block.input or None, given_id=block.id))
    elif block.type not in ("text", "redacted_thinking"):
        calls = calls or Calls()
        calls.pass_over(index)
    return calls


def _finish(raw: str | None, usage: Usage) -> Finish:
    return Finish(STOP_REASONS.get(raw or "", "other"), raw, usage)

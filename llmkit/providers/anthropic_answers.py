"""What Anthropic Messages answers: a message, or the events of one.

Sources: platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta
from llmkit.providers import failures
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder, lenient_json, merged
from llmkit.providers.failures import Origin
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage

STOP_REASONS: Mapping[str, StopReason] = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "pause_turn": "pause",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
}


class _CacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _OutputDetails | None = None

    def update(self, later: _Usage) -> None:
        """Take over what a later report says: its counts are totals, and it may leave some out."""
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)

    def to_usage(self) -> Usage:
        """Add up the prompt: `input_tokens` here is without what the cache gave or took."""
        split, details = self.cache_creation or _CacheCreation(), self.output_tokens_details
        write_5m, write_1h = split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens
        write, read = self.cache_creation_input_tokens, self.cache_read_input_tokens
        if write is None and (write_5m is not None or write_1h is not None):
            write = (write_5m or 0) + (write_1h or 0)
        elif write != (write_5m or 0) + (write_1h or 0):
            # A later report raised the total and did not split it.
            write_5m = write_1h = None
        prompt = self.input_tokens
        return Usage(
            input_tokens=None if prompt is None else prompt + (read or 0) + (write or 0),
            output_tokens=self.output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=write,
            cache_write_5m_tokens=write_5m,
            cache_write_1h_tokens=write_1h,
            reasoning_tokens=details.thinking_tokens if details is not None else None,
            input_source="unknown" if prompt is None else "reported",
            output_source="unknown" if self.output_tokens is None else "reported",
        )


class _Block(msgspec.Struct, gc=False):
    """A content block, or a delta of one, or the delta of the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Message(msgspec.Struct, gc=False):
    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[_Block] = []
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Head(msgspec.Struct, gc=False):
    """The message in message_start: its content is empty and its stop reason is null."""

    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None


class _StreamEvent(msgspec.Struct, gc=False):
    """All stream events in one: decoding a union of them would cost more for every token."""

    type: str = ""
    delta: _Block | None = None
    content_block: _Block | None = None
    message: _Head | None = None
    usage: _Usage | None = None


_BLOCKS = ("text", "thinking")
_DELTAS = ("text_delta", "thinking_delta")

_event_decoder = msgspec.json.Decoder(_StreamEvent)
_decode_event, _decode_events = _event_decoder.decode, _event_decoder.decode_lines
_decode_message = msgspec.json.Decoder(_Message).decode


class EventDecoder(StreamDecoder):
    """Reads a stream; message_stop ends it."""

    __slots__ = ("_counts", "_said_something", "_stop_reason")
    _usual = b"event: content_block_delta\ndata: {"
    _border = b"}\n\n" + _usual

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._counts = _Usage()
        self._said_something = False
        self._stop_reason: str | None = None

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far."""
        return self._counts.to_usage()

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                event = _decode_event(frame.data)
            except BROKEN:
                event = self._decode_odd(frame.data)
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
            self._said_something = True
        if self.finished:
            events.append(_finish(self._stop_reason, self.usage))
        return merged(events)

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
        try:
            deltas = _decode_events(lines)
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
        self._said_something = True
        return [ThinkingDelta(text) if thinks else TextDelta(text)]

    def _control(self, event: _StreamEvent, frame: ServerSentEvent, events: list[Event]) -> None:
        if event.type == "content_block_start" and event.content_block is not None:
            _add_block(event.content_block, events)
        elif event.type == "message_start" and (events or self._said_something):
            # A proxy that asked again put a second answer behind half of the first.
            self.failure = failures.malformed(
                self._origin, "began a second answer inside the first"
            )
        elif event.type == "message_start" and event.message is not None:
            self.request_id, self.model = event.message.id, event.message.model
            self._count(event.message.usage, is_start=True)
        elif event.type == "message_delta":
            if event.delta is not None and event.delta.stop_reason:
                self._stop_reason = event.delta.stop_reason
            self._count(event.usage)
        elif event.type == "message_stop":
            self.finished = True
        elif event.type == "error" or frame.event == "error":
            self.failure = failures.from_report(self._origin, frame.data)

    def _count(self, usage: _Usage | None, *, is_start: bool = False) -> None:
        if usage is None:
            return
        if is_start:
            # The start says how long the prompt is; what it says about the output is a placeholder.
            usage.output_tokens = usage.output_tokens_details = None
        self._counts.update(usage)

    def _decode_odd(self, data: str) -> _StreamEvent:
        """Decode what is not of the expected form; what nobody reads may have any form."""
        if not data.strip():
            return _StreamEvent()
        try:
            document = lenient_json(data)
            return msgspec.convert(document, _StreamEvent)
        except msgspec.ValidationError:
            if not isinstance(document, dict) or _is_wanted(document):
                self.failure = failures.malformed(self._origin, "sent an event of an unknown form")
        except (ValueError, RecursionError):
            self.failure = failures.malformed(self._origin, "sent an event that is not JSON")
        return _StreamEvent()


class MessageDecoder(BodyDecoder):
    """Reads a whole message."""

    __slots__ = ()

    def _read(self, body: str) -> list[Event]:
        try:
            message = _decode_message(body)
        except BROKEN:
            message = _decode_odd_message(body)
        if message.type != "message":
            self._refuse(body)
            return []
        self.request_id, self.model = message.id, message.model
        if message.usage is not None:
            self._reported = message.usage.to_usage()
        events: list[Event] = []
        for block in message.content:
            _add_block(block, events)
        self.finished = message.stop_reason is not None
        return [*merged(events), _finish(message.stop_reason, self.usage)]


def _decode_odd_message(body: str) -> _Message:
    """Decode what is not of the expected form, without the blocks that nobody reads."""
    try:
        document = lenient_json(body)
        if isinstance(document, dict) and isinstance(document.get("content"), list):
            blocks = document["content"]
            document["content"] = [block for block in blocks if _block_type(block) in _BLOCKS]
        return msgspec.convert(document, _Message)
    except (ValueError, RecursionError):
        return _Message()


def _add_block(block: _Block, events: list[Event]) -> None:
    if block.type == "text" and block.text:
        events.append(TextDelta(block.text))
    elif block.type == "thinking" and block.thinking:
        events.append(ThinkingDelta(block.thinking))


def _finish(raw: str | None, usage: Usage) -> Finish:
    return Finish(STOP_REASONS.get(raw or "", "other"), raw, usage)


def _is_wanted(event: dict[str, object]) -> bool:
    if event.get("type") == "content_block_start":
        return _block_type(event.get("content_block")) in _BLOCKS
    if event.get("type") == "content_block_delta":
        return _block_type(event.get("delta")) in _DELTAS
    return event.get("type") in ("message_start", "message_delta", "message_stop", "error")


def _block_type(block: object) -> object:
    return block.get("type") if isinstance(block, dict) else None

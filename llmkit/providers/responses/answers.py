"""What OpenAI's Responses API answers: a response, or the events of one.

Source: developers.openai.com/api/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

import json

import msgspec

from llmkit.errors import ProviderError
from llmkit.events import (
    Event,
    TextDelta,
    ThinkingDelta,
)
from llmkit.providers import failures
from llmkit.providers.cuts import Form
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import is_keepalive
from llmkit.providers.reports import is_report_text
from llmkit.providers.responses.documents import (
    DeltaEvent,
    Report,
    Response,
    StreamEvent,
)
from llmkit.providers.responses.items import BETWEEN, Answer
from llmkit.sse import ServerSentEvent
from llmkit.usage import Billing

_TEXT = "response.output_text.delta"
# What ends a response; one that has failed, or is cancelled, is told apart before.
_TERMINALS = ("response.completed", "response.incomplete")
_decode_event = msgspec.json.Decoder(StreamEvent).decode
_decode_deltas = msgspec.json.Decoder(DeltaEvent).decode_lines
_decode_response = msgspec.json.Decoder(Response).decode


class EventDecoder(StreamDecoder):
    """Reads a stream; response.completed or response.incomplete ends it. That there is a response says nothing yet: many fail behind it."""

    __slots__ = ("_answer",)
    _form = Form.of(b"event: response.output_text.delta\ndata: {")

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._answer = Answer()

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._answer.billing

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
        try:
            deltas = _decode_deltas(lines)
        except BROKEN:
            return None
        if len(deltas) != count or any(event.type != _TEXT for event in deltas):
            return None
        indices = {event.output_index for event in deltas}
        if None in indices:
            return None
        text = "".join([event.delta or "" for event in deltas])
        if not text:
            return []
        self._answer.note_texts(indices)
        self._said = True
        return [TextDelta(text)]

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                event = _decode_event(frame.data)
            except BROKEN:
                event = self._decode_odd(frame)
            if self.failure is None:
                self._take(event, frame, events)
            if self.failure is not None:
                break
            if self.finished:
                self._said = self._said or bool(events)
                assert event.response is not None  # noqa: S101  # it has ended the answer
                ending = self._answer.finish(event.response, self.usage)
                return merged(events) + self._ended(self._answer.calls, ending)
        self._said = self._said or bool(events)
        return merged(events)

    def _take(self, event: StreamEvent, frame: ServerSentEvent, events: list[Event]) -> None:
        # Some servers leave the type out of the data.
        kind, answer = event.type or frame.event, self._answer
        key = event.item_id if event.output_index is None else event.output_index
        if kind == _TEXT:
            answer.say(event.delta, key, events)
        elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            answer.think(event.delta, key, events)
        elif kind == "response.function_call_arguments.delta":
            answer.grow(key, event.delta, events)
        elif kind == "response.refusal.delta":
            answer.refuse(event.delta, key, events)
        elif kind == "response.reasoning_summary_part.added":
            if event.summary_index:
                events.append(ThinkingDelta(BETWEEN))
        elif kind == "response.output_item.added" and event.item is not None:
            answer.begin(event.item, key, events)
        elif kind == "response.output_item.done" and event.item is not None:
            answer.end(event.item, key, events)
        elif kind == "error" or (not kind.startswith("response.") and is_report_text(frame.data)):
            self.failure = failures.from_report(self._origin, frame.data)
        elif event.response is not None:
            self._note(kind, event.response, frame, events)

    def _note(
        self, kind: str, response: Response, frame: ServerSentEvent, events: list[Event]
    ) -> None:
        """Take in what an event says of the whole response."""
        answer = self._answer
        if kind == "response.created" and (events or self._said):
            # A proxy that asked again put a second answer behind half of the first.
            self.failure = failures.second_answer(self._origin)
            return
        answer.name(response)
        self.request_id, self.model = answer.id, answer.model
        self._reported = None if answer.report is None else answer.report.to_usage()
        if kind == "response.failed" or response.status == "failed":
            self.failure = _failed(self._origin, response)
        elif kind == "response.cancelled" or response.status == "cancelled":
            self.failure = failures.truncated(self._origin)
        elif kind in _TERMINALS:
            answer.end_rest(response, events)
            self.finished = True

    def _decode_odd(self, frame: ServerSentEvent) -> StreamEvent:
        # The mark of the vendor's other API ends nothing here.
        is_mark = frame.data.lstrip().startswith("[DONE]")
        if is_mark or (is_keepalive(frame) and not frame.event.startswith("response.")):
            return StreamEvent()
        return self._fitted(frame.data, StreamEvent, "an event") or StreamEvent()


class ResponseDecoder(BodyDecoder):
    """Reads a whole response."""

    __slots__ = ("_answer",)
    _report_type = Report

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._answer = Answer()

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._answer.billing

    def _read(self, body: str) -> list[Event]:
        response = self._fitted(body, _decode_response, Response)
        if response.output is None or response.status is None:
            self._refuse(body)
            return []
        answer = self._answer
        answer.name(response)
        self.request_id, self.model = answer.id, answer.model
        self._reported = None if answer.report is None else answer.report.to_usage()
        events: list[Event] = []
        for item in response.output:
            answer.end(item, None, events)
        self._said = bool(events)
        if response.status == "failed":
            self.failure = _failed(self._origin, response)
        if self.failure is not None or f"response.{response.status}" not in _TERMINALS:
            return []
        finish = answer.finish(response, self.usage)
        return [*merged(events), *self._ended(answer.calls, finish)]


def _failed(origin: Origin, response: Response) -> ProviderError:
    """Say why a response has failed."""
    try:
        report = json.dumps({"error": response.error})
    except RecursionError:
        report = "{}"
    return failures.from_report(origin, report)

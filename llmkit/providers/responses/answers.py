"""What OpenAI's Responses API answers: a response, or the events of one.

Source: developers.openai.com/api/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from llmkit.errors import ProviderError
from llmkit.events import (
    Event,
    Finish,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
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
    Item,
    Piece,
    Report,
    Response,
    StreamEvent,
)
from llmkit.providers.tool_calls import Calls
from llmkit.sse import ServerSentEvent
from llmkit.usage import Billing, Usage

WIRE = "openai-responses"
STOP_REASONS: Mapping[str, StopReason] = {
    "completed": "end",
    "content_filter": "content_filter",
    "max_output_tokens": "max_tokens",
}
_TEXT = "response.output_text.delta"
_TERMINALS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
# What costs nothing beside its tokens. Searches have a price by the call; all else has one that nobody tells.
_FREE = (
    *("message", "reasoning", "function_call", "custom_tool_call", "compaction"),
    *("mcp_call", "mcp_list_tools", "mcp_approval_request"),
)
_BETWEEN = "\n\n"  # the parts of a summary of what was thought

_decode_event = msgspec.json.Decoder(StreamEvent).decode
_decode_deltas = msgspec.json.Decoder(DeltaEvent).decode_lines
_decode_response = msgspec.json.Decoder(Response).decode


class Answer:
    """The answer, as its items come.

    Attributes:
        calls: the calls of tools in it; None as long as there are none.
        id, model, service_tier: as the vendor names them.
        report: what is said of tokens.
    """

    __slots__ = (
        "_refused",
        "_searches",
        "_streamed",
        "_unpriced",
        "calls",
        "id",
        "model",
        "report",
        "service_tier",
    )

    def __init__(self) -> None:
        self.calls: Calls | None = None
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.report: Report | None = None
        self._refused = False
        self._searches = 0
        self._unpriced = False
        # The items of which something came before they were whole.
        self._streamed: set[int | None] = set()

    @property
    def billing(self) -> Billing:
        """What the cost hangs on beside the tokens."""
        return Billing(
            service_tier=self.service_tier, web_searches=self._searches, unpriced=self._unpriced
        )

    def name(self, response: Response) -> None:
        """Take note of what the vendor calls it."""
        self.id, self.model = response.id or self.id, response.model or self.model
        self.service_tier = response.service_tier or self.service_tier
        self.report = response.usage or self.report

    def begin(self, item: Item, index: int | None, events: list[Event]) -> None:
        """Take in the begin of an item."""
        if item.type == "function_call":
            calls = self.calls = self.calls or Calls()
            events.append(calls.begin(index, item.name, item.arguments, given_id=item.call_id))
            if item.arguments:
                self._streamed.add(index)

    def note(self, index: int | None) -> None:
        """Take note that a piece of an item has come."""
        self._streamed.add(index)

    def grow(self, index: int | None, piece: str | None, events: list[Event]) -> None:
        """Take in a piece of the arguments of a call."""
        if self.calls is None:
            return  # the call comes whole, or not at all
        grown = self.calls.add(index, piece)
        if grown is not None:
            self._streamed.add(index)
            events.append(grown)

    def refuse(self, text: str | None, index: int | None, events: list[Event]) -> None:
        """Take in why the model does not answer."""
        self._refused = True
        self.say(text, index, events)

    def say(self, text: str | None, index: int | None, events: list[Event]) -> None:
        """Take in a piece of text."""
        if text:
            self._streamed.add(index)
            events.append(TextDelta(text))

    def end(self, item: Item, index: int | None, events: list[Event]) -> None:
        """Take in a whole item, as far as it has not been said in pieces."""
        is_new = index is None or index not in self._streamed
        if item.type == "function_call":
            self._end_call(item, index, events, is_new=is_new)
        elif item.type == "message" and is_new:
            for piece in item.content or ():
                self._say_piece(piece, events)
        elif item.type == "reasoning":
            if is_new:
                parts = [piece.text for piece in item.summary or item.content or () if piece.text]
                if parts:
                    events.append(ThinkingDelta(_BETWEEN.join(parts)))
            if item.encrypted_content and item.id:
                events.append(ThinkingSignature(f"{item.id}:{item.encrypted_content}", WIRE))
        elif item.type == "web_search_call":
            self._searches += 1
        elif item.type not in _FREE:
            self._unpriced = True

    def _end_call(
        self, item: Item, index: int | None, events: list[Event], *, is_new: bool
    ) -> None:
        calls = self.calls = self.calls or Calls()
        if index is None or not calls.knows(index):
            events.append(calls.begin(index, item.name, item.arguments, given_id=item.call_id))
        elif is_new and isinstance(item.arguments, str):
            self.grow(index, item.arguments, events)

    def _say_piece(self, piece: Piece, events: list[Event]) -> None:
        if piece.type == "output_text" and piece.text:
            events.append(TextDelta(piece.text))
        elif piece.type == "refusal":
            self._refused = True
            if piece.refusal:
                events.append(TextDelta(piece.refusal))

    def finish(self, response: Response, usage: Usage) -> Finish:
        """Make the last event."""
        why = response.incomplete_details
        raw = why.reason if why is not None and why.reason else response.status
        reason = STOP_REASONS.get(raw or "", "other")
        if reason == "end" and self._refused:
            reason = "refusal"
        elif reason == "end" and self.calls is not None:
            reason = "tool_use"
        return Finish(reason, raw, usage)


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
        text = "".join([event.delta or "" for event in deltas])
        if not text:
            return []
        for event in deltas:
            self._answer.note(event.output_index)
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
        kind, answer, index = event.type or frame.event, self._answer, event.output_index
        if kind == _TEXT:
            answer.say(event.delta, index, events)
        elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            if event.delta:
                answer.note(index)
                events.append(ThinkingDelta(event.delta))
        elif kind == "response.function_call_arguments.delta":
            answer.grow(index, event.delta, events)
        elif kind == "response.refusal.delta":
            answer.refuse(event.delta, index, events)
        elif kind == "response.reasoning_summary_part.added":
            if event.summary_index:
                events.append(ThinkingDelta(_BETWEEN))
        elif kind == "response.output_item.added" and event.item is not None:
            answer.begin(event.item, index, events)
        elif kind == "response.output_item.done" and event.item is not None:
            answer.end(event.item, index, events)
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
        elif kind in _TERMINALS:
            self.finished = True

    def _decode_odd(self, frame: ServerSentEvent) -> StreamEvent:
        is_mark = frame.data.lstrip().startswith(
            "[DONE]"
        )  # of the vendor's other API: it ends nothing here
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

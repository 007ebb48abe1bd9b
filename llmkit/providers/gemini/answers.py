"""What Gemini answers: a response, or the pieces of one.

Sources: ai.google.dev/api/generate-content, ai.google.dev/gemini-api/docs/thought-signatures, and the google-genai SDK.
"""

from __future__ import annotations

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
from llmkit.providers.counts import believed
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.gemini.documents import Candidate, Document, FunctionCall, Part, Report
from llmkit.providers.gemini.partial import Arguments, NoPlace
from llmkit.providers.lenient import is_keepalive
from llmkit.providers.tool_calls import BrokenCall, Calls
from llmkit.sse import ServerSentEvent
from llmkit.usage import Billing, Usage

WIRE = "gemini"
STOP_REASONS: Mapping[str, StopReason] = {
    "BLOCKLIST": "content_filter",
    "CONTINUATION": "pause",
    "ESCALATION": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "LANGUAGE": "content_filter",
    "MAX_TOKENS": "max_tokens",
    "MODEL_ARMOR": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "RECITATION": "content_filter",
    "SAFETY": "content_filter",
    "SPII": "content_filter",
    "STOP": "end",
}
# The numbers that mean the same in both of the vendor's APIs, for servers that write enums as numbers.
_NUMBERS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
# Which no reader can use: the model has called a tool in a way that nobody understands.
_BROKEN_CALLS = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE")
# The request was at fault.
_REFUSED = ("MISSING_THOUGHT_SIGNATURE",)

_decode = msgspec.json.Decoder(Document).decode


class Answer:
    """The one candidate that is read, as it grows: the first one.

    Attributes:
        reason: why it stops, in the vendor's word; None as long as it has not said so.
        refused: why the prompt is not answered; None if it is.
        calls: the calls of tools in it; None as long as there are none.
        counts: what is said of tokens.
        model, response_id: what answers, and the vendor's name for it.
    """

    __slots__ = (
        "_growing",
        "_index",
        "_searched",
        "calls",
        "counts",
        "model",
        "reason",
        "refused",
        "response_id",
    )

    def __init__(self) -> None:
        self._index: int | None = None
        self._growing: Arguments | None = None
        self._searched = False
        self.reason: str | None = None
        self.refused: str | None = None
        self.calls: Calls | None = None
        self.counts = Report()
        self.model: str | None = None
        self.response_id: str | None = None

    def add(self, document: Document, events: list[Event]) -> bool:
        """Take in a response, or what is new in one; tell whether it says why the answer stops.

        Raises:
            BrokenCall: a piece of a call stands where nothing can stand.
        """
        self.model = document.model_version or self.model
        self.response_id = document.response_id or self.response_id
        if document.usage_metadata is not None:
            self.counts.update(document.usage_metadata)
        feedback = document.prompt_feedback
        if feedback is not None and feedback.block_reason and not document.candidates:
            self.refused = feedback.block_reason
        ends = False
        for candidate in document.candidates or ():
            if self._index is None:
                self._index = candidate.index
            if candidate.index == self._index:
                ends = self._add(candidate, events)
        return ends

    def usual(self, document: Document) -> str | None:
        """Take in a piece of text and nothing else, which nearly all responses are; return it, or None for all others."""
        candidates = document.candidates
        if not candidates or len(candidates) > 1 or self.reason is not None:
            return None
        candidate = candidates[0]
        content = candidate.content
        if (
            candidate.index != self._index
            or candidate.finish_reason is not None
            or candidate.grounding_metadata is not None
            or content is None
            or not content.parts
            or len(content.parts) > 1
            or document.error is not None
        ):
            return None
        part = content.parts[0]
        if part.thought or part.thought_signature is not None or part.function_call is not None:
            return None
        if document.usage_metadata is not None:
            self.counts.update(document.usage_metadata)
        return part.text

    def finish(self, usage: Usage) -> Finish:
        """Make the last event."""
        if self.reason is None:
            return Finish("refusal", self.refused, usage)
        reason = STOP_REASONS.get(self.reason, "other")
        if reason == "end" and self.calls is not None:
            reason = "tool_use"  # the vendor has no word of its own for it
        return Finish(reason, self.reason, usage)

    @property
    def has_ended(self) -> bool:
        """Whether it has said why it stops, or that there is none."""
        return self.reason is not None or self.refused is not None

    @property
    def billing(self) -> Billing:
        """What the cost hangs on beside the tokens. What a search costs depends on the model, and pictures are no text."""
        return Billing(
            service_tier=self.counts.service_tier or self.counts.traffic_type,
            unpriced=self._searched or not self.counts.is_of_text,
        )

    def _add(self, candidate: Candidate, events: list[Event]) -> bool:
        content = candidate.content
        for part in (content.parts if content is not None else None) or ():
            self._add_part(part, events)
        self._searched = self._searched or bool(candidate.grounding_metadata)
        reason = candidate.finish_reason
        if isinstance(reason, int):
            reason = _NUMBERS.get(reason, str(reason) if reason else "")
        if not isinstance(reason, str) or reason.upper() in ("", "FINISH_REASON_UNSPECIFIED"):
            return False
        self.reason = reason.upper()
        if self._growing is not None:
            is_cut = self.reason == "MAX_TOKENS"
            raise BrokenCall("ended in the midst of a call of a tool", is_cut=is_cut)
        return True

    def _add_part(self, part: Part, events: list[Event]) -> None:
        signature = part.thought_signature
        if part.function_call is not None:
            self._add_call(part.function_call, signature, events)
            return
        if part.text:
            events.append(ThinkingDelta(part.text) if part.thought else TextDelta(part.text))
        if signature:
            events.append(ThinkingSignature(signature, WIRE))

    def _add_call(self, call: FunctionCall, signature: str | None, events: list[Event]) -> None:
        calls = self.calls = self.calls or Calls()
        growing = self._growing
        if growing is None or call.name:
            if growing is not None:
                raise BrokenCall("began a call of a tool in the midst of another")
            grows = call.will_continue or call.partial_args is not None
            growing = self._growing = Arguments() if grows else None
            # One that does not grow is whole: without arguments it takes none, whatever ends the answer.
            args = {} if call.args is None and not grows else call.args
            begun = calls.begin(
                None, call.name, args, given_id=call.id, signature=signature or None
            )
            events.append(begun)
        if growing is None:
            return
        try:
            for piece in call.partial_args or ():
                growing.add(piece)
        except NoPlace:
            raise BrokenCall(
                "sent a piece of a tool's arguments that stands nowhere in them"
            ) from None
        if call.will_continue:
            return
        if growing.is_open:
            raise BrokenCall("ended a call of a tool in the midst of a text")
        self._growing = None
        grown = calls.add(None, growing.to_json())
        if grown is not None:
            events.append(grown)


def failed(origin: Origin, answer: Answer) -> ProviderError | None:
    """Return the error of an answer that says it stops because something went wrong; None for all others."""
    if answer.reason in _BROKEN_CALLS:
        broken = BrokenCall(f"stopped with a broken call of a tool ({answer.reason})")
        return failures.broken_call(origin, broken)
    if answer.reason in _REFUSED:
        return failures.rejected(origin, answer.reason)
    return None


class ChunkDecoder(StreamDecoder):
    """Reads a stream. There is no end marker: with a finish reason, or a refusal of the prompt, the end of the body completes it."""

    __slots__ = ("_answer",)

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._answer = Answer()

    @property
    def usage(self) -> Usage:
        """What the provider has reported so far."""
        return believed(self._answer.counts.to_usage(), said=self._said)

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._answer.billing

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            if frame.data.lstrip().startswith(
                "[DONE]"
            ):  # which the vendor does not send, but some servers do
                self._said = self._said or bool(events)
                return merged(events) + self._end()
            self._take(frame, events)
            if self.failure is not None:
                break
        self._said = self._said or bool(events)
        return merged(events)

    def _take(self, frame: ServerSentEvent, events: list[Event]) -> None:
        try:
            document = _decode(frame.data)
        except BROKEN:
            document = self._decode_odd(frame)
        text = self._answer.usual(document) if frame.event == "message" else None
        if text:
            events.append(TextDelta(text))
            return
        if document.error or frame.event == "error":
            self.failure = self.failure or failures.from_report(self._origin, frame.data)
            return
        answer, before, had_ended = self._answer, len(events), self._answer.has_ended
        try:
            ends = answer.add(document, events)
        except BrokenCall as broken:
            self.failure = failures.broken_call(self._origin, broken)
            return
        self.model, self.request_id = answer.model, answer.response_id
        self.failure = self.failure or failed(self._origin, answer)
        says_more = had_ended and len(events) > before
        if says_more and not ends:
            # A proxy that asked again put a second answer behind the first.
            del events[before:]
            self.failure = failures.second_answer(self._origin)
        # Where a finish reason comes with every piece, none of them says that silence may end the answer.
        self.stopping = answer.has_ended and not says_more

    def _end(self) -> list[Event]:
        if not self._answer.has_ended:
            self.failure = failures.truncated(self._origin)
            return []
        return self._ended(self._answer.calls, self._answer.finish(self.usage))

    def _decode_odd(self, frame: ServerSentEvent) -> Document:
        if is_keepalive(frame):
            return Document()
        return self._fitted(frame.data, Document, "a response") or Document()


class WholeDecoder(BodyDecoder):
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
        document = self._fitted(body, _decode, Document)
        answer = self._answer
        events: list[Event] = []
        known = document.candidates or document.prompt_feedback or document.usage_metadata
        if document.error or not known:
            self._refuse(body)
            return []
        try:
            answer.add(document, events)
        except BrokenCall as broken:
            self.failure = failures.broken_call(self._origin, broken)
        self.model, self.request_id = answer.model, answer.response_id
        self._reported, self._said = answer.counts.to_usage(), bool(events)
        self.failure = self.failure or failed(self._origin, answer)
        if self.failure is not None or not answer.has_ended:
            return []
        return [*merged(events), *self._ended(answer.calls, answer.finish(self.usage))]

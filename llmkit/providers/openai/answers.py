"""What OpenAI chat completions and compatible servers answer: a completion, or chunks of one.

Source: developers.openai.com/api/docs/api-reference/chat. Where a server is named that differs,
that is where the difference was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from llmkit.events import Event
from llmkit.providers import failures
from llmkit.providers.cuts import Form
from llmkit.providers.decoding import BROKEN, BodyDecoder, StreamDecoder
from llmkit.providers.deltas import merged
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import is_keepalive
from llmkit.providers.openai.choices import Answer, End, ends
from llmkit.providers.openai.documents import Chunk, Completion, NamedChunk, Report, WholeChoice
from llmkit.providers.reports import is_report_text
from llmkit.sse import ServerSentEvent
from llmkit.usage import Billing

_chunk_decoder = msgspec.json.Decoder(Chunk)
_named_decoder = msgspec.json.Decoder(NamedChunk)
_decode_completion = msgspec.json.Decoder(Completion).decode


class _Bill:
    """What an answer says of its price beside the tokens."""

    __slots__ = ("service_tier", "stated_cost")

    def __init__(self) -> None:
        self.service_tier: str | None = None
        self.stated_cost: Decimal | None = None

    def to_billing(self, origin: Origin) -> Billing:
        """Make it of what was noted. The searches of OpenAI's search models are billed by the call, and nothing tells of them."""
        return Billing(
            service_tier=self.service_tier,
            unpriced=origin.provider == "openai" and "-search" in origin.model,
            stated_cost=self.stated_cost,
        )


class ChunkDecoder(StreamDecoder):
    """Reads a stream.

    The finish reason comes in a chunk of its own, before the chunk with the usage, so `Finish`
    waits for `[DONE]`. Some compatible servers leave `[DONE]` out: with a finish reason the end of
    the body is as good. Others leave the finish reason out, and some send one with every chunk, so
    content may follow it; a second answer may not.

    Args:
        several: whether the call asked for more than one choice.
    """

    __slots__ = ("_answer", "_bill", "_decoder", "_ending")
    _form = Form.of(b"data: {")

    def __init__(self, origin: Origin, *, several: bool = False) -> None:
        super().__init__(origin)
        self._answer = Answer(several=several)
        self._bill = _Bill()
        self._ending: End | None = None
        self._decoder: msgspec.json.Decoder[NamedChunk] | msgspec.json.Decoder[Chunk] = (
            _named_decoder
        )

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._bill.to_billing(self._origin)

    def _read_lines(self, lines: bytes, count: int) -> list[Event] | None:
        try:
            chunks = self._decoder.decode_lines(lines)
        except BROKEN:
            return None
        if len(chunks) != count:
            return None
        events: list[Event] = []
        reports: list[Report] = []
        answer = self._answer
        if answer.calls is not None:
            return None
        add, several = answer.add, answer.several
        unnamed = self._decoder is _named_decoder
        is_first = unnamed and self.request_id is None
        for chunk in chunks:
            if unnamed and type(chunk) is NamedChunk:
                self._name(chunk)
                unnamed = self.model is None
            if chunk.error or chunk.choices is None:
                break
            add(chunk.choices, events)
            if chunk.usage is not None:
                reports.append(chunk.usage)
        else:
            if answer.calls is None and (
                answer.reason is None or self._is_usual_end(chunks, lines, is_first=is_first)
            ):
                if events:
                    self._said = True
                for report in reports:
                    self._count_in(report)
                return merged(events)
        answer.forget(several=several)
        return None

    def _is_usual_end(self, chunks: Sequence[Chunk], lines: bytes, *, is_first: bool) -> bool:
        """Take note of the end of the answer, if nothing follows it but the usage."""
        answer, at = self._answer, len(chunks) - 1
        if answer.ends > 1 or answer.reason == "error":
            return False
        while not any(map(ends, chunks[at].choices or ())):
            if chunks[at].choices:
                return False
            at -= 1
        named = any(isinstance(chunk, NamedChunk) and chunk.id for chunk in chunks[:at])
        behind = len(chunks) - at
        line = lines.rsplit(b"\n", behind)[-behind]
        self._stop(line, None if is_first and not named else self.request_id)
        return True

    def _stop(self, data: str | bytes, first_id: str | None) -> None:
        self._ending = End(data, first_id=first_id)
        self._bill.service_tier = self._ending.service_tier or self._bill.service_tier
        self._careful = self.stopping = True

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            if frame.data.lstrip().startswith("[DONE]"):
                self._answer.reason = self._answer.reason or ""  # it does not say why
                self._said = self._said or bool(events)
                return merged(events) + self._end()
            self._take(frame, events)
            if self.failure is not None:
                break
        self._said = self._said or bool(events)
        return merged(events)

    def _take(self, frame: ServerSentEvent, events: list[Event]) -> None:
        """Take in one chunk, whatever it is."""
        answer, data, first_id, before = self._answer, frame.data, self.request_id, len(events)
        try:
            chunk = self._decoder.decode(data)
        except BROKEN:
            chunk = self._decode_odd(frame)
        if type(chunk) is NamedChunk:
            self._name(chunk)
        if chunk.choices:
            answer.add(chunk.choices, events)
            if self._ending is not None:
                says_more = len(events) > before
                if self._ending.is_passed_by(data) and says_more:
                    del events[before:]
                    self.failure = failures.second_answer(self._origin)
                # Where a finish reason comes with every chunk, none of them says that silence may end the answer.
                self.stopping = not says_more and (self.stopping or any(map(ends, chunk.choices)))
            elif answer.reason is not None:
                self._stop(data, first_id)
        if chunk.usage is not None and self.failure is None:
            self._count_in(chunk.usage)
        is_other = chunk.choices is None and chunk.usage is None
        if chunk.error or (is_other and (frame.event == "error" or is_report_text(data))):
            self.failure = failures.from_report(self._origin, data)
        elif answer.reason == "error":
            self.failure = failures.gave_up(self._origin)

    def _end(self) -> list[Event]:
        if self._answer.reason is None:
            self.failure = failures.truncated(self._origin)
            return []
        return self._ended(self._answer.calls, self._answer.finish(self.usage))

    def _count_in(self, report: Report) -> None:
        self._reported = report.to_usage() or self._reported
        stated = report.stated_cost()
        if stated is not None:
            self._bill.stated_cost = stated

    def _name(self, chunk: NamedChunk) -> None:
        self._bill.service_tier = chunk.service_tier or self._bill.service_tier
        self.request_id = self.request_id or chunk.id or None
        self.model = self.model or chunk.model or None
        if self.model is not None:
            self._decoder = _chunk_decoder

    def _decode_odd(self, frame: ServerSentEvent) -> Chunk:
        if is_keepalive(frame):
            return Chunk()
        return self._fitted(frame.data, NamedChunk, "a chunk") or Chunk()


class CompletionDecoder(BodyDecoder):
    """Reads a whole completion."""

    __slots__ = ("_bill",)
    _report_type = Report

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin)
        self._bill = _Bill()

    @property
    def billing(self) -> Billing:
        """What else the cost hangs on."""
        return self._bill.to_billing(self._origin)

    def _read(self, body: str) -> list[Event]:
        completion = self._fitted(body, _decode_completion, Completion)
        if completion.error or not completion.choices:
            self._refuse(body)
            return []
        self.request_id, self.model = completion.id or None, completion.model or None
        self._bill.service_tier = completion.service_tier
        if completion.usage is not None:
            self._reported = completion.usage.to_usage() or self._reported
            self._bill.stated_cost = completion.usage.stated_cost()
        events: list[Event] = []
        answer = Answer(whole=True)
        answer.add(_first_choice(completion.choices), events)
        if answer.reason == "error":
            self.failure = failures.gave_up(self._origin)
        self._said = bool(events)
        if answer.reason is None or self.failure is not None:
            return []
        return [*merged(events), *self._ended(answer.calls, answer.finish(self.usage))]


def _first_choice(choices: list[WholeChoice]) -> list[WholeChoice]:
    """Return the choice with the index 0, wherever it stands, or the first one."""
    return [min(choices, key=lambda choice: choice.index != 0)]

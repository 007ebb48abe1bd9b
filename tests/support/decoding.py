"""Run a decoder over bytes, split anyhow, and say what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmkit.call import Call
from llmkit.errors import ProviderError
from llmkit.events import Event, Finish, TextDelta, ThinkingDelta
from llmkit.messages import Message
from llmkit.parts import ToolCall
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.base import Decoder, Provider
from llmkit.providers.gemini import Gemini
from llmkit.providers.ollama import Ollama
from llmkit.providers.openai import OpenAI
from llmkit.providers.responses import OpenAIResponses
from llmkit.usage import Billing, Usage

EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "request-id": "req_1"}
LINES = {"content-type": "application/x-ndjson", "request-id": "req_1"}
JSON = {"content-type": "application/json", "request-id": "req_1"}

PROVIDERS: dict[str, Provider] = {
    "anthropic": Anthropic(api_key="test-key", clock=lambda: 0.0),
    "gemini": Gemini(api_key="test-key", clock=lambda: 0.0),
    "ollama": Ollama(api_key="test-key", clock=lambda: 0.0),
    "openai-responses": OpenAIResponses("openai-responses", api_key="test-key", clock=lambda: 0.0),
    "openai": OpenAI(api_key="test-key", clock=lambda: 0.0),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a decoder has to say about an answer; neighbouring deltas of one kind are merged."""

    said: tuple[tuple[str, str], ...]
    calls: tuple[ToolCall, ...]
    finish: Finish | None
    failure: tuple[type[ProviderError], str | None] | None
    model: str | None
    request_id: str | None
    usage: Usage
    billing: Billing

    @property
    def text(self) -> str:
        """The text without the thinking."""
        return "".join(text for kind, text in self.said if kind == "text")


def call(**fields: object) -> Call:
    """Build a call that says hi."""
    says: dict[str, object] = {"call_id": "c1", "model": "m", "messages": (Message.user("hi"),)}
    return Call(**{**says, **fields})  # type: ignore[arg-type]


def stream_decoder(wire: str) -> Decoder:
    """Make the decoder for a streamed answer."""
    headers = LINES if wire == "ollama" else EVENT_STREAM
    return PROVIDERS[wire].decoder(call(), "m", headers)


def whole_decoder(wire: str) -> Decoder:
    """Make the decoder for an answer that comes whole."""
    return PROVIDERS[wire].decoder(call(streaming=False), "m", JSON)


def decode(decoder: Decoder, chunks: Iterable[bytes]) -> Outcome:
    """Feed chunks, close, and collect."""
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    events += decoder.close()
    said: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta):
            kind = "text" if isinstance(event, TextDelta) else "thinking"
            before = said.pop()[1] if said and said[-1][0] == kind else ""
            said.append((kind, before + event.text))
    finishes = [event for event in events if isinstance(event, Finish)]
    assert finishes == events[-1:] * len(finishes)
    assert decoder.finished == bool(finishes)
    assert not (decoder.finished and decoder.failure)
    failure = decoder.failure
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert not calls or finishes
    assert calls == events[len(events) - len(finishes) - len(calls) : len(events) - len(finishes)]
    return Outcome(
        tuple(said),
        tuple(calls),
        finishes[0] if finishes else None,
        None if failure is None else (type(failure), failure.code),
        decoder.model,
        decoder.request_id,
        decoder.usage,
        decoder.billing,
    )


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut data at the given places."""
    places = [0, *sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def bytewise(data: bytes) -> list[bytes]:
    """Cut data into single bytes."""
    return [data[at : at + 1] for at in range(len(data))]

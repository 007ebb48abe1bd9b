"""The response: an answer, put together from its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    Reset,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
    Vectors,
)
from llmkit.parts import AssistantPart, TextPart, ThinkingPart, ToolCall
from llmkit.usage import Usage

Status = Literal[
    "started",
    "finished",
    "failed",
    "cancelled",
    "truncated",
    "refused",
    "cached",
    "shared",
    "lost",
]


if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultingTypeVar

    OutputT_co = DefaultingTypeVar("OutputT_co", covariant=True, default=Any)
else:
    OutputT_co = TypeVar("OutputT_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Generic[OutputT_co]):
    """An answer, complete or partial. `stop_reason` is None while it is not complete.

    `parts` has text, thinking and calls of tools in their order, as `Message.assistant` takes them into the next turn.
    `cached` says that it was given before, and is given again: it costs nothing then, and `usage` is what it took the first time.
    `shared` says that another call has asked the same at the same time, and pays for it.
    `output` is what a complete answer says, of the `output_type` that was asked for. `cost` is in US dollars; None if the price or the usage is unknown. `rate_limits` are the provider's rate limit headers
    (`anthropic-ratelimit-tokens-remaining`, `x-ratelimit-reset-requests`, `retry-after`, ...), names in lower case.
    """

    text: str
    thinking: str
    stop_reason: StopReason | None
    raw_stop_reason: str | None
    usage: Usage
    cost: Decimal | None
    provider: str | None
    model: str | None
    request_id: str | None
    call_id: str
    rate_limits: Mapping[str, str] = field(default_factory=dict, repr=False)
    parts: tuple[AssistantPart, ...] = field(default=(), repr=False)
    cached: bool = False
    shared: bool = False
    output: OutputT_co = field(default=None, repr=False)  # type: ignore[assignment]  # None where nothing was asked for

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that the model asks for. Each is whole; there are none before the answer is at its end."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a stream ended, for finalisers: its status in the ledger, the answer so far, and the error, if there was one."""

    status: Status
    response: Response
    error: BaseException | None = None


class Accumulator:
    """Joins the events of one answer."""

    __slots__ = ("_calls", "_kind", "_run", "_runs", "_whole", "finish")

    def __init__(self) -> None:
        # Neighbouring deltas of one kind are a run; everything else is one by itself.
        self._runs: list[tuple[type[Event], list[Any]]] = []
        self._kind: type[Event] | None = None
        self._run: list[Any] = []
        # Of each call what was said of it, and the call itself once it is whole.
        self._calls: dict[str, list[str]] = {}
        self._whole: dict[str, ToolCall] = {}
        self.finish: Finish | None = None

    def add(self, events: list[Event]) -> None:
        """Take in the events of one read."""
        for event in events:
            kind = type(event)
            if kind is self._kind:
                self._run.append(event.text)  # type: ignore[union-attr]  # mypy does not narrow by type(...)
            elif kind is TextDelta or kind is ThinkingDelta:
                self._kind, self._run = kind, [event.text]  # type: ignore[union-attr]
                self._runs.append((kind, self._run))
            elif kind is Finish:
                self.finish = event  # type: ignore[assignment]
            elif kind is Reset:
                self._runs.clear()
                self._calls.clear()
                self._whole.clear()
                self._kind = None
            else:
                self._kind = None
                self._add_other(event)

    def _add_other(self, event: Event) -> None:
        if isinstance(event, ToolCallDelta):
            pieces = self._calls.get(event.id)
            if pieces is None:
                pieces = self._calls[event.id] = [event.name]
                self._runs.append((ToolCallDelta, [event.id]))
            pieces.append(event.arguments)
        elif isinstance(event, ToolCall):
            if event.id not in self._calls:
                self._calls[event.id] = []
                self._runs.append((ToolCallDelta, [event.id]))
            self._whole[event.id] = event
        elif not isinstance(event, Vectors):  # which are for whoever asked, and nobody else
            self._runs.append((type(event), [event]))

    @property
    def size(self) -> int:
        """How many characters there are so far, of text, thinking and calls of tools."""
        return sum(map(len, self._deltas()))

    @property
    def written(self) -> str:
        """All that the model has written so far, in any order."""
        return "".join(self._deltas())

    @property
    def text(self) -> str:
        """All text so far."""
        return self._joined(TextDelta)

    @property
    def thinking(self) -> str:
        """All thinking so far."""
        return self._joined(ThinkingDelta)

    @property
    def parts(self) -> tuple[AssistantPart, ...]:
        """All that was said so far, in its order."""
        found: list[AssistantPart] = []
        for kind, run in self._runs:
            if kind is TextDelta:
                found.append(TextPart("".join(run)))
            elif kind is ThinkingDelta:
                found.append(ThinkingPart(text="".join(run)))
            elif kind is RedactedThinking:
                found.append(ThinkingPart(redacted=run[0].data, wire=run[0].wire))
            elif kind is ThinkingSignature:
                found.append(_signed(found, run[0]))
            elif run[0] in self._whole:
                found.append(self._whole[run[0]])
        return tuple(found)

    def response(self, **known: Any) -> Response:
        """Make the response of what was said so far, with what else is known of it."""
        finish = self.finish
        return Response(
            text=self.text,
            thinking=self.thinking,
            parts=self.parts,
            stop_reason=finish.stop_reason if finish else None,
            raw_stop_reason=finish.raw_stop_reason if finish else None,
            **known,
        )

    def _joined(self, wanted: type[Event]) -> str:
        return "".join("".join(run) for kind, run in self._runs if kind is wanted)

    def _deltas(self) -> Iterator[str]:
        for kind, run in self._runs:
            if kind is TextDelta or kind is ThinkingDelta:
                yield from run
        for pieces in self._calls.values():
            yield from pieces


def _signed(found: list[AssistantPart], event: ThinkingSignature) -> ThinkingPart:
    """Sign the thinking before; where none is shown, there is the signature alone."""
    last = found[-1] if found else None
    text = ""
    if isinstance(last, ThinkingPart) and last.signature is None and last.redacted is None:
        found.pop()
        text = last.text
    return ThinkingPart(text=text, signature=event.signature, wire=event.wire)

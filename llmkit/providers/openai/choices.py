"""Which choice of the chunks is the answer, what it says, and whether a second answer stands behind its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from llmkit.events import Event, Finish, StopReason, TextDelta, ThinkingDelta
from llmkit.providers.lenient import fit, lenient_json
from llmkit.providers.openai.documents import CallPiece, Choice, Function, Part, Said
from llmkit.providers.tool_calls import Calls
from llmkit.usage import Usage

STOP_REASONS: Mapping[str, StopReason] = {
    "content_filter": "content_filter",
    "function_call": "tool_use",
    "length": "max_tokens",
    "stop": "end",
    "tool_calls": "tool_use",
}


class Answer:
    """The one choice that is read, as it grows.

    A choice that comes alone is the answer, whatever its index: some servers count it up with the chunks. Where there are several, in
    one chunk or because `n` asked for them, the index that came first is that of the answer, and nobody reads the others.

    Args:
        several: whether there are other choices.
        whole: whether it comes whole, so that each piece of a call is a call.

    Attributes:
        reason: why the answer stops, once it has said so.
        ends: how often it has said so.
        several: whether there are other choices.
        calls: the calls of tools in it; None as long as there are none.
    """

    __slots__ = ("_index", "_refused", "_whole", "calls", "ends", "reason", "several")

    def __init__(self, *, several: bool = False, whole: bool = False) -> None:
        self._whole = whole
        self.calls: Calls | None = None
        self.reason: str | None = None
        self.ends = 0
        self.several = several
        self._index: int | None = None
        self._refused = False

    def add(self, choices: Sequence[Choice], events: list[Event]) -> None:
        """Take in what a chunk says."""
        for choice in choices:
            if choice.index != self._index and not self._takes(choice.index, len(choices)):
                continue
            said = choice.said
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
                if said.tool_calls or said.function_call:
                    self._add_calls(said, events)
            if choice.finish_reason and ends(choice):
                self.reason = choice.finish_reason
                self.ends += 1

    def forget(self, *, several: bool) -> None:
        """Be as before chunks that ended it, or began its first call: they are read again."""
        self.reason, self.ends, self.several, self.calls = None, 0, several, None

    def _add_calls(self, said: Said, events: list[Event]) -> None:
        calls = self.calls = self.calls or Calls()
        pieces = said.tool_calls or [CallPiece(index=0, function=said.function_call)]
        for piece in pieces:
            called = piece.function or Function()
            if self._whole:
                grown = calls.begin(None, called.name, called.arguments, given_id=piece.id)
            else:
                grown = calls.take(
                    piece.index, called.arguments, name=called.name, given_id=piece.id
                )
            events.append(grown)

    def finish(self, usage: Usage) -> Finish:
        """Make the last event."""
        reason = STOP_REASONS.get(self.reason or "", "other")
        return Finish("refusal" if self._refused else reason, self.reason or None, usage)

    def _takes(self, index: int, count: int) -> bool:
        """Tell whether a choice with another index than before is the answer all the same."""
        self.several = self.several or count > 1
        if self._index is None:
            self._index = index
            return True
        return not self.several


def ends(choice: Choice) -> bool:
    """Tell whether a choice says why it stops.

    Some servers say "" or "null" where they mean null (Ollama issue 4357, AIShell issue 350).
    """
    return bool(choice.finish_reason) and choice.finish_reason != "null"


class _Role(msgspec.Struct, gc=False):
    role: str | None = None


class _Opening(msgspec.Struct, gc=False):
    delta: _Role | None = None


class _Mark(msgspec.Struct, gc=False):
    """What tells a chunk of one answer from a chunk of another."""

    id: str | None = None
    choices: list[_Opening] | None = None
    service_tier: str | None = None

    @property
    def has_role(self) -> bool:
        """Whether it begins a message."""
        return any(choice.delta and choice.delta.role for choice in self.choices or ())


_decode_mark = msgspec.json.Decoder(_Mark).decode


class End:
    """The end of an answer: it knows a second answer that a proxy, which asked again, put behind it.

    A chunk begins another answer if it has another id, or a role again. Neither says anything by itself where each chunk has an id
    of its own, or a role: then it takes both. Content alone may follow an end, for some gateways send a finish reason with every chunk.

    Args:
        data: the chunk that ended the answer.
        first_id: the id of the answer, if a chunk before this one had it.

    Attributes:
        service_tier: what that chunk says of it.
    """

    __slots__ = ("_had_role", "_id", "_ids_are_steady", "_is_passed", "service_tier")

    def __init__(self, data: str | bytes, *, first_id: str | None) -> None:
        mark = _mark(data)
        self._id = mark.id
        self._ids_are_steady = bool(mark.id) and mark.id == first_id
        self._had_role = mark.has_role
        self.service_tier = mark.service_tier
        self._is_passed = False

    def is_passed_by(self, data: str) -> bool:
        """Take in a chunk behind the end; tell whether it, or one before it, began another answer."""
        mark = _mark(data)
        is_other = bool(mark.id and self._id) and mark.id != self._id
        has_role = mark.has_role
        if (is_other and (self._ids_are_steady or has_role)) or (has_role and not self._had_role):
            self._is_passed = True
        return self._is_passed


def _mark(data: str | bytes) -> _Mark:
    try:
        return _decode_mark(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return fit(lenient_json(data if isinstance(data, str) else data.decode()), _Mark)
    except (ValueError, RecursionError):
        return _Mark()


def _add_parts(parts: list[Part], events: list[Event]) -> None:
    for part in parts:
        if part.type == "text" and part.text:
            events.append(TextDelta(part.text))
        events.extend(
            ThinkingDelta(thought.text) for thought in part.thinking or () if thought.text
        )

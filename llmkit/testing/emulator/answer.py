"""What the emulator says: the words of an answer, and what a request asks of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.sample import sample

# Forty words, so that the default answer ends with a full stop. Longer ones start again.
TEXT = (
    "Hello! This answer comes from llmkit's emulator: there is no model and no key behind it. "
    "It speaks the provider's own wire format, one word at a time. "
    "To hear a real model, set an API key and start again.\n\n"
)

# Whitespace leads, as in most tokenizers. The pieces always join to the text.
_WORD = re.compile(r"\s*\S+|\s+\Z")
_PIECE = re.compile(r".{1,8}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a valid request asks for.

    `stop` are its stop sequences. `include_usage` is OpenAI's stream option. `schema` is what the answer has to keep to, `forced` the tool that
    has to be called, with the schema of its arguments. `streams_calls` is Gemini's option to stream the arguments of a call. `embeds` are texts of which the
    numbers are wanted, so many as `dimensions` for each, in a `form` where the vendor has several.
    """

    model: str
    streaming: bool
    input_tokens: int
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    include_usage: bool = False
    schema: Mapping[str, Any] | None = None
    forced: tuple[str, Mapping[str, Any]] | None = None
    streams_calls: bool = False
    embeds: tuple[str, ...] = ()
    dimensions: int | None = None
    form: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that is asked for. Its arguments are pieces of JSON, a token each."""

    id: str | None
    name: str
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The words of an answer, a token each, and why it stops, in llmkit's terms or the script's."""

    model: str
    thinking: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[ToolUse, ...]
    stop_reason: str
    stop_sequence: str | None
    input_tokens: int
    embeds: tuple[str, ...] = ()
    dimensions: int | None = None
    form: str | None = None

    @property
    def output_tokens(self) -> int:
        """How many tokens there are, thinking and calls included."""
        return len(self.thinking) + len(self.text) + sum(len(each.pieces) for each in self.calls)


def choose(tools: Mapping[str, Any], *, ran: bool) -> tuple[str, Any]:
    """Choose one of the tools of which one has to be called: the first, and once one has run the last, so that a loop of tools ends.

    The last is where a type is asked for that is one tool more beside the app's.

    Args:
        tools: their schemas by their names, in their order.
        ran: whether the conversation ends with the result of a tool.
    """
    names = list(tools)
    name = names[-1] if ran else names[0]
    return name, tools[name]


def compose(ask: Ask, behaviour: Behaviour) -> Answer:
    """Decide what to say: the behaviour's words within the request's limits; nothing where texts are embedded."""
    if ask.embeds:
        return Answer(
            model=behaviour.model or ask.model,
            thinking=(),
            text=(),
            calls=(),
            stop_reason="end",
            stop_sequence=None,
            input_tokens=ask.input_tokens,
            embeds=ask.embeds,
            dimensions=ask.dimensions,
            form=ask.form,
        )
    thinking = _pieces(behaviour.thinking) if behaviour.thinking is not None else ()
    text, calls = _words(ask, behaviour)
    stop_reason, stop_sequence = "tool_use" if calls else "end", None
    if ask.max_tokens is not None:
        thinking, left = thinking[: ask.max_tokens], ask.max_tokens - len(thinking)
        is_cut = left < 0
        text, left = text[: max(0, left)], left - len(text)
        calls, left = _within(calls, left)
        if is_cut or left < 0:
            stop_reason = "max_tokens"
    stopped = _stop(text, ask.stop) if ask.stop else None
    if stopped is not None:
        text, stop_sequence = stopped
        calls, stop_reason = (), "stop_sequence"
    return Answer(
        model=behaviour.model or ask.model,
        thinking=thinking,
        text=text,
        calls=calls,
        stop_reason=behaviour.stop_reason or stop_reason,
        stop_sequence=stop_sequence,
        input_tokens=ask.input_tokens,
    )


def _words(ask: Ask, behaviour: Behaviour) -> tuple[tuple[str, ...], tuple[ToolUse, ...]]:
    """Say the behaviour's text and calls; of itself what the request asks for."""
    calls = tuple(_tool_use(each) for each in behaviour.calls)
    if behaviour.text is not None:
        return _pieces(behaviour.text), calls
    if calls or not (ask.forced or ask.schema):
        return _own_pieces(behaviour.tokens), calls
    if ask.forced is not None:
        name, schema = ask.forced
        return (), (_tool_use({"name": name, "arguments": sample(schema)}),)
    return tuple(_PIECE.findall(json.dumps(sample(ask.schema or {}), ensure_ascii=False))), ()


def estimate_tokens(texts: Iterable[str], *, messages: int) -> int:
    """Guess how many tokens a prompt has.

    Four characters count as a token, and each message as four more.
    """
    return sum((len(text) + 3) // 4 for text in texts) + 4 * messages


def texts_in(content: object) -> list[str]:
    """Take the texts out of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    found = []
    for part in content:
        if isinstance(part, dict):
            found += [
                part[name] for name in ("text", "thinking") if isinstance(part.get(name), str)
            ]
            if part.get("type") == "tool_result":
                found += texts_in(part.get("content"))
    return found


def _tool_use(call: Mapping[str, Any]) -> ToolUse:
    given = call.get("arguments", {})
    if isinstance(given, Mapping):
        given = json.dumps(dict(given), ensure_ascii=False)
    pieces = _PIECE.findall(given) if isinstance(given, str) else given
    return ToolUse(call.get("id"), call["name"], tuple(pieces) or ("",))


def _within(calls: tuple[ToolUse, ...], left: int) -> tuple[tuple[ToolUse, ...], int]:
    """Cut calls to so many tokens; one of which nothing is left is not asked for."""
    found = []
    for call in calls:
        if left > 0:
            found.append(replace(call, pieces=call.pieces[:left]))
        left -= len(call.pieces)
    return tuple(found), left


def _pieces(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_WORD.findall(text)) if isinstance(text, str) else text


@lru_cache(maxsize=64)
def _own_pieces(tokens: int) -> tuple[str, ...]:
    words = len(TEXT.split())
    text = (TEXT * (tokens // words + 1)).rstrip()
    return tuple(_WORD.findall(text)[:tokens])


def _stop(text: tuple[str, ...], stop: tuple[str, ...]) -> tuple[tuple[str, ...], str] | None:
    """Cut the text before the first stop sequence in it; None if there is none."""
    whole = "".join(text)
    found = [(whole.find(each), each) for each in stop if each in whole]
    if not found:
        return None
    end, sequence = min(found)
    kept: list[str] = []
    for piece in text:
        if end <= 0:
            break
        kept.append(piece[:end])
        end -= len(piece)
    return tuple(kept), sequence

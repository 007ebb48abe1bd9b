"""What the emulator says: the words of an answer, and what a request asks of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from llmkit.testing.emulator.behaviour import Behaviour

# Forty words, so that the default answer ends with a full stop. Longer ones start again.
TEXT = (
    "Hello! This answer comes from llmkit's emulator: there is no model and no key behind it. "
    "It speaks the provider's own wire format, one word at a time. "
    "To hear a real model, set an API key and start again.\n\n"
)

# Whitespace leads, as in most tokenizers. The pieces always join to the text.
_WORD = re.compile(r"\s*\S+|\s+\Z")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a valid request asks for.

    `stop` are its stop sequences. `include_usage` is OpenAI's stream option.
    """

    model: str
    streaming: bool
    input_tokens: int
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The words of an answer, a token each, and why it stops, in llmkit's terms or the script's."""

    model: str
    thinking: tuple[str, ...]
    text: tuple[str, ...]
    stop_reason: str
    stop_sequence: str | None
    input_tokens: int

    @property
    def output_tokens(self) -> int:
        """How many tokens there are, thinking included."""
        return len(self.thinking) + len(self.text)


def compose(ask: Ask, behaviour: Behaviour) -> Answer:
    """Decide what to say: the behaviour's words within the request's limits."""
    thinking = _pieces(behaviour.thinking) if behaviour.thinking is not None else ()
    text = _own_pieces(behaviour.tokens) if behaviour.text is None else _pieces(behaviour.text)
    stop_reason, stop_sequence = "end", None
    if ask.max_tokens is not None and len(thinking) + len(text) > ask.max_tokens:
        thinking = thinking[: ask.max_tokens]
        text = text[: ask.max_tokens - len(thinking)]
        stop_reason = "max_tokens"
    stopped = _stop(text, ask.stop) if ask.stop else None
    if stopped is not None:
        text, stop_sequence = stopped
        stop_reason = "stop_sequence"
    return Answer(
        model=behaviour.model or ask.model,
        thinking=thinking,
        text=text,
        stop_reason=behaviour.stop_reason or stop_reason,
        stop_sequence=stop_sequence,
        input_tokens=ask.input_tokens,
    )


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

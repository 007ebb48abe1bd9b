"""What all wire formats have in common: the parts of an answer, and why a request is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from llmkit.testing.emulator.answer import Answer, Ask
from llmkit.testing.emulator.behaviour import Behaviour

Frames = tuple[bytes, ...]
"""Events of a stream in their order, each a piece of the body."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What differs from answer to answer: its number, and `now` in seconds since the epoch."""

    serial: int
    now: float

    @property
    def request_id(self) -> str:
        """The vendor's id for this request."""
        return f"req_emulator{self.serial:012d}"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the vendor would describe it."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """A stream in its parts: the events of each token, and those around them."""

    opening: Frames
    tokens: list[Frames]
    closing: Frames


class Wire(Protocol):
    """A vendor's format. All of it is pure."""

    name: str
    """The vendor."""
    stream_type: str
    """The content type of a stream."""
    broken: bytes
    """An event whose JSON is broken off."""

    @property
    def ping(self) -> bytes | None:
        """The event that keeps a silent stream open; None if the vendor has none."""

    def answers_at(self, path: str) -> bool:
        """Whether a model answers there."""

    def lists_at(self, path: str) -> bool:
        """Whether the models are listed there."""

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request that nothing answers was meant for this vendor."""

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what the request asks for, or why it is refused. Header names are lower case; `target` is the path with its query."""

    def stream(self, ask: Ask, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> Script:
        """Write the answer as a stream."""

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write the answer as one JSON body. `terminal=False` leaves its stop reason null."""

    def failure(self, status: int, behaviour: Behaviour) -> Failure:
        """Describe the failure that is asked for, in the vendor's words where there are none."""

    def error_body(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error body."""

    def error_frame(self, failure: Failure, stamp: Stamp) -> bytes:
        """Write an error inside a stream."""

    def headers(self, status: int, input_tokens: int, stamp: Stamp) -> dict[str, str]:
        """Name the headers that the vendor adds to an answer. Names are lower case."""

    def models(self) -> bytes:
        """Write the list of models."""


EVENT_STREAM = "text/event-stream; charset=utf-8"
MODELS = {
    "anthropic": ("claude-sonnet-4-5", "claude-haiku-4-5"),
    "gemini": ("gemini-3-flash", "gemini-3-pro"),
    "ollama": ("smollm2:135m", "qwen3:4b"),
    "openai": ("gpt-5-mini", "gpt-4.1-mini"),
}


def to_json(value: Any) -> bytes:
    """Write JSON as the vendors do, as UTF-8; lone surrogates can only be escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


@lru_cache(maxsize=4096)
def quoted(text: str) -> bytes:
    """Write one string in JSON. Cached, for the emulator's own words return in every stream."""
    return to_json(text)


def parse(body: bytes) -> Any:
    """Read a request's JSON.

    Raises:
        ValueError: it is none.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def as_json(text: str) -> Any:
    """Read JSON that somebody wrote; what is none stays the text that it is."""
    try:
        return parse(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return text


def is_number(value: object, low: float, high: float) -> bool:
    """Tell whether a value is a number, and between the two."""
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]

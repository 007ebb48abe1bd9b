"""A wire of one's own: another way to cut lines, and other events, in a few lines of code each."""

from __future__ import annotations

from typing import Any

import msgspec

from llmkit.errors import FrameTooLarge
from llmkit.events import Event, Finish, TextDelta
from llmkit.providers.decoding import Lines, StreamDecoder
from llmkit.providers.failures import Origin, malformed
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage
from support.decoding import bytewise, decode


class JSONLines:
    """Reads one JSON document a line, as Ollama sends them."""

    between = False
    cut = False
    failure: FrameTooLarge | None = None

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the whole lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [ServerSentEvent("message", line.decode(), None) for line in lines if line.strip()]

    def close(self) -> list[ServerSentEvent]:
        """Return the last line, which needs no end."""
        return self.feed(b"\n")


class Chat(StreamDecoder):
    """Reads the answer of Ollama's own API."""

    def _new_lines(self) -> Lines:
        return JSONLines()

    def _read(self, frames: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            try:
                said: dict[str, Any] = msgspec.json.decode(frame.data)
            except msgspec.DecodeError:
                self.failure = malformed(self._origin, "sent a line that is not JSON")
                break
            if text := said["message"]["content"]:
                events.append(TextDelta(text))
            if said["done"]:
                self.finished = True
                self._reported = Usage(
                    input_tokens=said["prompt_eval_count"],
                    output_tokens=said["eval_count"],
                    input_source="reported",
                    output_source="reported",
                )
                events.append(Finish("end", said["done_reason"], self.usage))
        return events


def line(text: str, **more: object) -> bytes:
    """Write a line of the answer."""
    return msgspec.json.encode({"message": {"content": text}, "done": False, **more}) + b"\n"


ANSWER = (
    line("Hel")
    + line("lo")
    + line("", done=True, done_reason="stop", prompt_eval_count=3, eval_count=2)
)


def test_a_wire_of_json_lines() -> None:
    """Text, end and usage, however the bytes come; what is cut off is truncated."""
    origin = Origin("ollama", "m")
    whole = decode(Chat(origin), [ANSWER])
    assert whole.text == "Hello"
    assert whole.finish is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (3, 2)
    assert decode(Chat(origin), bytewise(ANSWER)) == whole
    assert decode(Chat(origin), [ANSWER[:60]]).failure is not None

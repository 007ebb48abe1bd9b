"""A wire of one's own: another way to cut lines, and other events, in a few lines of code each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmkit.errors import FrameTooLarge, Overloaded, ProtocolError
from llmkit.events import Event, Finish, TextDelta
from llmkit.providers.decoding import BodyDecoder, StreamDecoder
from llmkit.providers.failures import Origin, malformed
from llmkit.providers.lines import Lines
from llmkit.sse import ServerSentEvent
from llmkit.usage import Usage
from support.decoding import bytewise, decode


class JSONLines:
    """Reads one JSON document a line, as Ollama sends them."""

    between = False
    cut = False
    stray = ""
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
                text, done = said["message"]["content"], said["done"]
            except (msgspec.DecodeError, LookupError, TypeError):
                self.failure = malformed(self._origin, "sent a line of an unknown form")
                break
            if text:
                events.append(TextDelta(text))
            if done:
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


@pytest.mark.parametrize("odd", [b"<html>\n", b"[]\n", b"{}\n", b'{"message": 7, "done": false}\n'])
def test_a_line_of_another_form_is_the_providers_fault(odd: bytes) -> None:
    """Nothing that a provider sends raises: what came before is kept, and the failure says whose it is."""
    read = decode(Chat(Origin("ollama", "m")), [line("Hel"), odd])
    assert read.said == (("text", "Hel"),)
    assert read.failure == (ProtocolError, None)


class Whole(BodyDecoder):
    """Reads the same answer where it comes whole."""

    def _read(self, body: str) -> list[Event]:
        try:
            said: dict[str, Any] = msgspec.json.decode(body)
            text = said["message"]["content"]
        except (msgspec.DecodeError, LookupError, TypeError):
            self._refuse(body)
            return []
        self.finished = True
        return [TextDelta(text), Finish("end", None, self.usage)]


def test_a_whole_answer_of_it() -> None:
    """A report of a failure under status 200 is one, whatever else it says."""
    origin = Origin("ollama", "m")
    assert decode(Whole(origin), bytewise(line("Hello"))).text == "Hello"
    report = b'{"error": {"type": "overloaded_error"}, "usage": {"prompt_tokens": 3}}'
    assert decode(Whole(origin), [report]).failure == (Overloaded, "overloaded_error")


@pytest.mark.parametrize("decoder", [Chat, Whole])
@pytest.mark.parametrize("content", [5, ["secret"], {"a": "secret"}, True])
def test_a_text_that_is_none(
    decoder: Any, content: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a decoder of one's own does not look, it is a failure all the same, and nothing quotes it."""
    read = decoder(Origin("ollama", "m"))
    said = {"message": {"content": content}, "done": False}
    assert not [*read.feed(msgspec.json.encode(said) + b"\n"), *read.close()]
    assert "sent an answer that its decoder cannot read (TypeError)" in str(read.failure)
    assert read.failure.__cause__ is read.failure.__context__ is None
    assert "the decoder of ollama failed: TypeError" in caplog.text
    assert "secret" not in caplog.text + str(read.failure)


def test_what_a_decoder_of_ones_own_lets_through() -> None:
    """A field that is missing at the end, counts that are none."""
    read = decode(Chat(Origin("ollama", "m")), [line("Hel"), line("", done=True)])
    assert read.said == (("text", "Hel"),)
    assert (read.finish, read.failure) == (None, (ProtocolError, None))
    for count in (1.5, "7", True, -3, [7], 2**31):
        end = line("", done=True, done_reason="stop", prompt_eval_count=count, eval_count=count)
        read = decode(Chat(Origin("ollama", "m")), [line("Hello"), end])
        assert read.text == "Hello"
        assert read.usage == Usage()

"""Surrogate pairs that a server cuts in two: an emoji whose halves come in two deltas is one emoji."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import StreamTruncated
from llmkit.events import Event, TextDelta, ThinkingDelta
from llmkit.providers.deltas import Halves
from support.answers import FORMS, document, frames
from support.decoding import bytewise, decode, split, stream_decoder, whole_decoder
from support.streams import anthropic_event, openai_chunk, openai_delta

WIRES = ("anthropic", "openai")
# A text that json.dumps leaves alone, and the escapes that take its place in the bytes.
ESCAPES = {"«": b"\\ud83d", "»": b"\\ude00", "¿": b"\\uD83D", "¡": b"\\uDE00"}


def escaped(data: bytes) -> bytes:
    """Put halves of pairs in, as the escapes that a server sends them as."""
    for mark, escape in ESCAPES.items():
        data = data.replace(mark.encode(), escape)
    return data


def delta(wire: str, text: str, *, thinking: bool = False) -> bytes:
    """Write one delta."""
    if wire == "openai":
        field = "reasoning" if thinking else "content"
        return escaped(openai_chunk(openai_delta(**{field: text})))
    field = "thinking" if thinking else "text"
    said = {"type": f"{field}_delta", field: text}
    return escaped(anthropic_event("content_block_delta", delta=said))


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        (("Hello «", "» there"), "Hello 😀 there"),
        (("Hello ¿", "¡ there"), "Hello 😀 there"),
        (("«", "»"), "😀"),
        (("a«", "»«", "»«", "»b"), "a😀😀😀b"),
        (("a«", "", "»b"), "a😀b"),
        (("a«", "b"), "a\ufffdb"),
        (("a«", "«»b"), "a\ufffd😀b"),
        (("a", "»b"), "a\ufffdb"),
        (("a", "b«"), "ab\ufffd"),
        (("«",), "\ufffd"),
    ],
)
@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("wire", WIRES)
def test_halves_in_two_deltas(
    wire: str, texts: tuple[str, ...], whole: str, *, thinking: bool
) -> None:
    """In one read or in many, text and thinking: one emoji; a half without another is U+FFFD; nothing is lost."""
    stream = [escaped(frame) for frame in frames(wire, *texts, thinking=thinking)]
    kind = "thinking" if thinking else "text"
    for pieces in (stream, [b"".join(stream)], bytewise(b"".join(stream))):
        outcome = decode(stream_decoder(wire), pieces)
        assert outcome.said == ((kind, whole),)
        assert outcome.finish is not None


@pytest.mark.parametrize(("wire", "how"), FORMS)
def test_halves_in_the_parts_of_an_answer(wire: str, how: str) -> None:
    """Parts and blocks of a text are one text."""
    if how == "whole":
        body = escaped(json.dumps(document(wire, "a«", "»b", "«"), ensure_ascii=False).encode())
        outcome = decode(whole_decoder(wire), [body])
    else:
        parts = [{"type": "text", "text": "a«"}, {"type": "text", "text": "»b"}]
        if wire == "openai":
            stream = [openai_chunk(openai_delta(content=parts))]
        else:
            stream = [anthropic_event("content_block_start", content_block=part) for part in parts]
        end = frames(wire, "«")[-4 if wire == "openai" else -3 :]
        outcome = decode(stream_decoder(wire), [escaped(frame) for frame in [*stream, *end]])
    assert outcome.text == "a😀b\ufffd"
    assert outcome.finish is not None


@pytest.mark.parametrize("wire", WIRES)
def test_a_half_is_held_until_the_next_delta(wire: str) -> None:
    """What stands before it is handed on at once; usual deltas follow it in their order."""
    decoder = stream_decoder(wire)
    assert decoder.feed(delta(wire, "Hello «")) == [TextDelta("Hello ")]
    assert decoder.feed(delta(wire, "» there")) == [TextDelta("😀 there")]
    assert decoder.feed(delta(wire, "«")) == []
    assert decoder.feed(delta(wire, "a") + delta(wire, "b")) == [TextDelta("\ufffdab")]
    assert decoder.feed(delta(wire, "c")) == [TextDelta("c")]


@pytest.mark.parametrize("wire", WIRES)
def test_a_half_does_not_wait_for_another_kind(wire: str) -> None:
    """Thinking behind half an emoji of the text does not complete it."""
    decoder = stream_decoder(wire)
    decoder.feed(delta(wire, "a«"))
    events = decoder.feed(delta(wire, "»b", thinking=True))
    assert events == [TextDelta("\ufffd"), ThinkingDelta("\ufffdb")]


@pytest.mark.parametrize("ending", ["cut", "broken", "too large"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_half_is_not_lost_with_the_rest(wire: str, ending: str) -> None:
    """When the answer fails, what came of it is whole."""
    ends = {"cut": b"", "broken": b"data: {broken\n\n", "too large": b"data: " + b"x" * (17 << 20)}
    decoder = stream_decoder(wire)
    outcome = decode(decoder, [delta(wire, "a«"), ends[ending]])
    assert outcome.text == "a\ufffd"
    assert decoder.failure is not None
    assert (type(decoder.failure) is StreamTruncated) == (ending == "cut")


@pytest.mark.parametrize("wire", WIRES)
@given(
    st.lists(st.text("ab«»😀", max_size=4), min_size=1, max_size=6),
    st.lists(st.integers(0, 2000), max_size=6),
)
def test_any_halves_in_any_pieces(wire: str, texts: list[str], cuts: list[int]) -> None:
    """However the deltas and the reads are cut, the text is that of all of them together."""
    stream = b"".join(escaped(frame) for frame in frames(wire, *texts))
    halves = "".join(texts).replace("«", "\ud83d").replace("»", "\ude00")
    whole = halves.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    outcome = decode(stream_decoder(wire), split(stream, cuts))
    assert outcome.text == whole
    assert outcome.finish is not None


def test_events_that_are_no_deltas_pass() -> None:
    """Nothing is held but half a pair at the end of a delta."""
    halves = Halves()
    events: list[Event] = [TextDelta("a\ud83d"), ThinkingDelta("b")]
    assert halves.join(events, last=False) == [TextDelta("a\ufffd"), ThinkingDelta("b")]
    assert halves.join([], last=True) == []

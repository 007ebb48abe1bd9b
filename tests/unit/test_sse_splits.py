"""Server-sent events: any stream, split anyhow, against the rules written out plainly."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import FrameTooLarge
from llmkit.sse import SSEDecoder, encode
from support.decoding import bytewise, split

Decoded = tuple[list[tuple[str, str, str | None]], int | None]

LINES = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"data",
        b"event: x",
        b"event",
        b"id: 1",
        b"id",
        b"id: \0",
        b"retry: 5",
        b": c",
        b"foo: bar",
        b"",
        b"",
        b"\xef\xbb\xbf",
        b"\xf0\x9f\x8c\x8d",
        b"\xe2\x82",
        b"\xff",
        b"a",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r", b"\r\n", b""])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=24).map(
    lambda lines: b"".join(line + end for line, end in lines)
)
CUTS = st.lists(st.integers(0, 200), max_size=12)


def plainly(stream: bytes) -> Decoded:
    """Decode as the standard says it, on the whole text, with an event that nothing ends kept."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    events: list[tuple[str, str, str | None]] = []
    data: list[str] = []
    name, last_id, retry = "", None, None
    for line in [*re.split("\r\n|\r|\n", text), ""]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((name or "message", "\n".join(data), last_id))
            data, name = [], ""
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return events, retry


def decode(chunks: list[bytes]) -> Decoded:
    """Decode chunk by chunk."""
    decoder = SSEDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.close()
    return [(event.event, event.data, event.id) for event in events], decoder.retry


@given(STREAMS, CUTS)
def test_any_split_reads_what_the_rules_say(stream: bytes, cuts: list[int]) -> None:
    """However a stream is split, its events, ids and retry are those of the whole."""
    expected = plainly(stream)
    assert decode([stream]) == expected
    assert decode(split(stream, cuts)) == expected
    assert decode(bytewise(stream)) == expected


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_are_read(stream: bytes, cuts: list[int]) -> None:
    """There are no bytes that raise."""
    assert decode(split(stream, cuts)) == plainly(stream)


@given(STREAMS, CUTS, st.integers(3, 24))
def test_the_limit_does_not_depend_on_the_split(stream: bytes, cuts: list[int], limit: int) -> None:
    """The same events come before the same error, however the stream is split."""

    def limited(chunks: list[bytes]) -> tuple[list[str], bool]:
        decoder, events = SSEDecoder(max_event=limit), []
        try:
            for chunk in chunks:
                events += decoder.feed(chunk)
            events += decoder.close()
        except FrameTooLarge:
            return [event.data for event in events], True
        return [event.data for event in events], decoder.failure is not None

    assert limited(split(stream, cuts)) == limited([stream]) == limited(bytewise(stream))


@given(st.lists(st.tuples(st.text(), st.from_regex("[a-z]+", fullmatch=True)), max_size=6), CUTS)
def test_what_is_written_is_read_again(frames: list[tuple[str, str]], cuts: list[int]) -> None:
    """Any text survives, with its line ends made line feeds."""
    written = b"".join(encode(data, event=name) for data, name in frames)
    expected = [(name, re.sub("\r\n|\r", "\n", data), None) for data, name in frames]
    assert decode(split(written, cuts)) == (expected, None)

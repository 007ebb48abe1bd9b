"""Server-sent events: what the WHATWG rules say about single streams, and what we write."""

from __future__ import annotations

import pytest

from llmkit.errors import FrameTooLarge
from llmkit.sse import ServerSentEvent, SSEDecoder, comment, encode

Expected = list[tuple[str, str]]


def decode(data: bytes) -> list[ServerSentEvent]:
    """Decode a whole stream."""
    decoder = SSEDecoder()
    return decoder.feed(data) + decoder.close()


def feed_in_pieces(decoder: SSEDecoder, data: bytes, size: int) -> list[ServerSentEvent]:
    """Feed a stream in pieces of one size."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return [event for piece in pieces for event in decoder.feed(piece)]


TABLE: dict[str, tuple[bytes, Expected]] = {
    "one line": (b"data: a\n\n", [("message", "a")]),
    "a name": (b"event: x\ndata: a\n\n", [("x", "a")]),
    "the name after the data": (b"data: a\nevent: x\n\n", [("x", "a")]),
    "the last name wins": (b"event: x\nevent: y\ndata: a\n\n", [("y", "a")]),
    "an empty name is message": (b"event: x\nevent:\ndata: a\n\n", [("message", "a")]),
    "a name is for one event": (
        b"event: x\ndata: a\n\ndata: b\n\n",
        [("x", "a"), ("message", "b")],
    ),
    "a name without data is lost": (b"event: x\n\ndata: b\n\n", [("message", "b")]),
    "no space after the colon": (b"event:x\ndata:a\n\n", [("x", "a")]),
    "one space is taken off": (b"event:  x\ndata:   a \n\n", [(" x", "  a ")]),
    "a tab is kept": (b"data:\ta\n\n", [("message", "\ta")]),
    "colons in the data": (b"data: a: b:c\n\n", [("message", "a: b:c")]),
    "lines join with a line feed": (b"data: a\ndata\ndata: b\n\n", [("message", "a\n\nb")]),
    "a field without a colon": (b"data\n\n", [("message", "")]),
    "two fields without a colon": (b"data\ndata\n\n", [("message", "\n")]),
    "an empty data line": (b"data:\n\n", [("message", "")]),
    "no data is no event": (b"event: x\nid: 1\n\n", []),
    "blank lines": (b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n\n", [("message", "a"), ("message", "b")]),
    "comments": (b":\n\n: hi\ndata: a\n:data: b\n\n", [("message", "a")]),
    "an unknown field": (b"foo: x\ndatabase: y\ndata: a\n\n", [("message", "a")]),
    "field names keep their case": (b"DATA: a\nData: b\n data: c\n\n", []),
    "carriage returns": (b"event: x\rdata: a\rdata: b\r\r", [("x", "a\nb")]),
    "both": (b"event: x\r\ndata: a\r\ndata: b\r\n\r\n", [("x", "a\nb")]),
    "a mixture": (
        b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r",
        [("message", "a\nb\nc"), ("message", "d")],
    ),
    "CR CR LF is two line ends": (
        b"data: a\r\r\ndata: b\n\n",
        [("message", "a"), ("message", "b")],
    ),
    "LF CR is two line ends": (b"data: a\n\rdata: b\n\n", [("message", "a"), ("message", "b")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("message", "a")]),
    "only one of them": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("message", "b")]),
    "and only at the start": (b"\n\xef\xbb\xbfdata: a\n\n", []),
    "half of one": (b"\xef\xbbdata: a\n\ndata: b\n\n", [("message", "b")]),
    "other line ends": (
        "data: a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\n\n".encode(),
        [("message", "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg")],
    ),
    "a NUL in the data": (b"data: a\0b\n\n", [("message", "a\0b")]),
    "invalid UTF-8": (
        b"data: \xffa\xe2\x82 \xed\xa0\x80\n\n",
        [("message", "\ufffda\ufffd \ufffd\ufffd\ufffd")],
    ),
    "cut UTF-8 before a line end": (b"data: \xf0\x9f\x8c\n\n", [("message", "\ufffd")]),
    "no blank line at the end": (b"data: a\n", [("message", "a")]),
    "no line end at the end": (b"event: x\ndata: a", [("x", "a")]),
    "a name alone at the end": (b"data: a\n\nevent: x", [("message", "a")]),
    "nothing": (b"", []),
    "the standard's stocks": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10")]),
    "the standard's empty ones": (
        b"data\n\ndata\ndata\n\ndata:",
        [("message", ""), ("message", "\n"), ("message", "")],
    ),
}


@pytest.mark.parametrize(("data", "expected"), TABLE.values(), ids=TABLE.keys())
def test_decoder_follows_the_rules(data: bytes, expected: Expected) -> None:
    """Each rule of the standard, with the one stated exception for an event that nothing ends."""
    assert [(event.event, event.data) for event in decode(data)] == expected


def test_id_persists_until_it_is_set_again() -> None:
    """An event carries the last id sent, an empty id included, and None before there was one."""
    events = decode(b"data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid\ndata: d\n\nid:2\n\ndata: e\n\n")
    assert [event.id for event in events] == [None, "1", "1", "", "2"]


def test_id_with_a_nul_is_ignored() -> None:
    """An id that holds a NUL leaves the earlier one in force."""
    decoder = SSEDecoder()
    decoder.feed(b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")
    assert decoder.last_id == "1"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"retry: 2500", 2500),
        (b"retry:0", 0),
        (b"retry: 1.5", None),
        (b"retry: -1", None),
        (b"retry: 1s", None),
        (b"retry", None),
        ("retry: ٣".encode(), None),
        (b"retry: " + b"9" * 5000, None),
    ],
)
def test_retry_takes_digits_only(line: bytes, expected: int | None) -> None:
    """The wait before reconnecting is in milliseconds; anything but ASCII digits is ignored."""
    decoder = SSEDecoder()
    assert decoder.feed(line + b"\n\n") == []
    assert decoder.retry == expected


def test_event_is_returned_at_a_lone_cr() -> None:
    """A CR at a chunk's end ends the line at once, and an LF that follows is part of it."""
    decoder = SSEDecoder()
    assert [event.data for event in decoder.feed(b"data: a\r\r")] == ["a"]
    assert [event.data for event in decoder.feed(b"\ndata: b\r\n\r")] == ["b"]
    assert decoder.feed(b"\n") == []


def test_close_twice_returns_nothing_more() -> None:
    """The last event is returned once."""
    decoder = SSEDecoder()
    decoder.feed(b"data: a")
    assert [event.data for event in decoder.close()] == ["a"]
    assert decoder.close() == []


LIMIT = 32


@pytest.mark.parametrize(
    "data",
    [
        b"data: " + b"x" * LIMIT,
        b"data: " + b"x" * LIMIT + b"\n\n",
        b": " + b"x" * LIMIT + b"\n",
        b"data: 12345678\ndata: 12345678\ndata: 12345678\n\n",
        b"data\n" * 9 + b"\n",
    ],
    ids=["line without end", "line", "comment", "event", "many empty lines"],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_too_large_is_an_error_of_its_own(data: bytes, size: int) -> None:
    """A line or an event beyond the limit raises, and so does every call after it."""
    decoder = SSEDecoder(max_event=LIMIT)
    with pytest.raises(FrameTooLarge, match="longer than 32 bytes"):
        feed_in_pieces(decoder, data, size)
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"data: a\n\n")
    with pytest.raises(FrameTooLarge):
        decoder.close()


def test_limit_is_for_one_event_and_not_for_the_stream() -> None:
    """Any number of events and comments of the allowed size pass."""
    decoder = SSEDecoder(max_event=LIMIT)
    largest = b"data: " + b"x" * (LIMIT - 6) + b"\n"
    assert len(decoder.feed((largest + b"\n") * 50)) == 50
    assert decoder.feed(b": ping\n" * 50) == []
    assert decoder.feed(b"event: y\n" * 50 + largest + b"\n") != []


def test_events_before_the_too_large_one_are_not_lost() -> None:
    """What the same bytes completed is returned; the error shows at once and is raised next."""
    decoder = SSEDecoder(max_event=LIMIT)
    events = decoder.feed(b"data: a\n\ndata: b\n\ndata: " + b"x" * 100)
    assert [event.data for event in events] == ["a", "b"]
    assert isinstance(decoder.failure, FrameTooLarge)
    with pytest.raises(FrameTooLarge):
        decoder.close()


def test_too_large_at_the_end() -> None:
    """The last line may be what makes an event too large."""
    decoder = SSEDecoder(max_event=LIMIT)
    decoder.feed(b"data: 12345678901234567890\ndata: 1234567890")
    with pytest.raises(FrameTooLarge):
        decoder.close()


@pytest.mark.parametrize("size", [1, 1000])
def test_long_lines_and_many_lines_take_linear_time(size: int) -> None:
    """A long line in small pieces and very many short ones finish; quadratic work would not."""
    decoder = SSEDecoder()
    line = b"x" * 50_000
    stream = b"data: " + line + b"\n\n" + b"data:\n" * 20_000 + b"\n"
    events = feed_in_pieces(decoder, stream, size)
    assert [len(event.data) for event in events] == [50_000, 19_999]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (encode("a"), b"data: a\n\n"),
        (encode(""), b"data: \n\n"),
        (encode("a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (encode("a", event="x", id="7"), b"id: 7\nevent: x\ndata: a\n\n"),
        (encode("\n\nevent: y"), b"data: \ndata: \ndata: event: y\n\n"),
        (encode("ä\u2028\ud83d"), "data: ä\u2028\ufffd\n\n".encode()),
        (comment(), b":\n\n"),
        (comment("ping"), b": ping\n\n"),
        (comment("a\ndata: b"), b": a\n: data: b\n\n"),
    ],
)
def test_written_bytes(written: bytes, expected: bytes) -> None:
    """What is written is plain and cannot be broken out of."""
    assert written == expected


@pytest.mark.parametrize(
    "fields", [{"event": "a\nb"}, {"event": "a\r"}, {"id": "1\n"}, {"id": "\0"}]
)
def test_a_name_or_id_that_would_forge_a_field_is_refused(fields: dict[str, str]) -> None:
    """A line end in a name or an id raises, and so does a NUL in an id."""
    with pytest.raises(ValueError, match="may not contain"):
        encode("a", **fields)

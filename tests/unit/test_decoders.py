"""What every wire's decoders promise, on every split and every cut of what providers send."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import (
    AuthenticationFailed,
    FrameTooLarge,
    ProtocolError,
    ServerFailed,
    StreamTruncated,
)
from llmkit.events import TextDelta
from llmkit.usage import PLAIN, Usage
from support.decoding import (
    PROVIDERS,
    Outcome,
    bytewise,
    call,
    decode,
    split,
    stream_decoder,
    whole_decoder,
)
from support.streams import (
    ANTHROPIC_STOP,
    BROKEN_STREAMS,
    COMPLETE_STREAMS,
    OPENAI_DONE,
    WHOLE_ANSWERS,
)

WIRES = sorted(PROVIDERS)
# Those whose streams are server-sent events.
EVENT_WIRES = [wire for wire in WIRES if wire != "ollama"]
MARKS = (OPENAI_DONE, ANTHROPIC_STOP)
# Whose last event says by itself that it is the last one.
SELF_ENDING = ("ollama", "openai-responses")
USAGE_FIELD = {"gemini": "usageMetadata"}
STREAMS = [
    (wire, stream)
    for streams in (COMPLETE_STREAMS, BROKEN_STREAMS)
    for wire, some in streams.items()
    for stream in some
]
ODDITIES = (
    *(
        b"\n",
        b"\r",
        b"\n\n",
        b" ",
        b'"',
        b"{",
        b"}",
        b"{}",
        b"\xff",
        b"\\ud83d",
        b"data: ",
        b":\n\n",
    ),
    *(b"id: 3\n", b"event: error\n", b'data: {"x":1}\n', b"event: ping\n", b'"type":"error",'),
)
CUTS = st.lists(st.integers(0, 4000), max_size=12)


@given(st.sampled_from(STREAMS), CUTS)
def test_any_split_gives_the_same_answer(case: tuple[str, bytes], cuts: list[int]) -> None:
    """Text, thinking, usage, stop reason and failure do not depend on how the bytes came."""
    wire, stream = case
    whole = decode(stream_decoder(wire), [stream])
    assert decode(stream_decoder(wire), split(stream, cuts)) == whole


@pytest.mark.parametrize(("wire", "stream"), STREAMS)
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_bytewise_and_with_other_line_ends(wire: str, stream: bytes, end: bytes) -> None:
    """One byte at a time, and with every line end there is, the answer is the same."""
    whole = decode(stream_decoder(wire), [stream])
    assert decode(stream_decoder(wire), bytewise(stream)) == whole
    if wire in EVENT_WIRES or end == b"\r\n":  # a carriage return alone ends no line of JSON
        assert decode(stream_decoder(wire), bytewise(stream.replace(b"\n", end))) == whole


@given(st.sampled_from(STREAMS), st.data())
def test_what_is_read_together_is_read_as_one_by_one(
    case: tuple[str, bytes], data: st.DataObject
) -> None:
    """Many deltas in one read, among them whatever is not as usual, are what they are byte by byte."""
    wire, stream = case
    events = stream.split(b"\n\n")
    at = data.draw(st.integers(0, len(events) - 1))
    events[at:at] = [events[at]] * data.draw(st.integers(0, 4))
    stream = b"\n\n".join(events)
    for at in data.draw(st.lists(st.integers(0, len(stream)), max_size=3)):
        stream = stream[:at] + data.draw(st.sampled_from(ODDITIES)) + stream[at:]
    whole = decode(stream_decoder(wire), [stream])
    assert decode(stream_decoder(wire), bytewise(stream)) == whole


@pytest.mark.parametrize(
    ("wire", "stream"), [(w, s) for w, some in COMPLETE_STREAMS.items() for s in some]
)
def test_a_cut_stream_is_never_complete(wire: str, stream: bytes) -> None:
    """Cut anywhere, a stream is truncated, unless all of the text and the terminal marker came."""
    whole = decode(stream_decoder(wire), [stream])
    assert whole.finish is not None
    for at in range(len(stream)):
        cut = decode(stream_decoder(wire), [stream[:at]])
        if cut.finish is None:
            assert cut.failure == (StreamTruncated, None)
            assert whole.text.startswith(cut.text)
        else:
            assert cut.said == whole.said
            assert cut.finish.stop_reason == whole.finish.stop_reason


@pytest.mark.parametrize(
    ("wire", "stream"), [(wire, each) for wire in EVENT_WIRES for each in COMPLETE_STREAMS[wire]]
)
def test_a_broken_frame_is_never_a_silent_hole(wire: str, stream: bytes) -> None:
    """A frame that is not JSON, wherever it stands before the end, ends the answer with what came before it."""
    whole = decode(stream_decoder(wire), [stream])
    frames = stream.split(b"\n\n")[:-1]
    is_marked = wire in SELF_ENDING or frames[-1] in (b"data: [DONE]", ANTHROPIC_STOP[:-2])
    last = len(frames) - 1 if is_marked else len(frames)
    for at in range(last + 1):
        spoiled = b"\n\n".join([*frames[:at], b'data: {"broken', *frames[at:], b""])
        outcome = decode(stream_decoder(wire), [spoiled])
        assert outcome.failure == (ProtocolError, None)
        assert whole.text.startswith(outcome.text)


@pytest.mark.parametrize("wire", WIRES)
def test_a_cut_document_is_never_complete(wire: str) -> None:
    """Cut anywhere, an answer that comes whole is truncated and says nothing."""
    body = WHOLE_ANSWERS[wire]
    for at in range(len(body)):
        cut = decode(whole_decoder(wire), [body[:at]])
        assert cut.failure is not None
        assert cut.failure[0] in (StreamTruncated, ProtocolError)
        assert cut.said == ()


@pytest.mark.parametrize("wire", EVENT_WIRES)
@pytest.mark.parametrize("how", ["cut", "garbled", "of another form", "an error"])
def test_a_broken_document_still_says_what_it_used(wire: str, how: str) -> None:
    """Where the report of tokens came whole it counts, though the answer does not; a text that looks like one is none."""
    whole = decode(whole_decoder(wire), [WHOLE_ANSWERS[wire]])
    assert whole.finish is not None
    document = json.loads(WHOLE_ANSWERS[wire])
    name = USAGE_FIELD.get(wire, "usage")
    report = document.pop(name)
    body = json.dumps({**document, name: report, "x": '"usage": {"prompt_tokens": 1}'}).encode()
    fields = {"openai": b'"choices"', "anthropic": b'"content"', "gemini": b'"candidates"'}
    field = fields.get(wire, b'"output"')
    if how == "cut":
        body = body[:-1]
    elif how == "garbled":
        body = body.replace(field + b": [", field + b": [[")
    elif how == "of another form":
        body = body.replace(field + b": [", field + b': 7, "y": [')
    else:
        body = json.dumps({"type": "error", "error": {"type": "api_error"}, name: report}).encode()
    decoder = whole_decoder(wire)
    outcome = decode(decoder, [body])
    assert outcome.failure is not None
    assert outcome.said == ()
    assert decoder.usage == whole.finish.usage


@pytest.mark.parametrize("wire", EVENT_WIRES)
def test_a_cut_document_without_its_report_says_nothing(wire: str) -> None:
    """A report that is cut itself is none."""
    decoder = whole_decoder(wire)
    body = WHOLE_ANSWERS[wire]
    name = USAGE_FIELD.get(wire, "usage").encode()
    decode(decoder, [body[: body.index(b'"%b"' % name) + 25]])
    assert decoder.usage == Usage()


@pytest.mark.parametrize("wire", WIRES)
def test_a_document_may_come_in_pieces(wire: str) -> None:
    """An answer that comes whole is the same, whatever its network reads were."""
    body = WHOLE_ANSWERS[wire]
    assert decode(whole_decoder(wire), bytewise(body)) == decode(whole_decoder(wire), [body])


@pytest.mark.parametrize("wire", WIRES)
@given(data=st.data())
def test_damaged_bytes_never_raise(wire: str, data: st.DataObject) -> None:
    """Bytes that are overwritten anywhere give an answer or a failure, never an exception."""
    stream = bytearray(data.draw(st.sampled_from([*COMPLETE_STREAMS[wire], WHOLE_ANSWERS[wire]])))
    places = st.integers(0, len(stream) - 1)
    for at in data.draw(st.lists(places, min_size=1, max_size=6)):
        stream[at] = data.draw(st.sampled_from(b'\0\n\r "{}[]:,\\x9\xff\xed'))
    for decoder in (stream_decoder(wire), whole_decoder(wire)):
        outcome = decode(decoder, [bytes(stream)])
        assert (outcome.finish is None) == (outcome.failure is not None)
    assert decode(stream_decoder(wire), bytewise(bytes(stream))) == decode(
        stream_decoder(wire), [bytes(stream)]
    )


@pytest.mark.parametrize("wire", WIRES)
@given(data=st.binary(max_size=300).filter(lambda data: b"[DONE]" not in data))
def test_any_bytes_never_raise(wire: str, data: bytes) -> None:
    """Bytes of any kind are a failure and no exception."""
    frame = b"data: " + data.replace(b"\n", b" ") + b"\n\n"
    for decoder in (stream_decoder(wire), whole_decoder(wire)):
        assert decode(decoder, [data]).failure is not None
    assert decode(stream_decoder(wire), [frame]).failure is not None


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, "[" * 990 + "]" * 990])
def test_deep_json_never_raises(wire: str, deep: str) -> None:
    """JSON that is nested beyond all measure is a failure and no RecursionError."""
    body = f'{{"type":"error","error":{{"a":"\\ud83d","x":{deep}}}}}'
    assert decode(stream_decoder(wire), [f"data: {body}\n\n".encode()]).failure is not None
    assert decode(whole_decoder(wire), [body.encode()]).failure is not None


@pytest.mark.parametrize(
    "rest", [b"data: {", b'data: {"choi', b"data:", b"da", b"event: x", b"data: {}\ndata: {"]
)
def test_half_an_event_behind_a_finish_reason(rest: bytes) -> None:
    """More was to come: the answer is cut, though it has said why it stops."""
    stream = COMPLETE_STREAMS["openai"][2]
    outcome = decode(stream_decoder("openai"), [stream + rest])
    assert outcome.failure == (StreamTruncated, None)
    assert outcome.text == "Hi"


@pytest.mark.parametrize(
    "rest", [b"", b"\n", b": half a ping", b": ", b"data: {}", b"data: [DONE]"]
)
def test_a_whole_last_event_behind_a_finish_reason(rest: bytes) -> None:
    """An event that no blank line ends, and half a comment, are an end."""
    stream = COMPLETE_STREAMS["openai"][2]
    assert decode(stream_decoder("openai"), [stream + rest]).finish is not None
    assert (
        decode(stream_decoder("openai"), [stream.replace(b"\n", b"\r") + rest]).finish is not None
    )


@pytest.mark.parametrize("wire", WIRES)
def test_a_break_is_an_end_only_behind_the_terminal_marker(wire: str) -> None:
    """A connection that breaks completes nothing, and takes nothing back that is complete."""
    for stream in COMPLETE_STREAMS[wire]:
        decoder = stream_decoder(wire)
        decoder.feed(stream)
        decoder.close(broken=True)
        assert decoder.finished == (wire in SELF_ENDING or stream.endswith(MARKS))
        assert decoder.finished or type(decoder.failure) is StreamTruncated
        marked = stream_decoder(wire)
        marked.feed(stream.rstrip(b"\n") if decoder.finished else stream + b"data: [DONE]")
        assert marked.close(broken=True) != []
        assert marked.finished


@pytest.mark.parametrize("wire", WIRES)
def test_nothing_comes_after_the_end(wire: str) -> None:
    """What follows the terminal marker is ignored, a second terminal marker too."""
    stream = COMPLETE_STREAMS[wire][0]
    if wire not in SELF_ENDING and not stream.endswith(MARKS):
        stream += OPENAI_DONE
    decoder = stream_decoder(wire)
    assert decoder.feed(stream + stream) == stream_decoder(wire).feed(stream)
    assert decoder.feed(stream) == []
    assert decoder.close() == []
    assert decoder.failure is None


@pytest.mark.parametrize("wire", WIRES)
def test_nothing_comes_after_a_failure(wire: str) -> None:
    """A failure ends the stream: what came before it was returned, what follows is ignored."""
    stream = BROKEN_STREAMS[wire][0]
    decoder = stream_decoder(wire)
    assert decoder.feed(stream + COMPLETE_STREAMS[wire][0]) == [TextDelta("Hel")]
    assert isinstance(decoder.failure, ServerFailed)
    assert decoder.feed(COMPLETE_STREAMS[wire][0]) == []
    assert decoder.close() == []
    assert not decoder.finished


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("streaming", [True, False])
def test_an_empty_answer_is_truncated(wire: str, *, streaming: bool) -> None:
    """An answer without a byte is no answer."""
    decoder = stream_decoder(wire) if streaming else whole_decoder(wire)
    assert decode(decoder, []) == Outcome(
        (), (), None, (StreamTruncated, None), None, None, Usage(), PLAIN
    )
    assert decoder.usage == Usage()
    assert decoder.failure is not None
    assert decoder.failure.request_id == "req_1"


@pytest.mark.parametrize("wire", EVENT_WIRES)
@pytest.mark.parametrize(
    ("content_type", "body", "failure", "message"),
    [
        ("text/html", b"<html>secret</html>", ProtocolError, "sent text/html instead of an event"),
        ("application/json", b'{"ok":true}', ProtocolError, "sent application/json instead of an"),
        ("<script>", b"x", ProtocolError, "sent an unknown media type instead of an event"),
        (
            "text/plain",
            b"data, says the page: [DONE]",
            ProtocolError,
            "sent text/plain instead of an",
        ),
        ("text/plain", b"<p>\ndata: {}\n\n", ProtocolError, "sent text/plain instead of an event"),
        ("application/x-ndjson", b'{"done":true}\n{}', ProtocolError, "sent application/x-ndjson"),
        ("text/plain", b"dat", ProtocolError, "sent text/plain instead of an event"),
        ("application/json", b"", StreamTruncated, "ended before it was complete"),
        (
            "application/json",
            b'{"type":"error","error":{"type":"authentication_error","message":"secret"}}',
            AuthenticationFailed,
            r"reported an error inside its answer \(authentication_error\)",
        ),
        ("application/json", b'{"error":"secret"}', ServerFailed, "reported an error inside"),
    ],
)
def test_no_event_stream_is_a_failure(
    wire: str, content_type: str, body: bytes, failure: type[Exception], message: str
) -> None:
    """A 200 that is a page or an error report is that, and never an empty success."""
    headers = {"content-type": content_type}
    decoder = PROVIDERS[wire].decoder(call(), "m", headers)
    assert [event for byte in bytewise(body) for event in decoder.feed(byte)] == []
    assert decoder.close() == decoder.close() == []
    assert type(decoder.failure) is failure
    with pytest.raises(failure, match=message) as raised:
        raise decoder.failure
    assert "secret" not in str(raised.value)
    assert not decoder.finished


@pytest.mark.parametrize(
    "content_type",
    [
        *("text/plain; charset=utf-8", "application/octet-stream", "application/x-ndjson"),
        *("application/json", "text/html", "nonsense"),
    ],
)
@pytest.mark.parametrize(
    "start", [b"", b"\xef\xbb\xbf", b": hi\n\n", b"\r\n\n", b"id: 1\n", b"retry: 9\n\n"]
)
@pytest.mark.parametrize("wire", WIRES)
def test_an_event_stream_by_another_name(wire: str, start: bytes, content_type: str) -> None:
    """Its first bytes tell what it is, however they come; how it ends and fails is as ever."""
    headers = {"content-type": content_type}
    for stream in (*COMPLETE_STREAMS[wire], *BROKEN_STREAMS[wire]):
        usual = stream_decoder(wire)
        whole = decode(usual, [start + stream])
        for pieces in ([start + stream], bytewise(start + stream)):
            decoder = PROVIDERS[wire].decoder(call(), "m", headers)
            outcome = decode(decoder, pieces)
            assert outcome.said == whole.said
            assert (outcome.finish, outcome.failure) == (whole.finish, whole.failure)
            assert (outcome.model, decoder.usage) == (whole.model, usual.usage)
            assert decoder.stopping == usual.stopping


@pytest.mark.parametrize("wire", EVENT_WIRES)
def test_a_large_first_read_of_an_event_stream_by_another_name(wire: str) -> None:
    """Nothing of it is left out."""
    comments = b": " + b"x" * 100_000 + b"\n\n"
    decoder = PROVIDERS[wire].decoder(call(), "m", {"content-type": "text/plain"})
    assert decode(decoder, [comments + COMPLETE_STREAMS[wire][0]]).finish is not None


@pytest.mark.parametrize("wire", WIRES)
def test_a_large_page_is_not_kept(wire: str) -> None:
    """Of a body that nobody reads no more than a beginning is kept."""
    decoder = PROVIDERS[wire].decoder(call(), "m", {"content-type": "text/html"})
    for _ in range(1000):
        decoder.feed(b"x" * 1000)
    assert decoder.close() == []
    assert type(decoder.failure) is ProtocolError


@pytest.mark.parametrize("wire", WIRES)
def test_a_page_is_given_up_at_its_limit(wire: str) -> None:
    """A server that sends a page without an end is not read any further, however the page comes; a report up to there is read."""
    size = 64 * 1024
    for piece in (1000, size, 10 * size):
        decoder = PROVIDERS[wire].decoder(call(), "m", {"content-type": "text/html"})
        fed = 0
        while decoder.failure is None:
            assert fed < size
            assert decoder.feed(b"x" * piece) == []
            fed += piece
        assert fed >= size
        assert type(decoder.failure) is ProtocolError
    report = b'{"error":{"message":"%s"}}' % (b"x" * (size - 100))
    decoder = PROVIDERS[wire].decoder(call(), "m", {"content-type": "text/html"})
    assert decoder.feed(report) == decoder.close() == []
    assert type(decoder.failure) is ServerFailed


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_that_does_not_say_what_it_is_may_be_a_stream(wire: str) -> None:
    """Without a content type the bytes decide."""
    stream = COMPLETE_STREAMS[wire][0]
    decoder = PROVIDERS[wire].decoder(call(), "m", {})
    assert decode(decoder, [stream]) == decode(stream_decoder(wire), [stream])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("size", [1 << 20, 20 << 20])
def test_too_large_an_event_is_a_failure(wire: str, size: int) -> None:
    """An event beyond the limit ends the answer; it is not tried again."""
    decoder = stream_decoder(wire)
    chunks = [b"data: "] + [b"x" * size] * 20
    assert decode(decoder, chunks).failure == (FrameTooLarge, None)
    assert decoder.failure is not None
    assert decoder.failure.provider == wire
    assert not decoder.failure.can_retry


@pytest.mark.parametrize(
    "ping",
    [
        *(b"data: null", b"data: keepalive", b"event: ping\ndata: ok", b"data: PING - 2026-11-26"),
        *(b"data: 7", b"data: true", b"data:", b"data:  ", b"data: keep\ndata: alive", b": ping"),
        *(b"event: heartbeat", b"event: ping\ndata: {}", b"retry: 3000"),
        *(b'data: "ping"', b'data:  "a \\"quote\\"" ', b"data: []", b"data: [ ]", b"data: [PING]"),
        *(b"data: [keep-alive]", b'event: ping\ndata: "ok"', b"event: ping\ndata: [1, 2]"),
        *(b"event: ping\ndata: {ok}", b'event: ping\ndata: {"type": "ping"'),
    ],
)
@pytest.mark.parametrize("wire", EVENT_WIRES)
def test_pings_of_every_kind_are_passed_over(wire: str, ping: bytes) -> None:
    """A word, a text, an empty list and what is named ping are no pieces of an answer, wherever they stand."""
    for stream in COMPLETE_STREAMS[wire]:
        pinged = stream.replace(b"\n\n", b"\n\n" + ping + b"\n\n")
        assert decode(stream_decoder(wire), [ping + b"\n\n" + pinged]) == decode(
            stream_decoder(wire), [stream]
        )


@pytest.mark.parametrize(
    "piece",
    [
        *(b'data: "choices": [', b'data: "delta": {"text": "lost"}', b'data: ["lost"]'),
        *(b'data: "Hel', b'data: lost"', b"data: [PING", b"data: [1]", b'data: "a" "b"'),
        *(b'event: ping\ndata: {"choices": 7', b'event: ping\ndata: {"delta": {"text": "lost"}'),
    ],
)
@pytest.mark.parametrize("wire", WIRES)
def test_a_piece_of_an_event_is_no_ping(wire: str, piece: bytes) -> None:
    """What may be a part of an answer fails it, for its text would be missing."""
    decoder = stream_decoder(wire)
    decoder.feed(piece + b"\n\n")
    assert type(decoder.failure) is ProtocolError


@pytest.mark.parametrize("data", [b'"lost"', b"lost", b"[]"])
def test_an_event_with_the_name_of_a_text_is_no_ping(data: bytes) -> None:
    """Anthropic's wire: where a name says that text comes, something else is a failure."""
    decoder = stream_decoder("anthropic")
    decoder.feed(b"event: content_block_delta\ndata: " + data + b"\n\n")
    assert type(decoder.failure) is ProtocolError


@pytest.mark.parametrize("wire", EVENT_WIRES)
def test_a_word_that_is_named_an_error_is_one(wire: str) -> None:
    """An event with the name error is an error, though its data is no JSON."""
    decoder = stream_decoder(wire)
    decoder.feed(COMPLETE_STREAMS[wire][0][:200].rpartition(b"\n\n")[0] + b"\n\n")
    decoder.feed(b"event: error\ndata: overloaded\n\n")
    assert type(decoder.failure) is ServerFailed


@pytest.mark.parametrize(
    "done", [b"data: [DONE]", b"data:  [DONE] ", b"data:[DONE]", b"data: [DONE]\r"]
)
def test_an_end_marker_with_spaces_around_it(done: bytes) -> None:
    """A spaced [DONE] is one."""
    chunk = COMPLETE_STREAMS["openai"][2].partition(b"\n\n")[0] + b"\n\n"
    decoder = stream_decoder("openai")
    decoder.feed(chunk + done + b"\n\n")
    assert decoder.finished


@pytest.mark.parametrize("wire", EVENT_WIRES)
def test_too_large_an_event_after_text(wire: str) -> None:
    """The text before the event that is too large is handed on."""
    decoder = stream_decoder(wire)
    start = BROKEN_STREAMS[wire][0].partition(b"Hel")[0] + b'Hel"}'
    line = BROKEN_STREAMS[wire][0].partition(b"Hel")[2].partition(b"\n\n")[0]
    chunk = start.removesuffix(b'"}') + line + b"\n\n" + b"x" * (17 << 20)
    assert decoder.feed(chunk) == [TextDelta("Hel")]
    assert type(decoder.failure) is FrameTooLarge
    assert "check the base URL" in str(decoder.failure)


@pytest.mark.parametrize("wire", EVENT_WIRES)
def test_too_large_at_the_end(wire: str) -> None:
    """An event may turn out to be too large only when the body ends."""
    half = b"data: " + b"x" * (9 << 20)
    assert decode(stream_decoder(wire), [half + b"\n", half]).failure == (FrameTooLarge, None)

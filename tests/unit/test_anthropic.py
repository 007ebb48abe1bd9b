"""Anthropic Messages: answers, usage, stop reasons, failures."""

from __future__ import annotations

import json

import pytest

from llmkit.errors import (
    AuthenticationFailed,
    Overloaded,
    PromptTooLong,
    ProtocolError,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
)
from llmkit.events import Finish, TextDelta, ThinkingDelta, ThinkingSignature
from llmkit.usage import Usage
from support.decoding import decode, stream_decoder, whole_decoder
from support.streams import (
    ANTHROPIC_MESSAGE,
    ANTHROPIC_START,
    ANTHROPIC_STOP,
    ANTHROPIC_STREAM,
    ANTHROPIC_TEXT,
    ANTHROPIC_THINKING_STREAM,
    anthropic_event,
)


def delta(text: str) -> bytes:
    """Write a text delta."""
    return anthropic_event("content_block_delta", delta={"type": "text_delta", "text": text})


def end(reason: str | None = "end_turn", **usage: object) -> bytes:
    """Write the two last events."""
    changes = {"stop_reason": reason, "stop_sequence": None}
    return anthropic_event("message_delta", delta=changes, usage=usage) + ANTHROPIC_STOP


def start(**usage: object) -> bytes:
    """Write the first event."""
    return anthropic_event("message_start", message={"id": "msg_1", "model": "c", "usage": usage})


def usage_of(*chunks: bytes) -> Usage:
    """Decode a stream and return its usage."""
    finish = decode(stream_decoder("anthropic"), chunks).finish
    assert finish is not None
    return finish.usage


def test_stream() -> None:
    """A documented stream gives its text, its usage and its stop reason."""
    decoder = stream_decoder("anthropic")
    outcome = decode(decoder, [ANTHROPIC_STREAM])
    assert outcome.said == (("text", ANTHROPIC_TEXT),)
    assert outcome.finish == Finish(
        "end",
        "end_turn",
        Usage(
            input_tokens=1325,
            output_tokens=15,
            cache_read_tokens=1000,
            cache_write_tokens=300,
            cache_write_5m_tokens=200,
            cache_write_1h_tokens=100,
            input_source="reported",
            output_source="reported",
        ),
    )
    assert (decoder.model, decoder.request_id) == (
        "claude-sonnet-4-5-20250929",
        "msg_01XFDUDYJgAACzvnptvVoYEL",
    )


def test_thinking_and_what_is_unknown() -> None:
    """Thinking comes apart from text; what is not text or thinking is passed over."""
    outcome = decode(stream_decoder("anthropic"), [ANTHROPIC_THINKING_STREAM])
    assert outcome.said == (("thinking", "Let me see…"), ("text", "27"))
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "tool_use"
    assert outcome.finish.usage.reasoning_tokens == 60
    assert outcome.finish.usage.output_tokens == 89
    assert outcome.finish.usage.input_tokens == 1330


def test_deltas_of_one_read_are_one_event() -> None:
    """Neighbouring deltas of a read are merged, and their order is kept."""
    thought = anthropic_event(
        "content_block_delta", delta={"type": "thinking_delta", "thinking": "T"}
    )
    nothing = delta("") + anthropic_event("content_block_delta", delta={"type": "thinking_delta"})
    decoder = stream_decoder("anthropic")
    events = decoder.feed(delta("a") + nothing + delta("b") + thought + thought + delta("c"))
    assert events == [TextDelta("ab"), ThinkingDelta("TT"), TextDelta("c")]
    assert decoder.feed(delta("d")) == [TextDelta("d")]


def test_text_in_a_block_start_is_text() -> None:
    """A block may begin with text."""
    block = {"type": "text", "text": "a"}
    chunk = anthropic_event("content_block_start", index=0, content_block=block)
    assert stream_decoder("anthropic").feed(chunk + delta("b")) == [TextDelta("ab")]


def test_placeholder_of_the_output_is_not_reported() -> None:
    """Until a message_delta says it, the length of the output is unknown."""
    decoder = stream_decoder("anthropic")
    decoder.feed(ANTHROPIC_START)
    assert decoder.usage.input_tokens == 1325
    assert decoder.usage.output_tokens is None
    assert (decoder.usage.input_source, decoder.usage.output_source) == ("reported", "unknown")


def test_usage_is_cumulative() -> None:
    """A later report replaces an earlier one and keeps what it does not repeat."""
    changes: dict[str, object] = {"stop_reason": None}
    assert usage_of(
        start(input_tokens=5, output_tokens=1, cache_read_input_tokens=2),
        anthropic_event("message_delta", delta=changes, usage={"output_tokens": 7}),
        end(output_tokens=9, input_tokens=6, cache_read_input_tokens=None),
    ) == Usage(
        input_tokens=8,
        output_tokens=9,
        cache_read_tokens=2,
        input_source="reported",
        output_source="reported",
    )


def test_a_total_does_not_shrink_to_nothing() -> None:
    """A later report that says 0 for what was counted before takes nothing back."""
    usage = usage_of(
        start(input_tokens=5, cache_read_input_tokens=2),
        delta("a"),
        end(output_tokens=3, input_tokens=0, cache_read_input_tokens=0),
    )
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens) == (7, 2, 3)


def test_zero_is_zero_and_nothing_is_unknown() -> None:
    """A count of 0 that is sent is 0; one that is not sent is None."""
    zero = usage_of(
        start(input_tokens=9, cache_read_input_tokens=0, cache_creation_input_tokens=0),
        end(output_tokens=0),
    )
    assert (zero.input_tokens, zero.output_tokens, zero.cache_write_tokens) == (9, 0, 0)
    assert (zero.cache_read_tokens, zero.cache_write_5m_tokens) == (0, None)
    assert usage_of(delta("a"), ANTHROPIC_STOP) == Usage()
    assert usage_of(start(), end()) == Usage()
    no_usage = anthropic_event("message_start", message={"id": "msg_1"})
    assert usage_of(no_usage, ANTHROPIC_STOP) == Usage()


def test_split_of_cache_writes() -> None:
    """The split alone gives the total; a split that no longer adds up is dropped."""
    parts = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    alone = usage_of(start(input_tokens=1, cache_creation=parts), end(output_tokens=1))
    assert (alone.cache_write_tokens, alone.input_tokens) == (7, 8)
    grown = usage_of(
        start(input_tokens=1, cache_creation=parts, cache_creation_input_tokens=7),
        end(output_tokens=1, cache_creation_input_tokens=9),
    )
    assert (grown.cache_write_tokens, grown.input_tokens) == (9, 10)
    assert (grown.cache_write_5m_tokens, grown.cache_write_1h_tokens) == (None, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("end_turn", "end"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_use"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("invented_later", "other"),
        (None, "other"),
    ],
)
def test_stop_reasons(raw: str | None, reason: str) -> None:
    """The vendor's word is mapped, and kept."""
    finish = decode(stream_decoder("anthropic"), [start(), end(raw)]).finish
    assert finish is not None
    assert (finish.stop_reason, finish.raw_stop_reason) == (reason, raw)


@pytest.mark.parametrize(
    ("error", "failure", "can_retry"),
    [
        ({"type": "overloaded_error"}, Overloaded, True),
        ({"type": "api_error"}, ServerFailed, True),
        ({"type": "timeout_error"}, ServerFailed, True),
        ({"type": "rate_limit_error"}, RateLimited, True),
        ({"type": "authentication_error"}, AuthenticationFailed, False),
        ({"type": "permission_error"}, AuthenticationFailed, False),
        ({"type": "invalid_request_error"}, RequestRejected, False),
        ({"type": "not_found_error"}, RequestRejected, False),
        ({"type": "request_too_large"}, PromptTooLong, False),
        ({"type": "billing_error"}, QuotaExhausted, False),
        ({"type": "invented_later"}, ServerFailed, True),
        (None, ServerFailed, True),
        ("text", ServerFailed, True),
    ],
)
def test_error_inside_a_stream(
    error: object, failure: type[ProviderError], *, can_retry: bool
) -> None:
    """An error event under status 200 is what its type says; the text before it is handed on."""
    decoder = stream_decoder("anthropic")
    stream = start() + delta("a") + anthropic_event("error", error=error) + delta("b") + end()
    assert decoder.feed(stream) == [TextDelta("a")]
    assert type(decoder.failure) is failure
    assert decoder.failure.can_retry == can_retry
    assert decoder.failure.provider == "anthropic"
    assert decoder.failure.model == "m"
    assert decoder.failure.status_code == 200
    assert decoder.failure.request_id == "req_1"


def test_event_named_error_is_an_error() -> None:
    """A compatible server may leave the type out of the data."""
    decoder = stream_decoder("anthropic")
    decoder.feed(b'event: error\ndata: {"error":{"type":"rate_limit_error"}}\n\n')
    assert type(decoder.failure) is RateLimited


@pytest.mark.parametrize(
    "frame",
    [
        b"data: {broken\n\n",
        b'data: "hello\n\n',
        b'data: content":"hello"}}]}\n\n',
        b'data: ["hello"]\n\n',
        anthropic_event("content_block_delta", delta={"type": "text_delta", "text": 7}),
        anthropic_event("content_block_start", content_block={"type": "text", "text": []}),
        anthropic_event("message_start", message="x"),
    ],
)
def test_broken_frames_are_protocol_errors(frame: bytes) -> None:
    """A frame that we need and cannot read ends the answer."""
    decoder = stream_decoder("anthropic")
    assert decoder.feed(delta("a") + frame + end()) == [TextDelta("a")]
    assert type(decoder.failure) is ProtocolError


def test_an_answer_may_begin_twice_before_it_says_something() -> None:
    """A doubled message_start is one; the later report counts."""
    outcome = decode(stream_decoder("anthropic"), [start(), start(), delta("a"), end()])
    assert outcome.said == (("text", "a"),)
    assert outcome.finish is not None


@pytest.mark.parametrize("pieces", ["one by one", "at once"])
def test_a_second_answer_inside_the_first_is_not_shown(pieces: str) -> None:
    """Behind text a message_start is no event of this answer: nothing is said twice, nothing passes for complete."""
    frames = [start(), delta("a"), start(), delta("a"), delta("b"), end()]
    decoder = stream_decoder("anthropic")
    outcome = decode(decoder, frames if pieces == "one by one" else [b"".join(frames)])
    assert outcome.said == (("text", "a"),)
    assert outcome.failure == (ProtocolError, None)
    assert "began a second answer inside the first" in str(decoder.failure)


@pytest.mark.parametrize(
    "frame",
    [
        b"data: {}\n\n",
        b"data:\n\n",
        b'data: {"type":"ping","delta":7}\n\n',
        b'data: {"type":null}\n\n',
        anthropic_event("content_block_delta", delta={"type": "new_delta", "text": {"a": 1}}),
        anthropic_event("content_block_start", content_block={"type": "new", "text": {"a": 1}}),
        anthropic_event("content_block_stop", index="x"),
    ],
)
def test_what_is_not_needed_may_have_any_form(frame: bytes) -> None:
    """Events and deltas of unknown types are ignored, whatever they hold."""
    outcome = decode(stream_decoder("anthropic"), [start(), delta("a"), frame, end()])
    assert outcome.said == (("text", "a"),)
    assert outcome.finish is not None


def test_json_that_msgspec_is_too_strict_for() -> None:
    """NaN is read, and half of a surrogate pair becomes U+FFFD."""
    inner = b'{"type":"text_delta","text":"a\\ud83d"}'
    frame = b'data: {"type":"content_block_delta","p":NaN,"delta":' + inner + b"}\n\n"
    assert decode(stream_decoder("anthropic"), [frame]).text == "a\ufffd"


def test_no_message_stop_is_truncated() -> None:
    """A stop reason without message_stop is not the end."""
    stream = start() + delta("a") + end().removesuffix(ANTHROPIC_STOP)
    outcome = decode(stream_decoder("anthropic"), [stream])
    assert outcome.failure == (StreamTruncated, None)
    assert outcome.text == "a"


def test_message_stop_without_a_blank_line_counts() -> None:
    """A last event that no blank line ends is read."""
    outcome = decode(stream_decoder("anthropic"), [start() + end().rstrip(b"\n")])
    assert outcome.finish is not None


def test_whole_message() -> None:
    """An answer that comes whole gives its thinking, its text and the finish."""
    decoder = whole_decoder("anthropic")
    assert decoder.feed(ANTHROPIC_MESSAGE) == []
    usage = Usage(
        input_tokens=10,
        output_tokens=25,
        cache_read_tokens=0,
        cache_write_tokens=0,
        input_source="reported",
        output_source="reported",
    )
    assert decoder.close() == [
        ThinkingDelta("Hm."),
        ThinkingSignature("EqQB", "anthropic"),
        TextDelta("Hi! I am ä 🌍."),
        Finish("end", "end_turn", usage),
    ]
    assert decoder.close() == decoder.feed(b"x") == []
    assert decoder.usage == usage
    assert decoder.model == "claude-sonnet-4-5-20250929"
    assert decoder.request_id == "msg_013Zva2CMHLNnXjNJJKqJ2EF"


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b"<html>502</html>", ProtocolError),
        (b'{"type":"completion"}', ProtocolError),
        (b'{"type":"message","content":7}', ProtocolError),
        (b"[]", ProtocolError),
        (b'{"type":"message","content":[]}', StreamTruncated),
        (b'{"type":"error","error":{"type":"overloaded_error"}}', Overloaded),
        (b'{"type":"error","error":{"type":"rate_limit_error"}}', RateLimited),
    ],
)
def test_whole_answers_that_are_none(body: bytes, failure: type[ProviderError]) -> None:
    """A document that is not a complete message is a failure with the right class."""
    assert decode(whole_decoder("anthropic"), [body]).failure is not None
    decoder = whole_decoder("anthropic")
    decoder.feed(body)
    assert decoder.close() == []
    assert type(decoder.failure) is failure


def test_blocks_that_nobody_reads_may_have_any_form() -> None:
    """A block of an unknown type does not harm the text beside it."""
    content = [{"type": "new", "text": {"a": 1}}, {"type": "text", "text": "a"}, 7]
    body = json.dumps({"type": "message", "content": content, "stop_reason": "end_turn"})
    assert decode(whole_decoder("anthropic"), [body.encode()]).text == "a"


M5, H1 = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"


@pytest.mark.parametrize(
    ("reports", "total", "split"),
    [
        ([({M5: 3}, None)], 3, (3, None)),
        ([({H1: 4}, None)], 4, (None, 4)),
        ([({M5: 3}, 3)], 3, (3, None)),
        ([({H1: 4}, 4)], 4, (None, 4)),
        ([({M5: 0, H1: 4}, 4)], 4, (0, 4)),
        ([({M5: 3}, 7)], 7, (None, None)),
        ([({H1: 4}, 7)], 7, (None, None)),
        ([(None, 7)], 7, (None, None)),
        ([(None, None)], None, (None, None)),
        ([({}, None)], None, (None, None)),
        ([({M5: 3}, 3), (None, 5)], 5, (None, None)),
        ([({M5: 3}, 3), ({M5: 5}, 5)], 5, (5, None)),
        ([({M5: 3}, 3), ({M5: 3, H1: 2}, 5)], 5, (3, 2)),
        ([({M5: 3, H1: 4}, 7), ({H1: 6}, 9)], 9, (None, None)),
        ([({M5: 3, H1: 4}, 7), (None, None)], 7, (3, 4)),
    ],
)
def test_a_split_counts_only_while_it_adds_up(
    reports: list[tuple[dict[str, int] | None, int | None]],
    total: int | None,
    split: tuple[int | None, int | None],
) -> None:
    """One part alone is a split too; a later total without a split of its own is a total without one."""
    fields = [
        {"cache_creation": parts, "cache_creation_input_tokens": written}
        for parts, written in reports
    ]
    usage = usage_of(start(input_tokens=10, **fields[0]), end(output_tokens=1, **dict(*fields[1:])))
    assert usage.cache_write_tokens == total
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == split
    assert usage.input_tokens == 10 + (total or 0)


def test_silence_never_ends_an_answer() -> None:
    """A stop reason is not the end here: message_stop is."""
    decoder = stream_decoder("anthropic")
    reason = end().removesuffix(ANTHROPIC_STOP)
    for chunk in (start(input_tokens=1), delta("a"), b": ping\n\n", reason):
        decoder.feed(chunk)
        assert not decoder.stopping
        assert not decoder.finished
    decoder.feed(ANTHROPIC_STOP)
    assert decoder.finished

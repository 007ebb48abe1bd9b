"""OpenAI chat completions and compatible servers: answers, usage, failures."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from llmkit.errors import (
    AuthenticationFailed,
    PromptTooLong,
    ProtocolError,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
)
from llmkit.events import Finish, TextDelta, ThinkingDelta, ToolCallDelta
from llmkit.usage import Usage
from support.decoding import decode, stream_decoder, whole_decoder
from support.streams import (
    OPENAI_COMPLETION,
    OPENAI_DONE,
    OPENAI_REASONING_STREAM,
    OPENAI_SPARSE_STREAM,
    OPENAI_STREAM,
    OPENAI_TEXT,
    OPENAI_USAGE,
    openai_chunk,
    openai_data,
    openai_delta,
)

USAGE = Usage(
    input_tokens=19,
    output_tokens=40,
    cache_read_tokens=8,
    reasoning_tokens=32,
    input_source="reported",
    output_source="reported",
)
STOP = openai_chunk(openai_delta("stop"))


def text(content: str) -> bytes:
    """Write a text delta."""
    return openai_chunk(openai_delta(content=content))


def usage_of(*reports: object) -> Usage:
    """Decode a stream with these reports and return its usage."""
    chunks = [text("a"), STOP, *(openai_chunk(usage=report) for report in reports), OPENAI_DONE]
    finish = decode(stream_decoder("openai"), chunks).finish
    assert finish is not None
    return finish.usage


def test_stream() -> None:
    """A documented stream gives its text, and the usage that comes after the finish reason."""
    decoder = stream_decoder("openai")
    outcome = decode(decoder, [OPENAI_STREAM])
    assert outcome.said == (("text", OPENAI_TEXT),)
    assert outcome.finish == Finish("end", "stop", USAGE)
    assert (decoder.model, decoder.request_id) == ("gpt-5-mini-2025-08-07", "chatcmpl-9xKp")


def test_finish_waits_for_the_usage() -> None:
    """The finish reason alone does not finish: the usage is still to come."""
    decoder = stream_decoder("openai")
    assert decoder.feed(text("a") + STOP) == [TextDelta("a")]
    assert not decoder.finished
    assert decoder.feed(openai_chunk(usage=OPENAI_USAGE)) == []
    assert decoder.feed(OPENAI_DONE) == [Finish("end", "stop", USAGE)]
    assert decoder.finished


def test_reasoning() -> None:
    """Thinking comes apart from text; usage may come with the finish reason."""
    outcome = decode(stream_decoder("openai"), [OPENAI_REASONING_STREAM])
    assert outcome.said == (("thinking", "Let me see…"), ("text", "27"))
    assert outcome.finish is not None
    usage = outcome.finish.usage
    assert (usage.input_tokens, usage.output_tokens) == (18, 83)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (16, 80)


def test_stream_without_usage_and_done() -> None:
    """A finish reason and the end of the body are an end; what was not reported is unknown."""
    decoder = stream_decoder("openai")
    outcome = decode(decoder, [OPENAI_SPARSE_STREAM])
    assert outcome.said == (("text", "Hi"),)
    assert outcome.finish == Finish("max_tokens", "length", Usage())
    assert (decoder.model, decoder.request_id) == ("smollm2", "c-1")


def test_no_finish_reason_and_no_done_is_truncated() -> None:
    """Without a finish reason and an end marker the answer is cut."""
    outcome = decode(stream_decoder("openai"), [text("a")])
    assert outcome.failure == (StreamTruncated, None)
    assert outcome.text == "a"


def test_done_without_a_finish_reason_ends_as_other() -> None:
    """The end marker alone is an end, of unknown cause."""
    outcome = decode(stream_decoder("openai"), [text("a") + OPENAI_DONE])
    assert outcome.finish == Finish("other", None, Usage())


def test_the_finish_reason_error_is_an_error() -> None:
    """A server that stops for a fault of its own has not finished; what it said is handed on first."""
    failed = openai_chunk(openai_delta("error", content="b"))
    outcome = decode(stream_decoder("openai"), [text("a") + failed + OPENAI_DONE])
    assert outcome.failure == (ServerFailed, None)
    assert outcome.text == "ab"


def test_content_may_follow_a_finish_reason() -> None:
    """Some gateways send a finish reason with every chunk; only the end is the end."""
    chunks = [openai_chunk(openai_delta("stop", content=letter)) for letter in "abc"]
    outcome = decode(stream_decoder("openai"), [*chunks, OPENAI_DONE])
    assert (outcome.text, outcome.finish and outcome.finish.stop_reason) == ("abc", "end")


@pytest.mark.parametrize("word", ["", "null", None])
def test_empty_finish_reasons_are_none(word: str | None) -> None:
    """Servers that say "" or "null" on every chunk do not end the stream by it."""
    chunk = openai_chunk(openai_delta(word, content="a"))
    assert decode(stream_decoder("openai"), [chunk]).failure == (StreamTruncated, None)


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"content": None}, []),
        ({}, []),
        ({"content": ""}, []),
        ({"reasoning": "T"}, [ThinkingDelta("T")]),
        ({"reasoning": "T", "reasoning_content": "T"}, [ThinkingDelta("T")]),
        ({"reasoning_content": "T", "content": "a"}, [ThinkingDelta("T"), TextDelta("a")]),
        ({"refusal": "No."}, [TextDelta("No.")]),
        (
            {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
            [ToolCallDelta(0, "call_0", "", "{")],
        ),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "T"}, {}]},
                    {"type": "text", "text": "a"},
                    {"type": "reference", "reference_ids": [1]},
                ]
            },
            [ThinkingDelta("T"), TextDelta("a")],
        ),
    ],
)
def test_deltas(delta: dict[str, object], expected: list[object]) -> None:
    """Each form of a delta that is in use gives its text and thinking, in order."""
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    assert stream_decoder("openai").feed(openai_chunk(choice)) == expected


def test_deltas_of_one_read_are_one_event() -> None:
    """Neighbouring deltas of a read are merged, also over chunks that say nothing."""
    chunks = text("a") + openai_chunk(openai_delta()) + text("b")
    assert stream_decoder("openai").feed(chunks) == [TextDelta("ab")]


@pytest.mark.parametrize(
    "chunk",
    [
        b"data:\n\n",
        openai_data({}),
        openai_data({"choices": None}),
        openai_data({"choices": []}),
        openai_data({"choices": [{}]}),
        openai_data({"choices": [{"delta": None}]}),
    ],
)
def test_chunks_that_say_nothing(chunk: bytes) -> None:
    """Chunks without choices, deltas or data are passed over."""
    outcome = decode(stream_decoder("openai"), [chunk, text("a"), chunk, STOP, chunk, OPENAI_DONE])
    assert outcome.said == (("text", "a"),)
    assert outcome.finish is not None


def test_refusal_is_the_stop_reason() -> None:
    """A refusal is text with a stop reason of its own, though the vendor says stop."""
    chunks = [openai_chunk(openai_delta(refusal="I can't")), STOP, OPENAI_DONE]
    finish = decode(stream_decoder("openai"), chunks).finish
    assert finish is not None
    assert (finish.stop_reason, finish.raw_stop_reason) == ("refusal", "stop")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "end"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "content_filter"),
        ("invented_later", "other"),
    ],
)
def test_stop_reasons(raw: str, reason: str) -> None:
    """The vendor's word is mapped, and kept."""
    finish = decode(stream_decoder("openai"), [openai_chunk(openai_delta(raw))]).finish
    assert finish is not None
    assert (finish.stop_reason, finish.raw_stop_reason) == (reason, raw)


def test_last_usage_wins() -> None:
    """Some servers count in every chunk; null and no report change nothing."""
    usage = usage_of({"prompt_tokens": 1, "completion_tokens": 1}, OPENAI_USAGE, None)
    assert usage == USAGE


def test_zeros_for_everything_say_nothing() -> None:
    """No prompt has 0 tokens: such a report is no report, and takes nothing back."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert usage_of(zeros) == Usage()
    assert usage_of(OPENAI_USAGE, zeros) == USAGE


def test_reasoning_beside_the_completion_is_added() -> None:
    """Where the total shows that reasoning is not inside completion_tokens, it is output too."""
    report = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}
    usage = usage_of({**report, "completion_tokens_details": {"reasoning_tokens": 94}})
    assert (usage.output_tokens, usage.reasoning_tokens, usage.total_tokens) == (103, 94, 135)


def test_cache_writes_are_reported() -> None:
    """Tokens written to the cache are part of the prompt."""
    details = {"cached_tokens": 0, "cache_write_tokens": 3}
    usage = usage_of({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": details})
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (5, 0, 3)


@pytest.mark.parametrize("report", ["5", {"prompt_tokens": "five"}, {"prompt_tokens": 5.5}, []])
def test_usage_of_an_unknown_form_is_unknown(report: object) -> None:
    """Counts that cannot be read do not cost the text."""
    assert usage_of(report) == Usage()


@pytest.mark.parametrize(
    ("report", "failure", "code"),
    [
        ({"error": {"type": "server_error", "code": None}}, ServerFailed, "server_error"),
        (
            {"error": {"type": "tokens", "code": "rate_limit_exceeded"}},
            RateLimited,
            "rate_limit_exceeded",
        ),
        (
            {"error": {"type": "x", "code": "insufficient_quota"}},
            QuotaExhausted,
            "insufficient_quota",
        ),
        ({"error": {"type": "insufficient_quota", "code": "y"}}, QuotaExhausted, "y"),
        ({"error": {"code": "invalid_api_key"}}, AuthenticationFailed, "invalid_api_key"),
        (
            {"error": {"code": "context_length_exceeded"}},
            PromptTooLong,
            "context_length_exceeded",
        ),
        ({"error": {"code": 429, "message": "slow"}}, RateLimited, "429"),
        (
            {"error": {"code": 502, "message": "bad"}, "choices": [openai_delta("error")]},
            ServerFailed,
            "502",
        ),
        ({"error": {"code": 401}}, AuthenticationFailed, "401"),
        ({"error": "model requires more system memory"}, ServerFailed, None),
        (
            {"object": "error", "type": "BadRequestError", "code": 400},
            RequestRejected,
            "BadRequestError",
        ),
        ({"error": {"message": "Your credit balance is too low to go on."}}, QuotaExhausted, None),
    ],
)
def test_error_inside_a_stream(
    report: dict[str, object], failure: type[ProviderError], code: str | None
) -> None:
    """An error under status 200 is what its code, type or number says."""
    decoder = stream_decoder("openai")
    assert decoder.feed(text("a") + openai_data(report) + text("b")) == [TextDelta("a")]
    assert type(decoder.failure) is failure
    assert decoder.failure.code == code
    assert (decoder.failure.provider, decoder.failure.model) == ("openai", "m")


def test_event_named_error_is_an_error() -> None:
    """A server that names its events may report an error without an error object."""
    decoder = stream_decoder("openai")
    decoder.feed(b'event: error\ndata: {"code":429}\n\n')
    assert type(decoder.failure) is RateLimited


@pytest.mark.parametrize(
    "frame",
    [
        b"data: {broken\n\n",
        b'data: "hello\n\n',
        b'data: content":"hello"}}]}\n\n',
        openai_data(["hello"]),
        openai_data({"choices": "x"}),
        openai_chunk(openai_delta(content=7)),
        openai_data({"usage": {}, "choices": 1}),
    ],
)
def test_broken_frames_are_protocol_errors(frame: bytes) -> None:
    """A frame that cannot be read ends the answer."""
    decoder = stream_decoder("openai")
    assert decoder.feed(text("a") + frame + STOP + OPENAI_DONE) == [TextDelta("a")]
    assert type(decoder.failure) is ProtocolError


def test_json_that_msgspec_is_too_strict_for() -> None:
    """NaN in log probabilities is read, and half of a surrogate pair becomes U+FFFD."""
    chunk = b'data: {"choices":[{"logprobs":[NaN,-Infinity],"delta":{"content":"a\\ud83d"}}]}\n\n'
    assert decode(stream_decoder("openai"), [chunk]).text == "a\ufffd"


def test_whole_completion() -> None:
    """An answer that comes whole gives its text and the finish."""
    decoder = whole_decoder("openai")
    assert decoder.feed(OPENAI_COMPLETION) == []
    assert decoder.close() == [TextDelta("Hi! I am ä 🌍."), Finish("end", "stop", USAGE)]
    assert decoder.model == "gpt-5-mini-2025-08-07"
    assert decoder.request_id == "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT"


def test_whole_completion_of_a_reasoning_model() -> None:
    """Thinking comes before the text, in any of its forms."""
    message = {"role": "assistant", "content": "a", "reasoning": "T", "refusal": None}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    assert decode(whole_decoder("openai"), [body]).said == (("thinking", "T"), ("text", "a"))


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b"<html>502</html>", ProtocolError),
        (b'{"choices":[]}', ProtocolError),
        (b'{"choices":[{"message":{"content":7}}]}', ProtocolError),
        (b'{"choices":[{"message":{"content":"a"},"finish_reason":null}]}', StreamTruncated),
        (b'{"error":{"type":"server_error"}}', ServerFailed),
        (b'{"error":"no such model"}', ServerFailed),
        (b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]', RateLimited),
    ],
)
def test_whole_answers_that_are_none(body: bytes, failure: type[ProviderError]) -> None:
    """A document that is not a complete completion is a failure with the right class."""
    decoder = whole_decoder("openai")
    decoder.feed(body)
    assert decoder.close() == []
    assert type(decoder.failure) is failure


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as usual": lambda chunk: chunk,
    "with CRLF": lambda chunk: chunk.replace(b"\n", b"\r\n"),
    "behind a comment": lambda chunk: b": ping\n\n" + chunk,
    "without a space": lambda chunk: chunk.replace(b"data: ", b"data:"),
}
NO_REASON = {
    "text": text("a"),
    "nothing": openai_chunk(openai_delta()),
    "an empty reason": openai_chunk(openai_delta("", content="a")),
    "the word null": openai_chunk(openai_delta("null", content="a")),
    "another choice's reason": openai_chunk(
        openai_delta(), {"index": 1, "delta": {}, "finish_reason": "stop"}
    ),
    "no choices": openai_chunk(),
    "usage": openai_chunk(usage=OPENAI_USAGE),
    "an empty event": b"data: \n\n",
    "a comment": b": ping\n\n",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", NO_REASON)
def test_only_a_finish_reason_says_that_the_answer_stops(form: str, chunk: str) -> None:
    """Silence ends an answer that has said why it stops, and no other; however the chunks are written."""
    write, decoder = FORMS[form], stream_decoder("openai")
    for _ in range(2):
        decoder.feed(write(NO_REASON[chunk]))
        assert not decoder.stopping
    decoder.feed(write(STOP))
    assert decoder.stopping
    says_more = chunk in ("text", "an empty reason", "the word null")
    decoder.feed(write(NO_REASON[chunk]))
    assert decoder.stopping is not says_more  # then no finish reason says that silence may end it
    assert not decoder.finished


@pytest.mark.parametrize("form", FORMS)
def test_a_finish_reason_in_the_midst_of_a_read(form: str) -> None:
    """It is seen with whatever comes before and behind it in one read."""
    decoder = stream_decoder("openai")
    decoder.feed(FORMS[form](text("a") + text("b")))
    assert not decoder.stopping
    decoder.feed(FORMS[form](text("c") + STOP + openai_chunk(usage=OPENAI_USAGE)))
    assert decoder.stopping

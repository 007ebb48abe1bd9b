"""What Gemini answers, from its bytes."""

from __future__ import annotations

import json
from typing import Any

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
    ToolCallBroken,
)
from llmkit.events import ThinkingSignature
from llmkit.usage import Usage
from support import gemini_streams as gemini
from support.decoding import PROVIDERS, Outcome, bytewise, decode, stream_decoder, whole_decoder
from support.gemini_streams import gemini_chunk, gemini_data, growing, says

PROVIDER = PROVIDERS["gemini"]


def read(*frames: bytes) -> Outcome:
    """Decode a stream, read by read and in one."""
    found = decode(stream_decoder("gemini"), list(frames))
    assert decode(stream_decoder("gemini"), [b"".join(frames)]) == found
    return found


def test_a_stream() -> None:
    """Text, the model, the vendor's id, and counts that do not add up what is said again and again."""
    found = read(gemini.STREAM)
    assert found.text == gemini.TEXT
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == ("end", "STOP")
    assert (found.model, found.request_id) == ("gemini-3-flash-preview", "mAQYacvSPcTA")
    assert found.finish.usage == Usage(
        input_tokens=19,
        output_tokens=40,
        cache_read_tokens=8,
        reasoning_tokens=32,
        input_source="reported",
        output_source="reported",
    )
    assert found.billing.unpriced is False


def test_thinking_and_its_signature() -> None:
    """Are no text; the signature comes with the last part, or with the call that it led to."""
    found = read(gemini.THINKING_STREAM)
    assert found.said == (("thinking", "Let me see…"), ("text", "27"))
    decoder = stream_decoder("gemini")
    events = decoder.feed(gemini.THINKING_STREAM)
    assert events[-1] == ThinkingSignature("EqQB", "gemini")
    found = read(gemini.TOOL_STREAM)
    assert [call.signature for call in found.calls] == ["EqQB", None, None]


def test_calls_without_ids() -> None:
    """Get some that their results can name; a call without arguments has none."""
    found = read(gemini.TOOL_STREAM)
    assert [(call.id, call.name, call.arguments) for call in found.calls] == [
        ("call_0", "f", {"a": "ä"}),
        ("call_1", "f", {}),
        ("call_2", "g", {}),
    ]
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == ("tool_use", "STOP")


def test_a_call_in_pieces() -> None:
    """Texts grow, numbers that are whole are whole, and lists and objects are made as pieces come."""
    found = read(gemini.PARTIAL_STREAM)
    assert [(call.id, call.name, call.arguments) for call in found.calls] == [
        (
            "c1",
            "trip",
            {"city": "Köln 🌍", "days": [1, 2.5], "by car": False, "who": [{"name": None}]},
        ),
        ("call_1", "now", {}),
    ]


CITY = {"jsonPath": "$.city", "stringValue": "K"}


@pytest.mark.parametrize(
    "pieces",
    [
        *([{"jsonPath": path, "stringValue": "K"}] for path in ("", "city", "$", "$.", "$[0]")),
        *(
            [{"jsonPath": path, "stringValue": "K"}]
            for path in ("$.a[1]", "$.a[", "$.a['b", "$..a")
        ),
        [{"jsonPath": "$.a[999999999]", "numberValue": 1}],
        [{"jsonPath": "$" + ".a" * 100, "numberValue": 1}],
        [{"stringValue": "K"}],
        [{"jsonPath": "$.city"}],
        [{"jsonPath": "$.city", "boolValue": "yes"}],
        [{"jsonPath": "$.city", "numberValue": "7"}],
        [CITY, {"jsonPath": "$.city.name", "stringValue": "x"}],
        [CITY, {"jsonPath": "$.city", "numberValue": 1}],
        [{"jsonPath": "$.city", "numberValue": 1}] * 2,
        [{"jsonPath": "$.city", "numberValue": 1}, CITY],
        [{"jsonPath": "$.a.b", "numberValue": 1}, {"jsonPath": "$.a[0]", "numberValue": 1}],
        [CITY | {"willContinue": True}],
    ],
)
def test_pieces_that_fit_nowhere(pieces: list[Any]) -> None:
    """Make the call a broken one: nothing of it is handed on."""
    found = read(
        gemini_chunk(growing(name="f")),
        gemini_chunk(growing(*pieces)),
        gemini_chunk(growing(more=False), finish="STOP"),
    )
    assert found.failure == (ToolCallBroken, None)
    assert found.calls == ()


@pytest.mark.parametrize(
    ("frames", "can_retry"),
    [
        ([gemini_chunk(growing(name="f")), gemini_chunk(finish="STOP")], True),
        ([gemini_chunk(growing(name="f")), gemini_chunk(finish="MAX_TOKENS")], False),
        ([gemini_chunk(growing(name="f")), gemini_chunk(growing(name="g"))], True),
        ([gemini_chunk({"functionCall": {"args": {}}}, finish="STOP")], True),
        ([gemini_chunk({"functionCall": {"name": "f", "args": [1]}}, finish="STOP")], True),
        ([gemini.MALFORMED_CALL_STREAM], True),
        ([gemini_chunk(finish="UNEXPECTED_TOOL_CALL")], True),
    ],
)
def test_broken_calls(frames: list[bytes], can_retry: bool) -> None:
    """Half a call, one without a name, or one that the vendor itself says is none."""
    decoder = stream_decoder("gemini")
    found = decode(decoder, frames)
    assert found.failure == (ToolCallBroken, None)
    assert decoder.failure is not None
    assert decoder.failure.can_retry is can_retry


@pytest.mark.parametrize("finish", ["STOP", "MAX_TOKENS"])
def test_a_call_without_arguments(finish: str) -> None:
    """Is whole, for what grows says so: the limit of the answer's length has not cut it."""
    frame = gemini_chunk({"functionCall": {"name": "now"}}, finish=finish)
    for found in (read(frame), decode(whole_decoder("gemini"), [frame[6:]])):
        assert [(each.name, each.arguments) for each in found.calls] == [("now", {})]


def test_an_answer_of_counts_alone() -> None:
    """Is cut, whole as in a stream, and what it has used is known."""
    frame = gemini.gemini_data({"usageMetadata": {"promptTokenCount": 9}, **gemini.HEAD})
    whole = decode(whole_decoder("gemini"), [frame[6:]])
    assert whole.failure == read(frame).failure == (StreamTruncated, None)
    assert whole.usage.input_tokens == 9


@pytest.mark.parametrize(
    ("stream", "reason", "raw"),
    [
        (gemini.BLOCKED_STREAM, "refusal", "PROHIBITED_CONTENT"),
        (gemini.THOUGHT_ONLY_STREAM, "max_tokens", "MAX_TOKENS"),
        (gemini.SAFETY_STREAM, "content_filter", "SAFETY"),
        *(
            (gemini_chunk(says("a"), finish=raw), "content_filter", raw)
            for raw in ("RECITATION", "BLOCKLIST", "SPII", "LANGUAGE", "MODEL_ARMOR")
        ),
        (gemini_chunk(says("a"), finish="CONTINUATION"), "pause", "CONTINUATION"),
        (gemini_chunk(says("a"), finish="OTHER"), "other", "OTHER"),
        (gemini_chunk(says("a"), finish="stop"), "end", "STOP"),
        (gemini_chunk(says("a"), finish=1), "end", "STOP"),
        (gemini_chunk(says("a"), finish=2), "max_tokens", "MAX_TOKENS"),
        (gemini_chunk(says("a"), finish=99), "other", "99"),
        (gemini_chunk(says("a"), finish="INVENTED_LATER"), "other", "INVENTED_LATER"),
    ],
)
def test_why_it_stops(stream: bytes, reason: str, raw: str) -> None:
    """In every form; a prompt that is refused has no candidate, and a limit may leave no parts."""
    for found in (read(stream), read(*bytewise(stream))):
        assert found.finish is not None
        assert (found.finish.stop_reason, found.finish.raw_stop_reason) == (reason, raw)
    document = stream.removeprefix(b"data: ").partition(b"\n\n")
    if not document[2]:
        whole = decode(whole_decoder("gemini"), [document[0]])
        assert whole.finish is not None
        assert (whole.finish.stop_reason, whole.finish.raw_stop_reason) == (reason, raw)


@pytest.mark.parametrize("finish", [None, "", "FINISH_REASON_UNSPECIFIED", 0, [], {"a": 1}])
def test_what_is_no_finish_reason(finish: object) -> None:
    """Completes nothing."""
    frame = gemini_chunk(says("a"), finish=finish)
    assert read(frame).failure == (StreamTruncated, None)
    assert decode(whole_decoder("gemini"), [frame[6:]]).failure == (StreamTruncated, None)


def test_a_request_at_fault() -> None:
    """Is said so by a finish reason."""
    found = read(gemini_chunk(finish="MISSING_THOUGHT_SIGNATURE"))
    assert found.failure == (RequestRejected, None)


def test_a_finish_reason_with_every_piece() -> None:
    """As some servers send them: the text is read to its end; a piece without one begins another answer."""
    every = [gemini_chunk(says(text), finish="STOP") for text in ("Hel", "lo")]
    decoder = stream_decoder("gemini")
    assert decoder.feed(every[0])
    assert decoder.stopping
    assert decoder.feed(every[1])
    assert not decoder.stopping
    assert read(*every).text == "Hello"
    found = read(gemini.STREAM, gemini.STREAM)
    assert found.failure == (ProtocolError, None)
    assert found.text == gemini.TEXT


def test_the_first_of_several_candidates() -> None:
    """Is the answer; nobody reads the others."""
    first = {"content": {"parts": [says("a")]}, "index": 1, "finishReason": "STOP"}
    other = {"content": {"parts": [says("b")]}, "index": 0, "finishReason": "SAFETY"}
    found = read(gemini_data({"candidates": [first, other]}))
    assert found.text == "a"
    assert found.finish is not None
    assert found.finish.stop_reason == "end"


SEARCHED = {"webSearchQueries": ["x"]}
CALL = {"functionCall": {"name": "f", "args": {}}}


@pytest.mark.parametrize(
    ("frame", "text", "called", "unpriced"),
    [
        (gemini_chunk(says("b"), index=1), "ac", 0, False),
        (gemini_chunk(says("b"), groundingMetadata=SEARCHED), "abc", 0, True),
        (gemini_chunk(says("b"), says("b")), "abbc", 0, False),
        (gemini_chunk(says("b", thought=True)), "ac", 0, False),
        (gemini_chunk(says("b") | CALL), "ac", 1, False),
    ],
)
def test_what_only_begins_like_a_piece_of_text(
    frame: bytes, text: str, called: int, *, unpriced: bool
) -> None:
    """Is read to its end: another candidate, a search, a second part, a thought, a call."""
    found = read(gemini_chunk(says("a")), frame, gemini_chunk(says("c"), finish="STOP"))
    assert found.text == text
    assert len(found.calls) == called
    assert found.billing.unpriced is unpriced


def test_what_a_piece_of_text_brings_with_it() -> None:
    """Its signature, what it says of tokens, and that it is the last one; with an error it is none."""
    begin = gemini_chunk(says("a"))
    decoder = stream_decoder("gemini")
    decoder.feed(begin)
    events = decoder.feed(gemini_chunk(says("b", thoughtSignature="EqQB"), usage=gemini.BEGUN))
    assert events[-1] == ThinkingSignature("EqQB", "gemini")
    decoder.feed(gemini_chunk(says("c"), usage=gemini.USAGE))
    assert (decoder.usage.input_tokens, decoder.usage.output_tokens) == (19, 40)
    assert read(begin, gemini_chunk(says("b"), finish="STOP")).finish is not None
    candidates = [{"content": {"parts": [says("b")]}, "index": 0}]
    found = read(begin, gemini_data({"candidates": candidates, "error": gemini.INTERNAL}))
    assert found.failure == (ServerFailed, "INTERNAL")
    assert found.text == "a"


def test_parts_of_other_kinds() -> None:
    """Code that the vendor has run, and its pictures, are passed over; a picture makes the price unknown."""
    found = read(
        gemini_chunk(
            {"executableCode": {"code": "1+1", "language": "PYTHON"}},
            {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
            says("a"),
            finish="STOP",
            usage={
                "promptTokenCount": 3,
                "candidatesTokenCount": 1290,
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
            },
        )
    )
    assert found.text == "a"
    assert found.billing.unpriced is True


def test_a_search_is_not_priced() -> None:
    """What it costs depends on the model and on how many there were."""
    found = read(gemini_chunk(says("a"), finish="STOP", groundingMetadata=SEARCHED))
    assert found.billing.unpriced is True
    assert (
        read(gemini_chunk(says("a"), finish="STOP", groundingMetadata={})).billing.unpriced is False
    )


@pytest.mark.parametrize(
    ("report", "counts"),
    [
        ({"promptTokenCount": 9, "candidatesTokenCount": 4}, (9, 4, None)),
        ({"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 5}, (9, 9, 5)),
        ({"promptTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 14}, (9, 5, 5)),
        ({"promptTokenCount": 9, "totalTokenCount": 13}, (9, 4, None)),
        (
            {
                "promptTokenCount": 9,
                "toolUsePromptTokenCount": 100,
                "candidatesTokenCount": 4,
                "totalTokenCount": 113,
            },
            (109, 4, None),
        ),
        (
            {"promptTokenCount": 9, "toolUsePromptTokenCount": 100, "totalTokenCount": 113},
            (109, 4, None),
        ),
        ({"promptTokenCount": 9}, (9, None, None)),
        ({"promptTokenCount": 0, "candidatesTokenCount": 0}, (None, None, None)),
        ({"promptTokenCount": 9, "candidatesTokenCount": -4}, (9, None, None)),
        ({"promptTokenCount": "9", "candidatesTokenCount": 4.0}, (9, 4, None)),
    ],
)
def test_counts(report: dict[str, object], counts: tuple[object, ...]) -> None:
    """Thinking counts as output though it is not among the candidates' tokens; what is 0 is left out, and the total shows it."""
    found = read(gemini_chunk(says("a"), finish="STOP", usage=report)).usage
    assert (found.input_tokens, found.output_tokens, found.reasoning_tokens) == counts


@pytest.mark.parametrize(
    ("report", "tier"),
    [
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "PROVISIONED_THROUGHPUT"),
        ({"trafficType": "ON_DEMAND", "serviceTier": "flex"}, "flex"),
    ],
)
def test_what_a_later_report_leaves_out(report: dict[str, object], tier: str) -> None:
    """Stays as it was said before, and with it the price."""
    image = [{"modality": "IMAGE", "tokenCount": 5}]
    before = {
        "promptTokenCount": 9,
        "cachedContentTokenCount": 3,
        "thoughtsTokenCount": 5,
        "toolUsePromptTokenCount": 100,
        "candidatesTokensDetails": image,
        **report,
    }
    later = {"candidatesTokenCount": 4}
    found = read(
        gemini_chunk(says("a"), usage=before), gemini_chunk(says("b"), finish="STOP", usage=later)
    )
    usage = found.usage
    assert (usage.input_tokens, usage.output_tokens) == (109, 9)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (3, 5)
    assert (found.billing.service_tier, found.billing.unpriced) == (tier, True)


@pytest.mark.parametrize(
    ("stream", "failure"),
    [
        (gemini.ERROR_STREAM, (ServerFailed, "INTERNAL")),
        (gemini.BARE_ERROR_STREAM, (Overloaded, "UNAVAILABLE")),
        (gemini.LISTED_ERROR_STREAM, (Overloaded, "UNAVAILABLE")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_errors_inside_a_stream(stream: bytes, failure: object, end: str) -> None:
    """As an event, in a list, or as lines of JSON that are no event at all."""
    stream = stream.replace(b"\n", end.encode())
    for found in (read(stream), read(*bytewise(stream)), read(stream + b"\n")):
        assert found.failure == failure
        assert found.text == "Hel"


def test_stray_lines_that_are_no_report() -> None:
    """Change nothing: with a finish reason the answer is complete, without one it is cut."""
    for stray in (b"hello\n", b"{broken\n", b'{"a": 1}\n', b"retrying: [1]\n"):
        assert read(gemini.STREAM, stray, b"\n").finish is not None
        cut = gemini.STREAM[: gemini.STREAM.rindex(b"data: ")]
        assert read(cut, stray).failure == (StreamTruncated, None)


def failed(status: int, error: dict[str, object]) -> ProviderError:
    """Make the error for an answer with an error status."""
    body = json.dumps([{"error": {"code": status, "message": "secret", **error}}]).encode()
    return PROVIDER.error("gemini-3-pro", status, {}, body)


DAILY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
MINUTELY = "GenerateRequestsPerMinutePerProjectPerModel"


def quota(*ids: str, delay: str | None = None) -> dict[str, object]:
    """Write the details of a 429."""
    details: list[object] = [
        {"@type": "x/google.rpc.QuotaFailure", "violations": [{"quotaId": i} for i in ids]}
    ]
    if delay is not None:
        details.append({"@type": "x/google.rpc.RetryInfo", "retryDelay": delay})
    return {"status": "RESOURCE_EXHAUSTED", "details": details}


@pytest.mark.parametrize(
    ("status", "error", "kind", "wait"),
    [
        (429, quota(MINUTELY, delay="34s"), RateLimited, 34.0),
        (429, quota(MINUTELY, delay="1.5s"), RateLimited, 1.5),
        (429, quota(MINUTELY, delay="soon"), RateLimited, None),
        (429, quota(MINUTELY, DAILY, delay="34s"), QuotaExhausted, 34.0),
        (429, {"status": "RESOURCE_EXHAUSTED", "details": "odd"}, RateLimited, None),
        (429, {"details": [7, {"violations": 7}, {"violations": [7]}]}, RateLimited, None),
        (503, {"status": "UNAVAILABLE"}, Overloaded, None),
        (500, {"status": "INTERNAL"}, ServerFailed, None),
        (504, {"status": "DEADLINE_EXCEEDED"}, ServerFailed, None),
        (400, {"status": "INVALID_ARGUMENT"}, RequestRejected, None),
        (
            400,
            {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]},
            AuthenticationFailed,
            None,
        ),
        (
            400,
            {
                "status": "INVALID_ARGUMENT",
                "message": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
            },
            PromptTooLong,
            None,
        ),
        (403, {"status": "PERMISSION_DENIED"}, AuthenticationFailed, None),
        (404, {"status": "NOT_FOUND"}, RequestRejected, None),
    ],
)
def test_error_statuses(
    status: int, error: dict[str, object], kind: type[ProviderError], wait: float | None
) -> None:
    """How long to wait is in the body, and so is whether it is the quota of the day that is used up."""
    found = failed(status, error)
    assert type(found) is kind
    assert found.retry_after == wait
    assert "secret" not in str(found)


def test_a_limit_inside_a_stream() -> None:
    """Says how long to wait, too."""
    report = {"error": {"code": 429, "message": "x", **quota(MINUTELY, delay="7s")}}
    decoder = stream_decoder("gemini")
    decode(decoder, [gemini_data(report)])
    assert isinstance(decoder.failure, RateLimited)
    assert decoder.failure.retry_after == 7.0

"""Calls of tools in answers: put together from their pieces, whole or not at all."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from llmkit.errors import ProtocolError, StreamTruncated, ToolCallBroken
from llmkit.parts import ToolCall
from support.decoding import Outcome, decode, stream_decoder, whole_decoder
from support.streams import (
    ANTHROPIC_START,
    ANTHROPIC_STOP,
    OPENAI_DONE,
    anthropic_event,
    openai_chunk,
    openai_delta,
)

WEATHER = ToolCall(id="a", name="weather", arguments={"city": "Köln 🌍", "days": [1, 2]})
TIME = ToolCall(id="b", name="time", arguments={})


def pieces(text: str) -> list[str]:
    """Part a text."""
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def arguments(call: ToolCall) -> str:
    """Write the arguments of a call."""
    return json.dumps(call.arguments, ensure_ascii=False)


def piece(index: int | None, text: object = None, **more: Any) -> dict[str, Any]:
    """Write a piece of a call, as chat completions do."""
    name = more.pop("name", None)
    function = {"arguments": text} | ({} if name is None else {"name": name})
    return ({} if index is None else {"index": index}) | {"function": function, **more}


def openai_stream(*said: dict[str, Any], reason: str = "tool_calls") -> bytes:
    """Write a stream of pieces of calls."""
    chunks = [openai_chunk(openai_delta(content="Let me see."))]
    chunks += [openai_chunk(openai_delta(tool_calls=[each])) for each in said]
    return b"".join([*chunks, openai_chunk(openai_delta(reason)), OPENAI_DONE])


def usual(call: ToolCall, index: int) -> list[dict[str, Any]]:
    """Write a call as OpenAI does."""
    head = piece(index, "", id=call.id, type="function", name=call.name)
    return [head, *(piece(index, text) for text in pieces(arguments(call)))]


def block(index: int, call: ToolCall) -> list[bytes]:
    """Write a call as Anthropic does."""
    start = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
    texts = ["", *(pieces(arguments(call)) if call.arguments else [])]
    deltas = [{"type": "input_json_delta", "partial_json": text} for text in texts]
    return [
        anthropic_event("content_block_start", index=index, content_block=start),
        *(anthropic_event("content_block_delta", index=index, delta=each) for each in deltas),
        anthropic_event("content_block_stop", index=index),
    ]


def anthropic_stream(*events: bytes, reason: str = "tool_use") -> bytes:
    """Write a stream of blocks."""
    text = {"type": "text_delta", "text": "Let me see."}
    return b"".join(
        [
            ANTHROPIC_START,
            anthropic_event("content_block_delta", index=0, delta=text),
            *events,
            anthropic_event("message_delta", delta={"stop_reason": reason}, usage={}),
            ANTHROPIC_STOP,
        ]
    )


def streamed(wire: str, data: bytes) -> Outcome:
    """Decode it in one piece, and byte by byte, to the same."""
    outcome = decode(stream_decoder(wire), [data])
    assert decode(stream_decoder(wire), [data[at : at + 1] for at in range(len(data))]) == outcome
    return outcome


BOTH = {
    "anthropic": anthropic_stream(*block(1, WEATHER), *block(2, TIME)),
    "openai": openai_stream(*usual(WEATHER, 0), *usual(TIME, 1)),
}


@pytest.mark.parametrize("wire", BOTH)
def test_two_calls_behind_text(wire: str) -> None:
    """In their order, when the answer is complete."""
    outcome = streamed(wire, BOTH[wire])
    assert outcome.text == "Let me see."
    assert outcome.calls == (WEATHER, TIME)
    assert outcome.finish is not None
    assert outcome.finish.stop_reason == "tool_use"


TEXT = arguments(WEATHER)
HALF = len(TEXT) // 2


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param([*usual(WEATHER, 1), *usual(TIME, 2)], [WEATHER, TIME], id="from 1"),
        pytest.param(
            [
                piece(0, TEXT[:HALF], id="a", name="weather"),
                piece(1, "{", id="b", name="time"),
                piece(0, TEXT[HALF:]),
                piece(1, "}"),
            ],
            [WEATHER, TIME],
            id="interleaved",
        ),
        pytest.param(
            [
                piece(0, TEXT[:HALF], id="a", name="weather"),
                piece(0, TEXT[HALF:], id="a", name="weather"),
            ],
            [WEATHER],
            id="repeated",
        ),
        pytest.param(
            [
                piece(None, TEXT[:HALF], id="a", name="weather"),
                piece(None, TEXT[HALF:]),
                piece(None, None, id="b", name="time"),
            ],
            [WEATHER, TIME],
            id="without an index",
        ),
        pytest.param(
            [piece(0, TEXT, id="a", name="weather"), piece(0, "{}", id="b", name="time")],
            [WEATHER, TIME],
            id="one index for all",
        ),
        pytest.param(
            [piece(0, dict(WEATHER.arguments), id="a", name="weather")], [WEATHER], id="an object"
        ),
        pytest.param(
            [piece(0, json.dumps(TEXT), id="a", name="weather")], [WEATHER], id="written twice"
        ),
        pytest.param([piece(0, None, id="b", name="time")], [TIME], id="null"),
        pytest.param(
            [piece(0, None, id=None, name="time"), piece(1, "", name="time")],
            [
                ToolCall(id="call_0", name="time", arguments={}),
                ToolCall(id="call_1", name="time", arguments={}),
            ],
            id="without an id",
        ),
        pytest.param(
            [piece(0, "{}", id="b", name="time"), piece(1, "{}", id="b", name="time")],
            [TIME, ToolCall(id="b_1", name="time", arguments={})],
            id="one id for all",
        ),
        pytest.param(
            [piece(0, '{"n": NaN}', id="b", name="time")],
            None,
            id="not a number",
        ),
    ],
)
def test_pieces_of_compatible_servers(
    said: list[dict[str, Any]], expected: list[ToolCall] | None
) -> None:
    """However they number and name them."""
    outcome = streamed("openai", openai_stream(*said))
    if expected is None:
        (call,) = outcome.calls
        assert str(call.arguments["n"]) == "nan"
    else:
        assert outcome.calls == tuple(expected)


def test_what_calls_were_before() -> None:
    """A single function's call, streamed and whole."""
    chunks = [
        openai_chunk(openai_delta(function_call={"name": "weather", "arguments": TEXT[:HALF]})),
        openai_chunk(openai_delta(function_call={"arguments": TEXT[HALF:]})),
        openai_chunk(openai_delta("function_call")),
        OPENAI_DONE,
    ]
    called = ToolCall(id="call_0", name="weather", arguments=WEATHER.arguments)
    assert streamed("openai", b"".join(chunks)).calls == (called,)
    message = {"content": None, "function_call": {"name": "weather", "arguments": TEXT}}
    body = {"choices": [{"message": message, "finish_reason": "function_call"}]}
    assert decode(whole_decoder("openai"), [json.dumps(body).encode()]).calls == (called,)


def whole(wire: str, reason: str | None = None, *calls: tuple[Any, Any, Any]) -> Outcome:
    """Decode a whole answer with calls, each an id, a name and its arguments."""
    if wire == "openai":
        said = [{"id": i, "function": {"name": n, "arguments": a}} for i, n, a in calls]
        message = {"content": "Hm.", "tool_calls": said}
        body: Any = {"choices": [{"message": message, "finish_reason": reason or "tool_calls"}]}
    else:
        blocks = [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in calls]
        content = [{"type": "text", "text": "Hm."}, *blocks]
        body = {"type": "message", "content": content, "stop_reason": reason or "tool_use"}
    return decode(whole_decoder(wire), [json.dumps(body).encode()])


def test_whole_answers() -> None:
    """Each entry is a call, whatever its id is."""
    for wire, given in (("openai", TEXT), ("anthropic", dict(WEATHER.arguments))):
        outcome = whole(wire, None, ("a", "weather", given), ("b", "time", {}))
        assert outcome.calls == (WEATHER, TIME)
    outcome = whole("openai", None, ("b", "time", "{}"), ("b", "time", None))
    assert [call.id for call in outcome.calls] == ["b", "b_1"]
    assert [call.id for call in whole("openai", None, (None, "time", "{}")).calls] == ["call_0"]


BROKEN = [
    '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}",
    '{"a": 1',
    "[1]",
    "7",
    "null",
    "x",
    '{"a": 1}}',
    "{" * 100_000,
    '"x"',
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:9])
def test_arguments_that_are_none(text: str) -> None:
    """No call of the answer is handed on, and the error quotes nothing of it."""
    for outcome in (
        streamed("openai", openai_stream(*usual(TIME, 0), piece(1, text, id="c", name="secret")))
        if len(text) < 50_000
        else decode(stream_decoder("openai"), [openai_stream(piece(0, text, id="c", name="x"))]),
        whole("openai", None, ("b", "time", "{}"), ("c", "secret", text)),
    ):
        assert (outcome.calls, outcome.finish) == ((), None)
        assert outcome.failure is not None
        assert outcome.failure[0] is ToolCallBroken


def test_a_call_without_a_name() -> None:
    """Nobody could run it."""
    for outcome in (
        streamed("openai", openai_stream(piece(0, "{}", id="a"))),
        whole("openai", None, ("a", "", "{}")),
        whole("anthropic", None, ("a", "", {})),
    ):
        assert outcome.failure is not None
        assert outcome.failure[0] is ToolCallBroken


def test_an_earlier_call_of_an_answer_that_was_cut() -> None:
    """It was at its end: nothing is no arguments, and half of them is a fault of the server's."""
    said = [piece(0, None, id="b", name="time"), piece(1, TEXT, id="a", name="weather")]
    assert streamed("openai", openai_stream(*said, reason="length")).calls == (TIME, WEATHER)
    said[0] = piece(0, '{"x', id="b", name="time")
    decoder = stream_decoder("openai")
    decoder.feed(openai_stream(*said, reason="length"))
    assert isinstance(decoder.failure, ToolCallBroken)
    assert "no JSON object" in str(decoder.failure)


def test_halves_of_a_character() -> None:
    """In names, ids and arguments: nothing that could not be sent again is handed on."""
    said = piece(0, r'{"x\ud83d": ["\ud83d", "\ud83d\ude00"], "n": -1' + "0" * 400 + "}")
    said |= {"id": "a\ud83d"}
    said["function"]["name"] = "s\ud83d"
    expected = ToolCall(
        id="a\ufffd",
        name="s\ufffd",
        arguments={"x\ufffd": ["\ufffd", "\U0001f600"], "n": -math.inf},
    )
    assert streamed("openai", openai_stream(said)).calls == (expected,)
    function = said["function"]
    given = (said["id"], function["name"], function["arguments"])
    assert whole("openai", None, given).calls == (expected,)
    block = (said["id"], function["name"], {"x\ud83d": ["\ud83d", "\ud83d\ude00"]})
    (called,) = whole("anthropic", None, block).calls
    assert called.arguments == {"x\ufffd": ["\ufffd", "\U0001f600"]}


def test_ids_that_are_like_others() -> None:
    """Each call has its own."""
    said = [piece(at, "{}", id=id_, name="time") for at, id_ in enumerate(("a_2", "a", "a"))]
    ids = [call.id for call in streamed("openai", openai_stream(*said)).calls]
    assert ids[:2] == ["a_2", "a"]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("text", ['{"city": "K', "", '{"city": "Köln"}'])
def test_a_call_at_the_limit_of_the_answers_length(text: str) -> None:
    """One that was cut off is none, also where nothing of its arguments is there; one that is whole is."""
    start = {"type": "tool_use", "id": "c", "name": "weather", "input": {}}
    said = {"type": "input_json_delta", "partial_json": text}
    cut = [
        anthropic_event("content_block_start", index=1, content_block=start),
        anthropic_event("content_block_delta", index=1, delta=said),
    ]
    for wire, data in (
        ("openai", openai_stream(piece(0, text, id="c", name="weather"), reason="length")),
        ("anthropic", anthropic_stream(*cut, reason="max_tokens")),
    ):
        outcome = streamed(wire, data)
        if text.endswith("}"):
            assert [call.id for call in outcome.calls] == ["c"]
            continue
        decoder = stream_decoder(wire)
        decoder.feed(data)
        assert outcome.failure is not None
        assert isinstance(decoder.failure, ToolCallBroken)
        assert not decoder.failure.can_retry
        assert "Raise max_tokens" in str(decoder.failure)


def test_tools_that_the_provider_runs_itself() -> None:
    """Their blocks are no calls of the app's, and their arguments nobody's."""
    start = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}
    said = {"type": "input_json_delta", "partial_json": '{"query": "x"}'}
    events = [
        anthropic_event("content_block_start", index=1, content_block=start),
        anthropic_event("content_block_delta", index=1, delta=said),
        *block(2, TIME),
        anthropic_event("content_block_start", index=3, content_block=start),
        anthropic_event("content_block_delta", index=3, delta=said),
    ]
    assert streamed("anthropic", anthropic_stream(*events)).calls == (TIME,)


def test_arguments_of_no_call() -> None:
    """Nobody knows whose they are, so that none is run: one call would be without them."""
    said = {"type": "input_json_delta", "partial_json": '{"city": "Köln"}'}
    lost = anthropic_event("content_block_delta", index=4, delta=said)
    outcome = streamed("anthropic", anthropic_stream(*block(1, TIME), lost))
    assert outcome.calls == ()
    assert outcome.failure is not None
    assert outcome.failure[0] is ToolCallBroken
    assert streamed("anthropic", anthropic_stream(lost)).failure is None


@pytest.mark.parametrize(
    ("delta", "is_whole"),
    [
        ({"type": "input_json_delta", "partial_json": ""}, True),
        ({"type": "input_json_delta"}, False),
        ({"type": "input_json_delta", "partial_json": None}, False),
        ({"partial_json": '{"x": 1}'}, True),
        ({"type": "of_tomorrow", "text": "?"}, True),
    ],
    ids=str,
)
def test_a_piece_of_another_form(delta: dict[str, Any], is_whole: bool) -> None:
    """Is taken if it can be; if it cannot, the call would run without it."""
    start = {"type": "tool_use", "id": "a", "name": "time", "input": {}}
    events = [
        anthropic_event("content_block_start", index=1, content_block=start),
        anthropic_event("content_block_delta", index=1, delta=delta),
    ]
    outcome = streamed("anthropic", anthropic_stream(*events))
    assert (outcome.failure is None) is is_whole
    assert len(outcome.calls) == is_whole
    assert [dict(call.arguments) for call in outcome.calls if "x" in call.arguments] == (
        [{"x": 1}] if "partial_json" in delta and "type" not in delta else []
    )


@pytest.mark.parametrize("wire", BOTH)
def test_a_stream_cut_at_every_byte(wire: str) -> None:
    """Gives no call, unless its end is there."""
    data = BOTH[wire]
    complete = 0
    for at in range(len(data)):
        outcome = decode(stream_decoder(wire), [data[:at]])
        if outcome.finish is None:
            assert outcome.calls == ()
            assert outcome.failure is not None
            assert issubclass(outcome.failure[0], StreamTruncated | ProtocolError)
        else:
            complete += 1
            assert outcome.calls == (WEATHER, TIME)
    # All but the blank line; chat completions may leave [DONE] out.
    assert complete <= len(OPENAI_DONE) + 2

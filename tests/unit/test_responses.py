"""OpenAI's Responses API: how a call is said, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from llmkit.errors import (
    InvalidRequest,
    ProtocolError,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
    ToolCallBroken,
)
from llmkit.events import ThinkingSignature
from llmkit.messages import Message
from llmkit.outputs.output import output_of
from llmkit.parts import TextPart, ThinkingPart, ToolCall, ToolResult
from llmkit.providers.over_http import USER_AGENT
from llmkit.providers.responses import OpenAIResponses
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.server import RESPONSES
from llmkit.tools.tool import Tool
from support import responses_streams as responses
from support.decoding import Outcome, bytewise, call, decode, stream_decoder, whole_decoder
from support.responses_streams import arguments, called, event, message, response


def body_of(model: str = "gpt-5", **fields: object) -> Any:
    """Build a request and return its body, which the vendor would accept."""
    request = OpenAIResponses(api_key="k").build_request(call(**fields), model)
    said = RESPONSES.check(request.headers, request.content, require_key=True)
    assert isinstance(said, Ask), said
    return json.loads(request.content)


def weather(city: str) -> str:
    """Say how the weather is."""
    return city


def test_a_streamed_call() -> None:
    """Nothing is stored at the vendor's; what a model thinks is asked for, to be carried along."""
    request = OpenAIResponses(api_key="test-key").build_request(call(), "gpt-5")
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")
    assert request.headers == {
        "accept": "text/event-stream",
        "authorization": "Bearer test-key",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
    assert json.loads(request.content) == {
        "model": "gpt-5",
        "input": [{"role": "user", "content": "hi"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        *(("o3-pro", True), ("gpt-5.2-pro", True), ("codex-mini-latest", True)),
        *(("gpt-4.1", False), ("gpt-5-chat-latest", False), ("gpt-4o-mini", False)),
    ],
)
def test_who_has_thoughts_to_carry(model: str, *, reasons: bool) -> None:
    """Other models refuse to be asked for them."""
    assert ("include" in body_of(model)) is reasons


@pytest.mark.parametrize(
    ("model", "given", "asked"),
    [
        ("gpt-5", ["a", "b"], ["reasoning.encrypted_content", "a", "b"]),
        ("gpt-5", ("reasoning.encrypted_content", "a"), ["reasoning.encrypted_content", "a"]),
        ("gpt-5", None, None),
        ("gpt-4.1", ["a"], ["a"]),
    ],
)
def test_what_else_is_included(model: str, given: Any, asked: Any) -> None:
    """Is asked for beside what carries the thoughts along."""
    assert body_of(model, extra={"include": given})["include"] == asked


def test_every_option() -> None:
    """Under the vendor's names; what `extra` says of the text's form is joined with the type."""
    found = body_of(
        streaming=False,
        system="Be brief.",
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        output=output_of(int),
        extra={"text": {"verbosity": "low"}, "store": True},
    )
    assert found["instructions"] == "Be brief."
    assert (found["max_output_tokens"], found["temperature"], found["top_p"]) == (9, 0.0, 0.5)
    assert found["store"] is True
    assert found["text"]["verbosity"] == "low"
    assert found["text"]["format"]["type"] == "json_schema"
    assert found["text"]["format"]["strict"] is True
    assert "stream" not in found


@pytest.mark.parametrize(("option", "value"), [("stop", ("X",)), ("seed", 7)])
def test_what_it_has_no_word_for(option: str, value: object) -> None:
    """Is refused before anything is sent."""
    with pytest.raises(
        InvalidRequest, match=f"openai does not support {option} with this wire"
    ) as raised:
        body_of(**{option: value})
    assert 'set "wire": "openai" and name a model that chat completions offer.' in str(raised.value)


def test_tools() -> None:
    """Are told without being strict, which they would be of themselves."""
    tools = (Tool(weather),)
    found = body_of(tools=tools, tool_choice="weather", parallel_tool_calls=False)
    [told] = found["tools"]
    assert (told["type"], told["name"], told["strict"]) == ("function", "weather", False)
    assert told["parameters"]["properties"] == {"city": {"type": "string"}}
    assert found["tool_choice"] == {"type": "function", "name": "weather"}
    assert found["parallel_tool_calls"] is False
    assert body_of(tools=tools, tool_choice="required")["tool_choice"] == "required"


def test_a_conversation() -> None:
    """An item for each part: reasoning of this vendor's goes back, before what it led to, and alone it is left out."""
    own = ThinkingPart(text="Hm.", signature="rs_1:gAAAA", wire="openai-responses")
    messages = (
        Message.user("How is it?"),
        Message.assistant(
            own,
            TextPart("Let me see."),
            ThinkingPart(text="Hm.", signature="c2ln", wire="anthropic"),
            ThinkingPart(text="Hm.", signature="no id"),
            ThinkingPart(text="Hm."),
            ThinkingPart(signature="rs_2:gBBBB", wire="openai-responses"),
            ToolCall(id="c1", name="weather", arguments={"city": "Köln"}),
            ToolCall(id="c2", name="weather", arguments={}),
        ),
        Message.user(
            ToolResult(call_id="c1", content="grey"), ToolResult(call_id="c2", content="?"), "And?"
        ),
        Message.assistant("Grey.", own),
        Message.user("Thanks."),
    )
    assert body_of(messages=messages)["input"] == [
        {"role": "user", "content": "How is it?"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "gAAAA",
        },
        {"role": "assistant", "content": "Let me see."},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gBBBB"},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "weather",
            "arguments": '{"city":"Köln"}',
        },
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "grey"},
        {"type": "function_call_output", "call_id": "c2", "output": "?"},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Grey."},
        {"role": "user", "content": "Thanks."},
    ]


def test_an_empty_message() -> None:
    """Is said all the same: the vendor says what it thinks of it."""
    assert body_of(messages=(Message.user(""),))["input"] == [{"role": "user", "content": ""}]


class Place(BaseModel):
    """Where."""

    kind: str


def read(*frames: bytes) -> Outcome:
    """Decode a stream, as it comes, byte by byte, and in one read."""
    found = decode(stream_decoder("openai-responses"), list(frames))
    for pieces in (bytewise(b"".join(frames)), [b"".join(frames)]):
        assert decode(stream_decoder("openai-responses"), pieces) == found
    return found


def test_a_stream() -> None:
    """Text once, though it comes in pieces and again as a whole; the reason and the counts."""
    found = read(responses.STREAM)
    assert found.text == responses.TEXT
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == ("end", "completed")
    assert (found.model, found.request_id) == ("gpt-5-mini-2025-08-07", "resp_67c9")
    usage = found.usage
    assert (usage.input_tokens, usage.output_tokens) == (19, 40)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (8, 32)
    assert found.billing.service_tier == "default"


def test_thinking() -> None:
    """The parts of a summary stand apart; the signature is the item's id and what it has encrypted."""
    found = read(responses.THINKING_STREAM)
    assert found.said == (("thinking", "Let me see…\n\nAha."), ("text", "27"))
    assert found.finish is not None
    assert found.finish.stop_reason == "max_tokens"
    events = stream_decoder("openai-responses").feed(responses.THINKING_STREAM)
    assert ThinkingSignature("rs_1:gAAAA", "openai-responses") in events
    whole = decode(whole_decoder("openai-responses"), [responses.DOCUMENT])
    assert whole.said[0] == ("thinking", "Let me see…\n\nAha.")


def test_what_a_later_event_says() -> None:
    """Replaces what was said before, such as the tier, which has a price of its own; what it leaves out stays."""
    details = {"cached_tokens": 3, "cache_write_tokens": 5}
    used = {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": details}
    begun = response("in_progress", usage=used) | {"service_tier": "auto"}
    found = read(
        event("response.in_progress", response=begun),
        responses.text("a"),
        event("response.completed", response={"status": "completed", "service_tier": "flex"}),
    )
    assert found.billing.service_tier == "flex"
    assert (found.model, found.request_id) == (responses.HEAD["model"], responses.HEAD["id"])
    assert (found.usage.input_tokens, found.usage.output_tokens) == (9, 2)
    assert (found.usage.cache_read_tokens, found.usage.cache_write_tokens) == (3, 5)


@pytest.mark.parametrize(
    ("stream", "first"),
    [(responses.TOOL_STREAM, {"a": "ä"}), (responses.WHOLE_ITEMS_STREAM, {"a": 1})],
)
def test_calls(stream: bytes, first: dict[str, object]) -> None:
    """In pieces, two at a time, or whole."""
    found = read(stream)
    names = [(each.id, each.name) for each in found.calls]
    assert names == [("call_1", "f"), ("call_2", "g")]
    assert [each.arguments for each in found.calls] == [first, {}]
    assert found.finish is not None
    assert found.finish.stop_reason == "tool_use"


def test_items_that_come_whole() -> None:
    """Are read whole."""
    found = read(responses.WHOLE_ITEMS_STREAM)
    assert found.said == (("thinking", "Let me see…\n\nAha."), ("text", "Hi. There."))


def test_a_refusal() -> None:
    """Is the text that a reader gets, and its reason."""
    found = read(responses.REFUSED_STREAM)
    assert found.text == "I will not."
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == ("refusal", "completed")
    refused = {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}
    body = json.dumps(response("completed", refused)).encode()
    whole = decode(whole_decoder("openai-responses"), [body])
    assert whole.finish is not None
    assert (whole.text, whole.finish.stop_reason) == ("No.", "refusal")


BROKEN = (ProtocolError, None)


def ends(status: str, **more: object) -> bytes:
    """End a stream."""
    return event(f"response.{status}", response=response(status, **more))


@pytest.mark.parametrize(
    ("end", "reason", "raw"),
    [
        (
            ends("incomplete", incomplete_details={"reason": "content_filter"}),
            "content_filter",
            "content_filter",
        ),
        (ends("incomplete", incomplete_details={"reason": "steered"}), "other", "steered"),
        (ends("incomplete", incomplete_details=None), "other", "incomplete"),
        (ends("completed", incomplete_details=None), "end", "completed"),
    ],
)
def test_why_it_stops(end: bytes, reason: str, raw: str) -> None:
    """As the vendor says it."""
    found = read(responses.CREATED, responses.text("a"), end)
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == (reason, raw)


@pytest.mark.parametrize(
    ("end", "failure"),
    [
        (b"", (StreamTruncated, None)),
        (b"data: [DONE]\n\n", (StreamTruncated, None)),
        (
            event("error", code="rate_limit_exceeded", message="x"),
            (RateLimited, "rate_limit_exceeded"),
        ),
        (
            event("error", error={"type": "server_error", "message": "x"}),
            (ServerFailed, "server_error"),
        ),
        (b'data: {"error": {"code": "server_error"}}\n\n', (ServerFailed, "server_error")),
        (
            ends("failed", error={"code": "server_error", "message": "x"}),
            (ServerFailed, "server_error"),
        ),
        (ends("failed", error=None), (ServerFailed, None)),
        (ends("failed", error={"code": "invalid_prompt"}), (RequestRejected, "invalid_prompt")),
        (event("response.completed", response=response("failed")), (ServerFailed, None)),
        (event("response.completed"), (StreamTruncated, None)),
        (ends("cancelled"), (StreamTruncated, None)),
        (event("response.completed", response=response("cancelled")), (StreamTruncated, None)),
        (event("response.completed", response=7), (ProtocolError, None)),
        (event("response.output_text.delta", delta=7), (ProtocolError, None)),
        (event("response.output_item.done", item=[]), (ProtocolError, None)),
        (responses.CREATED, BROKEN),
        (responses.text("b")[:-2] + b'{"type":"response.output_text.delta"}\n\n', BROKEN),
    ],
)
def test_what_does_not_complete_it(end: bytes, failure: object) -> None:
    """A terminal of the response's alone does; one that has failed is an error, whatever its status was."""
    found = read(responses.CREATED, responses.text("a"), end)
    assert found.failure == failure
    assert found.text == "a"


def test_a_second_answer_behind_a_thought() -> None:
    """Is none, also where both came in one read."""
    thought = event("response.reasoning_text.delta", output_index=0, delta="Hm.")
    found = read(responses.CREATED, thought, responses.STREAM)
    assert found.failure == BROKEN
    assert found.said == (("thinking", "Hm."),)


def test_a_failure_is_counted() -> None:
    """What it has used is known."""
    decoder = stream_decoder("openai-responses")
    decode(decoder, [responses.FAILED_STREAM])
    assert decoder.usage.output_tokens == 40


@pytest.mark.parametrize(
    "items",
    [
        [responses.added(0, **called("f", "", "c")), arguments('{"a', 0)],
        [responses.added(0, **called("f", "", "c")), arguments("{}", 7)],
        [responses.done(0, **called("f", "[1]", "c"))],
        [responses.done(0, type="function_call", call_id="c", arguments="{}")],
    ],
)
def test_broken_calls(items: list[bytes]) -> None:
    """Are never handed on."""
    found = read(responses.CREATED, *items, responses.COMPLETED)
    assert found.failure == (ToolCallBroken, None)
    assert found.calls == ()


def test_arguments_of_no_call() -> None:
    """Are nothing, where there is no call."""
    found = read(responses.CREATED, arguments("{}", 0), responses.text("a", 1), responses.COMPLETED)
    assert found.finish is not None
    assert found.finish.stop_reason == "end"


@pytest.mark.parametrize(
    ("kind", "searches", "unpriced"),
    [
        ("web_search_call", 1, False),
        ("code_interpreter_call", 0, True),
        ("image_generation_call", 0, True),
        ("invented_call", 0, True),
        ("mcp_call", 0, False),
        ("reasoning", 0, False),
    ],
)
def test_what_else_is_billed(kind: str, searches: int, *, unpriced: bool) -> None:
    """A search by the call; of other tools of the vendor's nobody knows the price."""
    found = read(responses.CREATED, responses.done(0, type=kind, id="x"), responses.COMPLETED)
    assert (found.billing.web_searches, found.billing.unpriced) == (searches, unpriced)
    body = json.dumps(response("completed", {"type": kind}, message("a"))).encode()
    whole = decode(whole_decoder("openai-responses"), [body])
    assert (whole.billing.web_searches, whole.billing.unpriced) == (searches, unpriced)


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled", None])
def test_a_whole_answer_that_has_not_ended(status: str | None) -> None:
    """Is none."""
    body = json.dumps(response("x", message("a")) | {"status": status}).encode()
    assert decode(whole_decoder("openai-responses"), [body]).failure is not None


def test_without_names_of_events() -> None:
    """The type in the data is enough, and so is the name without the type."""
    unnamed = b"\n".join(
        line for line in responses.STREAM.split(b"\n") if not line.startswith(b"event:")
    )
    assert read(unnamed).text == responses.TEXT
    untyped = responses.STREAM
    for kind in (b"response.output_text.delta", b"response.completed", b"response.created"):
        untyped = untyped.replace(b'{"type":"%b",' % kind, b"{")
    assert read(untyped).text == responses.TEXT


def without(stream: bytes, *names: str) -> bytes:
    """Leave fields out of all events and their items, as some servers do."""
    found = b""
    for frame in stream.split(b"\n\n")[:-1]:
        data = json.loads(frame.partition(b"data: ")[2])
        for fields in (data, data.get("item", {})):
            for name in names:
                fields.pop(name, None)
        found += event(data.pop("type"), **data)
    return found


def items_of(found: Outcome) -> tuple[object, ...]:
    """Return what is to be the same, however it was said."""
    assert found.failure is None
    assert found.finish is not None
    calls = [(each.id, each.name, dict(each.arguments)) for each in found.calls]
    return found.said, calls, found.finish.stop_reason


def one_by_one(*, streamed: bool) -> bytes:
    """Say thinking, a message, a call, a message and a call, the first three in pieces or all of them whole."""
    pieces = [
        event("response.reasoning_summary_text.delta", output_index=0, item_id="rs", delta="Hm."),
        event("response.output_text.delta", output_index=1, item_id="m1", delta="Hel"),
        event("response.output_text.delta", output_index=1, item_id="m1", delta="lo"),
        responses.added(2, **{**called("f", "", "c1"), "id": "f1"})
        + event(
            "response.function_call_arguments.delta",
            output_index=2,
            item_id="f1",
            delta='{"a": 1}',
        ),
    ]
    summary = [{"type": "summary_text", "text": "Hm."}]
    whole = [
        responses.done(0, type="reasoning", id="rs", summary=summary),
        responses.done(1, **{**message("Hello"), "id": "m1"}),
        responses.done(2, **{**called("f", '{"a": 1}', "c1"), "id": "f1"}),
        responses.done(3, **{**message(" you"), "id": "m2"}),
        responses.done(4, **{**called("g", "{}", "c2"), "id": "f2"}),
    ]
    first = pieces if streamed else []
    said = [
        first[0:1] + whole[0:1],
        first[1:3] + whole[1:2],
        first[3:4] + whole[2:3],
        whole[3:],
    ]
    return b"".join([responses.CREATED, *(each for run in said for each in run)])


NUMBERS = (("output_index",), ("output_index", "item_id"), ("output_index", "item_id", "id"))


@pytest.mark.parametrize("left_out", [(), *NUMBERS])
@pytest.mark.parametrize("streamed", [True, False])
def test_items_without_numbers(left_out: tuple[str, ...], *, streamed: bool) -> None:
    """Are known by their ids, or come one after another: nothing is said twice, and nothing is lost."""
    found = read(without(one_by_one(streamed=streamed), *left_out), responses.COMPLETED)
    calls = [("c1", "f", {"a": 1}), ("c2", "g", {})]
    assert items_of(found) == ((("thinking", "Hm."), ("text", "Hello you")), calls, "tool_use")


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_what_the_end_alone_says(status: str) -> None:
    """Is taken from there, if nothing of its kind was said before."""
    items = (message("Hello"), called("f", '{"a": 1}', "c1"), called("g", "{}", "c2"))
    end = event(f"response.{status}", response=response(status, *items))
    calls = [("c1", "f", {"a": 1}), ("c2", "g", {})]
    reason = "tool_use" if status == "completed" else "other"
    assert items_of(read(responses.CREATED, end)) == ((("text", "Hello"),), calls, reason)
    for begun in ((), (responses.added(1, **called("f", "", "c1")),)):
        found = read(responses.CREATED, responses.text("Hello"), *begun, end)
        assert items_of(found) == ((("text", "Hello"),), calls, reason)
    said = (
        responses.text("Hel"),
        responses.text("lo"),
        responses.done(1, **called("f", "{}", "c")),
    )
    found = read(responses.CREATED, *said, end)
    assert items_of(found) == ((("text", "Hello"),), [("c", "f", {})], reason)
    searched = event(
        f"response.{status}", response=response(status, {"type": "web_search_call", "id": "ws"})
    )
    assert read(responses.CREATED, responses.text("a"), searched).billing.web_searches == 1

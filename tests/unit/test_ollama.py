"""Ollama's own API: how a call is said, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from llmkit.embeddings import Embedding
from llmkit.errors import (
    FrameTooLarge,
    InvalidRequest,
    ProtocolError,
    RequestRejected,
    ServerFailed,
    StreamTruncated,
    ToolCallBroken,
)
from llmkit.events import TextDelta
from llmkit.json_lines import JSONLinesDecoder
from llmkit.messages import Message
from llmkit.outputs.output import output_of
from llmkit.parts import ThinkingPart, ToolCall, ToolResult
from llmkit.providers.ollama import Ollama
from llmkit.providers.over_http import USER_AGENT
from llmkit.tools.tool import Tool
from support import ollama_streams as ollama
from support.decoding import PROVIDERS, bytewise, call, decode, stream_decoder, whole_decoder
from support.ollama_streams import called, line


def body_of(**fields: object) -> Any:
    """Build a request and return its body."""
    return json.loads(Ollama(api_key=None).build_request(call(**fields), "smollm2").content)


def weather(city: str) -> str:
    """Say how the weather is."""
    return city


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:11434",
        "http://127.0.0.1:11434/",
        "http://127.0.0.1:11434/v1",
        "http://127.0.0.1:11434/v1/",
        "http://127.0.0.1:11434/api",
        "http://127.0.0.1:11434/api/chat",
    ],
)
def test_a_call(base_url: str) -> None:
    """It goes to the server's own API, whatever the address ends in, with no key where there is none."""
    request = Ollama(api_key=None, base_url=base_url).build_request(call(), "smollm2")
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:11434/api/chat")
    assert request.headers == {
        "accept": "application/x-ndjson",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
    messages = [{"role": "user", "content": "hi"}]
    assert json.loads(request.content) == {"model": "smollm2", "messages": messages, "stream": True}
    keyed = Ollama(base_url="https://ollama.com", api_key="k").build_request(call(), "m")
    assert keyed.headers["authorization"] == "Bearer k"


def test_every_option() -> None:
    """The server streams unless it is told not to; its own options are joined with those of the call."""
    assert body_of(
        streaming=False,
        system="Be brief.",
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        stop=("X",),
        seed=7,
        extra={"options": {"num_ctx": 8192, "top_p": 0.25}, "keep_alive": "10m", "think": False},
    ) == {
        "model": "smollm2",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
        "stream": False,
        "options": {
            "num_predict": 9,
            "temperature": 0.0,
            "top_p": 0.25,
            "stop": ["X"],
            "seed": 7,
            "num_ctx": 8192,
        },
        "keep_alive": "10m",
        "think": False,
    }


def test_embedding() -> None:
    """What is asked for besides goes along."""
    asked = call(embedding=Embedding(("a",), 3), extra={"truncate": False})
    request = Ollama(api_key=None).build_embedding(asked, "m")
    assert request.url == "http://127.0.0.1:11434/api/embed"
    fields = {"model": "m", "input": ["a"], "dimensions": 3, "truncate": False}
    assert json.loads(request.content) == fields


def test_tools() -> None:
    """Are told; that one has to be called, or only one at a time, cannot be said."""
    tools = (Tool(weather),)
    [told] = body_of(tools=tools, tool_choice="auto")["tools"]
    assert told["type"] == "function"
    assert told["function"]["name"] == "weather"
    assert told["function"]["description"] == "Say how the weather is."
    assert told["function"]["parameters"]["properties"] == {"city": {"type": "string"}}
    assert "tools" not in body_of(tools=tools, tool_choice="none")
    for choice in ("required", "weather"):
        with pytest.raises(InvalidRequest, match="ollama cannot be made to call a tool"):
            body_of(tools=tools, tool_choice=choice)
    with pytest.raises(InvalidRequest, match="does not support parallel_tool_calls=False"):
        body_of(tools=tools, parallel_tool_calls=False)


def test_a_conversation_with_calls() -> None:
    """Arguments are objects, results name their tool, and a model that called one is told what it thought."""
    messages = (
        Message.user("How is it?"),
        Message.assistant(
            ThinkingPart(text="Hm."), ToolCall(id="c1", name="weather", arguments={"city": "Köln"})
        ),
        Message.user(ToolResult(call_id="c1", content="grey"), "And?"),
        Message.assistant(ThinkingPart(text="So."), "Grey."),
        Message.user("Thanks."),
    )
    assert body_of(messages=messages)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Köln"}}}
            ],
            "thinking": "Hm.",
        },
        {"role": "tool", "tool_name": "weather", "tool_call_id": "c1", "content": "grey"},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "Grey."},
        {"role": "user", "content": "Thanks."},
    ]


def test_an_empty_message() -> None:
    """Is said all the same: with it alone a server loads the model."""
    assert body_of(messages=(Message.user(""),))["messages"] == [{"role": "user", "content": ""}]


class Place(BaseModel):
    """Where."""

    kind: str
    to: dict[str, int]


def test_a_typed_answer() -> None:
    """Any schema is taken as the format."""
    assert body_of(output=output_of(Place))["format"]["required"] == ["kind", "to"]


def test_streams() -> None:
    """Text, thinking, calls with ids of ours where there are none, the reason and the counts."""
    found = decode(stream_decoder("ollama"), [ollama.STREAM])
    assert found.text == ollama.TEXT
    assert found.model == "smollm2:135m"
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == ("end", "stop")
    assert (found.usage.input_tokens, found.usage.output_tokens) == (11, 18)
    found = decode(stream_decoder("ollama"), [ollama.THINKING_STREAM])
    assert found.said == (("thinking", "Let me see…"), ("text", "27"))
    assert found.finish is not None
    assert found.finish.stop_reason == "max_tokens"
    found = decode(stream_decoder("ollama"), [ollama.TOOL_STREAM])
    assert [(each.id, each.name, each.arguments) for each in found.calls] == [
        ("call_0", "f", {"a": "ä"}),
        ("call_1", "f", {}),
        ("call_x1", "g", {"b": [1]}),
    ]
    assert found.finish is not None
    assert found.finish.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("lines", "reason", "raw"),
    [
        ([line("Hi"), line(done=True, done_reason="")], "other", None),
        ([line("Hi"), line(done=True, done_reason="load")], "other", "load"),
        (
            [line(message_tool_calls=[called("f", {})]), line(done=True, done_reason="length")],
            "max_tokens",
            "length",
        ),
    ],
)
def test_why_it_stops(lines: list[bytes], reason: str, raw: str | None) -> None:
    """As the server says it, also of an answer that calls tools."""
    found = decode(stream_decoder("ollama"), lines)
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == (reason, raw)


def test_what_the_last_line_leaves_out() -> None:
    """The model is the one that was named before; that a text has no tokens is not believed."""
    end = b'{"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":0}\n'
    for pieces in ([line("Hi"), end], [line("Hi") + end]):
        found = decode(stream_decoder("ollama"), pieces)
        assert found.model == "smollm2:135m"
        assert (found.usage.input_tokens, found.usage.output_tokens) == (3, None)
    assert stream_decoder("ollama").feed(line("a") + line("b") + end)[0] == TextDelta("ab")


def test_counts_that_are_left_out() -> None:
    """Are not known: a prompt of which nothing had to be read again is not for free."""
    found = decode(stream_decoder("ollama"), [ollama.SPARSE_STREAM])
    assert (found.usage.input_tokens, found.usage.output_tokens) == (None, 2)
    assert found.usage.input_source == "unknown"
    assert found.finish is not None
    assert (found.finish.stop_reason, found.finish.raw_stop_reason) == ("other", None)
    whole = decode(whole_decoder("ollama"), [line("Hi", done=True, done_reason="stop")])
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (None, None)


def test_a_whole_answer() -> None:
    """The same, in one document."""
    found = decode(whole_decoder("ollama"), bytewise(ollama.DOCUMENT))
    assert found.said == (("thinking", "Hm."), ("text", "Hi! I am ä 🌍."))
    assert found.usage.output_tokens == 18
    assert found.model == "smollm2:135m"
    failed = line("Hi", done=True, error="the model has crashed")
    assert decode(whole_decoder("ollama"), [failed]).failure == (ServerFailed, None)
    cut = decode(whole_decoder("ollama"), [line("Hi")])
    assert cut.failure == (StreamTruncated, None)


@pytest.mark.parametrize(
    ("end", "failure"),
    [
        (b'{"error":"an error was encountered"}\n', (ServerFailed, None)),
        (b'{"error":{"message":"x","code":503}}\n', (ServerFailed, "503")),
        (b'[{"error":"x"}]\n', (ServerFailed, None)),
        (b"", (StreamTruncated, None)),
        (b'{"model":"m","mess', (StreamTruncated, None)),
        (b"<html>\n", (ProtocolError, None)),
        (b"<html>\n" + ollama.DONE, (ProtocolError, None)),
        (b"[]\n", (ProtocolError, None)),
        (b'{"message":7,"done":true}\n', (ProtocolError, None)),
        (b'{"message":{"content":7},"done":true}\n', (ProtocolError, None)),
        (b'{"message":{"content":""},"done":"yes"}\n', (ProtocolError, None)),
    ],
)
def test_what_ends_without_being_done(end: bytes, failure: object) -> None:
    """Is an error, behind the text that came before it."""
    for pieces in ([line("Hel") + end], bytewise(line("Hel") + end)):
        found = decode(stream_decoder("ollama"), pieces)
        assert found.failure == failure
        assert found.text == "Hel"


@pytest.mark.parametrize("arguments", ["{", [1], 7, '{"a": "b'])
def test_broken_calls(arguments: object) -> None:
    """Are never handed on."""
    said = line(message_tool_calls=[called("f", arguments)])
    found = decode(stream_decoder("ollama"), [said + ollama.DONE])
    assert found.failure == (ToolCallBroken, None)
    assert found.calls == ()
    nameless = line(message_tool_calls=[{"function": {"arguments": {}}}])
    assert decode(stream_decoder("ollama"), [nameless + ollama.DONE]).failure is not None


@pytest.mark.parametrize("why", ["stop", "length"])
def test_a_call_without_arguments(why: str) -> None:
    """Is whole, as all are that come on one line: the limit of the answer's length has not cut it."""
    said = line(message_tool_calls=[{"function": {"name": "now"}}])
    found = decode(stream_decoder("ollama"), [said + line("", done=True, done_reason=why)])
    assert [(each.name, each.arguments) for each in found.calls] == [("now", {})]


def test_arguments_as_text() -> None:
    """As some compatible servers write them."""
    said = line(message_tool_calls=[called("f", '{"a": 1}')])
    found = decode(stream_decoder("ollama"), [said + ollama.DONE])
    assert [each.arguments for each in found.calls] == [{"a": 1}]


@pytest.mark.parametrize(
    ("content_type", "body", "failure"),
    [
        ("application/json", ollama.STREAM, None),
        ("text/plain", ollama.STREAM, None),
        ("", ollama.STREAM, None),
        ("application/json", b'{\n  "error": "no"\n}', ServerFailed),
        ("application/json", b'{"error": "no"}', ServerFailed),
        ("text/html", b"<html>{}</html>", ProtocolError),
        ("text/event-stream", b"data: {}\n\n", ProtocolError),
    ],
)
def test_by_another_name(content_type: str, body: bytes, failure: type[Exception] | None) -> None:
    """Lines of JSON are known by how they begin; a page or a report is what it is."""
    headers = {"content-type": content_type}
    for pieces in ([body], bytewise(body)):
        found = decode(PROVIDERS["ollama"].decoder(call(), "m", headers), pieces)
        assert (found.failure and found.failure[0]) == failure
        assert (found.finish is None) == (failure is not None)


def test_error_statuses() -> None:
    """A sentence is all that there is, and it is not shown."""
    error = PROVIDERS["ollama"].error("m", 404, {}, b'{"error":"model \'secret\' not found"}')
    assert type(error) is RequestRejected
    assert "secret" not in str(error)
    assert "ollama pull" in str(error)
    error = PROVIDERS["ollama"].error("m", 500, {}, b'{"error":"secret"}')
    assert type(error) is ServerFailed


def test_lines() -> None:
    """However they are cut, with a byte order mark, blank lines, or another end; one that is too long is an error."""
    data = b'\xef\xbb\xbf{"a":1}\r\n\n \n{"b":"\xe2\x80\xa8"}\n{"c":3}'
    for pieces in ([data], bytewise(data)):
        lines = JSONLinesDecoder()
        found = [event.data for piece in pieces for event in lines.feed(piece)]
        assert not lines.between
        found += [event.data for event in lines.close()]
        assert found == ['{"a":1}', '{"b":"\u2028"}', '{"c":3}']
        assert lines.cut
    lines = JSONLinesDecoder(max_line=9)
    assert [event.data for event in lines.feed(b"{}\n0123456789\n{}\n")] == ["{}"]
    with pytest.raises(FrameTooLarge, match="a line of JSON is longer than 9 bytes") as raised:
        lines.feed(b"x")
    assert "one JSON document a line" in str(raised.value)
    lines = JSONLinesDecoder(max_line=9)
    with pytest.raises(FrameTooLarge):
        for piece in bytewise(b"0123456789"):
            lines.feed(piece)
    with pytest.raises(FrameTooLarge):
        lines.close()

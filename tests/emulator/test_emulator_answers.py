"""What the emulator says, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.testing import Behaviour
from llmkit.testing.emulator.answer import TEXT, Ask, compose
from llmkit.testing.emulator.sample import sample
from support.emulator import WIRES, answer, events, text_of, whole


def test_default_text() -> None:
    """The default answer is 40 tokens long and ends with a full stop."""
    said = compose(Ask("m", streaming=True, input_tokens=1), Behaviour())
    assert said.output_tokens == 40
    assert "".join(said.text) == TEXT.rstrip()
    assert said.text[-1].endswith(".")


def test_an_answer_keeps_to_the_schema_that_is_asked_for() -> None:
    """Of itself; a text of the behaviour's is said as it is."""
    tree = {"type": "object", "properties": {"value": {"type": "integer"}, "more": {"$ref": "#"}}}
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "level": {"enum": ["low", "high"]},
            "kind": {"const": 7},
            "tags": {"type": "array", "items": {"type": "string"}},
            "who": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
            "any": {},
        },
        "$defs": {
            "Person": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "boss": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}]},
                    "staff": {"type": "array", "items": {"$ref": "#/$defs/Person"}},
                },
            }
        },
    }
    asked = Ask("m", streaming=True, input_tokens=1, schema=schema)
    said = json.loads("".join(compose(asked, Behaviour()).text))
    assert said["who"]["name"] == "An example."
    assert {name: said[name] for name in ("day", "level", "kind", "tags", "any")} == {
        "day": "2026-01-31",
        "level": "low",
        "kind": 7,
        "tags": ["An example."],
        "any": None,
    }
    assert compose(asked, Behaviour(text="no")).text == ("no",)
    assert sample(tree)["value"] == 1  # though no value fits


def test_a_tool_that_has_to_be_called_is() -> None:
    """With arguments of its schema."""
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    asked = Ask("m", streaming=True, input_tokens=1, forced=("f", schema))
    said = compose(asked, Behaviour())
    ((call,), text) = said.calls, said.text
    assert (call.name, json.loads("".join(call.pieces)), text) == ("f", {"a": 1.5}, ())
    assert said.stop_reason == "tool_use"


@pytest.mark.parametrize("tokens", [0, 1, 39, 41, 500])
def test_text_of_any_length(tokens: int) -> None:
    """The default text has exactly as many tokens as were asked for."""
    assert (
        len(compose(Ask("m", streaming=True, input_tokens=1), Behaviour(tokens=tokens)).text)
        == tokens
    )


@pytest.mark.parametrize(
    "text", ["", " ", "one", " a  b\n\nc \t", "\r\n data: x\n\n", "Zoë\u2028€ 🙂"]
)
@pytest.mark.parametrize("wire", WIRES)
def test_text_arrives_unchanged(wire: str, text: str) -> None:
    """The tokens of a text join to the text, streamed and whole."""
    assert text_of(answer(wire, Behaviour(text=text)).body) == text
    message = whole(wire, Behaviour(text=text))
    if wire == "anthropic":
        assert "".join(block["text"] for block in message["content"]) == text
    else:
        assert message["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("wire", WIRES)
def test_tokens_as_given(wire: str) -> None:
    """A tuple of strings is sent one delta each, empty ones and lone surrogates included."""
    sent = answer(wire, Behaviour(text=("a", "", "\ud83d", "b c")))
    assert sent.tokens == 4
    assert text_of(sent.body) == "a\ud83db c"


def test_anthropic_event_order() -> None:
    """The events come in the vendor's order, a ping after the first block has started."""
    names = [name for name, _ in events(answer("anthropic", Behaviour(tokens=2)).body)]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_anthropic_thinking() -> None:
    """Thinking is a block of its own before the text, signed at its end, and counts as output."""
    body = answer("anthropic", Behaviour(thinking="let me see", tokens=1)).body
    kinds = [
        data.get("delta", data.get("content_block", data)).get("type", name)
        for name, data in events(body)
    ]
    assert kinds == [
        "message_start",
        "thinking",
        "ping",
        "thinking_delta",
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "text",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [data["index"] for _, data in events(body) if "index" in data] == [0] * 6 + [1] * 3
    assert events(body)[-2][1]["usage"]["output_tokens"] == 4


def test_anthropic_usage() -> None:
    """The opening counts the input and has a placeholder for the output; the end has the truth."""
    found = dict(events(answer("anthropic", Behaviour(tokens=9)).body))
    assert found["message_start"]["message"]["usage"]["output_tokens"] == 1
    start, end = found["message_start"]["message"]["usage"], found["message_delta"]["usage"]
    assert start["input_tokens"] == end["input_tokens"] == 6
    assert end["output_tokens"] == 9


def test_anthropic_without_tokens() -> None:
    """An empty answer has no block at all."""
    body = answer("anthropic", Behaviour(tokens=0)).body
    assert [name for name, _ in events(body)] == [
        "message_start",
        "ping",
        "message_delta",
        "message_stop",
    ]


def test_openai_chunk_order() -> None:
    """The role comes first, then the text, the finish reason, the usage with no choices, [DONE]."""
    found = [data for _, data in events(answer("openai", Behaviour(text="a b")).body)]
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [each["choices"][0]["delta"] for each in found[1:3]] == [
        {"content": "a"},
        {"content": " b"},
    ]
    assert found[3]["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert all(each["usage"] is None for each in found[:4])
    assert found[4]["choices"] == []
    assert found[4]["usage"]["prompt_tokens"] == 6
    assert found[4]["usage"]["completion_tokens"] == 2
    assert found[5] == "[DONE]"


def test_openai_usage_only_when_asked() -> None:
    """Without stream_options no chunk mentions usage."""
    body = answer("openai", Behaviour(tokens=2), stream_options=None).body
    assert b"usage" not in body
    assert body.endswith(b"data: [DONE]\n\n")


def test_openai_reasoning() -> None:
    """Thinking comes as reasoning_content and is counted among the completion tokens."""
    body = answer("openai", Behaviour(thinking="hm hm", text="a")).body
    found = [data for _, data in events(body)]
    assert found[1]["choices"][0]["delta"] == {"reasoning_content": "hm"}
    usage = found[-2]["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


@pytest.mark.parametrize(
    ("where", "count"), [("own", 1), ("finish", 1), ("every", 4)], ids=lambda value: str(value)
)
def test_openai_usage_in_odd_places(where: Any, count: int) -> None:
    """Usage can be made to come where compatible servers put it."""
    body = answer("openai", Behaviour(tokens=2, usage_in=where)).body
    found = [data for _, data in events(body) if isinstance(data, dict)]
    assert sum(data["usage"] is not None for data in found) == count
    if where == "finish":
        assert found[-1]["choices"][0]["finish_reason"] == "stop"
        assert found[-1]["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("wire", WIRES)
def test_usage_left_out_or_replaced(wire: str, stream: bool) -> None:
    """Usage can be left out, and its fields replaced by what a test needs."""
    assert b"output_tokens" not in answer(wire, Behaviour(usage=False), stream=stream).body
    assert b"completion_tokens" not in answer(wire, Behaviour(usage=False), stream=stream).body
    field = "input_tokens" if wire == "anthropic" else "prompt_tokens"
    assert (
        b'"%b":4711' % field.encode()
        in answer(wire, Behaviour(usage={field: 4711}), stream=stream).body
    )


def test_openai_usage_without_being_asked() -> None:
    """Usage can be made to come unasked."""
    body = answer("openai", Behaviour(usage=True), stream_options=None).body
    assert events(body)[-2][1]["usage"]["completion_tokens"] == 40


@pytest.mark.parametrize("stream", [True, False])
def test_max_tokens_is_honoured(stream: bool) -> None:
    """No more tokens are sent than the request allows, and the stop reason says so."""
    sent = answer("anthropic", Behaviour(), max_tokens=3, stream=stream)
    assert sent.tokens == 3
    assert b'"stop_reason":"max_tokens"' in sent.body
    assert b'"output_tokens":3' in sent.body
    for name in ("max_tokens", "max_completion_tokens"):
        sent = answer("openai", Behaviour(), stream=stream, **{name: 3})
        assert sent.tokens == 3
        assert b'"finish_reason":"length"' in sent.body


def test_max_tokens_covers_thinking() -> None:
    """Thinking uses up the limit first."""
    sent = answer("anthropic", Behaviour(thinking="a b c d"), max_tokens=3)
    assert sent.tokens == 3
    assert text_of(sent.body) == ""


@pytest.mark.parametrize("stream", [True, False])
def test_stop_sequences(stream: bool) -> None:
    """The text ends before the first stop sequence in it, wherever the tokens begin."""
    behaviour = Behaviour(text="one two. three")
    sent = answer("anthropic", behaviour, stop_sequences=["three", "wo."], stream=stream)
    assert b'"stop_reason":"stop_sequence","stop_sequence":"wo."' in sent.body
    assert sent.tokens == 2
    sent = answer("openai", behaviour, stop=" three", stream=stream)
    assert b'"finish_reason":"stop"' in sent.body
    assert b"three" not in sent.body


@pytest.mark.parametrize(
    ("reason", "anthropic", "openai"),
    [
        ("end", "end_turn", "stop"),
        ("max_tokens", "max_tokens", "length"),
        ("tool_use", "tool_use", "tool_calls"),
        ("refusal", "refusal", "content_filter"),
        ("content_filter", "refusal", "content_filter"),
        ("pause", "pause_turn", "stop"),
        ("a_new_one", "a_new_one", "a_new_one"),
    ],
)
def test_stop_reasons(reason: str, anthropic: str, openai: str) -> None:
    """A stop reason is said in the vendor's word; an unknown one goes out as it is."""
    behaviour = Behaviour(tokens=1, stop_reason=reason)
    assert whole("anthropic", behaviour)["stop_reason"] == anthropic
    assert whole("openai", behaviour)["choices"][0]["finish_reason"] == openai


@pytest.mark.parametrize("wire", WIRES)
def test_another_model_answers(wire: str) -> None:
    """The answer names the model that was asked for, or the one of the behaviour."""
    assert whole(wire, Behaviour())["model"] == "a-model"
    assert whole(wire, Behaviour(model="a-model-20260101"))["model"] == "a-model-20260101"


def test_headers() -> None:
    """The vendors' ids and rate limits are there, with their resets in the vendors' forms."""
    headers = answer("anthropic", Behaviour()).headers
    assert headers["request-id"] == "req_emulator000000000007"
    assert headers["anthropic-ratelimit-input-tokens-reset"] == "2025-06-15T15:06:41Z"
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    headers = answer("openai", Behaviour(), stream=False).headers
    assert headers["x-request-id"] == "req_emulator000000000007"
    assert headers["x-ratelimit-reset-tokens"] == "1m0.5s"
    assert headers["content-type"] == "application/json"
    assert "openai-processing-ms" in headers


def test_input_tokens_grow_with_the_prompt() -> None:
    """System text, all messages and the text parts of a list are counted, and nothing else."""
    text = "x" * 400
    parts = [{"type": "text", "text": text}, {"type": "image", "source": {}}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": text}]
    system = [{"type": "text", "text": text}]
    usage = whole("anthropic", Behaviour(), messages=messages, system=system)["usage"]
    assert usage["input_tokens"] == 300 + 8
    usage = whole("openai", Behaviour(), messages=messages)["usage"]
    assert usage["prompt_tokens"] == 200 + 8
    assert usage["total_tokens"] == 208 + 40

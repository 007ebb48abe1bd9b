"""What the emulator refuses, as the vendors do, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.server import ANTHROPIC, OPENAI
from llmkit.testing.emulator.wires.base import Failure
from support.emulator import BY_NAME, KEYS, WIRES, body_of

USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
DID = {"type": "tool_result", "tool_use_id": "t1", "content": "x"}
SAID = {"type": "text", "text": "hi"}
ASKS: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ],
}
HALF = {**ASKS, "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": '{"a'}}]}
HI = {"role": "user", "content": "hi"}
TOOL = {"role": "tool", "tool_call_id": "t1", "content": "x"}


TELLS: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}


def function(**changes: Any) -> dict[str, Any]:
    """Describe a tool as OpenAI is told of it."""
    return {"type": "function", "function": {"name": "f"} | changes}


FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def answers(schema: dict[str, Any]) -> dict[str, Any]:
    """Ask Anthropic for an answer of this schema."""
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def formats(schema: dict[str, Any]) -> dict[str, Any]:
    """Ask OpenAI for an answer of this schema."""
    said = {"name": "a", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": said}}


def turns(*contents: Any) -> dict[str, Any]:
    """Make a conversation of which every second message is the model's."""
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": each} for at, each in enumerate(contents)]
    return {"messages": said}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": None}, "model: Input should be"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"messages": []}, "at least one message"),
        ({"messages": {}}, "messages: Input should be a valid list"),
        ({"messages": ["hi"]}, "messages.0: Input"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "system", "content": "x"}]}, "top-level `system` parameter"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "Input should be 'user' or 'assistant'"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message must use"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "text content blocks must be non-empty",
        ),
        (turns("hi", [USE]), "messages.1: `tool_use` ids were found without"),
        (turns("hi", [USE], [SAID]), "without `tool_result` blocks immediately after: t1"),
        (turns([DID]), "messages.0.content.0: unexpected `tool_use_id` found"),
        (turns("hi", [USE], [SAID, DID]), "`tool_result` blocks must come before"),
        (turns("hi", [{"type": "thinking", "thinking": "x"}]), "thinking.signature: Field req"),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": [TELLS | {"name": "a b"}]}, "tools.0.custom.name: String should match"),
        ({"tools": [TELLS | {"description": 1}]}, "tools.0.custom.description: Input"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [TELLS | {"input_schema": {}}]}, "tools.0.custom.input_schema.type"),
        ({"tools": [TELLS, TELLS]}, "Tool names must be unique"),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: may only be specified while"),
        ({"tools": [TELLS], "tool_choice": "auto"}, "tool_choice: Input tag"),
        ({"tools": [TELLS], "tool_choice": {"type": "required"}}, "tool_choice: Input tag"),
        (
            {
                "tools": [TELLS],
                "tool_choice": {"type": "none", "disable_parallel_tool_use": True},
            },
            "tool_choice.none.disable_parallel_tool_use: Extra inputs",
        ),
        (
            {"tools": [TELLS], "tool_choice": {"type": "any", "disable_parallel_tool_use": 1}},
            "disable_parallel_tool_use: Input should be a valid boolean",
        ),
        ({"tools": [TELLS], "tool_choice": {"type": "tool", "name": "g"}}, "Tool 'g' not found"),
        ({"output_config": 1}, "output_config: Input should be an object"),
        ({"output_config": {"format": {"type": "x"}}}, "output_config.format: Input tag"),
        (answers({"type": "array", "items": {"type": "null"}}), "schema must be a JSON Schema"),
        (answers({"type": "object", "properties": {}}), "'additionalProperties' is required"),
        (answers(FIELDS | {"minProperties": 1}), "schema: 'minProperties' is not permitted"),
        ({"stream": "yes"}, "stream: Input"),
        ({"system": 3}, "system: Input"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"stop_sequences": "x"}, "stop_sequences: Input"),
        ({"stop_sequences": [" "]}, "non-whitespace"),
        ({"stream_options": {}}, "stream_options: Extra inputs are not permitted"),
    ],
)
def test_what_anthropic_refuses(change: dict[str, Any], words: str) -> None:
    """A wrong request is refused with 400 and what Anthropic says to it."""
    document = json.dumps(body_of("anthropic", **change)).encode()
    failure = ANTHROPIC.check(KEYS["anthropic"], document, require_key=True)
    assert isinstance(failure, Failure)
    assert (failure.status, failure.type) == (400, "invalid_request_error")
    assert words in failure.message


@pytest.mark.parametrize("name", ["model", "max_tokens", "messages"])
def test_what_anthropic_requires(name: str) -> None:
    """A request without one of its three required fields is refused."""
    document = body_of("anthropic")
    del document[name]
    failure = ANTHROPIC.check(KEYS["anthropic"], json.dumps(document).encode(), require_key=True)
    assert isinstance(failure, Failure)
    assert failure.message == f"{name}: Field required"


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": ""}, None, None),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [3]}, "messages[0]", "invalid_type"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", None),
        ({"messages": [HI, ASKS]}, "messages.[2].role", None),
        ({"messages": [HI, ASKS, HI]}, "messages.[2].role", None),
        ({"messages": [HI, TOOL]}, "messages.[1].role", None),
        ({"messages": [HI, ASKS, TOOL, TOOL]}, "messages.[3].role", None),
        ({"messages": [HI, HALF, TOOL]}, "messages[1]", None),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": []}, "tools", "empty_array"),
        ({"tools": [{"type": "f"}]}, "tools[0].type", "invalid_value"),
        (
            {"tools": [{"type": "function"}]},
            "tools[0].function.name",
            "missing_required_parameter",
        ),
        ({"tools": [function(name="a b")]}, "tools[0].function.name", "invalid_value"),
        (
            {"tools": [function(parameters={"type": "array"})]},
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"parallel_tool_calls": True}, "parallel_tool_calls", None),
        (
            {"tools": [function()], "parallel_tool_calls": 1},
            "parallel_tool_calls",
            "invalid_type",
        ),
        ({"tools": [function()], "tool_choice": "any"}, "tool_choice", "invalid_value"),
        (
            {
                "tools": [function()],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            "tool_choice",
            None,
        ),
        ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            "response_format.json_schema.name",
            None,
        ),
        (formats({"type": "string"}), "response_format", None),
        (formats(FIELDS | {"required": []}), "response_format", None),
        (formats(FIELDS | {"default": {}}), "response_format", None),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": "1"}, "max_tokens", "invalid_type"),
        (
            {"max_tokens": 1, "max_completion_tokens": 1},
            "max_tokens",
            "invalid_parameter_combination",
        ),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"stop": 3}, "stop", "invalid_type"),
        ({"stop": list("abcde")}, "stop", "array_above_max_length"),
        ({"stream": False, "stream_options": {}}, "stream_options", None),
        ({"stream_options": [1]}, "stream_options", "invalid_type"),
    ],
)
def test_what_openai_refuses(change: dict[str, Any], param: str | None, code: str | None) -> None:
    """A wrong request is refused with 400, the parameter and OpenAI's code."""
    document = json.dumps(body_of("openai", **change)).encode()
    failure = OPENAI.check(KEYS["openai"], document, require_key=True)
    assert isinstance(failure, Failure)
    assert (failure.status, failure.type) == (400, "invalid_request_error")
    assert (failure.param, failure.code) == (param, code)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=len)
@pytest.mark.parametrize("wire", WIRES)
def test_bodies_that_are_no_request(wire: str, body: bytes) -> None:
    """What is no JSON object is refused with 400."""
    failure = BY_NAME[wire].check(KEYS[wire], body, require_key=True)
    assert isinstance(failure, Failure)
    assert failure.status == 400


@pytest.mark.parametrize("wire", WIRES)
def test_no_key(wire: str) -> None:
    """Without a key a request is refused with 401, unless none is required."""
    headers = {"anthropic-version": "2023-06-01"}
    document = json.dumps(body_of(wire)).encode()
    failure = BY_NAME[wire].check(headers, document, require_key=True)
    assert isinstance(failure, Failure)
    assert failure.status == 401
    assert isinstance(BY_NAME[wire].check(headers, document, require_key=False), Ask)


def test_no_anthropic_version() -> None:
    """Anthropic wants its version header."""
    document = json.dumps(body_of("anthropic")).encode()
    failure = ANTHROPIC.check({"x-api-key": "k"}, document, require_key=True)
    assert isinstance(failure, Failure)
    assert failure.message == "anthropic-version: header is required"

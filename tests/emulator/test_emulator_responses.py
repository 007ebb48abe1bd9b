"""The emulator as OpenAI's Responses API, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.testing import Behaviour
from llmkit.testing.emulator import reply
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.server import RESPONSES
from llmkit.testing.emulator.wires.base import Failure, Stamp
from support.emulator import events

KEY = {"authorization": "Bearer sk-canary"}
HI: dict[str, Any] = {"model": "gpt-5-mini", "input": "Hello", "stream": True}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}


def checked(body: Any, headers: dict[str, str] = KEY) -> Ask | Failure:
    """Have a request checked."""
    return RESPONSES.check(headers, json.dumps(body).encode(), require_key=True)


def said(behaviour: Behaviour, **fields: Any) -> bytes:
    """Return the body of an answer."""
    ask = checked({**HI, **fields})
    assert isinstance(ask, Ask), ask
    return reply.answer(RESPONSES, ask, behaviour, Stamp(7, 1_750_000_000.0)).body


def test_a_stream() -> None:
    """A response that begins, its items, each begun and ended, with a number on each event, and the response that has ended."""
    call = {"name": "f", "arguments": '{"a":1}'}
    found = events(said(Behaviour(thinking="hm", text="a b", calls=(call,), delay=0)))
    names = [name.removeprefix("response.") for name, _ in found]
    assert names == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_text.delta", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
    ended = found[-1][1]["response"]
    assert [item["type"] for item in ended["output"]] == ["reasoning", "message", "function_call"]
    assert ended["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}
    assert found[0][1]["response"]["usage"] is None


def test_what_it_cannot_complete() -> None:
    """Says why."""
    [*_, (name, data)] = events(said(Behaviour(), max_output_tokens=2))
    assert name == "response.incomplete"
    assert data["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    whole = json.loads(said(Behaviour(stop_reason="content_filter"), stream=False))
    assert (whole["status"], whole["incomplete_details"]) == (
        "incomplete",
        {"reason": "content_filter"},
    )
    assert json.loads(said(Behaviour(terminal=False), stream=False))["status"] == "in_progress"
    refused = json.loads(said(Behaviour(text="No.", stop_reason="refusal"), stream=False))
    assert refused["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_schemas_and_forced_tools() -> None:
    """Of itself it answers what fits."""
    fields = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    schema = {**fields, "additionalProperties": False}
    form = {"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}}
    found = json.loads(said(Behaviour(), text=form, stream=False))
    assert json.loads(found["output"][0]["content"][0]["text"]) == {"a": 1}
    for choice in ("required", {"type": "function", "name": "f"}):
        found = json.loads(said(Behaviour(), tools=[TOOL], tool_choice=choice, stream=False))
        assert found["output"][0]["name"] == "f"


def test_errors_inside_a_stream() -> None:
    """Are an event of their own."""
    body = said(Behaviour(error_frame_at=1, error_code="rate_limit_exceeded"))
    assert events(body)[-1][0] == "error"
    assert events(body)[-1][1]["code"] == "rate_limit_exceeded"


CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "Unknown parameter: 'messages'"),
        ({"model": ""}, "'model'"),
        ({"input": []}, "'input'"),
        ({"input": [7]}, "Invalid type for 'input[0]'"),
        ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "invented"}]}, "Invalid value: 'invented'"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"store": "no"}, "Invalid type for 'store'"),
        ({"model": "gpt-4o", "include": ["reasoning.encrypted_content"]}, "Encrypted content"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        (
            {
                "text": {
                    "format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}
                }
            },
            "additionalProperties",
        ),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
        ({"tools": [{"type": "invented", "name": "f"}]}, "tools[0].type"),
        ({"tools": [{**TOOL, "strict": True}]}, "Invalid schema for function"),
        ({"tool_choice": "required"}, "must be specified with 'tools'"),
        ({"tool_choice": "any"}, "'tool_choice'"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "not found in"),
        ({"input": [CALL]}, "No tool output found for function call c1"),
        ({"input": [OUTPUT]}, "No tool call found"),
        ({"input": [{**CALL, "arguments": {}}, OUTPUT]}, "a function call has a name and"),
        ({"input": [{**CALL, "call_id": ""}, OUTPUT]}, "call_id"),
        ({"input": [CALL, {**OUTPUT, "output": 7}]}, "input[1].output"),
        ({"input": [THOUGHT]}, "without its required following item"),
        ({"input": [THOUGHT, {"role": "user", "content": "x"}]}, "without its required following"),
        ({"input": [{**THOUGHT, "id": "x"}, CALL, OUTPUT]}, "input[0].summary"),
        ({"input": [{**THOUGHT, "encrypted_content": None}, CALL, OUTPUT]}, "not persisted"),
    ],
)
def test_refusals(change: dict[str, Any], words: str) -> None:
    """In the vendor's words."""
    failure = checked({**HI, **change})
    assert isinstance(failure, Failure)
    assert failure.status in (400, 404)
    assert words in failure.message
    assert isinstance(checked({**HI, "input": [THOUGHT, CALL, OUTPUT]}), Ask)


def test_keys() -> None:
    """Without one it is nobody; what is no JSON is nothing."""
    failure = checked(HI, {})
    assert isinstance(failure, Failure)
    assert failure.status == 401
    assert isinstance(RESPONSES.check(KEY, b"{", require_key=True), Failure)

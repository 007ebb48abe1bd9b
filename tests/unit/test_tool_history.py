"""Calls of earlier turns, whoever answered then: every vendor takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.messages import Message
from llmkit.parts import ToolCall, ToolResult
from llmkit.providers.tool_history import sound_calls
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.wires.anthropic import AnthropicWire
from llmkit.testing.emulator.wires.gemini import GeminiWire
from llmkit.testing.emulator.wires.openai import OpenAIWire
from support.decoding import PROVIDERS, call


def turn(*calls: tuple[str, str]) -> list[Message]:
    """Make an answer that calls tools, each an id and a name, and their results."""
    asked = [ToolCall(id=id_, name=name, arguments={}) for id_, name in calls]
    results = [ToolResult(call_id=id_, content=name) for id_, name in calls]
    return [Message.assistant("Hm.", *asked), Message.user(*results)]


ODD = [
    Message.user("Hi"),
    *turn(("functions.s:0", "s"), ("functions.s:1", "functions.s")),
    *turn(("call_0", "s\n"), ("call_1", "x" * 5000)),
    *turn(("call_0", ""), ("functions_s_0", "s")),
    *turn(("y" * 60, "s"), ("y" * 61, "s")),
]
USUAL = [Message.user("Hi"), *turn(("toolu_01A", "s"), ("call_aB-9", "other-one"))]


def ids(messages: Any) -> list[list[str]]:
    """Return the ids of calls and results."""
    return [
        [each.id for each in message.tool_calls] + [each.call_id for each in message.tool_results]
        for message in messages[1:]
    ]


def test_what_is_sound_stays() -> None:
    """And so do texts."""
    assert list(sound_calls(USUAL)) == USUAL
    only_text = (Message.user("a.b"), Message.assistant("c:d"))
    assert sound_calls(only_text) is only_text


def test_ids_are_of_one_call_each() -> None:
    """A result goes with its call."""
    found = ids(sound_calls(ODD))
    assert found[::2] == found[1::2]
    assert found[::2] == [
        ["functions_s_0", "functions_s_1"],
        ["call_0", "call_1"],
        ["call_0_2", "functions_s_0_2"],
        ["y" * 40, "y" * 38 + "_2"],
    ]
    names = [each.name for message in sound_calls(ODD) for each in message.tool_calls]
    assert names[:5] == ["s", "functions_s", "s_", "x" * 64, "_"]


@pytest.mark.parametrize(
    ("wire", "rules"),
    [("anthropic", AnthropicWire()), ("gemini", GeminiWire()), ("openai", OpenAIWire())],
)
@pytest.mark.parametrize("messages", [ODD, USUAL], ids=["odd", "usual"])
def test_the_vendors_would_accept_it(wire: str, rules: Any, messages: list[Message]) -> None:
    """By the emulator's checks, which are the vendors' rules."""
    request = PROVIDERS[wire].build_request(call(messages=tuple(messages)), "m")
    target = request.url.partition(".com")[2]
    said = rules.check(request.headers, request.content, require_key=True, target=target)
    assert isinstance(said, Ask), said


@pytest.mark.parametrize("rules", [AnthropicWire(), OpenAIWire()])
@pytest.mark.parametrize(("id_", "name"), [("a", "a.b"), ("x" * 41, "s"), ("a.b", "s")])
def test_the_vendors_would_not_accept_them_as_they_are(rules: Any, id_: str, name: str) -> None:
    """Each refuses what it does not take, and says where."""
    anthropic = isinstance(rules, AnthropicWire)
    block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
    asked = {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}
    given = {"type": "tool_result", "tool_use_id": id_, "content": ""}
    turns: list[Any] = [{"role": "user", "content": "Hi"}]
    if anthropic:
        turns += [{"role": "assistant", "content": [block]}, {"role": "user", "content": [given]}]
    else:
        turns += [
            {"role": "assistant", "content": None, "tool_calls": [asked]},
            {"role": "tool", "tool_call_id": id_, "content": ""},
        ]
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode()
    headers = {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "k",
        "authorization": "Bearer k",
    }
    said = rules.check(headers, body, require_key=True)
    taken = (anthropic and len(id_) > 40) or (not anthropic and id_ == "a.b")
    assert isinstance(said, Ask) is taken, said

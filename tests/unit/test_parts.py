"""Parts of messages: what they are made of, their order, and how each wire says them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmkit import InvalidRequest, Message, TextPart, ThinkingPart, ToolCall, ToolResult
from llmkit.events import (
    Event,
    Finish,
    RedactedThinking,
    Reset,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCallDelta,
)
from llmkit.messages import to_messages
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.gemini import Gemini
from llmkit.providers.openai import OpenAI
from llmkit.response import Accumulator
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.server import GEMINI
from llmkit.testing.emulator.wires.anthropic import AnthropicWire
from llmkit.testing.emulator.wires.openai import OpenAIWire
from llmkit.usage import Usage
from support.decoding import call

WEATHER = ToolCall(id="call_1", name="weather", arguments={"city": "Köln", "days": 2})
TIME = ToolCall(id="call_2", name="time", arguments={})
ASKED = [
    Message.user("How is it?"),
    Message.assistant(
        ThinkingPart(text="Look.", signature="c2ln"),
        ThinkingPart(redacted="ZW5j"),
        "Let me see.",
        WEATHER,
        TIME,
    ),
    Message.user(
        ToolResult(call_id="call_2", content="12:00"),
        ToolResult(call_id="call_1", content="no such city", is_error=True),
        "And?",
    ),
]


def build(provider: Anthropic | OpenAI, messages: list[Message]) -> dict[str, Any]:
    """Write a conversation."""
    asked = call(messages=to_messages(messages))
    body: dict[str, Any] = json.loads(provider.build_request(asked, "m").content)
    return body


def test_what_anthropic_is_sent() -> None:
    """Each part in its place, signed and redacted thinking as it came; thinking without a signature is left out."""
    body = build(Anthropic(api_key="k"), ASKED)
    assert body["messages"] == [
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Look.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZW5j"},
                {"type": "text", "text": "Let me see."},
                {
                    "type": "tool_use",
                    "id": "call_1",
                    "name": "weather",
                    "input": {"city": "Köln", "days": 2},
                },
                {"type": "tool_use", "id": "call_2", "name": "time", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": "12:00",
                    "is_error": False,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": "no such city",
                    "is_error": True,
                },
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    unsigned = [Message.user("a"), Message.assistant(ThinkingPart(text="Hm."), "b")]
    assert build(Anthropic(api_key="k"), unsigned)["messages"][1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "b"}],
    }
    alone = [Message.user("a"), Message.assistant(ThinkingPart(text="Hm.")), Message.user("c")]
    assert len(build(Anthropic(api_key="k"), alone)["messages"]) == 2


def test_what_openai_is_sent() -> None:
    """Results are messages of their own, arguments are a text of JSON, and thinking is not said again."""
    assert build(OpenAI(api_key="k"), ASKED)["messages"] == [
        {"role": "user", "content": "How is it?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Köln","days":2}'},
                },
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "time", "arguments": "{}"},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_2", "content": "12:00"},
        {"role": "tool", "tool_call_id": "call_1", "content": "no such city"},
        {"role": "user", "content": "And?"},
    ]
    bare = [
        Message.user("a"),
        Message.assistant(TIME),
        Message.user(ToolResult(call_id="call_2", content="")),
    ]
    _, asked, result = build(OpenAI(api_key="k"), bare)["messages"]
    assert asked["content"] is None
    assert result == {"role": "tool", "tool_call_id": "call_2", "content": ""}


@pytest.mark.parametrize(
    ("wire", "provider"),
    [
        (AnthropicWire(), Anthropic(api_key="k")),
        (GEMINI, Gemini(api_key="k")),
        (OpenAIWire(), OpenAI(api_key="k")),
    ],
)
def test_the_vendors_would_accept_it(wire: Any, provider: Any) -> None:
    """By the emulator's checks, which are the vendors' rules."""
    request = provider.build_request(call(messages=to_messages(ASKED)), "gemini-3-pro")
    target = request.url.partition(".com")[2]
    said = wire.check(request.headers, request.content, require_key=True, target=target)
    assert isinstance(said, Ask), said


RESULT = ToolResult(call_id="call_1", content="x")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Message.user(WEATHER), "role user has a ToolCall.*Message.assistant"),
        (lambda: Message.user(ThinkingPart(text="a")), "role user has a ThinkingPart"),
        (lambda: Message.assistant(RESULT), "role assistant has a ToolResult.*Message.user"),
        (lambda: Message.user({"type": "text"}), "a part of a message is a dict.*TextPart, Too"),
        (lambda: Message.user("a", RESULT), "behind a text .*Anthropic refuses"),
        (
            lambda: Message.user(ToolResult(call_id="a", content={"n": 7})),  # type: ignore[arg-type]
            "the content of a ToolResult is a dict. It has to be a string: write anything else as JSON",
        ),
        (
            lambda: Message.user(ToolResult(call_id=None, content="a")),  # type: ignore[arg-type]
            "the call_id of a ToolResult is None. It has to be the id of the call",
        ),
        (
            lambda: Message.assistant(ToolCall(id="a", name="b", arguments="{}")),  # type: ignore[arg-type]
            "the arguments of a ToolCall is a str. It has to be a dict",
        ),
        (lambda: Message.user(TextPart(7)), "the text of a TextPart is an int"),  # type: ignore[arg-type]
        (lambda: Message.assistant(ThinkingPart(signature=7)), "signature of a ThinkingPart"),  # type: ignore[arg-type]
    ],
)
def test_parts_of_the_wrong_role_or_order(make: Callable[[], object], said: str) -> None:
    """They are refused where the message is made, with the vendor's rule."""
    with pytest.raises(InvalidRequest, match=said):
        make()


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (ASKED[:2], r"messages\[1\] has a call of a tool without a result: 'call_1'"),
        ([*ASKED[:2], Message.user("And?")], r"messages\[1\] has a call .*: 'call_1'"),
        ([*ASKED[:2], Message.user(RESULT)], r"without a result: 'call_2'.*Anthropic and OpenAI"),
        ([Message.user(RESULT)], r"messages\[0\] has a result of a tool that nobody has called"),
        ([*ASKED, Message.user(RESULT)], r"messages\[3\] has a result of a tool that nobody"),
        (
            [
                Message.user("a"),
                Message.assistant(WEATHER),
                Message.user(RESULT, RESULT),
            ],
            r"messages\[2\] has a result .* or has it twice: 'call_1'",
        ),
        (
            [Message.user("a"), Message.assistant(WEATHER, WEATHER)],
            "two calls of tools with one id",
        ),
    ],
)
def test_calls_and_results_that_do_not_belong_together(messages: list[Message], said: str) -> None:
    """Each call has its result in the next message, and each result its call."""
    with pytest.raises(InvalidRequest, match=said):
        to_messages(messages)


END = Finish("end", "end_turn", Usage())


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([], ()),
        ([TextDelta("a"), TextDelta("b")], (TextPart("ab"),)),
        ([WEATHER, ToolCallDelta(1, "x", "y", "{"), Reset(), TextDelta("b")], (TextPart("b"),)),
        (
            [ThinkingDelta("a"), ThinkingDelta("b"), ThinkingSignature("s"), TextDelta("c")],
            (ThinkingPart(text="ab", signature="s"), TextPart("c")),
        ),
        (
            [
                ThinkingDelta("a"),
                ThinkingSignature("s"),
                ThinkingDelta("b"),
                ThinkingSignature("t"),
            ],
            (ThinkingPart(text="a", signature="s"), ThinkingPart(text="b", signature="t")),
        ),
        (
            [RedactedThinking("x"), ThinkingSignature("s"), TextDelta("a"), ThinkingDelta("b")],
            (
                ThinkingPart(redacted="x"),
                ThinkingPart(signature="s"),
                TextPart("a"),
                ThinkingPart(text="b"),
            ),
        ),
        ([TextDelta("gone"), ThinkingDelta("gone"), Reset(), TextDelta("a")], (TextPart("a"),)),
    ],
)
def test_an_answer_in_its_order(events: list[Event], parts: tuple[object, ...]) -> None:
    """However its events come."""
    whole, one_by_one = Accumulator(), Accumulator()
    whole.add([*events, END])
    for event in [*events, END]:
        one_by_one.add([event])
    assert whole.parts == one_by_one.parts == parts
    assert whole.text == "".join(part.text for part in parts if isinstance(part, TextPart))
    assert whole.size == len(whole.text) + len(whole.thinking)
    assert whole.finish == END

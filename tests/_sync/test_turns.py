# Generated from tests/_async/test_turns.py. Do not edit.
"""Answers that are carried into the next turn."""

from __future__ import annotations

import pytest

from llmkit import Message, TextPart, ToolCall, ToolCallBroken, ToolCallDelta, ToolResult
from llmkit.events import Event
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit

THINKS = Behaviour(thinking="Let me think.", text="Hi there.", delay=0)


@pytest.mark.parametrize("streaming", [True, False])
def test_signed_thinking_goes_back_as_it_came(*, streaming: bool) -> None:
    """In its place before the text: Anthropic refuses an answer whose thinking was changed."""
    with Emulator(behaviour=THINKS) as emulator:
        kit = make_kit(emulator)
        client = kit.client
        if streaming:
            with client.stream("a") as stream:
                for _ in stream:
                    pass
            reply = stream.response
        else:
            reply = client.complete("a")
        again = [Message.user("a"), Message.assistant(reply), Message.user("b")]
        assert (client.complete(again)).text == "Hi there."
        kit.close()
        sent = emulator.requests[1].body["messages"][1]
    assert sent == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Let me think.", "signature": "ZW11bGF0b3I="},
            {"type": "text", "text": "Hi there."},
        ],
    }


def test_thinking_that_nobody_signs_is_not_said_again() -> None:
    """Chat completions have no word for it."""
    with Emulator(behaviour=THINKS) as emulator:
        kit = make_kit(emulator, wire="openai")
        reply = kit.client.complete("a")
        assert (reply.thinking, reply.text) == ("Let me think.", "Hi there.")
        kit.client.complete(
            [Message.user("a"), Message.assistant(reply), Message.user("b")]
        )
        kit.close()
        assert emulator.requests[1].body["messages"][1] == {
            "role": "assistant",
            "content": "Hi there.",
        }


CALLS = (
    {"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}},
    {"name": "time"},
)
ASKS = Behaviour(text="Let me see.", calls=CALLS, delay=0)


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@pytest.mark.parametrize("streaming", [True, False])
def test_calls_of_tools_and_their_results(wire: str, *, streaming: bool) -> None:
    """A call is handed on when the answer is complete; its result goes back by its id."""
    with Emulator(behaviour=Behaviour(text="It rains.", delay=0)) as emulator:
        emulator.script(ASKS)
        kit = make_kit(emulator, wire=wire)
        client, events = kit.client, list[Event]()
        if streaming:
            with client.stream("How is it?") as stream:
                for event in stream:
                    events.append(event)
            reply = stream.response
            whole = [event for event in events if isinstance(event, ToolCall)]
            pieces = [event for event in events if isinstance(event, ToolCallDelta)]
            assert tuple(whole) == reply.tool_calls
            said = "".join(each.arguments for each in pieces if each.index == 0)
            assert said == '{"city": "Köln", "days": [1, 2]}'
            assert events.index(pieces[-1]) < events.index(whole[0])
        else:
            reply = client.complete("How is it?")
        assert reply.stop_reason == "tool_use"
        text, weather, time = reply.parts
        assert text == TextPart("Let me see.")
        assert isinstance(weather, ToolCall)
        assert isinstance(time, ToolCall)
        assert (weather.name, weather.arguments) == ("weather", CALLS[0]["arguments"])
        assert (time.name, time.arguments) == ("time", {})
        again = [
            Message.user("How is it?"),
            Message.assistant(reply),
            Message.user(
                ToolResult(call_id=weather.id, content="rain"),
                ToolResult(call_id=time.id, content="12:00"),
            ),
        ]
        assert (client.complete(again)).text == "It rains."
        kit.close()


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_broken_call_is_an_error(wire: str, *, streaming: bool) -> None:
    """Asked for again where nothing was seen of it, else raised, with what was said before."""
    broken = Behaviour(text="Hm.", calls=({"name": "f", "arguments": '{"a": 1'},), delay=0)
    with Emulator(behaviour=broken) as emulator:
        kit = make_kit(emulator, wire=wire)
        client = kit.client
        with pytest.raises(ToolCallBroken, match="arguments that are no JSON object") as caught:
            if streaming:
                with client.stream("Go") as stream:
                    for event in stream:
                        assert not isinstance(event, ToolCall)
            else:
                client.complete("Go")
        kit.close()
        assert (len(emulator.requests) > 1) is not streaming
    if streaming:
        assert caught.value.response is not None
        assert (caught.value.response.text, caught.value.response.tool_calls) == ("Hm.", ())

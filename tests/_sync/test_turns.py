# Generated from tests/_async/test_turns.py. Do not edit.
"""Answers that are carried into the next turn."""

from __future__ import annotations

import pytest

from llmkit import Message
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

"""Arguments of tools that are nested deeper than Python's own limit, or nearly so."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from llmkit import FunctionProvider
from llmkit.errors import InvalidRequest, ProtocolError
from llmkit.messages import Message
from llmkit.parts import ToolCall
from llmkit.policy.estimate import estimate_prompt
from support.decoding import PROVIDERS, Outcome, call, decode, whole_decoder

# Where the arguments stand in a whole answer, as an object, which some servers send also where they should be a text.
NESTED = {
    "openai": '{"choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","tool_calls":'
    '[{"id":"a","type":"function","function":{"name":"f","arguments":%s}}]}}]}',
    "openai-responses": '{"object":"response","status":"completed","output":'
    '[{"type":"function_call","call_id":"a","name":"f","arguments":%s}]}',
    "anthropic": '{"type":"message","role":"assistant","stop_reason":"tool_use","content":'
    '[{"type":"tool_use","id":"a","name":"f","input":%s}]}',
    "gemini": '{"candidates":[{"finishReason":"STOP","content":{"parts":[{"functionCall":{"name":"f","args":%s}}]}}]}',
    "ollama": '{"done":true,"done_reason":"stop","message":{"tool_calls":[{"function":{"name":"f","arguments":%s}}]}}',
}


def nested(wire: str, depth: int) -> Outcome:
    """Read an answer whose arguments are nested so deep."""
    arguments = '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)
    return decode(whole_decoder(wire), [(NESTED[wire] % arguments).encode()])


@pytest.mark.parametrize("wire", sorted(NESTED))
def test_arguments_that_are_nested_deep(wire: str) -> None:
    """Two hundred levels are read, and can be written again; more are an error of ours, at whatever depth Python itself gives up."""
    asked = call(messages=(Message.assistant(*nested(wire, 200).calls),))
    content = PROVIDERS[wire].build_request(asked, "m").content
    assert content.replace(b"\\", b"").count(b'"a":{') == 199
    assert estimate_prompt(asked) > 200
    for depth in (201, 500, *range(800, 1010), 5000):
        found = nested(wire, depth)
        assert found.failure is not None
        assert issubclass(found.failure[0], ProtocolError)
        assert not found.calls


ALL = {**PROVIDERS, "own": FunctionProvider("own", lambda call, model: "Hello")}


@pytest.mark.parametrize("wire", sorted(ALL))
def test_arguments_of_the_apps_own_that_are_nested_deep(wire: str) -> None:
    """They are refused where they cannot be written, and their tokens are estimated all the same."""
    arguments: dict[str, Any] = {}
    for depth in range(1100):
        arguments = {"a": arguments}
        if depth < 900:
            continue
        asked = call(messages=(Message.assistant(ToolCall(id="a", name="f", arguments=arguments)),))
        with contextlib.suppress(InvalidRequest):
            ALL[wire].build_request(asked, "m")
        assert estimate_prompt(asked) > 0
    # Newer Pythons write deeper ones, to an end of their own.
    for _ in range(100_000):
        arguments = {"a": arguments}
    asked = call(messages=(Message.assistant(ToolCall(id="a", name="f", arguments=arguments)),))
    assert estimate_prompt(asked) > 0
    with pytest.raises(InvalidRequest):
        ALL[wire].build_request(asked, "m")


def test_wide_arguments() -> None:
    """Many lists beside each other are not deep."""
    arguments = {"rows": [[[number]] for number in range(1000)]}
    answer = (NESTED["ollama"] % json.dumps(arguments)).encode()
    [found] = decode(whole_decoder("ollama"), [answer]).calls
    assert found.arguments == arguments

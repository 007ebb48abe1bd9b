"""The vendors' own SDKs as oracles for calls of tools: given the same bytes, our client reads the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from _async.sdks import Reading, by_sdk
from llmkit import LLMKitError
from llmkit.testing import Behaviour, Emulator
from support.kits import ALL_WIRES, make_kit

for sdk in ("anthropic", "google.genai", "ollama", "openai"):
    pytest.importorskip(sdk)


def call(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """Ask for a tool."""
    return {"name": name, **({} if arguments is None else {"arguments": arguments}), **more}


ONE = call("weather", {"city": "Köln", "days": 3})
TWO = call("add", {"a": 1, "b": [2, {"c": None}]})
CACHED = {
    "anthropic": {
        "input_tokens": 7,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 9,
    },
    "gemini": {
        "promptTokenCount": 127,
        "cachedContentTokenCount": 100,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 5,
        "totalTokenCount": 136,
    },
    "ollama": {"prompt_eval_count": 127, "eval_count": 9},
    "openai": {
        "prompt_tokens": 127,
        "completion_tokens": 9,
        "total_tokens": 136,
        "prompt_tokens_details": {"cached_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
    "openai-responses": {
        "input_tokens": 127,
        "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 136,
    },
}
ZERO = {
    "anthropic": {"input_tokens": 0, "output_tokens": 0},
    "openai": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
}
LONG = 'Ein langer Satz, mit \\ "Zeichen" und 😀. ' * 40
# Which some take for the end of a line.
SEPARATORS = "one\u2028two\u2029three\x85four\x0cfive"

# What is said, for either wire.
SAID: dict[str, dict[str, Any]] = {
    "a tool": {"text": "", "calls": (ONE,)},
    "text and a tool": {"text": "Let me see.", "calls": (ONE,)},
    "two tools": {"text": "", "calls": (ONE, TWO)},
    "text and two tools": {"text": "Both.", "calls": (ONE, TWO)},
    "nine tools": {"text": "", "calls": tuple(call("f", {"at": at}) for at in range(9))},
    "the same tool twice": {"text": "", "calls": (ONE, ONE)},
    "no arguments": {"text": "", "calls": (call("now"),)},
    "tools without and with arguments": {"text": "", "calls": (call("now"), ONE, call("now"))},
    "arguments of an empty piece": {"text": "", "calls": (call("now", ("", "{}")),)},
    "an id of another kind": {"text": "", "calls": (call("f", {"a": 1}, id="x-1.2:3"),)},
    "arguments in one piece": {"text": "", "calls": (call("f", ('{"a": "b"}',)),)},
    "arguments a letter at a time": {"text": "", "calls": (call("f", tuple('{"a": [1, 2]}')),)},
    "arguments with white space": {"text": "", "calls": (call("f", '\n{ "a" :\t1 }\n'),)},
    "arguments in pieces of nothing": {
        "text": "",
        "calls": (call("f", ("", "{", "", '"a":1', "", "}", "")),),
    },
    "long arguments": {"text": "", "calls": (call("f", {"text": LONG}),)},
    "numbers": {"text": "", "calls": (call("f", {"a": 1.5e-7, "b": -0.0, "c": 10**15}),)},
    "escaped letters": {"text": "", "calls": (call("f", '{"a": "\\u00e9\\ud83d\\ude00\\n"}'),)},
    "letters that end lines elsewhere": {"text": (SEPARATORS, SEPARATORS)},
    "deep arguments": {"text": "", "calls": (call("f", {"a": {"b": {"c": [[[{"d": 1}]]]}}}),)},
    "thinking and a tool": {"thinking": "Hm, well.", "text": "", "calls": (ONE,)},
    "thinking, text and tools": {"thinking": "Hm.", "text": "So.", "calls": (ONE, TWO)},
    "thinking alone": {"thinking": "Hm, well.", "text": "So it is."},
    "a refusal": {"text": "I will not.", "stop_reason": "refusal"},
    "a filter": {"text": "Once upon", "stop_reason": "content_filter"},
    "a limit in the text": {"text": "Once upon a", "stop_reason": "max_tokens"},
    "a limit behind a tool": {"text": "", "calls": (ONE,), "stop_reason": "max_tokens"},
    "a stop sequence": {"text": "Once upon", "stop_reason": "stop_sequence"},
    "a pause": {"text": "Let me look that up.", "stop_reason": "pause"},
    "usage with a cache": {"text": "Hi.", "calls": (ONE,), "usage": CACHED},
    "usage in every chunk": {"text": "Hi.", "calls": (ONE,), "usage_in": "every"},
    "usage with the reason": {"text": "Hi.", "calls": (ONE,), "usage_in": "finish"},
    "pings between": {"text": "Hi there.", "calls": (ONE, TWO), "pings": 0.001, "delay": 0.002},
}

# Where we differ on purpose: the wire, what is said, what we read, and why.
DIFFERENT: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "arguments that are cut off": (
        "openai",
        {"text": "", "calls": (call("f", '{"a": "b'),)},
        {"ended": False},
        "half a call is an error; the SDKs hand it on, or as much of it as can be read",
    ),
    "arguments that are no object": (
        "openai",
        {"text": "", "calls": (call("f", "[1]"),)},
        {"ended": False},
        "a tool takes its arguments by their names",
    ),
    "usage that is nothing": (
        "openai",
        {"text": "Hi.", "usage": ZERO},
        {"text": "Hi.", "stop_reason": "stop"},
        "no prompt has 0 tokens: what a server does not count is not known",
    ),
    "letters that end lines elsewhere, one JSON document a line": (
        "ollama",
        {"text": (SEPARATORS,)},
        {"text": SEPARATORS, "stop_reason": "stop", "input_tokens": 5, "output_tokens": 1},
        "the SDK takes them for the end of a line, and fails on half of a document",
    ),
    "an id of a call, from Ollama": (
        "ollama",
        {"text": "", "calls": (call("f", {"a": 1}, id="x-1"),)},
        {
            "calls": (("x-1", "f", {"a": 1}),),
            "stop_reason": "stop",
            "input_tokens": 5,
            "output_tokens": 1,
        },
        "newer servers give ids, which the SDK does not read",
    ),
}


def behaviour(wire: str, said: dict[str, Any], **more: Any) -> Behaviour:
    """Say it in a wire's form."""
    fields = {"delay": 0, **said, **more}
    calls = fields.get("calls", ())
    fields["calls"] = tuple({"id": f"call_{at}", **each} for at, each in enumerate(calls))
    if isinstance(fields.get("usage"), dict):
        fields["usage"] = fields["usage"][wire]
    return Behaviour(**fields)


async def by_us(emulator: Emulator, wire: str, *, streaming: bool) -> Reading:
    """Read an answer with our client."""
    kit = make_kit(emulator, wire=wire, retry={"attempts": 1})
    try:
        if streaming:
            async with kit.async_client.stream("Hi", max_tokens=9999) as stream:
                async for _ in stream:
                    pass
            reply = stream.response
        else:
            reply = await kit.async_client.complete("Hi", max_tokens=9999)
    except LLMKitError:
        return Reading(ended=False)
    finally:
        await kit.aclose()
    usage = reply.usage
    return Reading(
        text=reply.text,
        thinking=reply.thinking,
        calls=tuple((each.id, each.name, dict(each.arguments)) for each in reply.tool_calls),
        stop_reason=reply.raw_stop_reason,
        input_tokens=usage.input_tokens if usage.input_source == "reported" else None,
        output_tokens=usage.output_tokens if usage.output_source == "reported" else None,
    )


SENT: dict[str, tuple[bool, dict[str, Any]]] = {
    "whole": (False, {}),
    "streamed": (True, {}),
    "a byte a write": (True, {"chunk_size": 1}),
    "gzip": (True, {"encoding": "gzip"}),
}


# What a wire cannot say, or its SDK cannot read: that is among the differences.
NOT_ALIKE = {"ollama": ("an id of another kind", "letters that end lines elsewhere")}
ALIKE = [(wire, name) for wire in ALL_WIRES for name in SAID if name not in NOT_ALIKE.get(wire, ())]


@pytest.mark.anyio
@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize(("wire", "name"), ALIKE)
async def test_we_read_what_the_sdk_reads(wire: str, name: str, sent: str) -> None:
    """Calls with their arguments, text, thinking, stop reason and tokens."""
    streaming, more = SENT[sent]
    with Emulator(behaviour=behaviour(wire, SAID[name], **more)) as emulator:
        theirs = await by_sdk(emulator, wire, streaming=streaming)
        ours = await by_us(emulator, wire, streaming=streaming)
    assert ours == theirs
    assert len(theirs.calls) == len(SAID[name].get("calls", ()))


@pytest.mark.anyio
@pytest.mark.parametrize("sent", ["streamed", "whole"])
@pytest.mark.parametrize("name", DIFFERENT)
async def test_where_we_differ_on_purpose(name: str, sent: str) -> None:
    """The table says what we read and why; without a difference it would have no place there."""
    wire, said, changes, why = DIFFERENT[name]
    streaming, _ = SENT[sent]
    with Emulator(behaviour=behaviour(wire, said)) as emulator:
        theirs = await by_sdk(emulator, wire, streaming=streaming)
        ours = await by_us(emulator, wire, streaming=streaming)
    assert ours == replace(Reading(), **changes), why
    # Where an answer comes whole, no line ends.
    assert ours != theirs or (name.startswith("letters") and not streaming)

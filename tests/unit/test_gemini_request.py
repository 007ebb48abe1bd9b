"""Gemini: how a call is said."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from llmkit import Kit
from llmkit.errors import ConfigError, InvalidRequest
from llmkit.messages import Message
from llmkit.outputs.output import output_of
from llmkit.parts import TextPart, ThinkingPart, ToolCall, ToolResult
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.gemini import Gemini
from llmkit.providers.over_http import USER_AGENT
from llmkit.testing import Emulator
from llmkit.tools.tool import Tool
from support.decoding import call

HOME = "https://generativelanguage.googleapis.com/v1beta/models/"


def body_of(model: str = "gemini-3-pro", **fields: object) -> Any:
    """Build a request and return its body."""
    return json.loads(Gemini(api_key="k").build_request(call(**fields), model).content)


def weather(city: str) -> str:
    """Say how the weather is."""
    return city


def test_a_streamed_call() -> None:
    """The key is in a header, never in the URL, which has the model and the way to answer."""
    request = Gemini(api_key="test-key").build_request(call(), "gemini-3-pro")
    assert (request.method, request.url) == (
        "POST",
        f"{HOME}gemini-3-pro:streamGenerateContent?alt=sse",
    )
    assert request.headers == {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "x-goog-api-key": "test-key",
    }
    assert json.loads(request.content) == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}]
    }


def test_every_option() -> None:
    """Under the vendor's names; what `extra` says of the configuration is joined with it."""
    found = body_of(
        streaming=False,
        system="Be brief.",
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        stop=("X",),
        seed=7,
        extra={
            "generationConfig": {"topP": 0.25, "thinkingConfig": {"includeThoughts": True}},
            "safetySettings": [],
        },
    )
    assert found == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {
            "maxOutputTokens": 9,
            "temperature": 0.0,
            "topP": 0.25,
            "stopSequences": ["X"],
            "seed": 7,
            "thinkingConfig": {"includeThoughts": True},
        },
        "safetySettings": [],
    }
    request = Gemini(api_key="k").build_request(call(streaming=False), "m")
    assert request.url.endswith("/models/m:generateContent")
    assert request.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("base_url", "model", "url"),
    [
        ("https://g.example", "m", "https://g.example/v1beta/models/m:"),
        ("https://g.example/v1/", "m", "https://g.example/v1/models/m:"),
        (
            "https://eu-aiplatform.example/v1/projects/p/locations/eu/publishers/google",
            "m",
            "https://eu-aiplatform.example/v1/projects/p/locations/eu/publishers/google/models/m:",
        ),
        ("https://g.example", "models/m", "https://g.example/v1beta/models/m:"),
        ("https://g.example", "tunedModels/m-1", "https://g.example/v1beta/tunedModels/m-1:"),
        ("https://g.example", "../a?b=c#d", "https://g.example/v1beta/models/..%2Fa%3Fb%3Dc%23d:"),
    ],
)
def test_addresses(base_url: str, model: str, url: str) -> None:
    """The version is there already or is added; a model cannot change the path."""
    request = Gemini(api_key=None, base_url=base_url).build_request(call(), model)
    assert request.url == f"{url}streamGenerateContent?alt=sse"
    assert "x-goog-api-key" not in request.headers


def test_a_key_in_the_address_is_refused() -> None:
    """The vendor's documents show it so; it would stand in every log."""
    with pytest.raises(ConfigError, match="a password, a query or a fragment"):
        Gemini(api_key=None, base_url="https://g.example/v1beta?key=k")


def test_tools() -> None:
    """Declared with their JSON Schema; which one has to be called stands beside them."""
    found = body_of(tools=(Tool(weather),), tool_choice="weather")
    [declared] = found["tools"][0]["functionDeclarations"]
    assert declared["name"] == "weather"
    assert declared["description"] == "Say how the weather is."
    assert declared["parametersJsonSchema"]["properties"] == {"city": {"type": "string"}}
    assert found["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}
    }
    for choice, mode in (("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")):
        config = body_of(tools=(Tool(weather),), tool_choice=choice)["toolConfig"]
        assert config == {"functionCallingConfig": {"mode": mode}}
    streams = {"functionCallingConfig": {"streamFunctionCallArguments": True}}
    config = body_of(tools=(Tool(weather),), tool_choice="auto", extra={"toolConfig": streams})
    assert config["toolConfig"]["functionCallingConfig"] == {
        "mode": "AUTO",
        "streamFunctionCallArguments": True,
    }
    assert "toolConfig" not in body_of(tools=(Tool(weather),), parallel_tool_calls=True)
    with pytest.raises(InvalidRequest, match="gemini does not support parallel_tool_calls=False"):
        body_of(tools=(Tool(weather),), parallel_tool_calls=False)


ONE = ToolCall(id="call_0", name="weather", arguments={"city": "Köln"}, signature="EqQB")
TWO = ToolCall(id="call_1", name="now", arguments={})


def turns(*parts: Any) -> dict[str, object]:
    """Make a conversation in which a model has said these parts, and each call has its result, the last one first."""
    results = [
        ToolResult(call_id="call_1", content='{"time": "12:00"}'),
        ToolResult(call_id="call_0", content="no such city", is_error=True),
    ]
    messages = (Message.user("How is it?"), Message.assistant(*parts), Message.user(*results))
    return {"messages": messages}


def test_a_conversation_with_calls() -> None:
    """Signatures go back with the parts they came with; results follow in the order of their calls, an object as one."""
    _, asked, given = body_of(**turns(TextPart("Let me see."), ONE, TWO))["contents"]
    assert asked == {
        "role": "model",
        "parts": [
            {"text": "Let me see."},
            {
                "functionCall": {"id": "call_0", "name": "weather", "args": {"city": "Köln"}},
                "thoughtSignature": "EqQB",
            },
            {"functionCall": {"id": "call_1", "name": "now", "args": {}}},
        ],
    }
    assert given == {
        "role": "user",
        "parts": [
            {
                "functionResponse": {
                    "id": "call_0",
                    "name": "weather",
                    "response": {"error": "no such city"},
                }
            },
            {
                "functionResponse": {
                    "id": "call_1",
                    "name": "now",
                    "response": {"output": {"time": "12:00"}},
                }
            },
        ],
    }


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        ("gemini-3-pro", "skip_thought_signature_validator"),
        ("gemini-flash-latest", "skip_thought_signature_validator"),
        ("gemini-2.5-flash", None),
        ("models/gemini-2.5-flash", None),
    ],
)
def test_calls_of_another_vendors_model(model: str, signature: str | None) -> None:
    """Have no signature: a model that insists on one is told so, at the first of them."""
    other = ToolCall(id="call_0", name="weather", arguments={})
    _, asked, _ = body_of(model, **turns(other, TWO))["contents"]
    assert [part.get("thoughtSignature") for part in asked["parts"]] == [signature, None]


def test_thinking_goes_back_to_whom_it_came_from() -> None:
    """Signed by this vendor it is sent, alone or with its text; of another's, or unsigned, it is not."""
    parts = [
        ThinkingPart(text="Hm.", signature="a", wire="gemini"),
        TextPart("27"),
        ThinkingPart(signature="b", wire="gemini"),
        ThinkingPart(text="Hm.", signature="c", wire="anthropic"),
        ThinkingPart(text="Hm."),
        ThinkingPart(redacted="d", wire="anthropic"),
    ]
    messages = (Message.user("a"), Message.assistant(*parts), Message.user("b"))
    assert body_of(messages=messages)["contents"][1]["parts"] == [
        {"text": "Hm.", "thought": True, "thoughtSignature": "a"},
        {"text": "27"},
        {"text": "", "thoughtSignature": "b"},
    ]
    request = Anthropic(api_key="k").build_request(call(messages=messages), "claude")
    assert json.loads(request.content)["messages"][1]["content"] == [
        {"type": "text", "text": "27"},
        {"type": "thinking", "thinking": "Hm.", "signature": "c"},
        {"type": "redacted_thinking", "data": "d"},
    ]
    nothing = (Message.user("a"), Message.assistant(ThinkingPart(text="Hm.")), Message.user("b"))
    assert len(body_of(messages=nothing)["contents"]) == 2


class Place(BaseModel):
    """Where."""

    kind: str
    to: dict[str, int]


def test_a_typed_answer() -> None:
    """Any schema is taken, also one with fields of any name."""
    config = body_of(output=output_of(Place))["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["properties"]["to"] == {
        "type": "object",
        "additionalProperties": {"type": "integer"},
    }


def only(kind: Literal["a"], const: str = "x") -> str:
    """Take one thing alone."""
    return kind + const


def test_a_constant_is_a_choice_of_one() -> None:
    """The vendor has no other word for it, in an answer or in the arguments of a tool."""
    config = body_of(output=output_of(list[Literal["a"]]))["generationConfig"]
    items = config["responseJsonSchema"]["properties"]["value"]["items"]
    assert items == {"type": "string", "enum": ["a"]}
    [declared] = body_of(tools=(Tool(only),))["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"]["properties"] == {
        "kind": {"type": "string", "enum": ["a"]},
        "const": {"type": "string", "default": "x"},
    }


WORDS = ("const", "enum", "properties", "items", "anyOf", "not", "default", "type", "$defs")


def test_fields_named_as_words_of_json_schema() -> None:
    """Are fields: what they are called is the app's, and what they are said to be is translated all the same."""
    one = {"const": 1}
    fields = {
        "type": "object",
        "properties": dict.fromkeys(WORDS, one),
        "required": list(WORDS),
        "default": {"const": "x"},
        "$defs": {"const": {"anyOf": [one, {"items": {"prefixItems": [one]}}, True]}},
        "additionalProperties": False,
    }
    wanted = {"enum": [1]}
    [declared] = body_of(tools=(Tool(only, schema=fields),))["tools"][0]["functionDeclarations"]
    assert declared["parametersJsonSchema"] == {
        **fields,
        "properties": dict.fromkeys(WORDS, wanted),
        "$defs": {"const": {"anyOf": [wanted, {"items": {"prefixItems": [wanted]}}, True]}},
    }


class Setting(BaseModel):
    """How C++ declares it."""

    const: str
    enum: list[Literal["a"]]


def test_a_type_with_such_fields_is_taken_and_answered() -> None:
    """By the emulator, which refuses what the vendor does not know."""
    with Emulator() as emulator:
        provider = Gemini(api_key="k", base_url=emulator.base_url)
        kit = Kit({"ledger": False}, providers=[provider])
        reply = kit.client.complete("Hi", model="gemini:gemini-3-pro", output_type=Setting)
        kit.close()
    assert reply.output == Setting(const="An example.", enum=["a"])

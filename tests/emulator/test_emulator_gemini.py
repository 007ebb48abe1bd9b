"""The emulator as Gemini, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from llmkit.testing.emulator import reply
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.server import GEMINI
from llmkit.testing.emulator.wires.base import Failure, Stamp
from support.emulator import RawClient, events, parts

STREAM = "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
WHOLE = "/v1beta/models/gemini-3-pro:generateContent"
KEY = {"x-goog-api-key": "sk-canary"}
HI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
TOOL = {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}


def checked(body: Any, *, target: str = STREAM, headers: dict[str, str] = KEY) -> Ask | Failure:
    """Have a request checked."""
    return GEMINI.check(headers, json.dumps(body).encode(), require_key=True, target=target)


def said(behaviour: Behaviour, *, target: str = STREAM, **fields: Any) -> bytes:
    """Return the body of an answer."""
    ask = checked({**HI, **fields}, target=target)
    assert isinstance(ask, Ask), ask
    return reply.answer(GEMINI, ask, behaviour, Stamp(7, 1_750_000_000.0)).body


def test_a_stream() -> None:
    """A document for each token, and one with the reason and all counts; no event has a name, and none says that it is the last."""
    found = [data for _, data in events(said(Behaviour(text="a b", delay=0)))]
    texts = [each["candidates"][0]["content"]["parts"][0]["text"] for each in found]
    assert texts == ["a", " b", ""]
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"
    assert found[-1]["usageMetadata"]["candidatesTokenCount"] == 2
    assert {each["responseId"] for each in found} == {"emulator000000000007"}
    assert [each["usageMetadata"]["promptTokenCount"] for each in found] == [6, 6, 6]


def test_thinking_is_signed() -> None:
    """In a part of its own, and its signature comes with the last one; counts of thinking are apart."""
    body = said(Behaviour(thinking="hm hm", text="a"))
    found = [data["candidates"][0]["content"]["parts"][0] for _, data in events(body)]
    assert found[0] == {"text": "hm", "thought": True}
    assert found[-1]["thoughtSignature"]
    usage = events(body)[-1][1]["usageMetadata"]
    assert (usage["thoughtsTokenCount"], usage["candidatesTokenCount"]) == (2, 1)


def test_calls_come_whole_or_in_pieces() -> None:
    """As the request asks for it."""
    calls = Behaviour(text="", calls=({"name": "f", "arguments": {"a": [1, "long text here"]}},))
    [call] = [
        part["functionCall"]
        for _, data in events(said(calls))
        for part in data["candidates"][0]["content"]["parts"]
        if "functionCall" in part
    ]
    assert call == {"name": "f", "args": {"a": [1, "long text here"]}}
    config = {"functionCallingConfig": {"streamFunctionCallArguments": True}}
    pieces = [
        piece["jsonPath"]
        for _, data in events(said(calls, toolConfig=config))
        for part in data["candidates"][0]["content"]["parts"]
        for piece in part.get("functionCall", {}).get("partialArgs", ())
    ]
    assert pieces == ["$.a[0]", "$.a[1]", "$.a[1]", "$.a[1]"]


def test_schemas_and_forced_tools() -> None:
    """Of itself it answers what fits."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    found = json.loads(said(Behaviour(), target=WHOLE, generationConfig=config))
    assert json.loads(found["candidates"][0]["content"]["parts"][0]["text"]) == {"a": 1}
    forced = {"functionCallingConfig": {"mode": "ANY"}}
    found = json.loads(said(Behaviour(), target=WHOLE, tools=[TOOL], toolConfig=forced))
    assert found["candidates"][0]["content"]["parts"][0]["functionCall"]["name"] == "f"


def turn(role: str, *said: Any) -> dict[str, Any]:
    """Write a turn."""
    return {"role": role, "parts": list(said)}


CALL = {"functionCall": {"name": "f", "args": {}}}
RESULT = {"functionResponse": {"name": "f", "response": {"output": "x"}}}
ASKED = turn("user", {"text": "hi"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "m"}, 'Unknown name "model"'),
        ({"contents": []}, "contents is not specified"),
        ({"contents": [turn("assistant", {"text": "x"})]}, "valid role: user, model"),
        ({"contents": [turn("user")]}, "parts must not be empty"),
        ({"contents": [turn("user", {"txt": "x"})]}, 'Unknown name "txt"'),
        ({"contents": [turn("user", {"thought": True})]}, "required oneof field 'data'"),
        ({"contents": [turn("user", {"text": 7})]}, "TYPE_STRING"),
        ({"contents": [turn("user", {"functionCall": {"args": []}})]}, "function_call.args"),
        ({"contents": [ASKED, turn("user", {"functionResponse": {"name": "f"}})]}, "Struct"),
        ({"systemInstruction": {"parts": []}}, "parts must not be empty"),
        ({"generationConfig": {"max_tokens": 9}}, 'Unknown name "max_tokens"'),
        ({"generationConfig": {"maxOutputTokens": 0}}, "must be positive"),
        ({"generationConfig": {"temperature": 3}}, "must be in the range [0.0, 2.0]"),
        ({"generationConfig": {"stopSequences": ["a"] * 6}}, "at most 5"),
        ({"generationConfig": {"stopSequences": [""]}}, "not empty"),
        ({"generationConfig": {"responseJsonSchema": {}}}, "requires response_mime_type"),
        (
            {
                "generationConfig": {
                    "responseMimeType": "application/json",
                    "responseJsonSchema": {"type": "object", "properties": {"a": {"const": 1}}},
                }
            },
            "'const' is not permitted",
        ),
        ({"tools": {}}, "Invalid value at"),
        ({"tools": [{"functionDeclarations": [{"name": "9"}]}]}, "Must start with a letter"),
        (
            {"tools": [TOOL], "toolConfig": {"functionCallingConfig": {"mode": "REQUIRED"}}},
            "mode",
        ),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["f"]}}},
            "mode is ANY",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_decl"),
        ({"contents": [ASKED, turn("model", CALL)]}, "number of function response parts"),
        ({"contents": [ASKED, turn("user", RESULT)]}, "number of function response parts"),
        ({"contents": [ASKED, turn("model", CALL), turn("user", RESULT)]}, "thought_signature"),
    ],
)
def test_refusals(change: dict[str, Any], words: str) -> None:
    """In the vendor's words, as INVALID_ARGUMENT."""
    failure = checked({**HI, **change})
    assert isinstance(failure, Failure)
    assert (failure.status, failure.type) == (400, "INVALID_ARGUMENT")
    assert words in failure.message


def test_what_only_later_models_take() -> None:
    """A signature is asked for from the third on, and in this turn alone; tools beside a schema are taken from there on."""
    old = "/v1beta/models/gemini-2.5-pro:generateContent"
    done = [ASKED, turn("model", CALL), turn("user", RESULT)]
    assert isinstance(checked({"contents": done}, target=old), Ask)
    signed = [ASKED, turn("model", {**CALL, "thoughtSignature": "x"}), turn("user", RESULT)]
    assert isinstance(checked({"contents": signed}), Ask)
    later = [*done, turn("model", {"text": "x"}), ASKED]
    assert isinstance(checked({"contents": later}), Ask)
    config = {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}}
    both = {**HI, "tools": [TOOL], "generationConfig": config}
    assert isinstance(checked(both), Ask)
    assert isinstance(checked(both, target=old), Failure)


def test_keys_and_addresses() -> None:
    """Without a key it is nobody; a stream is asked for as events; arguments stream in streams alone."""
    failure = checked(HI, headers={})
    assert isinstance(failure, Failure)
    assert (failure.status, failure.type) == (403, "PERMISSION_DENIED")
    assert isinstance(checked(HI, target=STREAM.removesuffix("?alt=sse")), Failure)
    config = {"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}}}
    assert isinstance(checked({**HI, **config}), Ask)
    assert isinstance(checked({**HI, **config}, target=WHOLE), Failure)
    assert isinstance(GEMINI.check(KEY, b"{", require_key=True, target=STREAM), Failure)


def test_over_a_socket() -> None:
    """Models are listed; an address that there is not is refused in the vendor's form; a quota says which one it is."""
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        for path, status in (("/v1beta/models", "200"), ("/v1beta/models/x:countTokens", "404")):
            with RawClient(emulator) as client:
                close = {"connection": "close", **KEY}
                headers, body = parts(client.request("GET", path, headers=close).read_all())
            assert headers[":status"] == status
            assert ("models" if status == "200" else "error") in json.loads(body)
        emulator.script(Behaviour(status=429, error_code="PerDay", retry_after=9))
        with RawClient(emulator) as client:
            asked = client.request("POST", WHOLE, json.dumps(HI).encode(), close)
            headers, body = parts(asked.read_all())
        error = json.loads(body)["error"]
        assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert [detail["@type"].rpartition(".")[2] for detail in error["details"]] == [
            "QuotaFailure",
            "RetryInfo",
        ]
        assert emulator.requests[-1].headers["x-goog-api-key"] == "[redacted]"

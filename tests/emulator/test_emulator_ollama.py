"""The emulator as Ollama, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from llmkit.testing.emulator import reply
from llmkit.testing.emulator.answer import Ask
from llmkit.testing.emulator.server import OLLAMA
from llmkit.testing.emulator.wires.base import Failure, Stamp
from support.emulator import RawClient, parts

HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
CALLS = Behaviour(text="", thinking="hm", calls=({"name": "f", "arguments": {"a": 1}},))


def checked(body: Any) -> Ask | Failure:
    """Have a request checked."""
    return OLLAMA.check({}, json.dumps(body).encode(), require_key=True)


def said(behaviour: Behaviour, **fields: Any) -> list[Any]:
    """Return the documents of an answer."""
    ask = checked({**HI, **fields})
    assert isinstance(ask, Ask), ask
    body = reply.answer(OLLAMA, ask, behaviour, Stamp(7, 1_750_000_000.0)).body
    return [json.loads(line) for line in body.splitlines()]


def test_a_stream() -> None:
    """Without being asked for: a line for each token, and one that is done, with the reason and the counts."""
    found = said(Behaviour(text="a b"))
    assert [each["message"]["content"] for each in found] == ["a", " b", ""]
    assert [each["done"] for each in found] == [False, False, True]
    assert found[-1]["done_reason"] == "stop"
    assert (found[-1]["prompt_eval_count"], found[-1]["eval_count"]) == (6, 2)
    assert found[0]["created_at"] == "2025-06-15T15:06:40.000000Z"
    assert said(Behaviour(), options={"num_predict": 1})[-1]["done_reason"] == "length"
    assert "eval_count" not in said(Behaviour(text=""))[-1]
    assert "eval_count" not in said(Behaviour(usage=False))[-1]


def test_thinking_and_calls() -> None:
    """Have fields of their own; arguments are an object."""
    found = said(CALLS)
    assert found[0]["message"]["thinking"] == "hm"
    function = {"index": 0, "name": "f", "arguments": {"a": 1}}
    assert found[1]["message"]["tool_calls"] == [{"function": function}]
    [whole] = said(CALLS, stream=False)
    assert whole["message"]["tool_calls"] == [{"function": function}]
    assert whole["done"] is True


def test_a_format() -> None:
    """Of itself it answers what fits."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    [found] = said(Behaviour(), format=schema, stream=False)
    assert json.loads(found["message"]["content"]) == {"a": 1}


def message(**fields: Any) -> dict[str, Any]:
    """Write a conversation of one message."""
    return {"messages": [fields]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": ""}, "model is required"),
        ({"model": 7}, "ChatRequest.model of type string"),
        ({"messages": {}}, "ChatRequest.messages of type"),
        ({"stream": "yes"}, "ChatRequest.stream of type bool"),
        ({"options": []}, "ChatRequest.options"),
        ({"tools": {}}, "ChatRequest.tools"),
        ({"tools": [{"function": {}}]}, "tools.function.name"),
        ({"format": 7}, "invalid format"),
        (message(role="model", content="x"), "invalid role: model"),
        (message(role="user", content=[]), "messages.content of type string"),
        (
            message(role="assistant", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]),
            "ToolCallFunctionArguments",
        ),
    ],
)
def test_refusals(change: dict[str, Any], words: str) -> None:
    """In the server's words; what it does not know it passes over."""
    failure = checked({**HI, **change})
    assert isinstance(failure, Failure)
    assert failure.status == 400
    assert words in failure.message
    assert isinstance(checked({**HI, "invented": 1}), Ask)
    assert isinstance(OLLAMA.check({}, b"{", require_key=True), Failure)
    assert isinstance(checked([]), Failure)


def test_over_a_socket() -> None:
    """Models are listed, an error is a sentence, and a stream says what it is."""
    close = {"connection": "close"}
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        with RawClient(emulator) as client:
            _, body = parts(client.request("GET", "/api/tags", headers=close).read_all())
        assert json.loads(body)["models"][0]["model"] == "smollm2:135m"
        emulator.script(Behaviour(status=404), Behaviour(delay=0, error_frame_at=1))
        answers = []
        for _ in range(2):
            with RawClient(emulator) as client:
                asked = client.request("POST", "/api/chat", json.dumps(HI).encode(), close)
                answers.append(parts(asked.read_all()))
    (refused, error), (streamed, lines) = answers
    assert (refused[":status"], json.loads(error)) == (
        "404",
        {"error": "model 'a-model' not found"},
    )
    assert streamed["content-type"] == "application/x-ndjson"
    assert [*json.loads(lines.splitlines()[-1])] == ["error"]

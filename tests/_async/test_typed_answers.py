"""Typed answers: by the vendor's own means or by a tool, whole and streamed, with tools of the app's own, and mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, assert_type

import pytest
from pydantic import BaseModel

from llmkit import (
    AnswerCut,
    AnswerRefused,
    Finish,
    InvalidRequest,
    Message,
    OutputInvalid,
    StreamTruncated,
    TextDelta,
)
from llmkit.testing import Behaviour, Emulator
from support.kits import ALL_WIRES, MODELS, make_kit, url_of
from support.rows import database, rows


class Weather(BaseModel):
    """How the weather is."""

    city: str
    degrees: int = 0


SAID = '{"city": "Köln", "degrees": 9}'
KOELN = Weather(city="Köln", degrees=9)
NATIVE = Behaviour(text=SAID, delay=0)
CALLED = Behaviour(text="", calls=({"name": "Weather", "arguments": json.loads(SAID)},), delay=0)
MODES: list[Any] = ["native", "tool"]


def _is_native(body: Any) -> bool:
    """Whether a request holds the model to a type by the vendor's own means."""
    config = body.get("generationConfig", {})
    fields = {"output_config", "response_format", "format"} & {*body}
    return bool(fields or "responseJsonSchema" in config or "format" in body.get("text", {}))


def says(mode: str) -> Behaviour:
    """Answer in this way."""
    return NATIVE if mode == "native" else CALLED


@pytest.mark.anyio
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_a_whole_answer(tmp_path: Path, wire: str, mode: Any) -> None:
    """An object of the type; whichever way it came, the answer is its JSON, and goes back as it is."""
    with Emulator(behaviour=says(mode)) as emulator:
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        client = kit.async_client
        reply = await client.complete("Hi", output_type=Weather, output_mode=mode)
        assert reply.output == KOELN
        assert json.loads(reply.text) == json.loads(SAID)
        assert (reply.stop_reason, reply.tool_calls) == ("end", ())
        again = [Message.user("Hi"), Message.assistant(reply), Message.user("And now?")]
        assert (await client.complete(again, output_type=Weather, output_mode=mode)).output
        await kit.aclose()
        body = emulator.requests[0].body
    assert (_is_native(body), "tools" in body) == (mode == "native", mode == "tool")
    assert [row["status"] for row in rows(tmp_path)] == ["finished"] * 2


@pytest.mark.anyio
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_a_streamed_answer(wire: str, mode: Any) -> None:
    """Its text is the JSON as it comes; the object is there with the end."""
    with Emulator(behaviour=says(mode)) as emulator:
        kit = make_kit(emulator, wire=wire)
        options: Any = {"output_type": Weather, "output_mode": mode}
        async with kit.async_client.stream("Hi", **options) as stream:
            text = ""
            async for event in stream:
                if isinstance(event, TextDelta):
                    text += event.text
                    so_far = stream.response
                    assert (so_far.output is None) == (so_far.stop_reason is None)
                elif isinstance(event, Finish):
                    assert stream.response.output == KOELN
            assert json.loads(text) == json.loads(SAID)
            assert stream.response.output == KOELN
            assert await stream.read() is None
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", MODES)
async def test_beginnings_of_an_answer(mode: Any) -> None:
    """More of it each time, at last the whole; a call without a type has none."""
    many = [{"city": name, "degrees": at} for at, name in enumerate(("Köln", "Bonn", "Trier"))]
    said = {"value": many}
    text = tuple(json.dumps(said, ensure_ascii=False))
    behaviour = Behaviour(text=text, delay=0)
    if mode == "tool":
        behaviour = Behaviour(text="", calls=({"name": "list", "arguments": text},), delay=0)
    with Emulator(behaviour=behaviour) as emulator:
        kit = make_kit(emulator)
        options: Any = {"output_type": list[Weather], "output_mode": mode}
        async with kit.async_client.stream("Hi", **options) as stream:
            seen = [value async for value in stream.partial()]
        assert seen[-1] == [Weather(**each) for each in many] == stream.response.output
        assert all(isinstance(each, Weather) for value in seen for each in value)
        assert [len(value) for value in seen] == sorted(len(value) for value in seen)
        async with kit.async_client.stream("Hi") as stream:
            with pytest.raises(InvalidRequest, match="the call has no output_type"):
                stream.partial()
        await kit.aclose()


ENDS: list[tuple[dict[str, Any], Any]] = [
    ({"text": '{"city": "K"', "stop_reason": "max_tokens"}, AnswerCut),
    ({"text": SAID, "stop_reason": "max_tokens"}, AnswerCut),
    ({"text": "I will not.", "stop_reason": "refusal"}, AnswerRefused),
    ({"text": '{"degrees": 1}'}, OutputInvalid),
    ({"text": "It is fine."}, OutputInvalid),
    ({"text": SAID, "terminal": False}, StreamTruncated),
]


@pytest.mark.anyio
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(("fields", "error"), ENDS)
async def test_never_half_an_object(
    tmp_path: Path, fields: dict[str, Any], error: Any, *, streaming: bool
) -> None:
    """An error of its own, after the row is closed; the text is with it, and no end was said."""
    if error is StreamTruncated and not streaming:
        fields = {**fields, "cut_at": 100}
        error = Exception
    with Emulator(behaviour=Behaviour(**fields, delay=0)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)}, retry={"attempts": 1})
        kinds: list[type] = []
        with pytest.raises(error) as raised:
            if streaming:
                async with kit.async_client.stream("Hi", output_type=Weather) as stream:
                    async for event in stream:
                        kinds.append(type(event))
            else:
                await kit.async_client.complete("Hi", output_type=Weather)
        await kit.aclose()
    assert Finish not in kinds
    (row,) = rows(tmp_path)
    assert row["status"] != "started"
    if error not in (StreamTruncated, Exception):
        assert row["status"] == "finished"
        assert raised.value.response.text == fields["text"]
        assert raised.value.response.output is None
    if streaming:
        assert stream.response.output is None


@pytest.mark.anyio
async def test_an_answer_is_mended(tmp_path: Path) -> None:
    """The model is told what is wrong; both calls have one run_id, and the reply their tokens."""
    with Emulator(behaviour=NATIVE) as emulator:
        emulator.script(Behaviour(text='{"degrees": "x"}', delay=0))
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        reply = await kit.async_client.complete("Hi", output_type=Weather, repair=1)
        await kit.aclose()
        messages = emulator.requests[1].body["messages"]
    assert reply.output == KOELN
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "city: Field required" in messages[2]["content"]
    first, second = rows(tmp_path)
    assert first["run_id"] == second["run_id"] is not None
    assert reply.usage.output_tokens == first["output_tokens"] + second["output_tokens"]


@pytest.mark.anyio
async def test_an_answer_that_cannot_be_mended() -> None:
    """So often, and no more; one that says nothing is asked again, too."""
    with Emulator(behaviour=Behaviour(text="no", delay=0)) as emulator:
        kit = make_kit(emulator)
        with pytest.raises(OutputInvalid):
            await kit.async_client.complete("Hi", output_type=Weather, repair=2, run_id="mine")
        assert len(emulator.requests) == 3
        emulator.reset()
        emulator.script(Behaviour(text="", delay=0), NATIVE)
        reply = await kit.async_client.complete("Hi", output_type=Weather, repair=1)
        assert reply.output == KOELN
        await kit.aclose()


def look(city: str) -> int:
    """Look at the thermometer."""
    assert city
    return 9


ASKS = Behaviour(text="", calls=({"name": "look", "arguments": {"city": "Köln"}},), delay=0)


@pytest.mark.anyio
@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_tools_and_a_type(wire: str) -> None:
    """The last step is of the type; those before call tools, and are asked for it all the same."""
    with Emulator(behaviour=NATIVE) as emulator:
        kit = make_kit(emulator, wire=wire)
        client = kit.async_client
        options: Any = {"tools": [look], "output_type": Weather}
        emulator.script(ASKS)
        run = await client.run("Hi", **options)
        assert run.output == KOELN
        emulator.script(ASKS)
        async with client.run_stream("Hi", **options) as stream:
            seen = [value async for value in stream.partial()]
            assert seen[-1] == stream.response.output == stream.run.output == KOELN
        emulator.script(ASKS, Behaviour(text="no", delay=0))
        assert (await client.run("Hi", **options, repair=1)).output == KOELN
        emulator.script(ASKS, Behaviour(text="no", delay=0))
        with pytest.raises(OutputInvalid) as raised:
            async with client.run_stream("Hi", **options) as stream:
                async for event in stream:
                    assert not isinstance(event, Finish)
        assert raised.value.run.steps[0].results[0].content == "9"
        emulator.script(ASKS, CALLED)
        assert (await client.run("Hi", **options, output_mode="tool")).output == KOELN
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", [None, "tool"])
@pytest.mark.parametrize(
    ("wire", "model"),
    [
        *MODELS.items(),
        ("anthropic", "claude-3-5-haiku-latest"),
        ("gemini", "gemini-2.5-flash"),
        ("openai", "gpt-4"),
    ],
)
async def test_an_emulator_without_a_script(wire: str, model: str, mode: Any) -> None:
    """Gives an object that fits beside tools, too: where the type is one tool more, it calls that one after a tool of the app's."""
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        kit = make_kit(emulator, wire=wire, models={"default": f"{wire}:{model}"})
        options: Any = {"tools": [look, other], "output_type": Weather, "output_mode": mode}
        run = await kit.async_client.run("Hi", **options)
        assert run.output.city == "An example."
        assert [result.content for step in run.steps for result in step.results] in ([], ["9"])
        again = [Message.user("Hi"), Message.assistant(run.reply), Message.user("And now?")]
        async with kit.async_client.run_stream(again, **options) as stream:
            async for _ in stream:
                pass
        assert stream.run.output == run.output
        assert len(stream.run.steps) == len(run.steps)
        await kit.aclose()


def other() -> None:
    """Do nothing."""


@pytest.mark.anyio
async def test_a_model_that_cannot_is_asked_by_a_tool() -> None:
    """Each attempt in the way of its model: one that fails over, too."""
    with Emulator(behaviour=NATIVE) as emulator:
        emulator.script(Behaviour(status=500), CALLED)
        models = {"default": ["anthropic:claude-opus-4-5", "anthropic:claude-3-5-haiku-latest"]}
        kit = make_kit(emulator, models=models, retry={"attempts": 2})
        reply = await kit.async_client.complete("Hi", output_type=Weather)
        await kit.aclose()
        first, second = (request.body for request in emulator.requests)
    assert reply.output == KOELN
    assert ("output_config" in first, "tools" in first) == (True, False)
    assert ("output_config" in second, "tools" in second) == (False, True)


OLDER = {
    "anthropic": "claude-3-5-haiku-20241022",
    "gemini": "gemini-2.5-flash",
    "ollama": "gemma3:1b",
    "openai": "gpt-4",
    "openai-responses": "gpt-4",
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["own", ""], ids=["a name of one's own", "the vendor's"])
@pytest.mark.parametrize(
    ("wire", "model"), [*MODELS.items(), *OLDER.items(), ("gemini", "models/gemini-2.0-flash")]
)
async def test_every_model_is_asked_what_it_takes(wire: str, model: str, name: str) -> None:
    """In each mode, with tools that may be called and that may not; whatever the provider is called."""
    provider = name or wire.removesuffix("-responses")
    with Emulator(behaviour=says("native")) as emulator:
        told = {"base_url": url_of(emulator, wire), "api_key": "k", "wire": wire}
        kit = make_kit(emulator, providers={provider: told})
        ask: Any = kit.async_client.complete
        asked: dict[str, Any] = {"model": f"{provider}:{model}", "output_type": Weather}
        assert (await ask("Hi", **asked)).output
        assert (await ask("Hi", **asked, tools=[look], tool_choice="none")).output
        assert (await ask("Hi", **asked, tools=[look])).output
        assert (await ask("Hi", **asked, output_mode="tool")).output
        await kit.aclose()
        assert len(emulator.requests) == 4
        is_held = [
            _is_native(request.body) or "tools" in request.body for request in emulator.requests
        ]
    assert is_held == [True] * 4


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repair": 1}, "repair is set, and there is no output_type"),
        ({"output_type": Weather, "repair": -1}, "repair is -1"),
        ({"output_type": Weather, "repair": True}, "repair is True"),
        ({"output_type": Weather, "output_mode": "json"}, "output_mode is not 'native' or 'tool'"),
        ({"output_mode": "tool"}, "output_mode is set, and there is no output_type"),
    ],
)
async def test_options_that_mean_nothing(options: Any, words: str) -> None:
    """Said before anything is sent."""
    with Emulator() as emulator:
        kit = make_kit(emulator)
        with pytest.raises(InvalidRequest, match=words):
            await kit.async_client.complete("Hi", **options)
        with pytest.raises(InvalidRequest, match="a stream cannot be repaired"):
            kit.async_client.stream("Hi", output_type=Literal["a"], repair=1)
        assert emulator.requests == []
        await kit.aclose()


@pytest.mark.anyio
async def test_type_checkers_know_of_which_type_an_answer_is() -> None:
    """The checks are for mypy, and what is checked is true."""
    with Emulator(behaviour=Behaviour(text='{"city": "Köln", "degrees": 7}', delay=0)) as emulator:
        kit = make_kit(emulator)
        client = kit.async_client
        reply = await client.complete("Hi", output_type=Weather)
        assert_type(reply.output, Weather)
        run = await client.run("Hi", tools=[look], output_type=Weather, max_steps=2)
        assert_type(run.output, Weather)
        async with client.stream("Hi", output_type=Weather) as stream:
            async for begun in stream.partial():
                assert_type(begun, Weather)
        async with client.run_stream("Hi", tools=[look], output_type=Weather) as running:
            async for _ in running:
                pass
            assert_type(running.response.output, Weather)
        assert_type((await client.complete("Hi")).output, Any)
        await kit.aclose()
    said = [reply.output, run.output, stream.response.output, running.run.output]
    assert said == [Weather(city="Köln", degrees=7)] * 4

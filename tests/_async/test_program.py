"""One program with tools and a typed answer, unchanged on every wire, against our emulator and somebody else's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llmkit import Kit, ToolCall, ToolCallBroken, ToolContext, ToolResult
from llmkit.testing import Behaviour, Emulator
from support.kits import ALL_WIRES, MODELS, WIRES, url_of


class Trip(BaseModel):
    """What to know before a trip."""

    city: str
    degrees: int
    price: float


TRIP = {"city": "Köln", "degrees": 9, "price": 42.5}


async def weather(city: str, context: ToolContext) -> dict[str, Any]:
    """Say how the weather is."""
    assert context.caller.user == "u1"
    return {"city": city, "degrees": 9}


def calculator(a: float, b: float) -> float:
    """Multiply."""
    return a * b


# The wires that it speaks, and what it calls them.
LLMOCKS = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "openai": "openai",
    "openai-responses": "openai",
}
CALLS = [("weather", {"city": "Köln"}), ("calculator", {"a": 8.5, "b": 5})]


async def program(kit: Kit) -> tuple[list[str], Trip]:
    """Ask for both in parallel, then for a typed answer, streaming."""
    seen: list[str] = []
    options: Any = {"tools": [weather, calculator], "output_type": Trip, "user": "u1"}
    async with kit.async_client.run_stream("What about a trip to Köln?", **options) as stream:
        async for event in stream:
            if isinstance(event, ToolCall):
                seen.append(f"{event.name}?")
            elif isinstance(event, ToolResult):
                seen.append(event.content)
        trip: Trip = stream.run.output
        assert stream.response.output == trip
        assert [len(step.results) for step in stream.run.steps] == [2, 0]
    again = await kit.async_client.run("And once more?", **options)
    assert again.output == trip
    return seen, trip


@contextmanager
def emulated(wire: str) -> Iterator[str]:
    """Answer with our emulator."""
    calls = tuple({"name": name, "arguments": arguments} for name, arguments in CALLS)
    asks, says = Behaviour(text="", calls=calls, delay=0), Behaviour(text=json.dumps(TRIP), delay=0)
    with Emulator() as emulator:
        emulator.script(asks, says, asks, says)
        yield url_of(emulator, wire)


@pytest.mark.anyio
@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_against_our_emulator(wire: str) -> None:
    """The whole of it."""
    with emulated(wire) as url:
        await check(wire, url)


@pytest.mark.anyio
@pytest.mark.parametrize("wire", LLMOCKS)
async def test_against_llmock(wire: str, request: pytest.FixtureRequest) -> None:
    """The same."""
    pytest.importorskip("llmock", minversion="0.2")
    from llmock.scenarios import Reply
    from llmock.scenarios import ToolCall as Called

    llmock: Any = request.getfixturevalue("llmock")
    asks = Reply(tool_calls=tuple(Called(name, arguments) for name, arguments in CALLS), times=1)
    for _ in range(2):
        llmock.add(asks)
        llmock.add(Reply(text=json.dumps(TRIP), times=1))
    await check(wire, llmock.base_url(LLMOCKS[wire]))
    llmock.assert_resilient(strict=True)


@contextmanager
def mocked(wire: str, folder: Path) -> Iterator[str]:
    """Answer with the `llmock` command of npm's @copilotkit/aimock, which the environment names.

    It needs Node, which those who have Python alone need not have; .ci/run installs it and names it where there is npm.
    """
    command = os.environ.get("LLMKIT_TEST_AIMOCK")
    if not command:
        pytest.skip("set LLMKIT_TEST_AIMOCK to the llmock command of npm's @copilotkit/aimock")
    calls = [{"name": name, "arguments": arguments} for name, arguments in CALLS]
    fixtures = [
        {"match": {"hasToolResult": False}, "response": {"toolCalls": calls}},
        {"match": {"hasToolResult": True}, "response": {"content": json.dumps(TRIP)}},
    ]
    file = folder / "fixtures.json"
    file.write_text(json.dumps({"fixtures": fixtures}), encoding="utf-8")
    server = subprocess.Popen(
        [command, "--port", "0", "--strict", "--fixtures", file], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        said = next(line for line in server.stdout if "listening on" in line)
        url = said.split()[-1]
        yield f"{url}/v1" if wire.startswith("openai") else url
    finally:
        server.kill()
        server.communicate()


@pytest.mark.anyio
@pytest.mark.parametrize("wire", ALL_WIRES)
async def test_against_aimock(wire: str, tmp_path: Path) -> None:
    """The same."""
    with mocked(wire, tmp_path) as url:
        await check(wire, url)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool"])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_broken_call_is_never_run(
    wire: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """A whole answer with one is asked for again, a stream of it is an error; of a tool that nobody has the model is told."""
    pytest.importorskip("llmock", minversion="0.2")
    llmock: Any = request.getfixturevalue("llmock")
    ran: list[str] = []

    def look(city: str) -> str:
        ran.append(city)
        return "grey"

    llmock.break_tool_call(kind)
    kit = kit_at(wire, llmock.base_url(wire))
    run = await kit.async_client.run("How is the weather in Köln?", tools=[look])
    assert run.text
    if kind == "unknown_tool":
        (result,) = run.steps[0].results
        assert result.content.startswith("There is no tool ")
    elif wire == "openai":
        assert len(llmock.requests) == len(run.steps) + 1
    else:  # whose arguments are an object, and not a text, when they come whole
        assert run.steps[0].results[0].is_error
    llmock.assert_resilient(strict=True)
    before = len(ran)
    llmock.reset()
    llmock.break_tool_call("malformed_arguments")
    with pytest.raises(ToolCallBroken):
        async with kit.async_client.run_stream("How is it in Köln?", tools=[look]) as stream:
            async for event in stream:
                assert not isinstance(event, ToolCall)
    assert len(ran) == before
    await kit.aclose()


def kit_at(wire: str, url: str) -> Kit:
    """Make a kit that calls there."""
    return Kit(
        {
            "providers": {wire: {"base_url": url, "api_key": "test-key", "wire": wire}},
            "models": {"default": f"{wire}:{MODELS[wire]}"},
            "retry": {"wait_initial": 0.001, "wait_max": 0.002},
            "ledger": False,
        }
    )


async def check(wire: str, url: str) -> None:
    """Run the program, and see what it has seen."""
    kit = kit_at(wire, url)
    seen, trip = await program(kit)
    await kit.aclose()
    assert trip == Trip(**TRIP)
    assert seen[:2] == ["weather?", "calculator?"]
    assert sorted(seen[2:]) == sorted(['{"city":"Köln","degrees":9}', "42.5"])

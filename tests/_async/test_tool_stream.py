"""The loop of tools, read while it runs."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    AsyncStream,
    Finish,
    Message,
    OutOfSteps,
    Reset,
    ServerFailed,
    StreamClosed,
    StreamTruncated,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)
from llmkit.events import Event
from llmkit.testing import Behaviour, Emulator
from support.kits import WIRES, make_kit
from support.rows import database, rows

ANSWER = Behaviour(text="It is 3.", delay=0)


def asks(*calls: tuple[str, Any], **more: Any) -> Behaviour:
    """Ask for these tools."""
    named = tuple({"name": name, "arguments": arguments} for name, arguments in calls)
    return Behaviour(**{"text": "Let me see.", "calls": named, "delay": 0} | more)


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def double(a: int) -> int:
    """Double."""
    return 2 * a


BOTH = asks(("add", {"a": 1, "b": 2}), ("double", {"a": 4}))


@pytest.mark.anyio
@pytest.mark.parametrize("wire", WIRES)
async def test_text_calls_and_results_as_they_come(tmp_path: Path, wire: str) -> None:
    """Each call whole before its result, one end behind all; the answer is all that was said, and the rows are closed."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator, wire=wire, ledger={"database": database(tmp_path)})
        events: list[Event] = []
        async with kit.async_client.run_stream("Hi", tools=[add, double]) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, ToolResult):
                    assert [row["status"] for row in rows(tmp_path)] == ["finished"]
            reply, run = stream.response, stream.run
        await kit.aclose()
    kinds = [type(event) for event in events]
    assert kinds.index(ToolCallDelta) > kinds.index(TextDelta)
    calls = [event for event in events if isinstance(event, ToolCall)]
    results = [event for event in events if isinstance(event, ToolResult)]
    assert [call.name for call in calls] == ["add", "double"]
    assert {result.call_id: result.content for result in results} == {
        calls[0].id: "3",
        calls[1].id: "8",
    }
    assert kinds.index(ToolResult) > max(at for at, kind in enumerate(kinds) if kind is ToolCall)
    assert kinds.count(Finish) == 1
    assert events[-1] == Finish("end", reply.raw_stop_reason, run.usage)
    said = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(said) == reply.text == "Let me see.\n\nIt is 3."
    assert (reply.usage, reply.cost, reply.stop_reason) == (run.usage, run.cost, "end")
    assert (run.text, len(run.steps)) == ("It is 3.", 2)
    assert [step.results for step in run.steps] == [run.messages[2].tool_results, ()]
    booked = rows(tmp_path)
    assert [(row["status"], row["run_id"]) for row in booked] == [("finished", run.run_id)] * 2
    assert run.usage.output_tokens == sum(row["output_tokens"] for row in booked)


@pytest.mark.anyio
async def test_only_the_text() -> None:
    """Of all steps."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator)
        async with kit.async_client.run_stream("Hi", tools=[add, double]) as stream:
            said = [text async for text in stream.text()]
        await kit.aclose()
    assert "".join(said) == "Let me see.\n\nIt is 3."


@pytest.mark.anyio
async def test_a_tool_that_is_done_need_not_wait_for_another() -> None:
    """Its result is there while the other one runs."""
    go = threading.Event()

    def waits() -> str:
        go.wait()
        return "late"

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(asks(("waits", {}), ("add", {"a": 1, "b": 2})))
        kit = make_kit(emulator)
        results: list[str] = []
        async with kit.async_client.run_stream("Hi", tools=[waits, add]) as stream:
            async for event in stream:
                if isinstance(event, ToolResult):
                    results.append(event.content)
                    go.set()
            run = stream.run
        await kit.aclose()
    assert results == ["3", "late"]
    assert [result.content for result in run.steps[0].results] == ["late", "3"]


@pytest.mark.anyio
async def test_a_first_step_that_fails_is_a_call_that_fails() -> None:
    """Before anything was said."""
    with Emulator(behaviour=Behaviour(status=500)) as emulator:
        kit = make_kit(emulator, retry={"attempts": 1})
        with pytest.raises(ServerFailed) as raised:
            await kit.async_client.run_stream("Hi", tools=[add]).open()
        await kit.aclose()
    assert raised.value.run.steps == ()
    assert (raised.value.run.cost, raised.value.run.usage.input_tokens) == (None, None)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("second", "error", "said", "statuses"),
    [
        (Behaviour(status=500), ServerFailed, "Let me see.", ["finished", "failed"]),
        (
            Behaviour(text="It is 3.", delay=0, terminal=False),
            StreamTruncated,
            "Let me see.\n\nIt is 3.",
            ["finished", "truncated"],
        ),
        (BOTH, OutOfSteps, "Let me see.\n\nLet me see.", ["finished", "finished"]),
    ],
)
async def test_a_later_step_that_fails(
    tmp_path: Path, second: Behaviour, error: Any, said: str, statuses: list[str]
) -> None:
    """What was said stays said, and the error has the steps before."""
    with Emulator(behaviour=second) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator, ledger={"database": database(tmp_path)}, retry={"attempts": 1})
        options: Any = {"tools": [add, double], "max_steps": 2}
        async with kit.async_client.run_stream("Hi", **options) as stream:
            with pytest.raises(error) as raised:
                async for _ in stream:
                    pass
            assert stream.response.text == said
            assert stream.response.stop_reason is None
        await kit.aclose()
    run = raised.value.run
    assert len(run.steps[0].results) == 2
    assert [message.role for message in run.messages] == ["user", "assistant", "user"]
    assert [row["status"] for row in rows(tmp_path)] == statuses
    if error is not OutOfSteps:
        assert raised.value.response.text == said


@pytest.mark.anyio
async def test_stopped_while_a_tool_runs(tmp_path: Path) -> None:
    """From another thread: whoever reads is told at once, and no row stays open."""
    began, go = threading.Event(), threading.Event()

    def waits() -> None:
        began.set()
        go.wait()

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(asks(("waits", {})))
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        async with kit.async_client.run_stream("Hi", tools=[waits]) as stream:

            def stop() -> None:
                began.wait()
                stream.abort()

            stopping = threading.Thread(target=stop)
            stopping.start()
            with pytest.raises(StreamClosed):
                async for _ in stream:
                    pass
            stopping.join()
        await kit.aclose()
        go.set()
        assert len(emulator.requests) == 1
    assert [row["status"] for row in rows(tmp_path)] == ["finished"]


@pytest.mark.anyio
async def test_stopped_in_a_later_step(tmp_path: Path) -> None:
    """What stops the first one stops each."""
    with Emulator(behaviour=Behaviour(text="a b c d", delay=0, hold_at=3)) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        manager = kit.async_client.run_stream("Hi", tools=[add, double])
        async with manager as stream:
            with pytest.raises(StreamClosed):
                async for event in stream:
                    if event == TextDelta(" b") or stream.response.text.endswith(" b"):
                        manager.abort()
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["finished", "cancelled"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "status"),
    [(TextDelta, "cancelled"), (ToolCall, "finished"), (ToolResult, "finished")],
)
async def test_closed_early(tmp_path: Path, kind: type[Event], status: str) -> None:
    """Whoever has seen enough goes; what had begun is closed."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(Behaviour(**{**_fields(BOTH), "hold_at": 2}) if kind is TextDelta else BOTH)
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        async with kit.async_client.run_stream("Hi", tools=[add, double]) as stream:
            async for event in stream:
                if isinstance(event, kind):
                    break
        with pytest.raises(StreamClosed):
            await stream.read()
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert row["status"] == status


def _fields(behaviour: Behaviour) -> dict[str, Any]:
    return {"text": behaviour.text, "calls": behaviour.calls, "delay": 0}


class Restarts:
    """Begins each answer twice, as a middleware may."""

    async def handle_async(self, call: Any, call_next: Any) -> AsyncStream:
        inner = await call_next(call)
        stream = AsyncStream(call, inner._source, [TextDelta("Hm"), Reset(), *inner._ready])
        inner._closed = True
        return stream


@pytest.mark.anyio
async def test_a_step_that_begins_again_takes_back_its_own_text_alone() -> None:
    """What the steps before it have said is said again."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator, middleware=[Restarts()])
        seen = ""
        async with kit.async_client.run_stream("Hi", tools=[add, double]) as stream:
            async for event in stream:
                if isinstance(event, Reset):
                    seen = ""
                elif isinstance(event, TextDelta):
                    seen += event.text
            assert seen == stream.response.text == "Let me see.\n\nIt is 3."
        await kit.aclose()


@pytest.mark.anyio
async def test_its_conversation_goes_on() -> None:
    """With calls and results in it."""
    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator)
        async with kit.async_client.run_stream("Hi", tools=[add, double]) as stream:
            async for _ in stream:
                pass
        again = [*stream.run.messages, Message.user("And now?")]
        assert (await kit.async_client.run(again, tools=[add])).text == "It is 3."
        await kit.aclose()
        assert len(emulator.requests[2].body["messages"]) == 5


@pytest.mark.anyio
async def test_dropped_while_a_step_is_read(tmp_path: Path) -> None:
    """Its row is closed all the same."""
    with Emulator(behaviour=Behaviour(text="a b c d", delay=0, hold_at=2)) as emulator:
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})
        stream = await kit.async_client.run_stream("Hi", tools=[add]).open()
        while not stream.response.text:
            await stream.read()
        with pytest.warns(ResourceWarning, match="dropped without being closed"):
            del stream
            gc.collect()
        await kit.aclose()
    (row,) = rows(tmp_path)
    assert row["status"] == "cancelled"


@pytest.mark.anyio
async def test_each_call_has_its_result_whatever_the_app_says_of_it() -> None:
    """One that it denies, with or without a reason, and one that it changes to what cannot be run."""

    def approve(call: ToolCall, _: object) -> Any:
        changed = ToolCall(id="x", name=call.name, arguments={"a": "much"})
        return {"add": "", "double": changed}[call.name]

    with Emulator(behaviour=ANSWER) as emulator:
        emulator.script(BOTH)
        kit = make_kit(emulator)
        async with kit.async_client.run_stream(
            "Hi", tools=[add, double], approve=approve
        ) as stream:
            results = [event async for event in stream if isinstance(event, ToolResult)]
        await kit.aclose()
    said = sorted(result.content.splitlines()[0] for result in results)
    assert said == ["The arguments are wrong, and nothing was run.", "This call was not approved."]
    assert results == sorted(stream.run.steps[0].results, key=results.index)

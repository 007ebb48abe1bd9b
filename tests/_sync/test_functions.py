# Generated from tests/_async/test_functions.py. Do not edit.
"""Models behind functions of the app's: in this process, or behind a library that makes its own calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    AnswerTooLarge,
    BudgetExceeded,
    Call,
    Finish,
    FunctionProvider,
    InvalidRequest,
    Kit,
    Message,
    ProviderTimeout,
    RateLimited,
    RedactedThinking,
    ServerFailed,
    StreamClosed,
    TextDelta,
    ThinkingDelta,
    ThinkingSignature,
    ToolCall,
    ToolCallBroken,
    ToolResult,
    Usage,
)
from support.rows import rows
from support.waits import wait_for

USED = Usage(input_tokens=9, output_tokens=2)


def kit_of(*functions: Any, **more: Any) -> Kit:
    """Make a kit whose models are functions."""
    providers = [FunctionProvider(f"own{at}", each) for at, each in enumerate(functions)]
    settings = {
        "models": {"default": [f"own{at}:m" for at in range(len(functions))]},
        "retry": {"wait_initial": 0.001, "wait_max": 0.002, "attempts": 2},
        "ledger": False,
        **more,
    }
    return Kit(settings, providers=providers)


def says(call: Call, model: str) -> Iterator[Any]:
    """Say what was asked, and by which name."""
    yield ThinkingDelta("Hm. ")
    yield from (call.messages[-1].text, " by ", model, "")
    yield TextDelta("!")
    yield Finish("max_tokens", "length", USED)


def test_an_answer(tmp_path: Path) -> None:
    """Streamed and whole, with a row that has what it has used and cost."""
    prices = {"own0:m": {"input": 1, "output": 2}}
    ledger = {"database": f"sqlite:///{tmp_path}/ledger.db"}
    kit = kit_of(says, ledger=ledger, prices=prices)
    reply = kit.client.complete("Hi")
    with kit.client.stream("Hi") as stream:
        events = [event for event in stream]
    kit.close()
    assert (reply.text, reply.thinking, reply.stop_reason) == ("Hi by m!", "Hm. ", "max_tokens")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hi by m!"
    assert reply.usage.output_tokens == 2
    found = rows(tmp_path)
    assert [row["status"] for row in found] == ["finished", "finished"]
    assert {Decimal(row["cost_usd"]) for row in found} == {Decimal("0.000013")}


def test_a_budget(tmp_path: Path) -> None:
    """Counts all that the function is given before it is asked, also what tools have given."""
    asked: list[str] = []

    def counts(call: Call, model: str) -> str:
        asked.append(model)
        return "Hello"

    ledger = {"database": f"sqlite:///{tmp_path}/ledger.db"}
    kit = kit_of(
        counts, ledger=ledger, budgets=[{"scope": "all", "per": "month", "tokens": 60_000}]
    )
    looked = Message.assistant(ToolCall(id="c1", name="look", arguments={}))
    found = Message.user(ToolResult(call_id="c1", content="z z " * 50_000))
    for extra in ({}, {"texts": [], "messages": [], "max_tokens": 1}):
        with pytest.raises(BudgetExceeded):
            kit.client.complete([Message.user("Hi"), looked, found], extra=extra)
    assert (kit.client.complete("Hi")).text == "Hello"
    kit.close()
    assert len(asked) == 1


def test_what_a_function_may_return() -> None:
    """A text by itself, or pieces; without a finish it is complete where it ends, and its tokens are estimated."""
    for function in (lambda call, model: "Hello", lambda call, model: ["Hel", "lo"]):
        kit = kit_of(function)
        reply = kit.client.complete("Hi")
        kit.close()
        assert (reply.text, reply.stop_reason) == ("Hello", "end")
        assert reply.usage.output_source == "estimated"


def test_tools() -> None:
    """A function may call tools, and reads what they have given."""

    def asks(call: Call, model: str) -> Iterator[Any]:
        if call.messages[-1].tool_results:
            yield call.messages[-1].tool_results[0].content
        else:
            yield ToolCall(id="c1", name=call.tools[0].name, arguments={"a": 20})

    def double(a: int) -> int:
        return 2 * a

    kit = kit_of(asks)
    run = kit.client.run("Hi", tools=[double])
    with pytest.raises(InvalidRequest, match="own0 cannot be made to call a tool"):
        kit.client.complete("Hi", tools=[double], tool_choice="required")
    kit.close()
    assert run.text == "40"


def test_failures() -> None:
    """Are the provider's: tried again, with its own error as the cause, and another model answers; what it raises of llmkit's stays."""
    tried: list[str] = []

    def fails(call: Call, model: str) -> Iterator[Any]:
        tried.append(model)
        raise RuntimeError("secret of the app")
        yield ""

    kit = kit_of(fails)
    with pytest.raises(
        ServerFailed, match=r"the function of own0 failed \(RuntimeError\)"
    ) as raised:
        kit.client.complete("Hi")
    kit.close()
    assert len(tried) == 2
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert "secret" not in str(raised.value)
    kit = kit_of(fails, says)
    assert (kit.client.complete("Hi")).provider == "own1"
    kit.close()

    def limited(call: Call, model: str) -> str:
        raise RateLimited("slow down", provider="own0", model=model)

    kit = kit_of(limited)
    with pytest.raises(RateLimited, match="slow down"):
        kit.client.complete("Hi")
    kit.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_one_that_ends_its_thread(kind: type[BaseException]) -> None:
    """Has failed: neither whoever called nor the process ends with it, and another model answers."""

    def leaves(call: Call, model: str) -> Iterator[str]:
        raise kind
        yield ""

    kit = kit_of(leaves)
    with pytest.raises(ServerFailed, match=rf"own0 failed \({kind.__name__}\)") as raised:
        kit.client.complete("Hi")
    kit.close()
    assert isinstance(raised.value.__cause__, kind)
    # What no coroutine can raise, either.
    kit = kit_of(lambda call, model: next(iter(())))
    with pytest.raises(ServerFailed, match=r"own0 failed \(StopIteration\)"):
        kit.client.complete("Hi")
    kit.close()
    kit = kit_of(leaves, says)
    assert (kit.client.complete("Hi")).provider == "own1"
    kit.close()


@pytest.mark.parametrize("said", [7, b"bytes", {"text": "x"}, [7]])
def test_what_it_may_not_say(said: Any) -> None:
    """Is the function's fault, and said so in the cause."""
    kit = kit_of(lambda call, model: [said])
    with pytest.raises(ServerFailed) as raised:
        kit.client.complete("Hi")
    kit.close()
    assert "it may yield strings" in str(raised.value.__cause__)


def test_a_piece_of_none() -> None:
    """Says nothing, as LiteLLM's have it at the end, and ends nothing."""
    kit = kit_of(lambda call, model: iter(["one ", None, "two", None]))
    reply = kit.client.complete("Hi")
    kit.close()
    assert (reply.text, reply.stop_reason) == ("one two", "end")


@pytest.mark.parametrize("returned", [None, 7, b"bytes", {"choices": 1}])
def test_what_it_may_not_return(returned: Any) -> None:
    """Is the function's fault, and never an answer that is empty, or made of the names in a dict."""
    kit = kit_of(lambda call, model: returned)
    with pytest.raises(ServerFailed) as raised:
        kit.client.complete("Hi")
    kit.close()
    assert "it may return a string, or a list" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            Finish("stop", None, USED),
            "a Finish with 'stop' as its stop_reason: that has to be one of end, max_tokens",
        ),  # type: ignore[arg-type]
        (Finish("end", 7, USED), "an int as its raw_stop_reason: that has to be a string or None"),  # type: ignore[arg-type]
        (Finish("end", None, None), "None as its usage: that has to be a Usage"),  # type: ignore[arg-type]
        (Finish("end", None, Usage(input_tokens=1.5)), "a Usage with a float as its input_tokens"),  # type: ignore[arg-type]
        (
            Finish("end", None, Usage(output_tokens=-9)),
            "an int as its output_tokens: that has to be a whole number",
        ),
        (Finish("end", None, Usage(output_tokens=True)), "a bool as its output_tokens"),
        (
            ToolCall(id="a", name="n", arguments="secret"),
            "a ToolCall with a str as its arguments: that has to be a dict",
        ),  # type: ignore[arg-type]
        (ToolCall(id=None, name="n", arguments={}), "None as its id: that has to be a string"),  # type: ignore[arg-type]
        (
            ToolCall(id="a", name="n", arguments={"a": object()}),
            "a ToolCall with something in it that cannot be written as JSON",
        ),
        (TextDelta(None), "a TextDelta with None as its text: that has to be a string"),  # type: ignore[arg-type]
        (ThinkingDelta(7), "a ThinkingDelta with an int as its text"),  # type: ignore[arg-type]
        (ThinkingSignature(None), "a ThinkingSignature with None as its signature"),  # type: ignore[arg-type]
        (RedactedThinking("x", 7), "a RedactedThinking with an int as its wire"),  # type: ignore[arg-type]
    ],
)
def test_what_it_may_say_but_not_so(said: Any, told: str) -> None:
    """The error says what was given and what may be, and another model answers."""
    kit = kit_of(lambda call, model: [said])
    with pytest.raises(ServerFailed, match=told) as raised:
        kit.client.complete("Hi")
    kit.close()
    assert "secret" not in str(raised.value)
    kit = kit_of(lambda call, model: [said], says)
    assert (kit.client.complete("Hi")).provider == "own1"
    kit.close()


def test_two_calls_of_one_id() -> None:
    """Are told apart, as on every wire: each has a result of its own. One without a name is none."""

    def asks(call: Call, model: str) -> Iterator[Any]:
        results = call.messages[-1].tool_results
        if results:
            yield ", ".join(result.content for result in results)
            return
        yield ToolCall(id="c1", name="double", arguments={"a": 20})
        yield ToolCall(id="c1", name="double", arguments={"a": 30})

    def double(a: int) -> int:
        return 2 * a

    kit = kit_of(asks)
    assert (kit.client.run("Hi", tools=[double])).text == "40, 60"
    kit.close()
    kit = kit_of(lambda call, model: [ToolCall(id="c1", name="", arguments={})])
    with pytest.raises(
        ToolCallBroken, match="own0 asked for a call of a tool that it does not name"
    ):
        kit.client.complete("Hi")
    kit.close()


def test_half_of_a_letter_and_an_endless_answer() -> None:
    """What cannot be said is replaced; what is too long is an error."""
    kit = kit_of(lambda call, model: ["a\ud83d", "\n\u2028b"])
    assert (kit.client.complete("Hi")).text == "a\ufffd\n\u2028b"
    kit.close()

    def endless(call: Call, model: str) -> Iterator[str]:
        while True:
            yield "x" * 1_000_000

    kit = kit_of(endless)
    with pytest.raises(AnswerTooLarge):
        kit.client.complete("Hi")
    kit.close()


def test_one_that_is_left() -> None:
    """Ends where it next yields, however long its answer would have been; who reads slowly makes it wait."""
    ended = threading.Event()
    count = 0

    def endless(call: Call, model: str) -> Iterator[str]:
        nonlocal count
        try:
            while True:
                count += 1
                yield "x "
        finally:
            ended.set()

    kit = kit_of(endless)
    with kit.client.stream("Hi") as stream:
        for _ in stream:
            break
    wait_for(ended.is_set, wanted=True)
    kit.close()
    assert count < 10_000


def test_one_that_cannot_clear_up(caplog: pytest.LogCaptureFixture) -> None:
    """Is noted, without its words, and neither the answer nor whoever has left hears of it."""

    def untidy(call: Call, model: str) -> Iterator[str]:
        try:
            while True:
                yield "x "
        finally:
            raise ValueError("secret-of-the-app")

    kit = kit_of(untidy)
    with kit.client.stream("Hi") as stream:
        for _ in stream:
            break
    wait_for(lambda: "failed as it was stopped: ValueError" in caplog.text, wanted=True)
    kit.close()
    assert "secret" not in caplog.text


def test_one_that_hangs() -> None:
    """Is left by the clocks, and by whoever stops the call."""
    gate = threading.Event()

    def hangs(call: Call, model: str) -> Iterator[str]:
        yield "Hel"
        gate.wait()
        yield "lo"

    kit = kit_of(hangs, timeouts={"idle": 0.05})
    with pytest.raises(ProviderTimeout):
        with kit.client.stream("Hi") as stream:
            for _ in stream:
                pass
    kit.close()
    kit = kit_of(hangs)
    stream = kit.client.stream("Hi").open()
    assert stream.read()
    stream.close()
    with pytest.raises(StreamClosed):
        stream.read()
    gate.set()
    kit.close()


def test_typed_answers() -> None:
    """Are read as every model's: the function is told the type."""

    def typed(call: Call, model: str) -> str:
        assert call.output is not None
        return '{"value": 7}'

    kit = kit_of(typed)
    assert (kit.client.complete("Hi", output_type=int)).output == 7
    kit.close()


def test_text_that_is_held_back_is_content() -> None:
    """Beside tools and a type nobody sees it before the end; the clock of the first content does."""

    def slow(call: Call, model: str) -> Iterator[str]:
        yield '{"value": '
        threading.Event().wait(1.5)
        yield "7}"

    def look(city: str) -> int:
        """Look at the thermometer."""
        return len(city)

    kit = kit_of(slow, timeouts={"first_content": 1})
    reply = kit.client.complete("Hi", output_type=int, tools=[look])
    assert reply.output == 7
    kit.close()

"""Providers over functions: how they are made, and those of event loops."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

import llmkit
import llmkit.in_process.provider
from llmkit import (
    Call,
    ConfigError,
    FunctionProvider,
    InvalidRequest,
    Kit,
    ProviderTimeout,
    ServerFailed,
)


def test_what_is_no_function() -> None:
    """Is refused where the provider is made."""

    async def pieces(call: Call, model: str) -> AsyncIterator[str]:
        yield ""

    for wrong in (None, 7, lambda: "x", lambda call: "x", pieces):
        with pytest.raises(ConfigError, match="own"):
            FunctionProvider("own", wrong)  # type: ignore[arg-type]


EXAMPLES = re.findall(r"```python\n(.*?)```", llmkit.in_process.provider.__doc__ or "", re.DOTALL)


def test_the_first_example_of_the_module() -> None:
    """Runs as it stands."""
    exec(compile(EXAMPLES[0], "example", "exec"), {})  # noqa: S102


def chunk(content: str | None = None, why: str | None = None, used: Any = None) -> Any:
    """Make a chunk as LiteLLM gives it: the one with the usage has no choices, and others have no usage at all."""
    choice = SimpleNamespace(delta=SimpleNamespace(content=content), finish_reason=why)
    return SimpleNamespace(usage=used, choices=[]) if used else SimpleNamespace(choices=[choice])


@pytest.mark.parametrize(
    ("why", "reason"), [("stop", "end"), ("length", "max_tokens"), (None, "other")]
)
def test_the_example_with_litellm(why: str | None, reason: str) -> None:
    """Sends all that the call says, and hands on why the answer stops and what it took, if that is told."""
    asked: dict[str, Any] = {}
    tokens = SimpleNamespace(prompt_tokens=9, completion_tokens=2)

    def completion(model: str, messages: list[Any], **options: Any) -> list[Any]:
        asked.update(options, model=model, messages=messages)
        told = [chunk(used=tokens)] if why else []
        return [chunk("Hel"), chunk("lo"), chunk(None, why), *told]

    names: dict[str, Any] = {"llmkit": llmkit, "litellm": SimpleNamespace(completion=completion)}
    exec(compile(EXAMPLES[1], "example", "exec"), names)  # noqa: S102
    kit = Kit({"ledger": False}, providers=[FunctionProvider("lite", names["ask"])])
    reply = kit.client.complete("Hi", model="lite:gpt", system="Be brief.", max_tokens=7)
    kit.close()
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("gpt", 7, True)
    assert (reply.text, reply.stop_reason) == ("Hello", reason)
    assert reply.usage.output_source == ("reported" if why else "estimated")
    assert reply.usage.input_tokens == 9 or not why


def test_async_functions() -> None:
    """Run in the event loop, an async generator or a coroutine, and are cancelled with the call."""
    left: list[str] = []

    async def pieces(call: Call, model: str) -> AsyncIterator[Any]:
        try:
            yield "Hel"
            await asyncio.sleep(0)
            yield "lo"
            if model == "hangs":
                await asyncio.sleep(3600)
        finally:
            left.append(model)

    async def whole(call: Call, model: str) -> str:
        return "Hello"

    async def ask() -> None:
        for function in (pieces, whole):
            kit = Kit(
                {"models": {"default": "own:m"}, "ledger": False},
                providers=[FunctionProvider("own", async_function=function)],
            )
            assert (await kit.async_client.complete("Hi")).text == "Hello"
            await kit.aclose()
        kit = Kit({"ledger": False}, providers=[FunctionProvider("own", async_function=pieces)])
        async with kit.async_client.stream("Hi", model="own:hangs") as stream:
            async for _ in stream:
                break
        with pytest.raises(InvalidRequest, match="has an async function alone"):
            kit.client.complete("Hi", model="own:m")
        await kit.aclose()

    asyncio.run(ask())
    assert left == ["m", "hangs"]


def test_what_async_functions_say_and_return() -> None:
    """Is taken and refused as what others do: None in between is nothing, and None or a dict in place of an answer is an error."""

    async def pieces(call: Call, model: str) -> AsyncIterator[Any]:
        for piece in ("one ", None, "two", None):
            yield piece

    async def later(call: Call, model: str) -> Any:
        return pieces(call, model)

    async def listed(call: Call, model: str) -> Any:
        return ["one ", None, "two"]

    async def nothing(call: Call, model: str) -> None:
        return None

    async def keys(call: Call, model: str) -> Any:
        return {"choices": 1}

    async def answer(function: Any) -> Any:
        settings = {"ledger": False, "retry": {"attempts": 1}}
        kit = Kit(settings, providers=[FunctionProvider("own", async_function=function)])
        try:
            return await kit.async_client.complete("Hi", model="own:m")
        finally:
            await kit.aclose()

    for function in (pieces, later, listed):
        reply = asyncio.run(answer(function))
        assert (reply.text, reply.stop_reason) == ("one two", "end")
    for function, kind in ((nothing, "None"), (keys, "a dict")):
        with pytest.raises(ServerFailed) as raised:
            asyncio.run(answer(function))
        assert f"returned {kind}: it may return a string" in str(raised.value.__cause__)


def exits(kind: type[BaseException]) -> list[Any]:
    """Return functions that raise it: at once, after something was said, before anything is awaited, and as they are stopped."""

    async def whole(call: Call, model: str) -> str:
        raise kind

    async def pieces(call: Call, model: str) -> AsyncIterator[str]:
        yield "Hel"
        raise kind

    def plain(call: Call, model: str) -> Any:
        raise kind

    async def stopped(call: Call, model: str) -> AsyncIterator[str]:
        try:
            yield "Hel"
            yield "lo"
        finally:
            raise kind

    return [whole, pieces, plain, stopped]


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError, GeneratorExit, ValueError])
def test_what_ends_a_process_or_a_task(kind: type[BaseException]) -> None:
    """Ends the function alone: it has failed, and neither the event loop nor whoever called ends with it."""

    async def ask() -> None:
        for function in exits(kind):
            own = FunctionProvider("own", async_function=function)
            kit = Kit({"ledger": False, "retry": {"attempts": 1}}, providers=[own])
            with pytest.raises(ServerFailed, match=rf"own failed \({kind.__name__}\)"):
                await kit.async_client.complete("Hi", model="own:m")
            await kit.aclose()

    asyncio.run(ask())


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError, ValueError])
def test_one_that_is_left_and_fails(kind: type[BaseException]) -> None:
    """Has ended when its stream is closed, and what it raises ends nothing else."""
    *_, stopped = exits(kind)
    own = FunctionProvider("own", async_function=stopped)

    async def ask() -> str:
        kit = Kit({"ledger": False}, providers=[own])
        async with kit.async_client.stream("Hi", model="own:m") as stream:
            async for _ in stream:
                break
        await kit.aclose()
        return "closed"

    assert asyncio.run(ask()) == "closed"


def test_one_whose_time_is_over_before_it_begins() -> None:
    """Is not asked, and whoever called is told so: nobody has cancelled it."""
    asked: list[str] = []
    settings = {"ledger": False, "retry": {"attempts": 1}, "timeouts": {"total": 10}}

    async def answers(call: Call, model: str) -> str:
        asked.append(model)
        return "Hello"

    def says(call: Call, model: str) -> str:
        asked.append(model)
        return "Hello"

    def kit_of(own: FunctionProvider) -> Kit:
        times = iter([0.0])  # the call begins; from then on it is much later
        return Kit(settings, providers=[own], clock=lambda: next(times, 1000.0))

    async def ask(own: FunctionProvider) -> None:
        kit = kit_of(own)
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(ProviderTimeout, match="the total timeout expired"):
            await kit.async_client.complete("Hi", model="own:m")
        await asyncio.sleep(0)
        assert not task.cancelling()
        await kit.aclose()

    asyncio.run(ask(FunctionProvider("own", async_function=answers)))
    asyncio.run(ask(FunctionProvider("own", says)))
    kit = kit_of(FunctionProvider("own", says))
    with pytest.raises(ProviderTimeout, match="the total timeout expired"):
        kit.client.complete("Hi", model="own:m")
    kit.close()
    assert asked == []

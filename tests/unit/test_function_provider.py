"""Providers over functions: how they are made, and those of event loops."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

import llmkit.in_process.provider
from llmkit import Call, ConfigError, FunctionProvider, InvalidRequest, Kit


def test_what_is_no_function() -> None:
    """Is refused where the provider is made."""

    async def pieces(call: Call, model: str) -> AsyncIterator[str]:
        yield ""

    for wrong in (None, 7, lambda: "x", lambda call: "x", pieces):
        with pytest.raises(ConfigError, match="own"):
            FunctionProvider("own", wrong)  # type: ignore[arg-type]


def test_the_example_of_the_module() -> None:
    """Runs as it stands."""
    examples = re.findall(
        r"```python\n(.*?)```", llmkit.in_process.provider.__doc__ or "", re.DOTALL
    )
    first, second = examples
    exec(compile(first, "example", "exec"), {})  # noqa: S102
    compile(second, "example", "exec")


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

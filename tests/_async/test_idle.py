"""Connections over httpx that nobody uses are closed: their provider may have done so, and nobody would look."""

from __future__ import annotations

import pytest

from llmkit.providers.anthropic import Anthropic
from llmkit.testing import Behaviour, Emulator
from llmkit.transport._async.httpx import AsyncHttpxTransport
from support import decoding
from support.waits import async_call

SAID = Behaviour(tokens=1, delay=0)


async def ask(transport: AsyncHttpxTransport, emulator: Emulator, count: int) -> None:
    """Ask so many times at once, and read the answers to their ends."""
    provider = Anthropic(base_url=emulator.base_url, api_key="test-key")
    request = provider.build_request(decoding.call(), "m")
    exchanges = [transport.start(request, connect_timeout=5) for _ in range(count)]
    for exchange in exchanges:
        await exchange.open()
    for exchange in exchanges:
        while await exchange.read():
            pass
        await exchange.aclose()


@pytest.mark.anyio
async def test_idle_connections_are_closed() -> None:
    """After a burst none is left, without another call; the next one makes its own."""
    with Emulator(behaviour=SAID) as emulator:
        transport = AsyncHttpxTransport(keep_idle=0.05)
        await ask(transport, emulator, 20)
        await async_call(lambda: emulator.wait_for_connections(0))
        await ask(transport, emulator, 1)
        await async_call(lambda: emulator.wait_for_connections(0))
        await transport.aclose()


@pytest.mark.anyio
async def test_used_connections_are_kept() -> None:
    """One that serves again and again stays, beside others that do not."""
    now = [0.0]
    with Emulator(behaviour=SAID) as emulator:
        transport = AsyncHttpxTransport(keep_idle=0.05, clock=lambda: now[0])
        await ask(transport, emulator, 2)
        now[0] += 0.04
        await ask(transport, emulator, 1)
        now[0] += 0.04
        await async_call(lambda: emulator.wait_for_connections(1))
        await transport.aclose()
        await async_call(lambda: emulator.wait_for_connections(0))

# Generated from tests/_async/test_idle.py. Do not edit.
"""Connections over httpx that nobody uses are closed: their provider may have done so, and nobody would look."""

from __future__ import annotations

import pytest

from llmkit.providers.anthropic import Anthropic
from llmkit.testing import Behaviour, Emulator
from llmkit.transport._sync.httpx import HttpxTransport
from support import decoding
from support.waits import call

SAID = Behaviour(tokens=1, delay=0)


def ask(transport: HttpxTransport, emulator: Emulator, count: int) -> None:
    """Ask so many times at once, and read the answers to their ends."""
    provider = Anthropic(base_url=emulator.base_url, api_key="test-key")
    request = provider.build_request(decoding.call(), "m")
    exchanges = [transport.start(request, connect_timeout=5) for _ in range(count)]
    for exchange in exchanges:
        exchange.open()
    for exchange in exchanges:
        while exchange.read():
            pass
        exchange.close()


def test_idle_connections_are_closed() -> None:
    """After a burst none is left, without another call; the next one makes its own."""
    with Emulator(behaviour=SAID) as emulator:
        transport = HttpxTransport(keep_idle=0.05)
        ask(transport, emulator, 20)
        call(lambda: emulator.wait_for_connections(0))
        ask(transport, emulator, 1)
        call(lambda: emulator.wait_for_connections(0))
        transport.close()


def test_used_connections_are_kept() -> None:
    """One that serves again and again stays, beside others that do not."""
    now = [0.0]
    with Emulator(behaviour=SAID) as emulator:
        transport = HttpxTransport(keep_idle=0.05, clock=lambda: now[0])
        ask(transport, emulator, 2)
        now[0] += 0.04
        ask(transport, emulator, 1)
        now[0] += 0.04
        call(lambda: emulator.wait_for_connections(1))
        transport.close()
        call(lambda: emulator.wait_for_connections(0))

"""What the tests of the transports begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmkit.testing import Behaviour, Emulator
from support.environment import forget_network


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a proxy and without a CA of somebody's own."""
    forget_network(monkeypatch)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Run a provider."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as running:
        yield running

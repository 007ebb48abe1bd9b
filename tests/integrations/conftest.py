"""What the tests of the adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmkit.testing import Behaviour, Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(behaviour=Behaviour(tokens=6, delay=0)) as running:
        yield running

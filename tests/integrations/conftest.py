"""What the tests of the adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmkit.testing import Behaviour, Emulator


@pytest.fixture
def advice(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """Show what the log advises, which it does once a process, as in a process that has said nothing yet."""
    monkeypatch.setattr("llmkit.relay.problem._advised", set())
    return caplog


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(behaviour=Behaviour(tokens=6, delay=0)) as running:
        yield running

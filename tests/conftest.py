"""What all tests share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import hypothesis
import pytest

import llmkit
from llmkit.errors import LLMKitError
from support.canary import LeakHandler, leaks
from support.loops import LOOP


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run async tests on asyncio, the loop of every server that llmkit names, or on its likeness."""
    return "asyncio", {"use_uvloop": LOOP == "uvloop"}


def pytest_configure() -> None:
    """Let every loop of the tests be of the kind that is tested, and no example fail because a machine is busy."""
    hypothesis.settings.register_profile("llmkit", deadline=None)
    hypothesis.settings.load_profile("llmkit")
    if LOOP == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def pytest_report_header() -> str:
    """Say which llmkit is tested, the checkout's or a wheel's, and on which event loop."""
    return f"llmkit {llmkit.__version__} from {llmkit.__file__}, on {LOOP}"


@pytest.fixture(autouse=True)
def nothing_leaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """See to it that no log and no error of any test holds its key or its prompt."""
    handler = LeakHandler()
    said: list[str] = []
    init = LLMKitError.__init__

    def noting(self: LLMKitError, message: str, *, hint: str | None = None) -> None:
        said.extend(leaks(message, str(hint)))
        init(self, message, hint=hint)

    monkeypatch.setattr(LLMKitError, "__init__", noting)
    root, ours = logging.getLogger(), logging.getLogger("llmkit")
    level = ours.level
    ours.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield
    root.removeHandler(handler)
    ours.setLevel(level)
    assert handler.leaked == []
    assert said == []

"""Providers that mean harm: bounded memory, a typed error or the right answer, the row closed, place and socket back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from support.hostile import KINDS, RIGHT
from support.processes import environ

# What may be taken above the memory of a process that has made an ordinary call, in MiB.
MEMORY = 100
# The other two are left to be run by hand, since each run is a process of its own.
TRANSPORTS = ["sync", "native"]
if os.environ.get("LLMKIT_TEST_HOSTILE"):
    TRANSPORTS += ["aiohttp", "httpx"]


def run(kind: str, transport: str) -> dict[str, Any]:
    """Let a process of its own call such a provider; return what came of it."""
    done = subprocess.run(
        [sys.executable, "-m", "support.hostile", kind, transport],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


@pytest.mark.skipif(sys.platform != "linux", reason="counts sockets as Linux shows them")
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_that_means_harm(kind: str, transport: str) -> None:
    """Streamed and whole, over the transports."""
    found = run(kind, transport)
    for outcome in found["outcomes"]:
        assert outcome == RIGHT.get(kind, "fine") or (
            kind not in RIGHT and outcome.startswith("error: ")
        ), outcome[:200]
    for outcome, status in zip(found["outcomes"], found["rows"], strict=True):
        assert status in (
            ("failed", "truncated") if outcome.startswith("error: ") else ("finished",)
        )
    assert found["memory"] < MEMORY, found
    assert (found["running"], found["sockets"], found["elsewhere"]) == (0, 0, 0)

"""How long a program waits for llmkit when it starts."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest

IMPORT = "import llmkit"
CLIENT = """
from llmkit import Client
client = Client("anthropic:claude-sonnet-4-5", api_key="test-key")
client.runtime.connections.transport()
"""
ASYNC_CLIENT = """
import asyncio
from llmkit import AsyncClient

async def main():
    client = AsyncClient("anthropic:claude-sonnet-4-5", api_key="test-key")
    client.runtime.connections.async_transport()
    await client.aclose()

asyncio.run(main())
"""


@functools.cache
def seconds(script: str) -> float:
    """Return the CPU seconds of a fresh interpreter that runs the script: the median of five.

    A script is measured once, however many tests compare with it.

    The processor's time, for what else runs on this machine should not count.
    """
    measured = f"{script}\nimport time\nprint(time.process_time())"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    spent = [
        subprocess.run(
            [sys.executable, "-c", measured], capture_output=True, text=True, check=True, env=env
        )
        for _ in range(5)
    ]
    return min(float(run.stdout) for run in spent)


@pytest.mark.parametrize(
    ("script", "libraries", "limit"),
    [
        (IMPORT, "pass", 10),
        (CLIENT, "import httpx, genai_prices.data", 30),
        (ASYNC_CLIENT, "import aiohappyeyeballs, httptools, genai_prices.data", 30),
    ],
    ids=["import", "Client", "AsyncClient"],
)
def test_a_start_is_quick(script: str, libraries: str, limit: float) -> None:
    """The import, and a client that is ready to call: so many times the interpreter's own start.

    What a client needs to make a call is loaded first, and counts by itself: how long that takes depends on what else is
    installed (httpx loads rich where it finds it). Where the interpreter starts in 6 ms the limits are 60 and 180 ms.
    """
    assert seconds(script) - seconds(libraries) < seconds("pass") * limit

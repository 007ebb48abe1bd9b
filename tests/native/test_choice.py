"""Which transport calls go over, by what is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.processes import environ

SCRIPT = """
import asyncio, sys
missing, choice = sys.argv[1:]
sys.modules.update(dict.fromkeys(filter(None, missing.split(","))))
from llmkit import Kit, MissingExtra

kit = Kit({"providers": {"local": {"wire": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": None}}, "transport": choice})
connections = kit.runtime.connections

async def for_async():
    return connections.async_transport()

def named(transport):
    parts = [transport, getattr(transport, "_native", None)]
    return "+".join(type(each).__name__ for each in parts if each is not None)

for made in (lambda: connections.transport(), lambda: asyncio.run(for_async())):
    try:
        print(named(made()))
    except MissingExtra as error:
        print(error)
"""


def chosen(missing: str, choice: str) -> list[str]:
    """Return what threads and event loops get where packages are missing."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, missing, choice],
        env=environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("missing", "threads", "loops"),
    [
        ("", "AutomaticTransport+SocketTransport", "AsyncAutomaticTransport+NativeTransport"),
        ("aiohappyeyeballs,aiohttp", "AutomaticTransport+SocketTransport", "AsyncHttpxTransport"),
        ("httptools", "HttpxTransport", "AiohttpTransport"),
        ("httptools,aiohttp", "HttpxTransport", "AsyncHttpxTransport"),
    ],
)
def test_auto_takes_the_fastest_that_is_there(missing: str, threads: str, loops: str) -> None:
    """For each of the two what it needs."""
    assert chosen(missing, "auto") == [threads, loops]


def test_one_that_is_chosen() -> None:
    """It is taken, or what is missing is said. aiohttp is for event loops alone."""
    assert chosen("", "native") == ["SocketTransport", "NativeTransport"]
    assert chosen("", "aiohttp") == ["HttpxTransport", "AiohttpTransport"]
    assert chosen("", "httpx") == ["HttpxTransport", "AsyncHttpxTransport"]
    both = chosen("httptools", "native")
    assert all("httptools" in said and "llmkit[native]" in said for said in both)
    assert len(both) == 2
    threads, loops = chosen("aiohappyeyeballs", "native")
    assert threads == "SocketTransport"
    assert "aiohappyeyeballs" in loops

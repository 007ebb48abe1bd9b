"""Which transport calls go over, by what is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from llmkit import ConfigError, Kit
from support.processes import environ

SCRIPT = """
import asyncio, sys
missing, choice = sys.argv[1:]
sys.modules.update(dict.fromkeys(filter(None, missing.split(","))))
from llmkit import ConfigError, Kit

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
    except ConfigError as error:
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


BROKEN = {
    "old": ("class HttpResponseParser: pass", "httptools cannot be used: it is older than 0.6.4"),
    "broken": ("raise ImportError('no such symbol')", "httptools cannot be used: no such symbol"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_package_that_cannot_be_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed over where nobody has chosen it; else what is wrong with it is said."""
    source, said = BROKEN[kind]
    (tmp_path / "httptools").mkdir()
    (tmp_path / "httptools" / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert chosen("", "auto") == ["HttpxTransport", "AiohttpTransport"]
    both = chosen("", "native")
    assert len(both) == 2
    assert all(each.startswith(said) and "--upgrade" in each for each in both)


@pytest.mark.parametrize(
    ("option", "client"),
    [
        ("http_client", httpx.AsyncClient),
        ("async_http_client", httpx.Client),
        ("http_client", object),
    ],
)
def test_a_client_of_the_wrong_kind(option: str, client: type) -> None:
    """It is refused before any call."""
    with pytest.raises(ConfigError, match=f"{option} is of the type {client.__name__}"):
        Kit({"ledger": False}, **{option: client()})

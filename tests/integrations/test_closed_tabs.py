"""Three hundred tabs that close at random points: every model stops, every row is closed, nothing is left."""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.asgi_app import make_app
from support.browser import SAY_HI
from support.hosts import asgi_host, gunicorn_host
from support.kits import ASYNC_TRANSPORTS, make_kit, settings
from support.left_over import sockets, threads
from support.rows import database, rows
from support.waits import wait_for

TABS = 300
TEXT = re.compile(rb'"text": ?"([^"]*)"')
PATIENCE = 10.0
# A few tokens, and then none until somebody lets it go, which nobody does.
HELD = Behaviour(tokens=20, delay=0.002, ttft=0.003, hold_at=7)


def close_a_tab(url: str, chance: random.Random) -> None:
    """Ask, read as long as chance will have it, and leave: with a FIN, or with a reset."""
    host, body = urlsplit(url), json.dumps(SAY_HI).encode()
    with socket.create_connection((host.hostname, host.port), timeout=PATIENCE) as tab:
        tab.sendall(
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (host.path.encode(), len(body), body)
        )
        seen, wanted = b"", chance.randrange(8)
        if wanted == 7:
            # Gone at any moment between the question and the first token: the moment is what is tried, nothing is waited for.
            time.sleep(chance.uniform(0, 0.01))
        while wanted < 7 and len(b"".join(TEXT.findall(seen)).split()) < wanted:
            data = tab.recv(4096)
            assert data, "the answer ended by itself"
            seen += data
        if chance.random() < 0.5:
            tab.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_tabs(url: str, count: int, at_once: int) -> None:
    """Close so many tabs."""
    chance = random.Random(11)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _: close_a_tab(url, chance), range(count)))


def check(emulator: Emulator, folder: Path) -> None:
    """See that no model was left running, and that each call's row says so."""
    states = Counter(request.state for request in emulator.requests)
    assert states == {"client_gone": len(emulator.requests)}
    # Those that were gone before their call was sent have a row all the same, or made no call.
    found = Counter(row["status"] for row in rows(folder))
    assert set(found) == {"cancelled"}
    assert len(emulator.requests) <= found["cancelled"]
    assert found["cancelled"] > TABS * 0.9


@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
def test_uvicorn(tmp_path: Path, transport: str) -> None:
    """The model is stopped without another token having gone out; no socket, task, thread or place is left."""
    with Emulator(behaviour=HELD) as emulator:
        kit: Kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})
        others, before = threads(), sockets()
        with asgi_host(make_app(settings(emulator), kit=kit)) as url:
            close_tabs(f"{url}/llm/stream", TABS, 20)
            wait_for(lambda: kit.limit.running, 0)
            wait_for(lambda: len(kit.runtime.open_attempts), 0)
            emulator.wait_for_connections(0)
        kit.close()
        wait_for(sockets, before)
        assert threads() == others
        check(emulator, tmp_path)


def test_gunicorn_with_threads(tmp_path: Path) -> None:
    """The model is stopped when the next heartbeats find nobody; the worker holds what it held before."""
    with Emulator(behaviour=HELD) as emulator:
        config = settings(
            emulator, relay={"heartbeat": 0.05}, ledger={"database": database(tmp_path)}
        )
        with gunicorn_host("gthread", config) as url:

            def left() -> Any:
                found = httpx.get(f"{url}/left").json()
                del found["memory"]
                return found

            close_tabs(f"{url}/stream", 8, 8)  # what is made once
            emulator.wait_for_connections(0)
            wait_for(lambda: left()["running"], 0)
            before = left()
            close_tabs(f"{url}/stream", TABS, 8)
            emulator.wait_for_connections(0)
            wait_for(left, before)
        check(emulator, tmp_path)
